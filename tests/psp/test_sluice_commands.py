"""Our own commands as events: what is written is read back the same, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.commands import (
    CheckoutOpened,
    CheckoutRefused,
    CheckoutRequested,
    Command,
    CreditsSpent,
    OrderPlaced,
    PaymentOpened,
    PaymentRefused,
    PlanSubscribed,
    RefundCallEnded,
    RefundRequested,
    ReversalEnded,
    SpendReversed,
)
from billing.facts import Unusable
from billing.terms import OrderTerms, PlanTerms
from psp import mappers, providers
from psp.envelope import storable
from psp.reading import Expected, Reading
from psp.sluice.commands import SOURCE, event_body
from psp.sluice.mapping import read, same_event
from psp.strict_json import INTEGER_MAX, UNIX_S_MAX
from runtime.settings import Settings
from runtime.values import EndpointSetting

NAMES = st.text(min_size=1, max_size=30).filter(
    lambda text: storable(text) is not None and not text.startswith("system:")
)
SOURCES = st.sampled_from(["stripe", "hyperswitch", "stripe:acct_1"])
AMOUNTS = st.integers(0, INTEGER_MAX)
CURRENCIES = st.sampled_from(["usd", "eur", "jpy"])


@st.composite
def orders(draw: st.DrawFn) -> OrderTerms:
    """Any order that can be placed."""
    seller_id, amount = draw(st.none() | NAMES), draw(AMOUNTS)
    part = 0 if seller_id is None else draw(st.integers(0, amount))
    licences = tuple(draw(st.lists(NAMES, max_size=3)))
    return OrderTerms(draw(NAMES), draw(NAMES), seller_id, amount, draw(CURRENCIES), part, licences)


SPENT = st.integers(1, INTEGER_MAX)
PAGE = "https://shop.example/thanks?s={CHECKOUT_SESSION_ID}&" + "x" * 1_990
PLANS = st.builds(PlanTerms, NAMES, NAMES, NAMES, AMOUNTS, CURRENCIES, st.none() | st.integers(0, UNIX_S_MAX))
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(OrderPlaced, SOURCES, st.none() | NAMES, orders()),
    st.builds(PlanSubscribed, SOURCES, st.none() | NAMES, PLANS),
    st.builds(PaymentOpened, SOURCES, NAMES, NAMES),
    st.builds(PaymentRefused, SOURCES, NAMES, NAMES),
    st.builds(CheckoutRequested, SOURCES, NAMES, NAMES, SPENT, AMOUNTS, CURRENCIES, st.just(PAGE)),
    st.builds(CheckoutOpened, SOURCES, NAMES, NAMES, SPENT, AMOUNTS, CURRENCIES),
    st.builds(CheckoutRefused, SOURCES, NAMES, NAMES),
    st.builds(SpendReversed, st.just("sluice"), NAMES, NAMES, SPENT, st.none() | NAMES),
    st.builds(CreditsSpent, st.just("sluice"), NAMES, NAMES, SPENT, st.none() | NAMES),
    st.builds(RefundRequested, SOURCES, NAMES, NAMES, st.none() | st.integers(1, INTEGER_MAX)),
    st.builds(RefundCallEnded, SOURCES, NAMES, st.none() | NAMES),
    st.builds(ReversalEnded, SOURCES, NAMES, st.sampled_from(["reversed", "permanently_failed"])),
)
ORDER = OrderTerms("o_1", "b_1", "s_1", 1000, "usd", 900, ("font",))
SAID: dict[str, Command] = {
    "order.placed": OrderPlaced("stripe", "pi_1", ORDER),
    "plan.subscribed": PlanSubscribed("hyperswitch", None, PlanTerms("s_1", "b_1", "pro", 900, "eur")),
    "payment.opened": PaymentOpened("stripe", "order:o_1", "pi_1"),
    "checkout.requested": CheckoutRequested("stripe", "c_1", "b_1", 250, 289, "usd", PAGE),
    "checkout.opened": CheckoutOpened("stripe", "cs_1", "b_1", 250, 289, "usd"),
    "checkout.refused": CheckoutRefused("stripe", "c_1", "parameter_invalid"),
    "spend.reversed": SpendReversed("sluice", "sp_1", "b_1", 7, "not rendered"),
    "payment.refused": PaymentRefused("stripe", "order:o_1", "parameter_invalid"),
    "credits.spent": CreditsSpent("sluice", "sp_1", "b_1", 7, None),
    "refund.requested": RefundRequested("stripe", "o_1", "r_1", None),
    "refund.accepted": RefundCallEnded("stripe", "r_1", "re_1"),
    "refund.refused": RefundCallEnded("stripe", "r_1", None),
    "transfer.reversed": ReversalEnded("stripe", "tr_1", "reversed"),
    "transfer.reversal_failed": ReversalEnded("stripe", "tr_1", "permanently_failed"),
}


@given(COMMANDS, NAMES, st.integers(0, UNIX_S_MAX))
def test_every_command_is_read_back_as_it_was_said(command: Command, event_id: str, created: int) -> None:
    """The same command, and the same bytes when it is said again."""
    body = event_body(command, event_id, created)

    assert read(body, Expected()) == Reading(command)
    assert event_body(command, event_id, created) == body


@pytest.mark.parametrize("event_type", SAID)
def test_each_command_has_its_type_in_canonical_json(event_type: str) -> None:
    """Sorted keys and no white space: one body for one event."""
    body = event_body(SAID[event_type], "evt_1", 7)
    event = json.loads(body)

    assert event_type == event["type"]
    assert {"id", "type", "created", "data"} == set(event)
    assert json.dumps(event, sort_keys=True, separators=(",", ":")).encode() == body


def _without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return event | {"data": {key: value for key, value in event["data"].items() if key != name}}


@pytest.mark.parametrize("event_type", SAID)
def test_a_command_with_a_field_too_many_or_too_few_is_held_back(event_type: str) -> None:
    """What this version does not understand completely it does not half apply."""
    event = json.loads(event_body(SAID[event_type], "evt_1", 7))
    broken = [
        event | {"extra": 1},
        event | {"data": event["data"] | {"extra": 1}},
        event | {"created": "7"},
        event | {"id": ""},
        event | {"type": "order.forgotten"},
        event | {"data": []},
        _without(event, "source"),
    ]

    for body in broken:
        assert isinstance(read(json.dumps(body).encode(), Expected()).fact, Unusable)
    assert isinstance(read(b"not json", Expected()).fact, Unusable)


@pytest.mark.parametrize(
    "command",
    [
        OrderPlaced("stripe", None, replace(ORDER, buyer_id="system:psp_clearing")),
        OrderPlaced("stripe", None, replace(ORDER, seller_amount_minor=1001)),
        OrderPlaced("stripe", None, replace(ORDER, seller_id=None)),
        OrderPlaced("stripe", None, replace(ORDER, amount_minor=-1)),
        OrderPlaced("stripe", None, replace(ORDER, currency="dollars")),
        CreditsSpent("sluice", "sp_1", "b_1", 0, None),
        CreditsSpent("sluice", "sp_1", "b_1", -7, None),
        CreditsSpent("sluice", "sp_1", "system:grants", 7, None),
        SpendReversed("sluice", "sp_1", "b_1", 0, None),
        SpendReversed("sluice", "sp_1", "system:grants", 7, None),
        CheckoutRequested("stripe", "c_1", "b_1", 0, 39, "usd", PAGE),
        CheckoutRequested("stripe", "c_1", "system:grants", 250, 289, "usd", PAGE),
        CheckoutRequested("stripe", "c_1", "b_1", 250, 289, "usd", "https://shop.example/\n"),
        CheckoutOpened("stripe", "", "b_1", 250, 289, "usd"),
        PaymentOpened("stripe", "order:o_1", ""),
        PaymentRefused("stripe", "", "parameter_invalid"),
        RefundRequested("stripe", "o_1", "r_1", 0),
        RefundRequested("", "o_1", "r_1", 5),
        RefundCallEnded("stripe", "r_1", ""),
    ],
)
def test_a_command_that_makes_no_sense_is_held_back(command: Command) -> None:
    """Even our own: a bug of a process must not become money."""
    fact = read(event_body(command, "evt_1", 7), Expected()).fact

    assert isinstance(fact, Unusable)
    assert fact.reason == "bad_schema"


def test_a_type_that_is_new_is_alarmed() -> None:
    """A worker of an older version than the process that appended it."""
    body = b'{"created":7,"data":{},"id":"e","type":"order.forgotten"}'

    assert [alert.subject for alert in read(body, Expected()).alerts] == ["sluice:type"]
    assert same_event(body, b'{"id":"e","created":7,"data":{},"type":"order.forgotten"}')


def test_nobody_outside_can_send_our_commands() -> None:
    """No receiver is registered for them, and no endpoint may take their name, for any provider."""
    assert mappers.of_source(SOURCE) is mappers.MAPPERS["sluice"]
    assert providers.OWN == SOURCE
    assert SOURCE not in providers.RECEIVERS
    for entry in (
        EndpointSetting("mine", "sluice", ["whsec_0123456789abcdef"]),
        EndpointSetting("sluice", "stripe", ["whsec_0123456789abcdef"]),
    ):
        settings = dataclasses.replace(Settings(), webhook_endpoints=(entry,))
        with pytest.raises(providers.EndpointError):
            providers.endpoints(settings)
