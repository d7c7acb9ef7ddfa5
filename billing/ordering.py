"""Decides which version of one object is its latest, from what its events say and never from their arrival.
Pure.

A PSP tells its time in whole seconds, and several versions of one object fall into one. What is kept of an
object is therefore not its last version but all versions of its last second, and the latest of them is a
function of that set: whatever the order of arrival, the end is the same. Within the second, in this order:

1. A deletion is final: no version of any second comes back after it.
2. The creation comes first.
3. The chain: each event tells how the object looked before it (`previous_attributes` put back), so versions
   link up like dominoes. The latest is where the arrangement with the most links ends.
4. Where several arrangements link up equally well: what surely comes before others is not the latest, like
   a state that nobody goes back to.
5. What is still a tie is decided by the rank of the states in their life, then by the values themselves, and
   is `ambiguous`: right or wrong, the same everywhere, and flagged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

Value = str | int | bool | None
CREATED, CHANGED, DELETED = "created", "changed", "deleted"
KIND_RANK = {CREATED: 0, CHANGED: 1, DELETED: 2}

CHAINED_VERSIONS_MAX = 8
"""Versions of one second that are laid out as a chain, in 2^8 * 8 * 8 steps; more are left to the later
rules.
"""


class Version(Struct, frozen=True):
    """What one event says that its object looks like since `second` (unix seconds, by the PSP).

    `values` are the fields that we mirror, `status` among them; `before` the same fields just before the
    event, None where it does not tell.
    """

    event_id: str
    second: int
    kind: str
    values: Mapping[str, Value]
    before: Mapping[str, Value] | None

    @property
    def state(self) -> str:
        """The state that it reports."""
        return str(self.values["status"])


class Order(Struct, frozen=True):
    """What the latest of several versions is; `ambiguous` when nothing that the PSP said decides it."""

    latest: Version
    ambiguous: bool


def admit(kept: Sequence[Version], version: Version) -> tuple[Version, ...] | None:
    """What is kept of an object once this version is known too; None when it tells nothing that counts."""
    if not kept:
        return (version,)
    newest = _position(kept[0])
    if _position(version) > newest:
        return (version,)
    if _position(version) < newest or any(known.event_id == version.event_id for known in kept):
        return None
    return tuple(sorted((*kept, version), key=lambda known: known.event_id))


def _position(version: Version) -> tuple[bool, int]:
    return (version.kind == DELETED, version.second)


def latest(
    kept: Sequence[Version],
    surely_before: Callable[[Version, Version], bool],
    rank: Callable[[Version], tuple[int, ...]],
) -> Order:
    """The latest of the versions that `admit` has kept. `surely_before` knows which can only be the earlier
    of two, and must be a strict partial order; `rank` is what decides a tie.
    """
    if len(kept) == 1:
        return Order(kept[0], ambiguous=False)
    order = _latest(kept, surely_before, rank)
    told_once = _without_twins(kept)
    if len(told_once) < len(kept) and not order.ambiguous:
        # Two events may be one change told twice, or one change that happened twice.
        once = _latest(told_once, surely_before, rank)
        return Order(order.latest, ambiguous=once.ambiguous or once.latest.values != order.latest.values)
    return order


def _latest(
    kept: Sequence[Version],
    surely_before: Callable[[Version, Version], bool],
    rank: Callable[[Version], tuple[int, ...]],
) -> Order:
    ends = _chain_ends(kept)
    ends = [end for end in ends if not any(surely_before(end, other) for other in ends)]
    choice = max(ends, key=lambda end: (rank(end), _text(end.values), end.event_id))
    return Order(choice, ambiguous=any(end.values != choice.values for end in ends))


def _chain_ends(kept: Sequence[Version]) -> list[Version]:
    """The versions with which an arrangement of all can end that holds as many links as possible."""
    top = max(KIND_RANK[version.kind] for version in kept)
    if len(kept) > CHAINED_VERSIONS_MAX:
        return [version for version in kept if KIND_RANK[version.kind] == top]
    size = len(kept)
    links = [[int(after.before == before.values) for after in kept] for before in kept]
    earlier = [
        sum(1 << a for a in range(size) if KIND_RANK[kept[a].kind] < KIND_RANK[kept[b].kind])
        for b in range(size)
    ]
    most: dict[tuple[int, int], int] = {(1 << n, n): 0 for n in range(size) if not earlier[n]}
    for laid in range(1, 1 << size):
        for last in range(size):
            if (laid, last) not in most:
                continue
            for following in range(size):
                if laid >> following & 1 or earlier[following] & ~laid:
                    continue
                spot = (laid | 1 << following, following)
                most[spot] = max(most.get(spot, 0), most[laid, last] + links[last][following])
    everything = (1 << size) - 1
    ends = {last: most[everything, last] for last in range(size) if (everything, last) in most}
    return [kept[last] for last, found in ends.items() if found == max(ends.values())]


def _without_twins(kept: Sequence[Version]) -> list[Version]:
    told: dict[str, Version] = {}
    for version in kept:
        told.setdefault(f"{version.kind} {_text(version.values)} {_text(version.before)}", version)
    return list(told.values())


def _text(values: Mapping[str, Value] | None) -> str:
    return json.dumps(values if values is None else dict(values), sort_keys=True)
