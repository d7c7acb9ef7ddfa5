"""Secrets of a development stack: made at random once, kept in files that only their owner can read, never
shown."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.fresh")
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as out:
        out.write(text)
    fresh.replace(file)


def secret(file: Path) -> str:
    """The one secret kept in `file`, safe in a URL; made on first use."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8").strip()


def named_secrets(file: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The secrets kept in `file` as NAME=VALUE lines; of `wanted`, the missing ones are added with its
    values.

    Names that are kept but not wanted stay in the file and are not returned.
    """
    kept: dict[str, str] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals:
                kept[name.strip()] = value.strip()
    missing = {name: value for name, value in wanted.items() if name not in kept}
    if missing or (file.exists() and file.stat().st_mode & 0o077):
        kept |= missing
        write_private(file, "".join(f"{name}={value}\n" for name, value in kept.items()))
    return {name: kept[name] for name in wanted}
