"""Which version of an object is the latest, one rule a test."""

from __future__ import annotations

import itertools

from billing.ordering import CHAINED_VERSIONS_MAX, CHANGED, CREATED, DELETED, Order, Version, admit, latest


def version(
    name: str, status: str, before: str | None = None, kind: str = CHANGED, second: int = 5
) -> Version:
    """A version that shows a status, and what it says was there before."""
    return Version(name, second, kind, {"status": status}, None if before is None else {"status": before})


def surely_before(one: Version, other: Version) -> bool:
    """`new` is never gone back to."""
    return one.state == "new" and other.state != "new"


def order(*versions: Version) -> Order:
    """The latest of versions in every order of arrival, which must be one."""
    found = []
    for arrival in itertools.permutations(versions):
        kept: tuple[Version, ...] = ()
        for each in arrival:
            kept = admit(kept, each) or kept
        found.append(latest(kept, surely_before, lambda each: (len(each.state),)))
    assert all(each == found[0] for each in found)
    return found[0]


def test_a_later_second_wins() -> None:
    """Whatever the chain says."""
    found = order(version("a", "up", second=6), version("b", "down", "up", second=5))

    assert (found.latest.event_id, found.ambiguous) == ("a", False)


def test_a_deletion_beats_every_second() -> None:
    """A tombstone stays."""
    gone = version("a", "gone", kind=DELETED, second=5)

    assert order(gone, version("b", "up", second=9)).latest == gone
    assert admit((gone,), version("b", "up", second=9)) is None


def test_creation_comes_first_within_a_second() -> None:
    """The nearest peer keeps whichever of the two came last."""
    found = order(version("a", "new", kind=CREATED), version("b", "up", "new"))

    assert (found.latest.event_id, found.ambiguous) == ("b", False)


def test_creation_comes_first_even_where_the_link_behind_it_is_missing() -> None:
    """The version in between has not come yet, or never will."""
    found = order(version("z", "up", kind=CREATED), version("b", "down", "off"))

    assert (found.latest.event_id, found.ambiguous) == ("b", False)


def test_previous_attributes_link_versions_of_one_second_into_a_chain() -> None:
    """Up, down, up again: the state alone could not tell."""
    found = order(version("c", "up", kind=CREATED), version("a", "down", "up"), version("b", "up", "down"))

    assert (found.latest.event_id, found.ambiguous) == ("b", False)


def test_a_snapshot_fits_behind_what_it_shows() -> None:
    """An event that names no change is a link too."""
    found = order(version("a", "down", "up"), version("b", "down", "down"), version("c", "off", "down"))

    assert (found.latest.event_id, found.ambiguous) == ("c", False)


def test_a_state_that_is_never_gone_back_to_is_the_earlier() -> None:
    """Where no chain says anything, the machine does."""
    found = order(version("a", "new"), version("b", "up"))

    assert (found.latest.event_id, found.ambiguous) == ("b", False)


def test_a_tie_ends_alike_and_is_flagged() -> None:
    """Two changes that each undo the other: the higher rank, and a flag."""
    found = order(version("a", "up", "down"), version("b", "down", "up"))

    assert (found.latest.event_id, found.ambiguous) == ("b", True)


def test_versions_that_look_alike_are_no_tie() -> None:
    """Which of them is the latest makes no difference."""
    assert order(version("a", "up", "down"), version("b", "up", "down")).ambiguous is False


def test_a_change_that_is_told_twice_is_flagged_where_it_matters() -> None:
    """Down, up, down again, or down (told twice) and up: nobody can know."""
    found = order(
        version("c", "up", kind=CREATED),
        version("a", "down", "up"),
        version("b", "up", "down"),
        version("d", "down", "up"),
    )

    assert found.ambiguous is True


def test_more_versions_than_a_chain_takes_still_end_alike() -> None:
    """Left to rank, flagged, and the same from both ends."""
    many = [version(f"v{n}", f"s{'x' * n}", f"s{'x' * (n - 1)}") for n in range(1, CHAINED_VERSIONS_MAX + 3)]
    ends = [latest(tuple(each), surely_before, lambda v: (len(v.state),)) for each in (many, many[::-1])]

    assert ends[0] == ends[1] == Order(many[-1], ambiguous=True)


def test_a_replay_and_an_older_second_tell_nothing() -> None:
    """Nothing is kept twice, and nothing older than what is kept."""
    kept = (version("a", "up"),)

    assert admit(kept, version("a", "up")) is None
    assert admit(kept, version("b", "down", second=4)) is None
