"""Real PSP bodies that stand beside the project and are never copied into it; one visible skip where they are
not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "psp-events"


def stripe_payloads() -> dict[str, str]:
    """Real Stripe event bodies by file name; skips the test where the folder is absent."""
    files = sorted((FOLDER / "stripe").glob("*.json"))
    if not files:
        pytest.skip("the folder of real PSP events does not stand beside the project")
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def stripe_fixtures() -> dict[str, Any]:
    """Stripe's example objects of its newest API version by kind; skips the test where they are absent."""
    file = FOLDER / "stripe-objects" / "fixtures3.json"
    if not file.exists():
        pytest.skip("the folder of real PSP events does not stand beside the project")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["resources"]
    return found
