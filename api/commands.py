"""What operators may order, as types that validate a body and describe it; values only, no behaviour."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

REASON_CHARACTERS_MAX = 255
"""As every short text that the log holds."""

Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=REASON_CHARACTERS_MAX,
        pattern=r"\S",
        description="Why, for whoever looks at it next year; it is kept beside your token's name.",
    ),
]


class ResolveOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Take it off the list, with a reason."""

    reason: Reason


class ReplayFilter(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which deliveries: the same names and values as the filters of `GET /audit/deliveries`."""

    source: str | None = None
    endpoint: str | None = None
    origin: str | None = None
    verdict: str | None = None
    state: str | None = None
    type: str | None = None
    event_id: str | None = None
    object_id: str | None = None
    ip: str | None = None
    reason: str | None = None
    since: str | None = None
    until: str | None = None


class ReplayOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Replay what a filter finds, `{}` being every delivery; with `dry_run` only count it. `cursor` goes on
    where an answer ended.
    """

    MISSING: ClassVar[dict[str, str]] = {
        "filter": "is required: {} is every delivery, and these narrow it: "
        + ", ".join(ReplayFilter.__struct_fields__)
    }
    """An order that forgot its filter must not be one for everything."""

    filter: ReplayFilter
    dry_run: bool = False
    cursor: str | None = None


class ReconcileOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Ask for a run: which phases (absent: all), only to look, and about which object (`kind:id`)."""

    phases: Annotated[list[str], Meta(min_length=1, max_length=20)] | None = None
    dry_run: bool = False
    object: (
        Annotated[str, Meta(pattern=r"^[a-z_]{1,40}:\S{1,200}$", examples=["checkout_session:cs_1"])] | None
    ) = None
