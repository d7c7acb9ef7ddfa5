"""What the metadata of a payment agree on, and which are nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from billing.terms import OrderTerms, PlanTerms
from psp import metadata
from psp.metadata import Claim, claim
from psp.strict_json import BadShapeError, Fields

ORDER = {"purpose": "order", "orderId": "o_1", "buyerId": "b_1"}
PLAN = {"purpose": "subscription", "subscriptionId": "s_1", "accountId": "b_1", "planId": "pro"}
MANY = tuple(f"licence-{number}" for number in range(40))
"""Together longer than an id may be."""


def claimed(values: dict[str, Any], amount: int | None = 1000, currency: str | None = "usd") -> Claim:
    """The claim of a payment with these metadata."""
    return claim(Fields(values, "metadata"), amount, currency)


@pytest.mark.parametrize(
    ("changes", "seller_id", "part", "licences"),
    [
        ({}, None, 0, ()),
        ({"sellerId": "s_1"}, "s_1", 1000, ()),
        ({"sellerId": "s_1", "sellerAmount": "900"}, "s_1", 900, ()),
        ({"sellerId": "s_1", "sellerAmount": 900}, "s_1", 900, ()),
        ({"sellerId": "s_1", "sellerAmount": "0"}, "s_1", 0, ()),
        ({"sellerAmount": "0"}, None, 0, ()),
        ({"licences": "a"}, None, 0, ("a",)),
        ({"licences": "a, b,c"}, None, 0, ("a", "b", "c")),
        ({"licences": ""}, None, 0, ()),
        ({"licences": ",".join(MANY)}, None, 0, MANY),
    ],
)
def test_an_order_gives_its_seller_all_unless_it_says_otherwise(
    changes: dict[str, Any], seller_id: str | None, part: int, licences: tuple[str, ...]
) -> None:
    """The house keeps what the seller does not get; licences are a list with commas."""
    terms = OrderTerms("o_1", "b_1", seller_id, 1000, "usd", part, licences)

    assert claimed(ORDER | changes) == Claim("order:o_1", terms)


def test_terms_are_complete_or_none() -> None:
    """What they do not say is never made up; the claim alone still finds what our own side has placed."""
    for without in (
        claimed({"purpose": "order", "orderId": "o_1"}),
        claimed(ORDER, amount=None),
        claimed(ORDER, currency=None),
    ):
        assert without == Claim("order:o_1", None)
    for without in (
        claimed({"purpose": "subscription", "subscriptionId": "s_1"}),
        claimed(PLAN | {"planId": None}),
        claimed(PLAN, amount=None),
    ):
        assert without == Claim("subscription:s_1", None)
    assert claimed(PLAN) == Claim("subscription:s_1", PlanTerms("s_1", "b_1", "pro", 1000, "usd"))


@pytest.mark.parametrize(
    "values",
    [
        ORDER | {"orderId": None},
        ORDER | {"orderId": ""},
        ORDER | {"orderId": 7},
        ORDER | {"orderId": " o_1"},
        ORDER | {"orderId": "é" * 128},
        ORDER | {"buyerId": "system:psp_clearing"},
        ORDER | {"buyerId": "b" * 256},
        ORDER | {"sellerId": "system:platform_fees"},
        ORDER | {"sellerId": ["s_1"]},
        ORDER | {"sellerAmount": "1"},
        ORDER | {"sellerId": "s_1", "sellerAmount": "1001"},
        ORDER | {"sellerId": "s_1", "sellerAmount": "-1"},
        ORDER | {"sellerId": "s_1", "sellerAmount": "9.5"},
        ORDER | {"sellerId": "s_1", "sellerAmount": 9.5},
        ORDER | {"licences": ["a"]},
        ORDER | {"licences": "a,,b"},
        ORDER | {"licences": "a,a"},
        ORDER | {"licences": "a\u0000"},
        PLAN | {"subscriptionId": None},
        PLAN | {"accountId": "system:credits_issued"},
        PLAN | {"planId": "\ud800"},
    ],
)
def test_nonsense_about_a_purpose_of_ours_is_bad_metadata(values: dict[str, Any]) -> None:
    """For a person, and never half believed; the value is not shown."""
    with pytest.raises(BadShapeError, match=r"^metadata\.\w+ is ") as caught:
        claimed(values)

    assert caught.value.reason == "bad_metadata"


def test_an_object_may_have_no_metadata_but_not_others_than_an_object() -> None:
    """Both PSPs write null where there are none."""
    assert metadata.of(Fields({"metadata": None}, "")) is None
    assert metadata.of(Fields({}, "")) is None
    with pytest.raises(BadShapeError):
        metadata.of(Fields({"metadata": "purpose=order"}, ""))
