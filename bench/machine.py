"""What machine and what build a bench ran on, and which process spent how much processor time. Reads /proc;
where there is none, times are unknown and shown so.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def described() -> dict[str, object]:
    """Processors, memory, kernel, Python: what a reader needs to judge absolute figures."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    memory_gib = None
    with contextlib.suppress(ValueError, OSError):
        memory_gib = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {
        "processors": os.cpu_count(),
        "model": model,
        "memory_gib": memory_gib,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit of this tree, with `+` when files differ from it; `unknown` outside a repository."""
    named = _git("rev-parse", "--short=12", "HEAD")
    if not named:
        return "unknown"
    return named + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that these processes and all their descendants have spent so far, the ended ones that
    were waited for included.
    """
    if sys.platform != "linux":
        return 0.0
    return sum(_with_descendants(pids).values()) / os.sysconf("SC_CLK_TCK")


def _with_descendants(pids: Iterable[int]) -> dict[int, int]:
    """These processes and all their descendants, each with the clock ticks that it has spent."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            ticks[pid] = sum(int(field) for field in fields[11:15])
    wanted = set(pids)
    while grown := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= grown
    return {pid: ticks.get(pid, 0) for pid in wanted}


PROCESSORS = tuple(sorted(os.sched_getaffinity(0))) if sys.platform == "linux" else ()
"""What this program was given when it began; empty where a process cannot be kept on a processor."""


def keep_on(pids: Iterable[int], processors: Iterable[int]) -> None:
    """Keep these processes, their threads and all their descendants, future ones too, on these processors."""
    if sys.platform != "linux":
        return
    allowed = set(processors)
    for pid in _with_descendants(pids):
        with contextlib.suppress(OSError):  # ended meanwhile
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), allowed)


def busy_s() -> float:
    """Processor seconds that the whole machine has spent so far on anything; 0 where unknown."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    numbers = [int(field) for field in fields[:8]]
    return (sum(numbers) - numbers[3] - numbers[4]) / os.sysconf("SC_CLK_TCK")
