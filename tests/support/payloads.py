"""Real PSP bodies that stand beside the project and are never copied into it; one visible skip where they are
not."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "psp-events"


def stripe_payloads() -> dict[str, str]:
    """Real Stripe event bodies by file name; skips the test where the folder is absent."""
    files = sorted((FOLDER / "stripe").glob("*.json"))
    if not files:
        pytest.skip("the folder of real PSP events does not stand beside the project")
    return {file.name: file.read_text(encoding="utf-8") for file in files}
