"""The pages of `docs/states` are those that the transition tables of `billing` draw today."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import billing
from billing.machine import Edge, Machine
from tests.house.state_diagrams import FOLDER, MACHINES, pages, text


def test_the_pages_are_those_of_the_tables() -> None:
    """A page that differs, is missing or is left over: run `python -m tests.house.state_diagrams`."""
    found = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.md")}

    assert found == pages()


def test_every_machine_of_billing_has_a_page() -> None:
    """A table that nobody registers is drawn nowhere."""
    declared = [
        value
        for module in pkgutil.iter_modules(billing.__path__)
        for value in vars(importlib.import_module(f"billing.{module.name}")).values()
        if isinstance(value, Machine)
    ]

    assert {machine.name for machine in MACHINES} == {machine.name for machine in declared}


def test_a_page_shows_every_edge_twice() -> None:
    """Once in the diagram and once in the table."""
    for machine in MACHINES:
        page = text(machine)
        for edge in machine.edges:
            assert page.count(f"{edge.to_state}: {edge.rule}\n") >= 1
            assert page.count(f"| `{edge.to_state}` | `{edge.rule}` |") >= 1


def test_a_table_that_contradicts_itself_is_refused() -> None:
    """States stand once, edges lead somewhere known, and nothing leaves a final state."""
    edge = Edge(None, "a", "made")
    for states, edges, terminal in (
        (("a", "a"), (edge,), ()),
        (("a",), (edge, Edge("a", "b", "x")), ()),
        (("a", "b"), (edge,), ()),
        (("a", "b"), (edge, Edge("a", "b", "x")), ("a",)),
        (("a",), (edge, edge), ()),
    ):
        with pytest.raises(AssertionError):
            Machine("m", states, ("a",), edges, terminal)


def test_an_unlisted_change_is_refused_or_corrected() -> None:
    """Which of the two, a machine says itself."""
    edges = (Edge(None, "a", "made"), Edge("a", "b", "x"), Edge("a", "b", "y"))

    assert Machine("m", ("a", "b"), ("a",), edges, ("b",)).rule("b", "a") is None
    assert Machine("m", ("a", "b"), ("a",), edges, ("b",), "fixed").rule("b", "a") == "fixed"
    assert Machine("m", ("a", "b"), ("a",), edges, ("b",)).rule("a", "b") == "x"
    assert Machine("m", ("a", "b"), ("a",), edges, ("b",)).rule("a", "b", "y") == "y"


def test_one_way_pairs_have_no_way_back() -> None:
    """Reaching through others counts, and so does a way back through others."""
    edges = (Edge(None, "a", "made"), Edge("a", "b", "x"), Edge("b", "c", "x"), Edge("c", "b", "back"))
    machine = Machine("m", ("a", "b", "c"), ("a",), edges, ())

    assert machine.one_way() == {("a", "b"), ("a", "c")}
    assert machine.one_way(without=("back",)) == {("a", "b"), ("a", "c"), ("b", "c")}
