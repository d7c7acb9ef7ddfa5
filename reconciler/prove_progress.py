"""A progress bar, and only on a terminal; must never mix with what a command answers."""

from __future__ import annotations

import time
from typing import TextIO

bar_chars = 32
redraw_s = 0.1
"""The bar is redrawn at most this often."""


class Progress:
    """One bar at a time; elsewhere than on a terminal it writes nothing at all."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._drawn_at = 0.0
        self._phase = ""

    def show(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Draw the phase at `done` of `total`, unless it was drawn a moment ago."""
        now = time.monotonic()
        if not self._is_terminal or (
            phase == self._phase and done < total and now - self._drawn_at < redraw_s
        ):
            return
        self._phase, self._drawn_at = phase, now
        share = min(1.0, done / total) if total else 1.0
        filled = round(share * bar_chars)
        bar = "#" * filled + "-" * (bar_chars - filled)
        self._stream.write(f"\r\x1b[2K{phase:<10} [{bar}] {share:>4.0%} {note}")
        self._stream.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._is_terminal and self._phase:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
        self._phase = ""
