"""The Procfile and its reading: honcho's own parser is the judge."""

from __future__ import annotations

import importlib
import subprocess

import pytest

from runtime import procfile
from tests.support.processes import ROOT

environ = importlib.import_module("honcho.environ")  # by name: the package has no types

TRICKY = """\
# comment: not a process
web: python -m http.server $PORT

  indented: skipped
worker-2:no space before
under_score:   spaces   around
no command:
release: A=1 B='two words' env
"""


@pytest.mark.parametrize(
    "text", [(ROOT / "Procfile").read_text(), TRICKY, ""], ids=["ours", "tricky", "empty"]
)
def test_same_processes_as_honcho(text: str) -> None:
    """Names and order are those that honcho reads, and honcho accepts our Procfile."""
    assert [command.name for command in procfile.parse(text)] == list(environ.parse_procfile(text).processes)


def test_double_name_is_refused() -> None:
    """Two commands under one name are an error, in honcho too."""
    text = "web: one\nweb: two\n"
    with pytest.raises(AssertionError):
        environ.parse_procfile(text)
    with pytest.raises(procfile.ProcfileError, match="web occurs twice"):
        procfile.parse(text)


@pytest.mark.parametrize(
    ("line", "execs", "prints"),
    [
        ("echo one two", True, "one two\n"),
        ("A=1 B='2 3' sh -c 'echo $A $B'", True, "1 2 3\n"),
        ("echo 'a;b' \"c&d\"", True, "a;b c&d\n"),
        ("echo one && echo two", False, "one\ntwo\n"),
        ("echo one; echo two", False, "one\ntwo\n"),
        ("echo one | cat", False, "one\n"),
        ("(echo one)", False, "one\n"),
        ("echo `echo one`", False, "one\n"),
        ("echo $(echo one)", False, "one\n"),
        ("echo one 2>&1", True, "one\n"),
    ],
)
def test_command_does_what_the_shell_would(line: str, execs: bool, prints: str) -> None:
    """A single program takes its shell's place; everything else is left to the shell as it stands."""
    (command,) = procfile.parse(f"web: {line}")
    done = subprocess.run(command.argv, capture_output=True, text=True, check=True)

    assert (command.execs, done.stdout) == (execs, prints)


def test_pid_is_the_program_itself() -> None:
    """What runs under the pid we know is the program, so that signals reach it and its status is ours."""
    (command,) = procfile.parse("web: A=1 sh -c 'echo $$'")
    with subprocess.Popen(command.argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0] == f"{process.pid}\n"
