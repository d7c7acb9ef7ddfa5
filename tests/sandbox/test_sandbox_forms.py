"""The form decoder: Stripe's nesting in, typed values or a refusal out."""

from __future__ import annotations

import pytest

from psp.sandbox.errors import StripeError
from psp.sandbox.forms import decode


def test_brackets_nest() -> None:
    """Maps, lists of maps and bare lists come out as they were meant."""
    params = decode("a=1&metadata[credits]=5&line_items[0][price_data][unit_amount]=7&types[]=x&types[]=y")

    assert params.integer("a") == 1
    assert params.metadata() == {"credits": "5"}
    assert [item.inner("price_data").integer("unit_amount") for item in params.each("line_items")] == [7]
    assert params.texts("types") == ["x", "y"]


def test_lists_keep_the_order_of_their_indices() -> None:
    """Index 10 comes after index 2, whatever order the pairs have."""
    params = decode("expand[10]=c&expand[2]=b&expand[0]=a")

    assert params.texts("expand") == ["a", "b", "c"]


def test_metadata_may_have_numbers_for_keys() -> None:
    """A map whose keys look like indices stays a map."""
    assert decode("metadata[0]=x&metadata[7]=y").metadata() == {"0": "x", "7": "y"}


def test_an_empty_value_unsets() -> None:
    """`amount=` is the same as no amount."""
    assert decode("amount=").integer("amount") is None


@pytest.mark.parametrize(
    "body",
    [
        "a=1&a[b]=2",
        "a[b]=2&a=1",
        "a[b=1",
        "=1",
        "a[b][c][d][e][f][g][h][i]=1",
        "&".join(f"k{n}=1" for n in range(2_001)),
        "a=%ff",
    ],
)
def test_contradictory_or_malformed_names_are_refused(body: str) -> None:
    """What cannot be read one way is not read at all."""
    with pytest.raises(StripeError):
        decode(body)


@pytest.mark.parametrize(
    "body", ["metadata[" + "k" * 41 + "]=v", "metadata[k]=" + "v" * 501, "metadata=v", "metadata[a][b]=v"]
)
def test_metadata_has_bounds(body: str) -> None:
    """Keys of 40, values of 500 characters, one level."""
    with pytest.raises(StripeError):
        decode(body).metadata()


@pytest.mark.parametrize("value", ["1.5", "1e3", "0x10", "١", " 1", "9" * 16])
def test_integers_are_plain_digits(value: str) -> None:
    """Nothing is rounded or guessed."""
    with pytest.raises(StripeError) as caught:
        decode("").__class__({"amount": value}).integer("amount")

    assert caught.value.body["error"] == {
        "code": "parameter_invalid_integer",
        "message": f"Invalid integer: {value[:40]}",
        "param": "amount",
        "type": "invalid_request_error",
    }
