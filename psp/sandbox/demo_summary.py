"""Judges a run from both sides' words and prints it; it must never fetch anything.

The sandbox says what it sent and what was acknowledged; Sluice's audit log says what became of it. Only
what both agree on counts as kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .demo_books import Evidence, Verdict, judge_books

FINAL = frozenset({"applied", "ignored", "superseded", "quarantined"})
"""States in which an event has been handled and says so."""


def judge(evidence: Evidence) -> Verdict:
    """Compares the sandbox's journal and books with Sluice's log and balances."""
    verdict = Verdict()
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for item in evidence.deliveries:
        if item["verdict"] == "ok":
            rows_of.setdefault(item["event_id"], []).append(item)
    states = _judge_events(evidence, rows_of, verdict)
    _judge_acknowledged(evidence, rows_of, verdict)
    _judge_quarantined(evidence, rows_of, verdict)
    _judge_forged(evidence.stats, verdict)
    _judge_refused(evidence, verdict)
    judge_books(evidence, verdict)
    verdict.rows = _rows(evidence, rows_of, states)
    return verdict


def _judge_events(
    evidence: Evidence, rows_of: Mapping[str, list[dict[str, Any]]], verdict: Verdict
) -> Counter[str]:
    """Every event that the sandbox made has a final state, whether or not its webhook was ever sent."""
    states: Counter[str] = Counter()
    made = {entry["id"] for entry in evidence.journal}
    unhandled: list[str] = []
    for event_id in [*made, *(rows_of.keys() - made)]:
        rows = rows_of.get(event_id)
        state = str(rows[0]["state"]) if rows else "missing"
        if event_id in made:
            states[state] += 1
            verdict.missing += state == "missing"
        if state not in FINAL:
            unhandled.append(f"{event_id} ({state})")
    verdict.waiting = len(unhandled)
    verdict.fault("events without a final state", unhandled)
    return states


def _judge_acknowledged(
    evidence: Evidence, rows_of: Mapping[str, list[dict[str, Any]]], verdict: Verdict
) -> None:
    """For each 2xx that the sandbox saw there is a row of its own with exactly the bytes that were sent."""
    lost: list[str] = []
    for entry in evidence.journal:
        kept = Counter(
            str(row["body_sha256"]).lower()
            for row in rows_of.get(entry["id"], ())
            if row["origin"] not in {"reconciler", "operator"}
        )
        if kept[entry["body_sha256"]] < entry["acknowledged"]:
            lost.append(entry["id"])
        elif (
            entry["conflict_acknowledged"] and kept[entry["conflict_sha256"]] < entry["conflict_acknowledged"]
        ):
            lost.append(f"{entry['id']} (its second body)")
    verdict.fault("events with an acknowledged delivery that is not in the log", lost)


def _judge_quarantined(
    evidence: Evidence, rows_of: Mapping[str, list[dict[str, Any]]], verdict: Verdict
) -> None:
    """Exactly the sales that the demo made unbelievable on purpose are in quarantine."""
    expected = {
        entry["id"]
        for entry in evidence.journal
        if entry["object_id"] in evidence.unbelievable_sessions
        and entry["type"] == "checkout.session.completed"
    }
    found = {event_id: rows[0] for event_id, rows in rows_of.items() if rows[0]["state"] == "quarantined"}
    strange = [f"{event_id} ({found[event_id]['last_error']})" for event_id in found.keys() - expected]
    handled = {event_id for event_id in expected if event_id in rows_of} - found.keys()
    believed = [event_id for event_id in handled if rows_of[event_id][0]["state"] in FINAL]
    verdict.fault("events in quarantine that should not be", strange)
    verdict.fault("unbelievable sales that are not in quarantine", believed)


def _judge_forged(stats: Mapping[str, Any], verdict: Verdict) -> None:
    if stats["forged_accepted"]:
        verdict.faults.append(f"{stats['forged_accepted']} forged deliveries were acknowledged")
    if stats["forged_unanswered"]:
        verdict.faults.append(f"{stats['forged_unanswered']} forged deliveries were not answered with a 400")
    if stats["scheduled"]:
        verdict.faults.append(f"{stats['scheduled']} deliveries are still scheduled")


def _judge_refused(evidence: Evidence, verdict: Verdict) -> None:
    """Every refusal that the sandbox saw left its trace, in a row of its own or counted in a shared one.

    Where the API does not say how many requests share a row, nothing follows from a smaller number.
    """
    if any(item["verdict"] != "ok" and "requests" not in item for item in evidence.deliveries):
        return
    logged = _refused(evidence.deliveries)
    lost = [
        f"{name} (sandbox {count}, Sluice {logged[name]})"
        for name, count in evidence.stats["refused"].items()
        if logged[name] < count
    ]
    verdict.fault("kinds of refusals are not all in the log", lost)


def _refused(deliveries: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Refused deliveries by verdict; `requests` of a row counts those that share it."""
    counted = Counter[str]()
    for item in deliveries:
        if item["verdict"] != "ok":
            counted[item["verdict"]] += int(item.get("requests") or 1)
    return counted


def _rows(
    evidence: Evidence, rows_of: Mapping[str, list[dict[str, Any]]], states: Counter[str]
) -> list[tuple[str, str, str]]:
    """The table: what, the sandbox's count, Sluice's count. A dash where a side cannot know."""
    stats, journal = evidence.stats, evidence.journal
    digests = {entry["id"]: entry for entry in journal}
    came, conflicting, doubled = 0, 0, 0
    for event_id, rows in rows_of.items():
        entry = digests.get(event_id)
        for row in rows:
            if row["origin"] in {"reconciler", "operator"}:
                continue
            came += 1
            other = entry is not None and str(row["body_sha256"]).lower() == entry["conflict_sha256"]
            conflicting += other
            doubled += bool(row["duplicate"]) and not other
    repaired = {
        e["id"] for e in journal if any(r["origin"] == "reconciler" for r in rows_of.get(e["id"], ()))
    }
    refused = _refused(evidence.deliveries)
    acknowledged = stats["acknowledged"] + stats["conflicting_acknowledged"]
    table: list[tuple[str, int | None, int | None]] = [
        ("events made", len(journal), sum(states.values()) - states["missing"]),
        ("deliveries sent", stats["deliveries_sent"], came + refused.total()),
        ("acknowledged", acknowledged, came),
        ("  duplicates", None, doubled),
        ("  conflicting (second body, one id)", stats["conflicting_acknowledged"], conflicting),
        ("retried", stats["retries"], None),
        ("never sent", stats["dropped"], None),
        ("  repaired by the reconciler", None, len(repaired)),
        ("applied", None, states["applied"]),
        ("ignored", None, states["ignored"]),
        ("superseded", None, states["superseded"]),
        ("parked", None, states["parked"]),
        ("quarantined", len(evidence.unbelievable_sessions), states["quarantined"]),
        ("refused", sum(stats["refused"].values()), refused.total()),
        *(
            (f"  {verdict}", stats["refused"].get(verdict, 0), refused[verdict])
            for verdict in sorted({*stats["refused"], *refused})
        ),
    ]
    return [(what, _count(sandbox), _count(sluice)) for what, sandbox, sluice in table]


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    """The rows under a head, in three columns."""
    lines = [("", "sandbox", "Sluice"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    drawn = [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in lines]
    drawn.insert(1, "  " + "-" * (sum(widths) + 4))
    return "\n".join(drawn) + "\n"
