"""Reads a Procfile the way honcho and Heroku do; must never guess what a command means."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

RELEASE = "release"
"""The process type that runs to its end before the others start."""

_LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+)$")
_ASSIGNMENTS = re.compile(r"^((?:[A-Za-z_][A-Za-z0-9_]*=(?:'[^']*'|\"[^\"]*\"|[^\s'\"])*\s+)*)")


class ProcfileError(ValueError):
    """The Procfile cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process type: `argv` starts it through the shell; `execs` tells that the shell becomes the
    program."""

    name: str
    argv: tuple[str, ...]
    execs: bool


def parse(text: str) -> list[Command]:
    """The process types in file order; lines that are no `name: command` are skipped, as honcho does.

    Raises ProcfileError when a name occurs twice.
    """
    commands: dict[str, Command] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, shell_line = match[1], match[2].strip()
        if name in commands:
            raise ProcfileError(f"{name} occurs twice")
        execs = _is_simple(shell_line)
        script = _with_exec(shell_line) if execs else shell_line
        commands[name] = Command(name, ("/bin/sh", "-c", script), execs)
    return list(commands.values())


def _is_simple(shell_line: str) -> bool:
    """One program without lists, pipes or subshells: only then can `exec` stand before it."""
    lexer = shlex.shlex(shell_line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # an open quote: the shell will say so better than we can
        return False
    return not any(token and set(token) <= set(";&|()") for token in tokens) and "`" not in shell_line


def _with_exec(shell_line: str) -> str:
    """`A=1 program` becomes `A=1 exec program`: the pid we know is then the program's and not its shell's."""
    match = _ASSIGNMENTS.match(shell_line)
    assignments = match[1] if match is not None else ""
    return f"{assignments}exec {shell_line[len(assignments) :]}"
