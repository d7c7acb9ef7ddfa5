"""What the receiver's database role may do: append deliveries column by column, and nothing else at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from db import events
from db.events import Delivery
from db.migrate import migrate
from tests.receiver.running import database_of_its_own

if TYPE_CHECKING:
    from tests.conftest import Servers

DELIVERY = Delivery(
    source="stripe",
    endpoint="stripe",
    origin="psp",
    verdict="ok",
    secret_id="00000000",
    signed_at=1,
    event_id="evt_1",
    event_type="t",
    object_id="o",
    psp_created=1,
    body=b"{}",
    body_bytes=2,
    body_sha256=b"\0" * 32,
    headers=b"[]",
    source_ip="127.0.0.1",
    user_agent=None,
    request_id="r",
)


@pytest.fixture(scope="module")
async def migrated(servers: Servers, admin: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A database of this module, migrated by itself: a copy of a template has none of its database
    privileges."""
    async with database_of_its_own(servers, admin, template) as dsn:
        await migrate(dsn)
        yield dsn


@pytest.fixture
async def as_receiver(migrated: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that has taken on the receiver's role, as the receiver itself does."""
    connection = await asyncpg.connect(migrated)
    await connection.execute("SET ROLE sluice_ingest")
    yield connection
    await connection.close()


async def test_the_receiver_can_append(as_receiver: asyncpg.Connection) -> None:
    """The one statement of the receiver works under its role, first deliveries and redeliveries alike."""
    await events.append(
        as_receiver, [DELIVERY, DELIVERY, DELIVERY._replace(verdict="bad_sig", event_id=None)]
    )

    await as_receiver.execute("RESET ROLE")
    rows = await as_receiver.fetch("SELECT verdict FROM webhook_log ORDER BY verdict")
    assert [row["verdict"] for row in rows] == ["bad_sig", "ok", "ok"]
    assert await as_receiver.fetchval("SELECT count(*) FROM webhook_event") == 1
    assert await as_receiver.fetchval("SELECT count(*) FROM webhook_redelivery") == 1


LOG_COLUMNS = "source, endpoint, verdict, body, body_bytes, headers, request_id, batch_ordinal"
LOG_VALUES = "'stripe', 'stripe', 'bad_sig', '', 0, '', 'r', 0"
EVENT_COLUMNS = "source, event_id, log_id, body_sha256"
EVENT_VALUES = "'stripe', 'evt_1', 1, ''"

FORBIDDEN = {
    "read_payloads": "SELECT body FROM webhook_log",
    "read_headers": "SELECT headers FROM webhook_log",
    "read_whole_rows": "SELECT * FROM webhook_log",
    "read_one_partition": "SELECT body FROM webhook_log_default",
    "copy_payloads_out": "COPY webhook_log TO STDOUT",
    "update_the_log": "UPDATE webhook_log SET verdict = 'ok'",
    "delete_from_the_log": "DELETE FROM webhook_log",
    "truncate_the_log": "TRUNCATE webhook_log",
    "forge_an_id": f"INSERT INTO webhook_log (id, {LOG_COLUMNS}) VALUES (1, {LOG_VALUES})",
    "forge_a_time": f"INSERT INTO webhook_log (received_at, {LOG_COLUMNS}) VALUES (now(), {LOG_VALUES})",
    "overwrite_on_conflict": (
        f"INSERT INTO webhook_event ({EVENT_COLUMNS}) VALUES ({EVENT_VALUES}) "
        "ON CONFLICT (source, event_id) DO UPDATE SET log_id = 2"
    ),
    "forge_a_state": f"INSERT INTO webhook_event (state, {EVENT_COLUMNS}) VALUES ('applied', {EVENT_VALUES})",
    "forge_a_receipt": (
        f"INSERT INTO webhook_event (received_at, {EVENT_COLUMNS}) VALUES (now(), {EVENT_VALUES})"
    ),
    "forge_an_attempt": f"INSERT INTO webhook_event (attempts, {EVENT_COLUMNS}) VALUES (99, {EVENT_VALUES})",
    "read_events": "SELECT event_id FROM webhook_event",
    "update_events": "UPDATE webhook_event SET state = 'applied'",
    "delete_events": "DELETE FROM webhook_event",
    "lock_events": "SELECT log_id FROM webhook_event FOR UPDATE",
    "read_redeliveries": "SELECT * FROM webhook_redelivery",
    "delete_redeliveries": "DELETE FROM webhook_redelivery",
    "lock_the_log": "BEGIN; LOCK TABLE webhook_log IN ACCESS EXCLUSIVE MODE",
    "read_balances": "SELECT * FROM balance",
    "write_balances": "INSERT INTO balance (account_id, unit, amount) VALUES ('system:grants', 'credit', 1)",
    "post_to_the_ledger": (
        "INSERT INTO ledger_transaction (source, movement, money_object, actor) "
        "VALUES ('s', 'grant', 'm', 'a')"
    ),
    "open_accounts": "INSERT INTO account (id) VALUES ('me')",
    "raise_alerts": "INSERT INTO alert (name, subject) VALUES ('a', 'b')",
    "read_the_history_of_migrations": "SELECT * FROM schema_migrations",
    "make_partitions": "SELECT webhook_log_make_partitions(1)",
    "drop_partitions": "SELECT webhook_log_drop_partitions('2000-01-01')",
    "rewind_the_sequence": "SELECT setval('webhook_log_seq', 1)",
    "create_a_table": "CREATE TABLE mine (a integer)",
    "create_a_table_elsewhere": "CREATE TABLE audit.mine (a integer)",
    "create_a_schema": "CREATE SCHEMA mine",
    "create_a_temporary_table": "CREATE TEMPORARY TABLE mine (a integer)",
    "create_a_function": "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "add_a_trigger": "CREATE TRIGGER t BEFORE INSERT ON webhook_log EXECUTE FUNCTION ledger_is_append_only()",
    "drop_the_log": "DROP TABLE webhook_log",
    "alter_the_log": "ALTER TABLE webhook_log ADD COLUMN a integer",
    "grant_itself_more": "GRANT SELECT ON webhook_log TO sluice_ingest",
    "become_a_worker_by_role": "GRANT sluice_worker TO sluice_ingest",
    "read_files": "SELECT pg_read_file('PG_VERSION')",
    "write_files": "COPY (SELECT 1) TO '/dev/null'",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_everything_else_is_refused(as_receiver: asyncpg.Connection, statement: str) -> None:
    """Reading payloads, changing or removing anything, forging ids, times or states, and DDL are not
    permitted."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_receiver.execute(statement)


async def test_the_receiver_cannot_slow_the_server_by_a_call(as_receiver: asyncpg.Connection) -> None:
    """No function that belongs to other processes or reads others' secrets is callable under the role."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_receiver.fetch("SELECT * FROM pg_authid")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_receiver.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = 10")
