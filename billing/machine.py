"""The shape of a transition table: which state may follow which, and under which rule's name; values only.

A machine has one table, and one function of its room walks it. `docs/states/` is generated from the tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Edge:
    """A change of state that is expected, and the name of the rule that the journal gives it.

    `from_state` None: the object becomes known. Two edges may join the same states under different rules.
    """

    from_state: str | None
    to_state: str
    rule: str


@dataclass(frozen=True, slots=True)
class Machine:
    """All states of one kind of object and how it may walk through them.

    `states` are in the order of a life; `initial` are those in which an object may become known; none leaves
    a `terminal` one. `correction` names the rule for what the table does not list and a PSP says all the
    same; None: such a change is refused.
    """

    name: str
    states: tuple[str, ...]
    initial: tuple[str, ...]
    edges: tuple[Edge, ...]
    terminal: tuple[str, ...]
    correction: str | None = None
    _rules: dict[tuple[str | None, str], tuple[str, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """A table that contradicts itself must not get as far as an import."""
        known = set(self.states)
        assert len(known) == len(self.states), f"{self.name}: a state stands twice"
        assert known >= {*self.initial, *self.terminal}, f"{self.name}: an unknown state"
        assert len(set(self.edges)) == len(self.edges), f"{self.name}: an edge stands twice"
        for edge in self.edges:
            assert {edge.to_state} | ({edge.from_state} - {None}) <= known, f"{self.name}: {edge}"
            assert edge.from_state not in self.terminal, f"{self.name}: {edge} leaves a terminal state"
            pair = (edge.from_state, edge.to_state)
            self._rules[pair] = (*self._rules.get(pair, ()), edge.rule)
        reached = {edge.to_state for edge in self.edges} | set(self.initial)
        assert reached == known, f"{self.name}: no edge leads to {sorted(known - reached)}"
        assert {edge.to_state for edge in self.edges if edge.from_state is None} <= set(self.initial), (
            self.name
        )

    def rules(self, from_state: str | None, to_state: str) -> tuple[str, ...]:
        """The rules under which one state follows another, in the order of the table; empty: not listed."""
        return self._rules.get((from_state, to_state), ())

    def rule(self, from_state: str | None, to_state: str, wanted: str | None = None) -> str | None:
        """The name under which the journal records this change: `wanted` where the table lists it for these
        states, else the first that it lists, else the correction; None: the change must be refused.
        """
        listed = self.rules(from_state, to_state)
        if wanted in listed:
            return wanted
        return listed[0] if listed else self.correction

    def one_way(self, without: tuple[str, ...] = ()) -> frozenset[tuple[str, str]]:
        """Pairs of states of which the second can follow the first and the first never the second, leaving
        out the edges of some rules.
        """
        after: dict[str, set[str]] = {state: set() for state in self.states}
        for edge in self.edges:
            if edge.from_state is not None and edge.rule not in without:
                after[edge.from_state].add(edge.to_state)
        for _ in self.states:
            for state in self.states:
                after[state].update(*(after[following] for following in after[state]))
        return frozenset(
            (first, second)
            for first in self.states
            for second in after[first]
            if first != second and first not in after[second]
        )
