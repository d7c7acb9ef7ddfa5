"""Installs the receivers that we are compared with, from their own registries, into `.local/bench-peers`;
nothing of them is committed and nothing of them is ever imported by us.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT
from runtime import guardian

SUPABASE = ("@supabase/stripe-sync-engine@0.48.5", "stripe@20")
DJSTRIPE = ("dj-stripe==2.11.0", "psycopg[binary]>=3.2,<4", "gunicorn>=23")
TUTORIAL = (
    "fastapi>=0.115",
    "uvicorn[standard]>=0.30",
    "sqlalchemy[asyncio]>=2",
    "asyncpg>=0.30",
    "arq==0.28.*",
    "stripe>=12",
)
_INSTALL_S_MAX = 300.0
_STAMP = "installed"


class NotInstalledError(Exception):
    """A peer cannot be had here; the text says why, for the report."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the peers are kept between runs."""

    folder: Path

    async def supabase(self) -> Path:
        """The folder whose `node_modules` holds the engine. Raises NotInstalledError."""
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise NotInstalledError("node and npm are not installed")
        folder = self.folder / "supabase"
        await self._once(
            folder,
            SUPABASE,
            [
                [
                    "npm",
                    "install",
                    "--prefix",
                    str(folder),
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    *SUPABASE,
                ]
            ],
        )
        return folder

    async def python(self, name: str, packages: Sequence[str]) -> Path:
        """The `bin` folder of an environment that holds these packages. Raises NotInstalledError."""
        folder = self.folder / name
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        await self._once(
            folder,
            packages,
            [
                [sys.executable, "-m", "venv", str(folder)],
                [str(folder / "bin" / "python"), *pip, *packages],
            ],
        )
        return folder / "bin"

    async def _once(self, folder: Path, packages: Sequence[str], commands: Sequence[Sequence[str]]) -> None:
        if _is_installed(folder, packages):
            return
        for command in commands:
            await _run(command)
        _remember(folder, packages)


def _is_installed(folder: Path, packages: Sequence[str]) -> bool:
    """Whether the folder holds these packages; if not, it is made anew and empty."""
    stamp = folder / _STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == "\n".join(packages):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return False


def _remember(folder: Path, packages: Sequence[str]) -> None:
    (folder / _STAMP).write_text("\n".join(packages), encoding="utf-8")


def peers() -> Peers:
    """Those of this clone."""
    return Peers(guardian.state_dir(ROOT, os.environ) / "bench-peers")


async def _run(command: Sequence[str]) -> None:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_INSTALL_S_MAX):
            out, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise NotInstalledError(f"{command[0]} took more than {_INSTALL_S_MAX:.0f} s") from None
    if child.returncode != 0:
        lines = [line for line in out.decode(errors="replace").splitlines() if line.strip()]
        raise NotInstalledError(
            f"{Path(command[0]).name} failed: {lines[-1][:200] if lines else 'no message'}"
        )
