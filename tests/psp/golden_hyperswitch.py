"""Says in one sentence each what Hyperswitch's event bodies mean to us; the bodies are our own, after its
schema.

`python -m tests.psp.golden_hyperswitch` writes `golden_hyperswitch.txt` anew; read its diff before you
keep it.
"""

from __future__ import annotations

from pathlib import Path

from psp.hyperswitch.mapping import read
from psp.reading import Expected
from tests.psp.golden_stripe import told
from tests.psp.hyperswitch_bodies import BODIES, encode

GOLDEN = Path(__file__).with_name("golden_hyperswitch.txt")


def text() -> str:
    """The golden file as it is now."""
    return "".join(
        f"{name[0].upper()}{name[1:]} ({body['event_type']}): {told(read(encode(body), Expected()))}\n"
        for name, body in BODIES.items()
    )


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="utf-8")
