"""Draws every machine of `billing` from its transition table: `python -m tests.house.state_diagrams` writes
`docs/states/`, and a test fails when the files differ from the tables.
"""

from __future__ import annotations

from pathlib import Path

from billing import order_states, purchase_states, subscription
from billing.machine import Edge, Machine

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "states"

MACHINES: list[Machine] = [
    subscription.SUBSCRIPTION,
    subscription.INVOICE,
    purchase_states.ACCOUNT,
    purchase_states.CHECKOUT_SESSION,
    purchase_states.REFUND,
    purchase_states.DISPUTE,
    order_states.ORDER,
    order_states.LICENCE,
    order_states.TRANSFER,
]
"""Every machine; a new one is a line here, and its file is written by running this module."""


def text(machine: Machine) -> str:
    """The page of a machine: a diagram, then the table that it is drawn from."""
    lines = [
        f"# {machine.name}",
        "",
        f"From the table `{machine.name}` of `billing`, by `python -m tests.house.state_diagrams`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *(f"    {_node(edge.from_state)} --> {edge.to_state}: {edge.rule}" for edge in machine.edges),
        *(f"    {state} --> [*]" for state in machine.states if state in machine.terminal),
        "```",
        "",
        "| From | To | Rule |",
        "|---|---|---|",
        *(_row(edge) for edge in machine.edges),
        "",
        _final(machine),
        "",
        _unlisted(machine),
    ]
    return "\n".join(lines) + "\n"


def _node(state: str | None) -> str:
    return "[*]" if state is None else state


def _row(edge: Edge) -> str:
    came_from = "(unknown)" if edge.from_state is None else f"`{edge.from_state}`"
    return f"| {came_from} | `{edge.to_state}` | `{edge.rule}` |"


def _final(machine: Machine) -> str:
    if not machine.terminal:
        return "No state is final."
    return "Final: " + ", ".join(f"`{state}`" for state in machine.terminal) + "."


def _unlisted(machine: Machine) -> str:
    if machine.correction is None:
        return "A change that is not listed is refused."
    return (
        "The PSP is the authority: a change that is not listed is followed too, and recorded as"
        f" `{machine.correction}`."
    )


def pages() -> dict[str, str]:
    """File name and text of every page."""
    return {f"{machine.name}.md": text(machine) for machine in MACHINES}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in pages().items():
        (FOLDER / name).write_text(page, encoding="utf-8")
