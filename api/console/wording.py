"""Says in plain words what happened, for whoever answers a customer; decides nothing and knows no table.

Works on the entries of a history as the audit API gives them, whatever kind of object they are about: a kind,
rule or movement that has no words of its own here is told by its code.
"""

from __future__ import annotations

from typing import Any

from api.console.shown import money, path_part, words
from billing import units

KINDS = {
    "account": "account",
    "checkout_session": "purchase",
    "subscription_invoice": "invoice",
}
"""Kinds that people call otherwise than we do."""

MOVEMENTS = {
    "topup": "Credits bought and paid for",
    "grant": "Granted by hand",
    "spend": "Used up",
    "spend_reversal": "Given back, because what it was used for was not done",
    "refund_clawback": "Taken back, because the payment was refunded",
    "refund_give_back": "Given back, because the refund failed",
    "dispute_clawback": "Taken back, because the payment is disputed",
    "dispute_give_back": "Given back, because the dispute was won",
}

VERDICTS = {
    "ok": "The signature was good",
    "missing_sig": "It carried no signature",
    "malformed_sig": "Its signature could not be read",
    "bad_sig": "Its signature was wrong",
    "stale_ts": "Its signature was too old",
    "future_ts": "Its signature was dated in the future",
    "oversize": "It was too large",
    "bad_encoding": "Its encoding is not taken",
    "read_timeout": "Its body came too slowly",
    "truncated": "Its body broke off",
}

STATES = {
    "pending": "it waits to be applied",
    "parked": "it waits for something that comes with a later event",
    "applied": "it was applied",
    "ignored": "it changes nothing",
    "superseded": "something newer was known already",
    "quarantined": "a person must look at it",
}

REFUSALS = {
    "missing_sig": (
        "Whoever sent it is not the PSP, or a proxy before the receiver has dropped the signature's header. "
        "It had no effect."
    ),
    "malformed_sig": (
        "Its signature is not written as the PSP writes it: a guess, or a proxy that rewrites headers. "
        "It had no effect."
    ),
    "bad_sig": (
        "If it is the PSP's, its endpoint signs with a secret that we do not have: add that to the "
        "endpoint's secrets, restart the receivers, then replay, which verifies it again. If nobody knows "
        "the sender there is nothing to do: it had no effect."
    ),
    "stale_ts": (
        "It was signed more than five minutes before it came: a capture that somebody sent again, or clocks "
        "that differ. Compare the clocks; what the PSP repeats it signs anew."
    ),
    "future_ts": (
        "It was signed more than five minutes ahead of our clock. Set the clocks right (NTP); what the PSP "
        "repeats it signs anew."
    ),
    "oversize": (
        "It is larger than WEBHOOK_MAX_BYTES. If the PSP really sends that much, raise the limit; it "
        "sends again."
    ),
    "bad_encoding": (
        "Something on the way compresses bodies. Switch that off: the signature is over the bytes as sent."
    ),
    "read_timeout": "Its body took longer than three seconds to arrive. A PSP sends again by itself.",
    "truncated": "The connection broke before all of the body had come. A PSP sends again by itself.",
}
"""What to do about each refusal."""

ORIGINS = {
    "psp": "The PSP sent it",
    "reconciler": "The reconciler found it at the PSP",
    "operator": "It was written by our own side",
    "sandbox": "The sandbox sent it",
}

REASONS = {
    "amount_mismatch": (
        "What was paid is not what these credits cost. Look at the payment at the PSP; refund it "
        "there, or correct the price and replay."
    ),
    "bad_metadata": (
        "No account, or no whole number of credits. Find the integration that made the checkout; "
        "grant by hand or refund."
    ),
    "bad_json": (
        "The body is no JSON that everybody reads alike. If the PSP changed its format, the mapping "
        "needs work."
    ),
    "bad_schema": (
        "A field that decides about money is missing or of another kind. The mapping needs work, then replay."
    ),
    "unknown_payment_status": "A payment status that we do not know. The mapping needs work, then replay.",
    "wrong_mode": (
        "A test event came to a live endpoint, or the other way round. Correct the endpoint; resolve."
    ),
    "wrong_account": (
        "The event is of another merchant than its endpoint. Correct WEBHOOK_ENDPOINTS, then replay."
    ),
    "paid_twice": ("Two payments have paid for the same thing. Refund one of them at the PSP, then resolve."),
    "contradicts_terms": ("A later event names other terms of an order or plan. Decide which are right."),
    "agreement_never_came": (
        "A payment waited three days for its order or plan. Refund it, or place the order and replay."
    ),
    "order_never_came": (
        "A transfer waited three days for its order. Foreign: resolve. Ours: run the reconciler, then replay."
    ),
    "order_without_seller": ("A transfer for an order that has no seller. Correct what makes the transfers."),
    "contradicts_transfer": (
        "A later event names another amount or currency. Look at the transfer at the PSP."
    ),
    "contradicts_refusal": ("The PSP reports a refund that it had refused. Look at it there."),
    "refund_never_came": (
        "It names no payment and nobody knew the refund for three days. Look at it at the PSP."
    ),
    "unknown_refund": (
        "A call of ours ended for a refund that is not there: a bug, or rows were removed by hand."
    ),
    "unknown_transfer": (
        "A call of ours ended for a transfer that is not there: a bug, or rows were removed by hand."
    ),
    "unknown_agreement": (
        "A call of ours ended for an order or plan that is not there: a bug, or rows were removed by hand."
    ),
    "unknown_currency": (
        "A currency that we do not know. A mistake: correct it at the PSP. A new one: add it, then replay."
    ),
    "currency_mismatch": (
        "A refund or dispute in another currency than its payment. Look at the payment at the PSP."
    ),
    "contradicts_purchase": "A later event names another account or other credits. Decide which is right.",
    "payment_never_came": (
        "It waited three days for a payment that we never saw. Foreign: resolve. Ours: run the "
        "reconciler, then replay."
    ),
    "refund_details_missing": (
        "A charge was refunded and its refunds were not reported. Subscribe the endpoint to refund.*."
    ),
    "refund_exceeds_payment": "Refunds add up to more than was paid. Look at the payment at the PSP.",
    "unknown_subscription_status": (
        "A subscription state that we do not know. The mapping needs work, then replay."
    ),
    "unknown_invoice_status": "An invoice state that we do not know. The mapping needs work, then replay.",
    "subscription_never_came": (
        "An invoice waited three days for its subscription. Subscribe the endpoint to "
        "customer.subscription.*, then replay."
    ),
    "contradicts_invoice": (
        "A later event names another subscription or currency. Look at the invoice at the PSP."
    ),
    "attempts_exhausted": (
        "The work failed each time. Read the last error and the worker's log; fix, then replay."
    ),
    "database_refused": (
        "The database refused what it would write: a bug. Read the worker's log; fix, then replay."
    ),
    "payload_gone": "Retention took the payload before it was applied. Fetch the object at the PSP.",
    "unknown_provider": "No provider reads this source. Deploy the version that knows it, then replay.",
}
"""What to do about each reason of quarantine, in short; the runbook has the whole."""

ALERTS = {
    "ambiguous_order": "Two events of one second contradict each other. Compare the object with the PSP.",
    "clock_skew": "Set the clocks right (NTP): from five minutes on deliveries are refused.",
    "effect_failed": "A call to the PSP was given up. Do it there by hand; the runbook says how.",
    "event_conflict": "Compare the two bodies; if both cannot be the PSP's, rotate the signing secret.",
    "invariant_broken": "The books contradict themselves. Stop commands that move money; follow the runbook.",
    "log_tampered": "The log is not what was sealed. Keep a copy of the database before anything else.",
    "lost_fields": "Set the PSP's API version back, or teach the mapping where the field is; then replay.",
    "negative_balance": "More was taken back than was left. It closes itself once the debt is paid.",
    "partitions_missing": "A transaction holds up the log's partitions: find and end it as the runbook says.",
    "psp_differs": "No event can mend this difference. Look at the object on both sides.",
    "psp_not_configured": "Calls wait for a key. Set it and start the workers again.",
    "source_silent": "Look at the PSP's delivery log, then run the reconciler.",
    "unknown_value": "A word that we do not know. The mapping needs work, then replay.",
    "unseen_api_version": "Read the PSP's changelog for this version, or set the endpoint back.",
}
"""What to do about each alert, in short; the runbook has the whole."""

CONFLICT = (
    "A second, different body came under this event's id; it was kept and not applied. Compare the two: "
    "either the PSP tells one event in two ways, or somebody holds a signing secret. Then rotate it at once."
)

NO_REASON_KNOWN = "See the runbook and the event's last error."


def kind(code: str) -> str:
    """What people call this kind of object."""
    return KINDS.get(code, words(code))


def step(entry: dict[str, Any]) -> str:
    """One entry of a history as a sentence without its cause."""
    if entry["what"] == "transition":
        return _transition(entry)
    if entry["what"] in ("posting", "posted"):
        return MOVEMENTS.get(entry["movement"], words(entry["movement"]).capitalize())
    return _delivery_step(entry)


def _transition(entry: dict[str, Any]) -> str:
    what = kind(entry["kind"])
    before, after = words(entry["from_state"]), words(entry["to_state"])
    if entry["from_state"] is None:
        return f"The {what} became known: {after}"
    if before == after:
        return f"Details of the {what} changed; it stays {after}"
    return f"The {what} went from {before} to {after}"


def _delivery_step(entry: dict[str, Any]) -> str:
    what = entry["what"]
    if what == "outcome":
        return f"The event is {entry['state']}" + (f": {words(entry['reason'])}" if entry["reason"] else "")
    told = {
        "received": "Received and committed",
        "redelivered": "Delivered again",
        "refused": f"Refused: {_lower(VERDICTS.get(entry.get('verdict', ''), words(entry.get('verdict'))))}",
        "retried": "The work failed and is tried again",
        "parked": "Parked until what it needs is known",
        "woken": "Woken: what it needed is known now",
        "quarantined": "Put into quarantine",
        "conflict": "Another body came under the same event id",
        "replayed": "Opened again for a replay",
        "resolved": "Taken off the list",
    }
    return told.get(what, words(what).capitalize())


def cause(entry: dict[str, Any]) -> str:
    """Why an entry of an object's history came about, as the second half of a sentence."""
    because = entry["cause"]
    told = f"because of {because['event_type']}" if because["event_type"] else "because of an event"
    if because["event_id"] is None:
        return f"by {because['actor']}" if because["actor"] else ""
    if (because["actor"] or "").endswith(":effects"):
        return f"{told}, which is how our call of the provider has ended"
    if because["origin"] == "reconciler":
        return f"{told}, which the reconciler found at the PSP"
    if because["origin"] == "operator" and because["actor"]:
        return f"{told}, replayed by {because['actor']}"
    return told


_CALL_STATES = {
    "pending": "not done yet",
    "done": "done",
    "failed": "failed for good",
    "obsolete": "not wanted any more",
}


def call(entry: dict[str, Any]) -> str:
    """What was wanted of a provider, and what has become of it."""
    return f"{words(entry['kind']).capitalize()}: {_CALL_STATES[entry['state']]}"


def amounts(entry: dict[str, Any], about: str | None = None) -> list[tuple[str, str]]:
    """The postings of an entry as (account, amount); the house's own side only where nothing else moved."""
    legs = entry.get("postings", [])
    theirs = [leg for leg in legs if not leg["account_id"].startswith("system:")] or legs
    chosen = [leg for leg in theirs if leg["account_id"] == about] or theirs
    return [(leg["account_id"], money(leg)) for leg in chosen]


def balance(entry: dict[str, Any], code: str) -> str:
    """The account's balance of one unit after a movement of its history."""
    exponent = next(leg["exponent"] for leg in entry["own"] if leg["unit"] == code)
    return f"{units.decimal_text(entry['after'][code], exponent)} {units.name(code)}"


def signed_by_a_psp(found: dict[str, Any]) -> bool:
    """Whether a signature was looked at: what our own side appends has an actor instead."""
    return found["origin"] in ("psp", "sandbox")


def actor(name: str | None) -> tuple[str, str | None]:
    """Who answers for something of ours, for a person, and where that is looked up."""
    who, _, run_id = (name or "–").partition(":")
    if who == "reconciler" and run_id:
        return "reconcile run", f"/console/reconcile/{path_part(run_id)}"
    return name or "–", None


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def summary(found: dict[str, Any]) -> str:
    """One delivery in a sentence or two."""
    told = [ORIGINS.get(found["origin"], found["origin"])]
    if found["origin"] == "psp" and found["verdict"] != "ok":
        told = ["Somebody sent it"]  # who, only a good signature proves
    if found["actor"] and found["origin"] == "operator":
        told = [
            f"It came from {found['actor']}"
            if found["endpoint"] == "api"
            else f"{found['actor']} replayed it"
        ]
    if signed_by_a_psp(found):
        told.append(_lower(VERDICTS.get(found["verdict"], words(found["verdict"]))))
    if found["state"] is None:
        told.append("it was refused")
    elif found["conflict"]:
        told.append(f"another body came under its id; {STATES[found['state']]}")
    else:
        told.append(STATES[found["state"]])
    return "; ".join(told) + "."
