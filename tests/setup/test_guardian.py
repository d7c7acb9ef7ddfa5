"""The record of children and the lock of a run: what is proven ours is ended, nothing else is."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import guardian
from tests.support.poll import until
from tests.support.processes import ROOT

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
)
HURRIED = ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A child that does not react to SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "-c", IGNORES_SIGTERM], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_leftovers_are_ended_by_their_ladder(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """A recorded child that ignores the first signal gets the next, and the record is empty afterwards."""
    guardian.Children(tmp_path).add("sleeper", sleeper.pid, ladder=HURRIED)
    said: list[str] = []

    guardian.Children(tmp_path).end_leftovers(said.append)

    assert sleeper.wait() == -signal.SIGKILL
    assert said == ["stopping what an earlier run left behind: sleeper"]
    assert guardian.Children(tmp_path).recorded() == []


def test_later_process_with_the_same_pid_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """A record whose time of birth is not the process's own names somebody else, who is not touched."""
    children = guardian.Children(tmp_path)
    children.add("sleeper", sleeper.pid, ladder=HURRIED)
    record = tmp_path / "children"
    born = guardian.born(sleeper.pid)
    assert born is not None
    record.write_text(record.read_text().replace(born, f"{born}9"))
    said: list[str] = []

    children.end_leftovers(said.append)

    assert (sleeper.poll(), said) == (None, [])


def test_ended_process_has_no_birth(sleeper: subprocess.Popen[bytes]) -> None:
    """A process that has ended counts as gone even before its parent has asked for its status."""
    assert guardian.born(sleeper.pid) == guardian.born(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert guardian.born(sleeper.pid) is None


@pytest.mark.parametrize("text", ["", "{", "[]\n", '{"name": "x"}\n', "null\n"])
def test_torn_record_is_an_empty_one(tmp_path: Path, text: str) -> None:
    """A record that a crash has torn names nobody instead of blocking the next start."""
    (tmp_path / "children").write_text(text)

    guardian.Children(tmp_path).end_leftovers(lambda _: None)

    assert not (tmp_path / "children").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the environment of other processes")
def test_unrecorded_child_is_found_by_its_mark(tmp_path: Path) -> None:
    """A child whose parent was killed before recording it is ended all the same."""
    run_dir = guardian.Children(tmp_path).run_dir
    environment = {**os.environ, guardian.CHILD_MARK: str(run_dir)}
    with subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True) as process:
        guardian.Children(tmp_path).end_leftovers(lambda _: None)

        assert process.wait() == -signal.SIGTERM


async def test_guardian_outlives_the_owner_of_the_children(tmp_path: Path) -> None:
    """As a program it ends the recorded children when its standard input closes, however its starter
    ended."""
    starter = (
        "import os, subprocess, sys, pathlib; from runtime import guardian\n"
        "run_dir = pathlib.Path(sys.argv[1])\n"
        "watcher = [sys.executable, '-m', 'runtime.guardian', str(run_dir)]\n"
        "kept = subprocess.Popen(watcher, stdin=subprocess.PIPE, start_new_session=True)\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "guardian.Children(run_dir).add('child', child.pid)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", starter, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL

    await until(lambda: guardian.born(int(done.stdout)) is None, 15.0, "the end of the orphan")


def test_lock_is_exclusive_and_dies_with_its_holder(tmp_path: Path) -> None:
    """One holder at a time; who comes second is told by whom it is held, and gets it once that is gone."""
    first, second = guardian.RunLock(tmp_path), guardian.RunLock(tmp_path)
    first.take(lambda _: None)

    with pytest.raises(guardian.RunHeldError, match=rf"another run \(pid {os.getpid()}\) is using"):
        second.take(lambda _: None)
    first.close()
    second.take(lambda _: None)
    second.close()
