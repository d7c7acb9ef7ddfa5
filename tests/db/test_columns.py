"""Columns reach Postgres as they were, whatever their texts hold."""

from __future__ import annotations

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.columns import column

_TEXTS = st.text(
    st.one_of(
        st.sampled_from(list("\",{}\\ N:'\t\n\x1f")), st.characters(exclude_characters="\0", codec="utf-8")
    )
)
_WORDS = st.sampled_from(["NULL", "null", "", "{}", "\\", '"', "é", "a,b"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    texts=st.lists(st.one_of(_TEXTS, _WORDS, st.none()), max_size=6),
    numbers=st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), max_size=6),
    times=st.lists(st.one_of(st.floats(allow_nan=False), st.none()), max_size=6),
    flags=st.lists(st.one_of(st.booleans(), st.none()), max_size=6),
)
async def test_every_value_comes_back(
    admin: asyncpg.Connection,
    texts: list[str | None],
    numbers: list[int | None],
    times: list[float | None],
    flags: list[bool | None],
) -> None:
    """Quotes, backslashes, braces, the word NULL, no text at all, and nothing."""
    row = await admin.fetchrow(
        """SELECT $1::text::text[] AS texts, $2::text::bigint[] AS numbers,
                  $3::text::double precision[] AS times, $4::text::boolean[] AS flags""",
        column(texts),
        column(numbers),
        column(times),
        column(flags),
    )

    assert row is not None
    assert (texts, numbers, times, flags) == (row["texts"], row["numbers"], row["times"], row["flags"])
