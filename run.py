#!/usr/bin/env python3
"""The one command of a fresh clone: python3 run.py demo|up|test|check|browser|bench|lock; must never need
more than Python itself.

Makes `.venv` from a hashed lock and runs everything inside it. For `demo` and `up` it stays as the front of
the stack: it passes signals on, holds the lifeline that ends the stack when this process is killed, and ends
what a killed supervisor left. It must parse on old Pythons, because it is what tells their users so.
"""

import sys

if sys.hexversion < 0x030B0000:
    sys.exit("run.py: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
if sys.platform == "win32":
    sys.exit("run.py: Windows is not supported; WSL is")

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType

from runtime import guardian, limits

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed-locks"
INSTALL_LOCK = ROOT / ".local" / "venv.lock"
"""Held while installing, and not empty while an installation is unfinished."""

LOCK_GROUPS = {"run.lock": "embedded", "otel.lock": "otel", "dev.lock": "dev", "browser.lock": "browser"}
"""Lock files and the dependency group of pyproject.toml that each holds beside the product's own needs."""
LOCK_OF = {"demo": "run.lock", "up": "run.lock", "bench": "run.lock", "browser": "browser.lock"}
"""The lock that a command needs; the others take dev.lock."""
COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables that name a collector of traces."""
PASSED_ON = {"test": ["pytest"], "browser": ["pytest", "tests/browser"], "bench": ["bench"]}
"""Commands whose options are not ours to know, and the module that takes them."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs that the browser tests can drive."""
GATES = (
    ("ruff check", ("-m", "ruff", "check", ".")),
    ("ruff format", ("-m", "ruff", "format", "--check", ".")),
    ("mypy", ("-m", "mypy")),
    ("import contracts", (str(VENV / "bin" / "lint-imports"),)),
    ("tests", ("-m", "pytest", "-q")),
)
AT_ONCE = ("-n", "3", "--dist", "loadfile")
"""Side by side, because a test waits half of its time; a file stays whole: its tests share servers."""
FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    guardian.CHILD_MARK,
)
"""Variables of the caller's shell that would make our Python or installer work somewhere else."""


class RunError(Exception):
    """Nothing can be run; the text is one line that says why and what to do."""


def say(text: str) -> None:
    """One line about what this program itself does."""
    print(f"[run] {text}", flush=True)


def clean_environment() -> dict[str, str]:
    """Our environment without what would redirect Python or pip."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


# --- the virtual environment --------------------------------------------------------------------------------


def lock_path(lock: str) -> Path:
    """A lock file by its name."""
    return ROOT / "requirements" / lock


def lock_key(lock: str) -> str:
    """What identifies an installation of this lock file by this Python."""
    return hashlib.sha256(lock_path(lock).read_bytes() + sys.version.encode()).hexdigest()


def lock_of(command: str) -> str:
    """The lock that a command needs; who names a collector of traces needs what speaks to it."""
    traced = any(name in os.environ for name in COLLECTORS)
    return "otel.lock" if traced and command in ("demo", "up") else LOCK_OF.get(command, "dev.lock")


def requirements(lock: str) -> set[str]:
    """The requirements of a lock file, without their hashes."""
    lines = lock_path(lock).read_text(encoding="utf-8").splitlines()
    return {line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))}


def is_installed(lock: str) -> bool:
    """Whether `.venv` holds exactly this lock file's packages or more."""
    return PYTHON.exists() and STAMP.exists() and lock_key(lock) in STAMP.read_text(encoding="ascii").split()


def install(lock: str) -> None:
    """Make `.venv` hold the packages of a lock file; safe against a second run and against being killed half
    way."""
    if is_installed(lock):
        return
    INSTALL_LOCK.parent.mkdir(mode=0o700, exist_ok=True)
    # The installer inherits the descriptor: as long as it lives, even without us, nobody else touches
    # `.venv`.
    descriptor = os.open(INSTALL_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run.py that is installing here")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_installed(lock):
            return
        unfinished = os.pread(descriptor, 1, 0) != b""
        if unfinished or not venv_is_of_this_python():
            shutil.rmtree(VENV, ignore_errors=True)
        os.pwrite(descriptor, b"unfinished\n", 0)
        began = time.monotonic()
        fill(lock, descriptor)
        satisfied = [name for name in LOCK_GROUPS if requirements(name) <= requirements(lock)]
        STAMP.write_text("".join(f"{lock_key(name)}\n" for name in satisfied), encoding="ascii")
        os.ftruncate(descriptor, 0)
        say(f"installed in {time.monotonic() - began:.1f} s")
    finally:
        os.close(descriptor)


def venv_is_of_this_python() -> bool:
    """Whether `.venv` works and was made by the Python that runs this file."""
    if not PYTHON.exists():
        return False
    asked = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False
    )
    return asked.returncode == 0 and asked.stdout.strip() == sys.version.strip()


def fill(lock: str, descriptor: int) -> None:
    """Install with uv where it works, else with pip. Raises RunError."""
    wanted = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock_path(lock))]
    base = getattr(
        sys, "_base_executable", sys.executable
    )  # outside of any virtual environment we may run in

    def done(*command: str, quiet: bool = False) -> bool:
        output = subprocess.DEVNULL if quiet else None
        return (
            subprocess.run(
                command,
                check=False,
                env=clean_environment(),
                pass_fds=[descriptor],
                stdout=output,
                stderr=output,
            ).returncode
            == 0
        )

    uv = working_uv()
    say(f"installing {len(requirements(lock))} packages of requirements/{lock} with {'uv' if uv else 'pip'}")
    if uv is not None:
        made = PYTHON.exists() or done(uv, "venv", "-q", "--no-project", "--python", base, str(VENV))
        if made and done(uv, "pip", "install", "-q", "--python", str(PYTHON), *wanted):
            return
        say("uv could not do it, trying pip")
        shutil.rmtree(VENV, ignore_errors=True)
    if not PYTHON.exists() or not done(str(PYTHON), "-m", "pip", "--version", quiet=True):
        shutil.rmtree(VENV, ignore_errors=True)
        if not done(base, "-m", "venv", str(VENV), quiet=True):
            raise RunError(
                "python3 -m venv does not work here: install python3-venv (Debian, Ubuntu), or install uv"
            )
    pip = (str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input")
    if not done(*pip, *wanted):
        raise RunError(f"the packages of requirements/{lock} could not be installed; the reason stands above")


def working_uv() -> str | None:
    """The path of uv when there is one that runs; version managers leave shims that do not."""
    uv = shutil.which("uv")
    if uv is None or subprocess.run([uv, "--version"], capture_output=True, check=False).returncode != 0:
        return None
    return uv


# --- the commands -------------------------------------------------------------------------------------------


def front(arguments: list[str]) -> int:
    """Run the stack's supervisor in a session of its own until it ends; returns its exit status."""
    theirs, ours = os.pipe()  # we hold the writing end and never write: the supervisor reads our end
    supervisor: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if supervisor is None:
            early.append(number)
        else:
            supervisor.send_signal(number)

    passed_on = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means: outlive the terminal
        passed_on.append(signal.SIGHUP)
    for number in passed_on:
        signal.signal(number, pass_on)
    supervisor = subprocess.Popen(
        [PYTHON, "-m", "db.devstack", *arguments],
        cwd=ROOT,
        env=clean_environment() | {guardian.LIFELINE_VARIABLE: str(theirs)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=[theirs],
    )
    os.close(theirs)
    for missed in early:
        supervisor.send_signal(missed)
    status = supervisor.wait()
    os.close(ours)
    if status < 0:
        say(f"the supervisor was killed ({signal.Signals(-status).name})")
    end_leftovers()
    return status if status >= 0 else 128 - status


def end_leftovers() -> None:
    """End what a killed supervisor left; a next run that is already at it is left to it."""
    run_dir = guardian.state_dir(ROOT, os.environ) / "run"
    if not run_dir.exists():
        return
    lock = guardian.RunLock(run_dir)
    try:
        if lock.try_take("stopping"):
            guardian.Children(run_dir).end_leftovers(say)
    finally:
        lock.close()


def check() -> int:
    """Run every gate, whatever the others say; returns 1 when one failed."""
    failed = []
    for name, command in GATES:
        began = time.monotonic()
        shown = name == "tests"  # long: watched live, the others speak only when they fail
        gate = subprocess.run(
            [PYTHON, *command, *(at_once() if shown else ())],
            cwd=ROOT,
            env=clean_environment(),
            check=False,
            text=True,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
        )
        if gate.returncode != 0:
            failed.append(name)
            print(gate.stdout or "", end="", flush=True)
        say(f"{'FAILED' if gate.returncode else 'ok':<6} {name:<16} {time.monotonic() - began:6.1f} s")
    say(f"failed: {', '.join(failed)}" if failed else "all gates passed")
    return 1 if failed else 0


def at_once() -> tuple[str, ...]:
    """How all tests are run: side by side on servers of their own; one by one on servers that are given."""
    return () if os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL") else AT_ONCE


def relock() -> int:
    """Resolve everything anew and write the lock files with names, markers and hashes, but no address of any
    index."""
    uv = working_uv()
    if uv is None:
        raise RunError("uv is needed to make lock files")
    resolution = ROOT / "uv.lock"  # it names the index of this machine on every line and is never kept
    resolution.unlink(missing_ok=True)
    plain = ("--no-header", "--no-emit-project", "--no-annotate", "--no-default-groups")
    try:
        subprocess.run([uv, "lock", "-q"], cwd=ROOT, check=True)
        for lock, group in LOCK_GROUPS.items():
            command = [uv, "export", "-q", *plain, "--group", group, "-o", str(lock_path(lock))]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            if "://" in lock_path(lock).read_text(encoding="utf-8"):
                raise RunError(f"{lock} holds an address; it must not be committed")
            say(f"requirements/{lock}: {len(requirements(lock))} packages")
    except subprocess.CalledProcessError as error:
        raise RunError("uv could not resolve the requirements; the reason stands above") from error
    finally:
        resolution.unlink(missing_ok=True)
    return 0


def events(text: str) -> int:
    """A number of events that a demo can cause; told before anything is started."""
    if not 1 <= int(text) <= limits.demo_events_max:
        raise argparse.ArgumentTypeError(f"must be between 1 and {limits.demo_events_max}")
    return int(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command and its options."""
    parser = argparse.ArgumentParser(
        prog="python3 run.py", description="Sluice: payment webhooks in, balances out."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="the whole stack with a PSP on your laptop that has a bad day")
    demo.add_argument(
        "--events", type=events, default=2_000, metavar="N", help="events to cause, about (2000)"
    )
    demo.add_argument("--seed", type=int, metavar="S", help="decides everything random")
    demo.add_argument("--exit", action="store_true", help="stop at the end; status 0 only if the books agree")
    commands.add_parser("up", help="the stack alone, for your own PSP")
    commands.add_parser(
        "test", help="all tests on real servers; further arguments go to pytest", add_help=False
    )
    commands.add_parser("check", help="what CI runs: lint, types, import contracts, tests")
    commands.add_parser(
        "browser", help="the console in a real browser; further arguments go to pytest", add_help=False
    )
    commands.add_parser(
        "bench", help="benchmarks on scratch servers; `bench --help` shows them", add_help=False
    )
    commands.add_parser("lock", help="make the lock files anew with uv")
    if arguments and arguments[0] in PASSED_ON:
        return argparse.Namespace(command=arguments[0], rest=arguments[1:])
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit status. Raises RunError."""
    if options.command == "lock":
        return relock()
    if options.command == "browser" and not any(map(shutil.which, BROWSERS)):
        raise RunError("no Chromium here: install it (Debian: apt-get install chromium)")
    install(lock_of(options.command))
    if options.command == "check":
        return check()
    if options.command in PASSED_ON:
        # pytest or the bench takes our place, so that signals and exit status are its own; there is no
        # shell to go through.
        os.chdir(ROOT)
        asked = [*PASSED_ON[options.command], *options.rest]
        if asked == ["pytest"]:
            asked += at_once()
        os.execve(PYTHON, [str(PYTHON), "-m", *asked], clean_environment())  # noqa: S606
    if options.command == "up":
        return front(["up"])
    seed = [] if options.seed is None else ["--seed", str(options.seed)]
    return front(["demo", "--events", str(options.events), *seed, *(["--exit"] if options.exit else [])])


def main() -> int:
    """The exit status of the whole program."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # ends an installer with us
    try:
        return run(parse(sys.argv[1:]))
    except RunError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
