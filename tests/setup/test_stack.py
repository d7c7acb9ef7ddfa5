"""`run.py up` and `demo` as a person uses them: start, stop, kill, start again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
from pathlib import Path

import asyncpg
import pytest

from db import embedded
from runtime import guardian
from tests.conftest import Servers
from tests.support.clone import Clone
from tests.support.poll import until

STUBBORN_PROCFILE = "worker: python witness.py worker 600\n"
REFUSING_PROCFILE = """\
worker: python witness.py worker
api: python -c "import sys; sys.stderr.write('setting refused: JWT_SECRET is too short\\n'); sys.exit(78)"
"""


async def query(clone: Clone, statement: str) -> object:
    """Run one statement in the stack's own database and return its first value."""
    password = (clone.state / "pg.password").read_text(encoding="ascii")
    port = int((clone.state / "pg" / "postmaster.pid").read_text(encoding="ascii").splitlines()[3])
    connection = await asyncpg.connect(
        f"postgresql://postgres:{password}@127.0.0.1:{port}/{embedded.DATABASE}"
    )
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_up_serves_until_ctrl_c_and_leaves_nothing(clone: Clone) -> None:
    """`up` starts servers, release and processes, says where everything is, and ends with status 0 on
    Ctrl-C."""
    running = await clone.up()
    assert set(clone.children()) == {"postgres", "valkey", "ingest", "worker"}

    assert await clone.stop(running, signal.SIGINT) == 0

    said = running.output()
    assert f"receiver   http://127.0.0.1:{clone.ingest_port}/webhooks/stripe" in said
    assert f"console    http://127.0.0.1:{clone.api_port}/console" in said
    assert f"ops token  in OPS_TOKENS of {clone.state / 'secrets.env'}" in said
    assert re.search(r"database   postgresql://postgres@127\.0\.0\.1:\d+/sluice\n", said)
    assert f"signing    in STRIPE_WEBHOOK_SECRETS of {clone.state / 'secrets.env'}" in said
    assert (clone.state / "log" / "release.log").read_text() == "released\n"
    assert clone.everything() == []


async def test_secrets_are_private_and_unspoken(clone: Clone) -> None:
    """Every file with a secret is readable by its owner alone, and no secret is printed or on a command
    line."""
    running = await clone.up()
    shown = running.output() + "".join(guardian.command_line(pid) for pid in clone.children().values())
    await clone.stop(running)

    files = [
        clone.state / name for name in ("secrets.env", "pg.password", "valkey.password", "valkey/valkey.conf")
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    secrets = [part for file in files for part in re.split(r"[=:,\s]", file.read_text()) if len(part) >= 32]
    assert len(secrets) >= 7
    assert [secret for secret in secrets if secret in shown] == []


async def test_what_dies_is_restarted_on_the_same_port(clone: Clone) -> None:
    """Postgres, Valkey and a process come back after kill -9, each with one line; committed rows survive."""
    running = await clone.up()
    await query(clone, "CREATE TABLE kept AS SELECT 7 AS n")
    before = clone.children()
    commands = {name: guardian.command_line(pid) for name, pid in before.items()}

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    await until(
        lambda: (
            set(clone.children()) == set(before) and not set(clone.children().values()) & set(before.values())
        ),
        20.0,
        "new processes",
    )
    await clone.says(running, "postgres is back")
    await clone.says(running, "valkey is back")
    assert {name: guardian.command_line(pid) for name, pid in clone.children().items()} == commands
    for name in before:
        assert f"[up] {name} was killed (SIGKILL), restarting in 0.2 s" in running.output()
    assert await query(clone, "SELECT n FROM kept") == 7
    assert await clone.stop(running) == 0


async def test_killed_front_takes_everything_with_it(clone: Clone) -> None:
    """After kill -9 of the process the user started nothing is left, and the next start has the data."""
    running = await clone.up()
    await query(clone, "CREATE TABLE kept AS SELECT 7 AS n")

    os.kill(running.pid, signal.SIGKILL)
    again = await clone.up()

    assert await query(clone, "SELECT n FROM kept") == 7
    assert clone.witnessed() == ["worker started", "worker ended", "worker started"]
    assert await clone.stop(again) == 0


async def test_killed_supervisor_is_cleaned_up_by_the_front(clone: Clone) -> None:
    """After kill -9 of the supervisor the front ends every process in order and reports it."""
    running = await clone.up()

    os.kill(clone.supervisor(), signal.SIGKILL)

    assert await running.ended(20.0) == 128 + signal.SIGKILL
    assert clone.everything() == []
    assert "the supervisor was killed (SIGKILL)" in running.output()
    assert clone.witnessed() == ["worker started", "worker ended"]
    assert "database system is shut down" in (clone.state / "log" / "postgres.log").read_text()


async def test_next_start_ends_what_was_left(clone: Clone) -> None:
    """When front and supervisor are both killed, the next start ends their children first and keeps the
    data."""
    running = await clone.up()
    await query(clone, "CREATE TABLE kept AS SELECT 7 AS n")
    left = clone.children()
    supervisor = clone.supervisor()
    os.kill(running.pid, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    os.kill(running.pid, signal.SIGKILL)
    assert set(left.values()) <= set(clone.everything())

    again = await clone.up()

    assert "stopping what an earlier run left behind: " in again.output()
    assert not set(left.values()) & set(clone.everything())
    assert await query(clone, "SELECT n FROM kept") == 7
    assert await clone.stop(again) == 0


async def test_second_run_in_one_clone_is_refused(clone: Clone) -> None:
    """While a run is healthy a second one says so, exits 1 and changes nothing."""
    running = await clone.up()
    before = clone.children()

    second = clone.run("up")

    assert await second.ended() == 1
    assert f"another run (pid {clone.supervisor()}) is using {clone.state}; stop it first" in second.output()
    assert clone.children() == before
    assert await clone.stop(running) == 0


async def test_start_waits_for_a_run_that_is_stopping(clone: Clone) -> None:
    """A start during the end of another run waits for it, says so, and then comes up."""
    clone.write("Procfile", "worker: python witness.py worker 2\n")
    running = await clone.up()
    running.signal(signal.SIGTERM)
    await clone.says(running, "stopping")

    second = await clone.up()

    assert await running.ended() == 0
    assert "s for the previous run (pid " in second.output()
    assert clone.witnessed() == ["worker started", "worker ended", "worker started"]
    assert await clone.stop(second) == 0


async def test_second_ctrl_c_kills_the_processes_but_not_the_servers(clone: Clone) -> None:
    """A process that does not end is killed on the second Ctrl-C; Postgres still writes its checkpoint."""
    clone.write("Procfile", STUBBORN_PROCFILE)
    running = await clone.up()
    running.signal(signal.SIGINT)
    await clone.says(running, "stopping")
    running.signal(signal.SIGINT)

    assert await running.ended(10.0) == 0
    assert clone.witnessed() == ["worker started"]
    assert "database system is shut down" in (clone.state / "log" / "postgres.log").read_text()


async def test_closed_terminal_ends_the_stack(clone: Clone) -> None:
    """SIGHUP ends everything in order, as when a terminal window is closed."""
    running = await clone.up()

    assert await clone.stop(running, signal.SIGHUP) == 0
    assert clone.witnessed() == ["worker started", "worker ended"]


async def test_taken_port_is_named_by_its_setting(clone: Clone) -> None:
    """A port in use is one line with the setting's name and exit 78, before anything is started."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", clone.ingest_port))
        holder.listen()
        running = clone.run("up")
        assert await running.ended() == 78

    assert f"[up] INGEST_PORT: 127.0.0.1:{clone.ingest_port} cannot be used" in running.output()
    assert not (clone.state / "pg").exists()


@pytest.mark.parametrize("wrong", ["http", "0", "65536", ""])
async def test_wrong_port_is_refused(clone: Clone, wrong: str) -> None:
    """A port that is none is one line with the setting's name and exit 78."""
    running = clone.run("up", INGEST_PORT=wrong)

    assert await running.ended() == 78
    assert running.output() == "[up] INGEST_PORT is not a port (1-65535)\n"


async def test_process_that_refuses_its_settings_ends_the_run(clone: Clone, servers: Servers) -> None:
    """Exit 78 of any process is not retried: its reason is shown, all is stopped, and run.py exits 78."""
    clone.write("Procfile", REFUSING_PROCFILE)
    running = clone.run("up", DATABASE_URL=servers.admin_dsn, REDIS_URL=servers.redis_url)

    assert await running.ended() == 78
    assert running.output().count("setting refused: JWT_SECRET is too short") == 1
    assert "api refuses its settings (exit 78)" in running.output()
    assert "restarting" not in running.output()


async def test_release_that_fails_is_shown_and_nothing_else_starts(clone: Clone, servers: Servers) -> None:
    """A failing release line ends the run with its output, before any process has started."""
    clone.write("Procfile", "release: echo no such column; exit 3\nworker: python witness.py worker\n")
    running = clone.run("up", DATABASE_URL=servers.admin_dsn, REDIS_URL=servers.redis_url)

    assert await running.ended() == 1
    assert "[up] release failed (3):\n[up] no such column\n" in running.output()
    assert clone.witnessed() == []


async def test_given_servers_are_used_and_left_alone(clone: Clone, servers: Servers) -> None:
    """With DATABASE_URL and REDIS_URL no server is started, and the given ones still answer afterwards."""
    running = await clone.up(DATABASE_URL=servers.admin_dsn, REDIS_URL=servers.redis_url)
    assert set(clone.children()) == {"ingest", "worker"}
    assert await clone.stop(running) == 0

    connection = await asyncpg.connect(servers.admin_dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert not (clone.state / "pg").exists()
    password = servers.admin_dsn.partition("@")[0].rpartition(":")[2]
    assert password not in running.output()


def add_demo(clone: Clone, customer: str) -> None:
    """Give the copy a sandbox that serves and ends like a witness, and a customer."""
    clone.write("psp/__init__.py", "")
    clone.write("psp/sandbox/__init__.py", "")
    clone.write("web/health/live", "yes")
    clone.write(
        "psp/sandbox/__main__.py",
        "import os, runpy, subprocess, sys\n"
        "server = [sys.executable, '-m', 'http.server', os.environ['SANDBOX_PORT'], '-d', 'web']\n"
        "subprocess.Popen([*server, '-b', '127.0.0.1'])\n"
        "sys.argv = ['witness.py', 'sandbox']\n"
        "runpy.run_path('witness.py', run_name='__main__')\n",
    )
    clone.write("psp/sandbox/demo.py", customer)


async def test_demo_returns_the_status_of_its_customer(clone: Clone) -> None:
    """`demo --exit` runs the customer on our terminal with its arguments, stops in order and takes over its
    status."""
    add_demo(
        clone, "import os, sys; print('customer', sys.argv[1:], os.environ['STRIPE_API_BASE']); sys.exit(5)"
    )
    running = clone.run(
        "demo", "--events", "50", "--seed", "9", "--exit", STRIPE_API_BASE="https://psp.invalid"
    )

    assert await running.ended(60.0) == 5
    base = f"http://127.0.0.1:{clone.sandbox_port}"
    assert f"customer ['--events', '50', '--seed', '9'] {base}\n" in running.output()
    ended = [line for line in clone.witnessed() if line.endswith("ended")]
    assert ended == ["sandbox ended", "worker ended"]
    kept = (clone.state / "secrets.env").read_text()
    assert re.search(r"^STRIPE_WEBHOOK_SECRETS=whsec_", kept, re.MULTILINE)
    assert "GET /health/ready" in (clone.state / "log" / "ingest.log").read_text()
    assert "GET /health/ready" not in running.output()


async def test_demo_stays_until_it_is_ended(clone: Clone) -> None:
    """Without --exit the stack stays up after the customer, and the status is still the customer's."""
    add_demo(clone, "print('done')")
    running = clone.run("demo")
    await clone.says(running, "Ctrl-C stops everything", 60.0)
    assert set(clone.children()) == {"postgres", "valkey", "sandbox", "ingest", "worker"}

    assert await clone.stop(running, signal.SIGTERM) == 0


async def test_interrupted_demo_is_no_success(clone: Clone) -> None:
    """Ctrl-C while the customer is busy ends it with the rest, and the status tells of the signal."""
    add_demo(clone, "import time; print('busy', flush=True); time.sleep(600)")
    running = clone.run("demo", "--exit")
    await clone.says(running, "busy", 60.0)

    assert await clone.stop(running) == 128 + signal.SIGINT


async def test_log_of_the_run_before_is_kept(clone: Clone, servers: Servers) -> None:
    """Each run begins its logs anew and keeps those of the run before."""
    for word in ("first", "second"):
        clone.write("Procfile", f"release: echo {word}\n")
        running = await clone.up(DATABASE_URL=servers.admin_dsn, REDIS_URL=servers.redis_url)
        await clone.stop(running)

    logs = clone.state / "log"
    assert ((logs / "release.log").read_text(), (logs / "release.log.1").read_text()) == (
        "second\n",
        "first\n",
    )


async def test_state_can_live_elsewhere(clone: Clone, servers: Servers, tmp_path: Path) -> None:
    """SLUICE_STATE_DIR moves secrets, logs and data out of the clone."""
    elsewhere = tmp_path / "elsewhere"
    given = {"DATABASE_URL": servers.admin_dsn, "REDIS_URL": servers.redis_url}
    running = await clone.up(SLUICE_STATE_DIR=str(elsewhere), **given)
    await clone.stop(running)

    assert sorted(path.name for path in elsewhere.iterdir()) == ["log", "run", "secrets.env"]
    assert not clone.state.exists()


async def test_stuck_reader_does_not_keep_the_stack_alive(clone: Clone, servers: Servers) -> None:
    """A stack whose output nobody reads any more still ends when its front is killed."""
    clone.write("Procfile", "worker: yes\nwitness: python witness.py witness\n")
    reading, writing = os.pipe()
    try:
        running = clone.run("up", DATABASE_URL=servers.admin_dsn, REDIS_URL=servers.redis_url, output=writing)
        await until(lambda: clone.witnessed() == ["witness started"], 20.0, "the start")
        await asyncio.to_thread(os.kill, running.pid, signal.SIGKILL)
        await until(lambda: clone.witnessed() == ["witness started", "witness ended"], 20.0, "the end")
        await clone.nothing_left()
    finally:
        os.close(reading)
        os.close(writing)
