"""The audit queries go by index and by day and read a bounded number of rows, never the whole log."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from db.desk import DESK
from db.log_ids import ID_MAX, newest_day, span_of_id, span_of_time, split
from db.reads import AUDIT, by_index
from db.rollup import ROLLUP
from tests.api.plans import carried_out
from tests.api.seed import Seed
from tests.support.stripe_events import checkout, event

ROWS = 6_000
DAYS = 6
PAGE = 51
PARTITIONS_MAX = DAYS + 12
"""Days with rows, days ahead, the default partition: where they are merged, one row of each is looked at."""
EVERYTHING = span_of_time(None, None, None)

FILL = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, object_id, body, body_bytes,
                         headers, request_id, batch_ordinal)
SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe',
       CASE WHEN n % 500 = 0 THEN 'stale_ts' ELSE 'bad_sig' END, 'evt_' || n, 'cs_' || n, '', 0,
       '[]', 'r' || n, 0
FROM (SELECT n, now() - n * $2::interval / $1 AS at FROM generate_series(1, $1::integer) n) rows
"""


@pytest.fixture
async def full(seed: Seed) -> Seed:
    """A log of some days, with a few events that are done and one in quarantine."""
    await seed.connection.execute(FILL, ROWS, timedelta(days=DAYS))
    await seed.connection.execute("SELECT webhook_log_make_partitions(1)")
    for _ in range(20):
        await seed.event(event("checkout.session.completed", checkout()))
    await seed.event(event("checkout.session.completed", checkout(credits="many")))
    await seed.drain()
    await seed.connection.execute("ANALYZE")
    return seed


@pytest.mark.parametrize(
    ("query", "value", "rows"),
    [
        (AUDIT.find_by_event, "evt_77", 1),
        (AUDIT.find_by_object, "cs_77", 1),
        (AUDIT.find_refused, "stale_ts", ROWS // 500),
        (AUDIT.find_refused, "bad_sig", PAGE),
        (AUDIT.find_open, "quarantined", 2),
    ],
)
async def test_an_indexed_filter_reads_what_it_finds(full: Seed, query: str, value: str, rows: int) -> None:
    """Over all days at once, and at most one row more of each."""
    done = await carried_out(full, query, *EVERYTHING, value, PAGE)

    assert done.rows_read() <= rows + PARTITIONS_MAX, done.root
    assert not done.read_whole()


FLOOD = """
INSERT INTO webhook_log (id, received_at, source, endpoint, verdict, event_id, object_id, body, body_bytes,
                         headers, request_id)
SELECT ((extract(epoch FROM at) * 1000)::bigint << 20) | n, at, 'stripe', 'stripe', 'bad_sig',
       'evt_forged', 'cs_forged', '', 0, '[]', 'f' || n
FROM (SELECT n, date_trunc('day', now()) - interval '20 days' + interval '1 s' * n AS at
      FROM generate_series(1, 3000) n) rows
"""
"""A day on which somebody without a secret has sent one event all day: there an id seems to find much."""


@pytest.mark.parametrize(
    ("query", "value", "asked"),
    [
        pytest.param(AUDIT.find_by_event, "evt_77", "event_id = $5", id="event"),
        pytest.param(AUDIT.find_by_object, "cs_77", "object_id = $5", id="object"),
    ],
)
async def test_an_id_is_looked_up_and_no_day_is_read_for_it(
    full: Seed, query: str, value: str, asked: str
) -> None:
    """Each day is asked for the id, also one whose own key looks cheaper; that would read the whole day."""
    await full.connection.execute(FLOOD)
    await full.connection.execute("SELECT webhook_log_make_partitions(1)")

    scans = await kept(full, query, f"0, {ID_MAX}, {EVER}, '{value}', {PAGE}")
    done = await carried_out(full, query, *EVERYTHING, value, PAGE)

    assert len(scans) > DAYS
    assert [scan for scan in scans if asked not in scan[1]] == []
    assert done.rows_read() <= 1 + PARTITIONS_MAX, done.root


async def test_the_first_look_for_refusals_opens_the_newest_days(full: Seed) -> None:
    """Most often it fills the page; all the days before wait for a second look."""
    now = datetime.now(UTC)
    newest, rest = split(EVERYTHING, now.replace(hour=0, minute=0, second=0, microsecond=0))

    done = await carried_out(full, AUDIT.find_refused, *newest, "bad_sig", PAGE)
    before = await carried_out(full, AUDIT.find_refused, *rest, "bad_sig", PAGE)

    today = f"webhook_log_{now:%Y%m%d}"
    assert {day for day in done.days() if day <= today} == {today}  # the days ahead are empty
    assert len(before.days()) >= DAYS


@pytest.mark.parametrize(
    "event_type",
    [pytest.param(None, id="no filter"), pytest.param("never.came", id="a filter that nothing passes")],
)
async def test_a_look_back_reads_its_share_of_one_day(full: Seed, event_type: str | None) -> None:
    """Whether anything passes the filter or not, and whatever the day holds besides."""
    day, _ = newest_day(EVERYTHING, datetime.now(UTC) - timedelta(days=2))
    until = day.received_from + timedelta(days=1)
    day = newest_day(span_of_time(None, until, None), until)[0]
    narrowed = [None, None, None, None, event_type, None, None, None]

    done = await carried_out(full, AUDIT.find_any, *day, 100, *narrowed, PAGE)

    assert done.days() == {f"webhook_log_{day.received_from:%Y%m%d}"}
    assert 0 < done.rows_read() <= 100


async def test_a_state_is_asked_of_the_events_that_are_looked_at(full: Seed) -> None:
    """One event for each verified delivery of the share, by its key."""
    day, _ = newest_day(EVERYTHING, datetime.now(UTC))

    done = await carried_out(full, AUDIT.find_any, *day, 100, *[None] * 6, "superseded", None, PAGE)

    assert done.rows_read() <= 200 + PARTITIONS_MAX
    assert not done.read_whole()


DONE_LONG_AGO = """
INSERT INTO webhook_event (source, event_id, log_id, body_sha256, state, applied_at)
SELECT 'other', 'evt_' || n, n, '', 'superseded', now() FROM generate_series(1, 20000) n
"""
BACKLOG = """
INSERT INTO webhook_log (source, endpoint, verdict, event_id, event_type, body, body_bytes, body_sha256,
                         headers, request_id)
SELECT 'stripe', 'stripe', 'ok', 'evt_waits_' || n, 'customer.updated', '', 0, 'x', '[]', 'w' || n
FROM generate_series(1, 3000) n
"""


@pytest.fixture
async def behind(full: Seed) -> Seed:
    """The same with a backlog that no worker has looked at."""
    await full.connection.execute(BACKLOG)
    await full.connection.execute("ANALYZE")
    return full


async def test_what_is_decided_is_found_behind_a_backlog(behind: Seed) -> None:
    """An event that waits is passed by the index of what waits, and not looked up among all."""
    day, _ = newest_day(EVERYTHING, datetime.now(UTC))

    done = await carried_out(behind, AUDIT.find_any, *day, 4_000, *[None] * 6, "applied", None, PAGE)

    assert done.loops("webhook_event_due") >= 3_000
    assert done.loops("webhook_event_pkey") <= 21
    assert not done.read_whole()


@pytest.mark.parametrize(
    ("query", "arguments", "rows"),
    [
        (AUDIT.count_open, ("quarantined", 201), 1),
        (AUDIT.count_open, ("pending", 201), 201),
        (AUDIT.find_open, (*EVERYTHING, "quarantined", PAGE), 2),
        (AUDIT.queue_figures, (), 3_001),
        (DESK.quarantine_by_reason, (), 1),
        (DESK.quarantined_events, (None, ID_MAX, PAGE), 1),
    ],
)
async def test_what_waits_for_a_person_is_found_behind_a_backlog(
    behind: Seed, query: str, arguments: tuple[object, ...], rows: int
) -> None:
    """What is pending is gone through once where it is counted, and elsewhere not at all."""
    done = await carried_out(behind, query, *arguments)

    assert done.rows_read() <= rows, done.root
    assert not done.read_whole() - {"webhook_redelivery"}


async def test_history_takes_its_events_from_the_log(full: Seed) -> None:
    """The delivery tells its event's type; the inbox is asked only where retention has taken it."""
    subjects = await full.rows("SELECT DISTINCT kind, source, object_id AS id FROM state_transition")
    assert len(subjects) >= 20
    columns = [[subject[name] for subject in subjects] for name in ("kind", "source", "id")]

    done = await carried_out(full, AUDIT.transitions_of_subjects, *columns, 500)

    assert done.loops("webhook_event_pkey") == 0
    assert len(done.days()) == 1
    assert not done.read_whole()


async def test_the_way_over_silent_days_reads_one_row_of_each_partition(full: Seed) -> None:
    """From any place to the next delivery before it."""
    done = await carried_out(full, AUDIT.look_back, *EVERYTHING, 1)

    assert done.rows_read() <= 1 + PARTITIONS_MAX


async def test_a_page_reads_its_deliveries_and_their_events(full: Seed) -> None:
    """Even when its places lie days apart, what is between them is not read."""
    places = await full.rows("SELECT id, received_at FROM webhook_log ORDER BY id DESC")
    places = places[:25] + places[-25:]
    times = [place["received_at"] for place in places]

    done = await carried_out(
        full,
        AUDIT.list_deliveries,
        [place["id"] for place in places],
        times,
        min(times),
        max(times),
        *[None] * 10,
    )

    assert done.rows_read() <= 3 * len(places)


async def kept(seed: Seed, query: str, arguments: str) -> list[tuple[str, str]]:
    """The tables of the plan that is made for any arguments, and what each index is asked for."""
    await seed.connection.execute("ANALYZE")
    async with seed.connection.transaction():
        await by_index(seed.connection)
        if query == ROLLUP.count_deliveries:
            await seed.connection.execute(ROLLUP.plan_side_by_side)
        await seed.connection.execute(f"PREPARE kept AS {query}")
        rows = await seed.connection.fetch(f"EXPLAIN EXECUTE kept({arguments})")
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    return re.findall(r" on (webhook_\w+)[^\n]*\n\s+(?:Index Cond|Recheck Cond|TID Cond)?:? ?([^\n]*)", plan)


EVER = "'-infinity', 'infinity'"


@pytest.mark.parametrize(
    ("query", "arguments", "place"),
    [
        pytest.param(
            AUDIT.list_deliveries, f"'{{}}', '{{}}', {EVER}" + ", NULL" * 10, "id = place.id", id="page"
        ),
        pytest.param(
            AUDIT.find_any,
            f"0, 9, {EVER}, 9, NULL, NULL, NULL, NULL, NULL, NULL, 'applied', NULL, 9",
            "id < $2",
            id="walk",
        ),
        pytest.param(
            ROLLUP.count_deliveries,
            f"60, 0, 9, {EVER}, 9",
            "id >= $2",
            id="counts",
        ),
        pytest.param(AUDIT.transitions_of_subjects, "'{}', '{}', '{}', 9", "id = s.log_id", id="journal"),
        pytest.param(AUDIT.movements_of_account, "'a', 9", "id = t.log_id", id="movements"),
        pytest.param(
            AUDIT.movements_of_money_objects, "'a', '{}'", "id = t.log_id", id="movements of objects"
        ),
        pytest.param(AUDIT.calls_of_objects, "'a', '{}', 9", "log_id)", id="calls"),
    ],
)
async def test_a_plan_made_over_an_empty_database_goes_by_key(
    seed: Seed, query: str, arguments: str, place: str
) -> None:
    """Such a plan is kept while the tables grow: it may not read them from end to end for each row."""
    scans = await kept(seed, query, arguments)

    days = [asked for table, asked in scans if table.startswith("webhook_log_")]
    events = [asked for table, asked in scans if table == "webhook_event"]
    assert days
    assert {asked for asked in days if place not in asked} == set()
    assert events
    bounded = re.compile("event_id = |log_id = |ctid >= .*ctid < ")
    assert [asked for asked in events if not bounded.search(asked)] == []


async def test_one_delivery_opens_one_day(full: Seed) -> None:
    """A look-up by id alone finds its partition from the id."""
    row = (await full.rows("SELECT id, received_at FROM webhook_log WHERE event_id = 'evt_3000'"))[0]
    span = span_of_id(row["id"])

    done = await carried_out(full, AUDIT.read_payload, row["id"], span.received_from, span.received_until)

    assert done.days() == {f"webhook_log_{row['received_at']:%Y%m%d}"}
    assert done.rows_read() == 1


async def test_counts_read_of_the_log_what_is_not_counted_yet(full: Seed) -> None:
    """Minutes come from the roll-up; of the log only its spans are read."""
    since = datetime.now(UTC) - timedelta(days=1)
    span = span_of_time(since, since + timedelta(minutes=1), None)

    done = await carried_out(full, ROLLUP.count_deliveries, 60.0, *span, 9_999, side_by_side=True)

    assert done.days() == {f"webhook_log_{since:%Y%m%d}"}
    assert done.rows_read() <= 2 * ROWS // (DAYS * 24 * 60) + 10
    assert not done.read_whole()


async def test_counts_read_the_end_of_the_inbox(full: Seed) -> None:
    """As many events as the span has deliveries, beside these; by key only the few that lie elsewhere: `full`
    has made them before what was done long ago.
    """
    await full.connection.execute(DONE_LONG_AGO)
    await full.connection.execute(BACKLOG)
    await full.connection.execute("ANALYZE")
    span = span_of_time(datetime.now(UTC) - timedelta(minutes=30), None, None)

    done = await carried_out(full, ROLLUP.count_deliveries, 60.0, *span, 99_999, side_by_side=True)

    assert 2 * 3_000 <= done.rows_read() <= 2 * 3_100, done.root
    assert done.loops("webhook_event_pkey") <= 21
    assert not done.read_whole()
    await full.connection.execute("DELETE FROM webhook_event WHERE source = 'other'")


async def test_status_goes_by_partial_indexes(full: Seed) -> None:
    """What waits is counted by the indexes of open work, not by reading all events."""
    await full.connection.execute(DONE_LONG_AGO)
    await full.connection.execute("ANALYZE webhook_event")

    done = await carried_out(full, AUDIT.queue_figures, once=False)

    assert done.rows_read() <= 5
    assert "webhook_event" not in done.read_whole()
    await full.connection.execute("DELETE FROM webhook_event WHERE source = 'other'")
