"""Shows lines of several programs on one terminal; must never make its caller wait for who reads them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading

lines_held_max = 10_000
"""Lines waiting for a terminal that takes none (Ctrl-S, a full pipe); further ones are dropped, not waited
for."""
close_s_max = 1.0
"""How long the last lines may take."""
colours = (36, 33, 32, 35, 34)
"""ANSI foreground colours of the programs in turn: cyan, yellow, green, magenta, blue."""
STDOUT = 1


class Terminal:
    """Writes to standard output from a thread of its own; colours and line clearing only on a real
    terminal."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._is_tty = os.isatty(STDOUT)
        self._colourful = self._is_tty and "NO_COLOR" not in os.environ
        self._names: dict[str, int] = {}
        self._lines: queue.Queue[str | None] = queue.Queue(lines_held_max)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """One or more lines about the run itself; a progress bar on the current line gives way."""
        clear = "\r\x1b[K" if self._is_tty else ""
        for line in text.splitlines():
            self._put(f"{clear}[{self._title}] {line}")

    def show(self, name: str, line: str) -> None:
        """One line that the program `name` has written."""
        colour = self._names.setdefault(name, colours[len(self._names) % len(colours)])
        label = f"\x1b[{colour}m{name:<10}\x1b[0m" if self._colourful else f"{name:<10}"
        self._put(f"{label} | {line}")

    def close(self) -> None:
        """Show what is left."""
        self._put(None)
        self._thread.join(close_s_max)

    def _put(self, line: str | None) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            rest = f"{line}\n".encode(errors="replace")
            try:
                # Not through sys.stdout: a thread stuck in there would hold a lock that the interpreter's end
                # needs.
                while rest:
                    rest = rest[os.write(STDOUT, rest) :]
            except OSError:  # nobody reads any more; the run ends by its own rules, not by this
                return
