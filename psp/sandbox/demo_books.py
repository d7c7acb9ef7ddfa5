"""Compares the sandbox's books with what Sluice says of the same things; it must never fetch anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

examples_max = 5
"""Ids named per fault."""
PAGE_OF_KIND = {"subscription": "subscriptions", "order": "orders", "transfer": "transfers"}
"""Kinds whose status both sides know, with their page of the books."""


@dataclass(slots=True)
class Evidence:
    """What was collected after a run. `balances`, `statuses` (by kind and id) and `sellers` (by account and
    unit) are Sluice's words on what is in `books`.
    """

    journal: list[dict[str, Any]]
    stats: dict[str, Any]
    deliveries: list[dict[str, Any]]
    books: dict[str, Any]
    balances: dict[str, int]
    unbelievable_sessions: set[str]
    statuses: dict[str, dict[str, str]]
    sellers: dict[str, dict[str, int]]


@dataclass(slots=True)
class Verdict:
    """`waiting` counts events that have no final state yet, `missing` those of them that are not in the
    log at all; `faults` are sentences, empty where everything is as promised."""

    waiting: int = 0
    missing: int = 0
    faults: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is lost, nothing waits, the books agree."""
        return not self.faults and not self.waiting

    def fault(self, what: str, examples: Iterable[str]) -> None:
        """Notes one sentence where there are examples, and names a few of them."""
        named = sorted(examples)
        if named:
            more = f" and {len(named) - examples_max} more" if len(named) > examples_max else ""
            self.faults.append(f"{len(named)} {what}: {', '.join(named[:examples_max])}{more}")


def judge_books(evidence: Evidence, verdict: Verdict) -> None:
    """Every account, object and seller stands with Sluice as it stands in the books."""
    verdict.fault("accounts differ", _different(_credits(evidence), evidence.balances, 0))
    for kind, page in PAGE_OF_KIND.items():
        verdict.fault(
            f"{page} differ", _different(_states(evidence, page), evidence.statuses[kind], "unknown")
        )
    verdict.fault("balances of sellers differ", _different(*_sellers(evidence), {}))
    owed = _to_be_reversed(evidence.books)
    verdict.waiting += len(owed)
    verdict.fault("transfers of refunded orders are not reversed", owed)
    for currency, money in evidence.books["money"].items():
        if not money["balanced"]:
            verdict.faults.append(f"the sandbox's own {currency} books do not balance")


def _credits(evidence: Evidence) -> dict[str, int]:
    return {account: entry["credits"] for account, entry in evidence.books["accounts"].items()}


def _states(evidence: Evidence, page: str) -> dict[str, str]:
    return {object_id: entry["status"] for object_id, entry in evidence.books[page].items()}


def _sellers(evidence: Evidence) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides' balances of sellers; who owns nothing in a unit need not be known in it."""
    theirs, ours = (
        {seller: {unit: amount for unit, amount in units.items() if amount} for seller, units in side.items()}
        for side in (evidence.books["sellers"], evidence.sellers)
    )
    return theirs, ours


def _different(theirs: Mapping[str, Any], ours: Mapping[str, Any], absent: Any) -> list[str]:
    """What the sandbox's books and Sluice say differently, as text."""
    return [
        f"{name} (sandbox {_text(value)}, Sluice {_text(ours.get(name, absent))})"
        for name, value in theirs.items()
        if value != ours.get(name, absent)
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{amount} {unit}" for unit, amount in sorted(value.items())) or "nothing"
    return str(value)


def _to_be_reversed(books: Mapping[str, Any]) -> list[str]:
    """Transfers that are still with their sellers although all of their order went back to the buyer."""
    return [
        transfer_id
        for transfer_id, transfer in books["transfers"].items()
        if transfer["status"] != "reversed"
        and books["orders"].get(transfer["order"], {}).get("status") == "refunded"
    ]


def books_lines(evidence: Evidence) -> str:
    """The totals of both books, and everything that differs."""
    books, balances = evidence.books, evidence.balances
    theirs = _credits(evidence)
    different = _different(theirs, balances, 0)
    ours = sum(balances.get(account, 0) for account in theirs)
    agreeing = len(theirs) - len(different)
    total = books["totals"]["credits"]
    lines = [f"  credits: sandbox {total}, Sluice {ours}; {agreeing} of {len(theirs)} accounts agree"]
    lines += [f"    {each}" for each in different]
    compared: list[tuple[str, Mapping[str, Any], Mapping[str, Any], Any]] = [
        (page, _states(evidence, page), evidence.statuses[kind], "unknown")
        for kind, page in PAGE_OF_KIND.items()
    ]
    for what, one, other, absent in [*compared, ("sellers", *_sellers(evidence), {})]:
        different = _different(one, other, absent)
        if one:
            lines.append(f"  {what}: {len(one) - len(different)} of {len(one)} agree")
            lines += [f"    {each}" for each in different]
    for currency, money in books["money"].items():
        lines.append(
            f"  {currency}: charged {money['charged']}, refunded {money['refunded']}, "
            f"disputed {money['disputed']}, transferred {money['transferred']}, net {money['net']} "
            "(minor units)"
        )
    return "\n".join(lines) + "\n"


def joined(books: Mapping[str, Any], hyperswitch: Mapping[str, Any]) -> dict[str, Any]:
    """Both PSPs' books as one: an order or a subscription is in either, a seller may be in both."""
    both = dict(books)
    for page in ("orders", "subscriptions"):
        both[page] = books[page] | hyperswitch[page]
    sold = {seller: dict(units) for seller, units in books["sellers"].items()}
    for seller, units in hyperswitch["sellers"].items():
        mine = sold.setdefault(seller, {})
        for unit, amount in units.items():
            mine[unit] = mine.get(unit, 0) + amount
    both["sellers"] = dict(sorted(sold.items()))
    both["money"] = books["money"] | {
        f"{currency} at Hyperswitch": {"charged": money["captured"], "transferred": 0}
        | {name: money[name] for name in ("refunded", "disputed", "net", "balanced")}
        for currency, money in hyperswitch["money"].items()
    }
    return both
