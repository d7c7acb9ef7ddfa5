"""Shows how far the demo is, a bar on a terminal and lines elsewhere; must never mix with standard output."""

from __future__ import annotations

import time
from typing import TextIO

bar_chars = 32
redraw_s = 0.1
"""A terminal is redrawn at most this often."""
line_s = 5.0
"""Elsewhere a line is written at most this often, and whenever a phase begins or ends."""


class Progress:
    """One bar for one phase at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown_at = 0.0
        self._phase = ""

    def show(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Draws the phase at `done` of `total`, unless it was drawn a moment ago."""
        now = time.monotonic()
        fresh, over = phase != self._phase, done >= total
        if not fresh and not over and now - self._shown_at < (redraw_s if self._terminal else line_s):
            return
        if fresh and self._terminal and self._phase:
            self._stream.write("\n")
        self._phase, self._shown_at = phase, now
        share = min(1.0, done / total) if total else 1.0
        text = f"{phase:<10} {_bar(share)} {done:>6}/{total:<6} {note}".rstrip()
        if self._terminal:
            self._stream.write(f"\r\x1b[2K{text}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leaves the cursor on a line of its own."""
        if self._terminal and self._phase:
            self._stream.write("\n")
            self._stream.flush()
        self._phase = ""


def _bar(share: float) -> str:
    filled = round(share * bar_chars)
    return f"[{'#' * filled}{'-' * (bar_chars - filled)}] {share:>4.0%}"
