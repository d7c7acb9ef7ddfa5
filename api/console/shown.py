"""Turns values into what a page may show: text that cannot lie, times, amounts, sizes. Pure; never marks up.

What a sender chose is shown character by character: controls, escapes of terminals and marks that turn the
direction of writing become visible codes instead of acting.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from markupsafe import Markup

from billing import units
from billing.units import decimal_text

_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


_TIMES = ("_at", "_start", "_end")
_JOINT = re.compile(r"(?<=[.:])(?=[^.:])")


def visible(value: Any) -> Any:
    """A text with every character that would act instead of being seen replaced by its code.

    Runs over everything that a template prints; what is markup already was made by the template itself.
    """
    if isinstance(value, Markup) or not isinstance(value, str):
        return "" if value is None else value
    return _ACTING.sub(_code, value)


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\u{number:04x}" if number < 0x10000 else f"\\u{{{number:x}}}"


def when(at: datetime | str | None) -> Markup:
    """A time as an element: in UTC until the page's script has put it into the viewer's zone."""
    if at is None:
        return Markup("–")
    time = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    exact = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d} UTC"
    return Markup('<time datetime="{}" title="{}">{:%Y-%m-%d %H:%M:%S} UTC</time>').format(
        time.isoformat(timespec="milliseconds").replace("+00:00", "Z"), exact, time
    )


def moment(unix_s: int | None) -> datetime | None:
    """A time that a PSP has written; what no calendar has is as good as none."""
    try:
        return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def seconds(value: float | None) -> str:
    """A span of time for a person: `26 ms`, `4.2 s`, `3 min`, `2 h`, `5 days`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    for limit, length, unit in ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h")):
        if value < limit:
            return f"{value / length:.1f} {unit}".replace(".0 ", " ")
    return f"{value / 86_400:.1f} days".replace(".0 ", " ")


def size(count: int) -> str:
    """A number of bytes for a person."""
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


def money(posting: dict[str, Any]) -> str:
    """An amount with its unit and sign: `+12.50 USD`, `-3 credits`."""
    sign = "+" if posting["amount_minor"] > 0 else ""
    return f"{sign}{posting['amount']} {units.name(posting['unit'])}"


def row(state: dict[str, Any]) -> list[tuple[str, Any]]:
    """An object's row as names and values: minor units as amounts of its currency, seconds as times."""
    told: list[tuple[str, Any]] = []
    for name, value in state.items():
        if name.endswith("_minor") and value is not None and "exponent" in state:
            amount = decimal_text(value, state["exponent"])
            told.append((name.removesuffix("_minor"), f"{amount} {units.name(state['currency'])}"))
        elif name.endswith(_TIMES) and type(value) is int:
            told.append((name, moment(value) or value))
        elif name not in ("balances", "exponent", "amount"):
            told.append((name, value))
    return told


def parted(value: Any) -> Markup:
    """A name that is broken behind its dots and colons before it is anywhere else."""
    return Markup("<wbr>").join(_JOINT.split(str(visible(value))))


def path_part(value: str) -> str:
    """A value as one part of a path, slashes included."""
    return quote(value, safe="")


def pretty(payload: str) -> str | None:
    """JSON with indents, every number and key as it came; None for what is no JSON."""
    try:
        return msgspec.json.format(payload, indent=2)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def as_text(value: Any) -> str:
    """A nested value as JSON text."""
    return msgspec.json.encode(value).decode()


def words(code: str | None) -> str:
    """A code of ours as words: `refund_clawback` is `refund clawback`."""
    return "" if code is None else code.replace("_", " ")


def share(value: float) -> str:
    """A part of 1 in percent, rounded down: what is not whole must not look whole."""
    return f"{int(value * 10_000) / 100:g} %"


def shares(counted: Any) -> str:
    """One share, or shares by type: the incomplete ones by name, the whole ones by their number."""
    if not isinstance(counted, dict):
        return share(counted)
    short = [f"{name} {share(value)}" for name, value in counted.items() if value < 1]
    whole = len(counted) - len(short)
    return "; ".join([*short, f"{whole} type{'s' if whole != 1 else ''} whole"])


def figures(counted: Any) -> str:
    """Nested counts as words: `stuck orders 3; silent 4.2 s`."""
    if not isinstance(counted, dict):
        return str(counted)
    told = []
    for name, value in counted.items():
        if isinstance(value, dict):
            told.append(f"{words(name)}: " + ", ".join(f"{key} {each}" for key, each in value.items()))
        elif name.endswith("_s") and isinstance(value, int | float):
            told.append(f"{words(name[:-2])} {seconds(value)}")
        elif value is not None:
            told.append(f"{words(name)} {value}")
    return "; ".join(told) or "nothing"


FILTERS = {
    "shares": shares,
    "figures": figures,
    "when": when,
    "seconds": seconds,
    "size": size,
    "money": money,
    "unit": units.name,
    "parted": parted,
    "path_part": path_part,
    "words": words,
    "as_text": as_text,
}
