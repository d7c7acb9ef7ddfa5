"""The page on adding a PSP is compared with the registries, the folders and the import contracts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ingest.rows import KEPT_HEADERS
from psp.mappers import MAPPERS
from psp.providers import OWN, RECEIVERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-psp.md").read_text(encoding="utf-8")
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
}


def modules(provider: str, *names: str) -> set[str]:
    """Those of these modules that the provider's folder has."""
    return {f"psp.{provider}.{name}" for name in names if (ROOT / "psp" / provider / f"{name}.py").exists()}


def test_only_our_own_commands_have_a_meaning_and_no_receiver() -> None:
    """A provider is in both registries; what is in one only would be received and not understood, or never
    come.
    """
    assert {*MAPPERS} - {*RECEIVERS} == {OWN}
    assert {*RECEIVERS} - {*MAPPERS} == set()
    assert f"`{OWN}`" in PAGE


@pytest.mark.parametrize("name", sorted(RECEIVERS))
def test_every_provider_is_a_folder_that_the_page_names(name: str) -> None:
    """The registries, the folders and the page speak of the same providers."""
    assert f"`{name}`" in PAGE
    assert modules(name, "signature", "envelope", "receiver") == {
        f"psp.{name}.{part}" for part in ("signature", "envelope", "receiver")
    }
    assert RECEIVERS[name].name == name


@pytest.mark.parametrize("name", sorted(MAPPERS))
def test_every_provider_is_under_the_import_contracts(name: str) -> None:
    """A provider that no contract names could import what it likes, and be imported by the receiver."""
    apart = set(CONTRACTS["providers know nothing of each other"]["modules"])
    pure = set(CONTRACTS["signature and mapping code is sans-I/O"]["source_modules"])
    unseen = set(CONTRACTS["ingest sees signatures and the event log, nothing else"]["forbidden_modules"])

    assert f"psp.{name}" in apart
    assert modules(name, "signature", "envelope", "mapping") <= pure
    assert modules(name, "mapping", "client") <= unseen


@pytest.mark.parametrize("name", sorted(RECEIVERS))
def test_the_log_keeps_what_every_provider_signs_with(name: str) -> None:
    """A header that is not kept cannot be verified again."""
    assert {header.encode() for header in RECEIVERS[name].signature_headers} <= KEPT_HEADERS


def test_the_page_counts_the_lines_of_its_proof() -> None:
    """What it says of the third provider's size is so."""
    told = re.findall(r"^\| `(psp/standardwebhooks/\w+\.py)` \| (\d+) \|$", PAGE, re.MULTILINE)
    counted = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (ROOT / "psp" / "standardwebhooks").glob("*.py")
    }

    assert {file: int(lines) for file, lines in told} == {
        file: lines for file, lines in counted.items() if lines
    }


def test_every_file_that_the_page_names_exists() -> None:
    """A page that sends its reader to a file that is gone is worse than none."""
    named = re.findall(r"`((?:psp|tests|billing|ingest|docs|sql)/[\w/-]+\.\w+)`", PAGE)

    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
