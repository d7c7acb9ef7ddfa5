"""The embedded servers: private, durable, restartable after any death, and harmless to what surrounds
them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest
import redis

from db import embedded
from db.wheels import EmbeddedError
from runtime import guardian
from tests.support.poll import until
from tests.support.processes import ROOT

SMALL = {"shared_buffers": "32MB"}

LEAVES_SERVERS = """
import asyncio, os, pathlib, sys
from db import embedded
from db.wheels import EmbeddedError
state = pathlib.Path(sys.argv[1])
postgres, valkey = embedded.Postgres(state, settings={"shared_buffers": "32MB"}), embedded.Valkey(state)
postgres.start()
valkey.start()
asyncio.run(embedded.ensure_database(postgres))
print(postgres.pid_file.read_text().split()[0], valkey.pid_file.read_text().split()[0], flush=True)
os.kill(os.getpid(), 9)
"""


@contextlib.contextmanager
def running(*servers: embedded.Postgres | embedded.Valkey) -> Iterator[None]:
    """Started servers that are stopped when the block is left."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.stop)
        yield


async def ask(dsn: str, *statements: str) -> object:
    """Run statements and return the first value of the last."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def found(folder: Path, pattern: str) -> list[Path]:
    """What matches a pattern in a folder."""
    return list(folder.glob(pattern))


def postgres_in(
    state: Path, children: guardian.Children, more: Mapping[str, str] | None = None
) -> embedded.Postgres:
    """A small server with durability on."""
    return embedded.Postgres(state, settings={**SMALL, **(more or {})}, children=children)


async def test_postgres_has_the_settings_of_the_product(tmp_path: Path, children: guardian.Children) -> None:
    """Durability is on, order and time are the same everywhere, and a caller's setting wins."""
    server = postgres_in(tmp_path, children)
    expected = {**embedded.postgres_settings, **SMALL, "fsync": "on", "synchronous_commit": "on"}
    expected |= {
        "full_page_writes": "on",
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "data_checksums": "on",
    }
    with running(server):
        await embedded.ensure_database(server)
        await embedded.ensure_database(server)
        connection = await asyncpg.connect(server.url)
        found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in expected}
        provider = await connection.fetchval(
            "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = $1", embedded.DATABASE
        )
        await connection.close()

    assert (found, provider) == (expected, "bC.UTF-8")


async def test_both_ask_for_their_password(tmp_path: Path, children: guardian.Children) -> None:
    """Whoever reaches loopback without the password gets nothing from either server."""
    postgres, valkey = postgres_in(tmp_path, children), embedded.Valkey(tmp_path, children=children)
    with running(postgres, valkey):
        for password in (None, "wrong"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host="127.0.0.1",
                    port=postgres.port,
                    user="postgres",
                    database="postgres",
                    password=password,
                )
        with redis.Redis(port=valkey.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(valkey.url) as client:
            config = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")

    assert config == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
    }


async def test_killed_servers_come_back_on_their_ports_with_their_data(
    tmp_path: Path, children: guardian.Children
) -> None:
    """After kill -9 a start needs no help, keeps the port, and has every committed row."""
    postgres, valkey = postgres_in(tmp_path, children), embedded.Valkey(tmp_path, children=children)
    with running(postgres, valkey):
        urls = (postgres.url_of("postgres"), valkey.url)
        await ask(
            urls[0],
            "CREATE TABLE kept (n integer)",
            "INSERT INTO kept SELECT generate_series(1, 200)",
            "SELECT 1",
        )
        postgres.kill()
        valkey.kill()
        valkey.start()
        postgres.start()
        assert (postgres.url_of("postgres"), valkey.url) == urls
        assert await ask(urls[0], "SELECT count(*) FROM kept") == 200


async def test_servers_left_by_a_killed_owner_are_taken_over(
    tmp_path: Path, children: guardian.Children
) -> None:
    """Servers whose owner was killed with kill -9 are ended by the next start, which has their data."""
    left = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LEAVES_SERVERS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    pids = [int(word) for word in left.stdout.split()]
    assert all(guardian.born(pid) for pid in pids), left.stderr

    postgres, valkey = postgres_in(tmp_path, children), embedded.Valkey(tmp_path, children=children)
    with running(postgres, valkey):
        assert [guardian.born(pid) for pid in pids] == [None, None]
        assert await ask(postgres.url, "SELECT 1") == 1


async def test_pid_file_that_names_a_stranger_is_no_obstacle(
    tmp_path: Path, children: guardian.Children
) -> None:
    """After a reboot the old pid may be anybody's: that process lives on, and the server starts."""
    server = postgres_in(tmp_path, children)
    with running(server):
        server.kill()
        lines = server.pid_file.read_text().splitlines()
        server.pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        server.start()
        assert await ask(server.url_of("postgres"), "SELECT 1") == 1


async def test_half_made_cluster_is_made_anew(tmp_path: Path, children: guardian.Children) -> None:
    """An initdb that was killed half way leaves nothing that looks like a cluster, and nothing that stays."""
    server = postgres_in(tmp_path, children)
    made = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", LEAVES_SERVERS, str(tmp_path)],
        cwd=ROOT,
        start_new_session=True,
    )
    await until(lambda: found(tmp_path, "pg.new-*/cluster/base"), 20.0, "an initdb at work")
    os.killpg(made.pid, signal.SIGKILL)
    assert made.wait() == -signal.SIGKILL
    assert found(tmp_path, "pg.new-*")
    assert not found(tmp_path, "pg")

    with running(server):
        assert server.answers()
    assert not found(tmp_path, "pg.new-*")


def test_folders_keep_their_modes(tmp_path: Path, children: guardian.Children) -> None:
    """A clone in a private folder stays private, and so do the servers' own folders."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    state = home / "clone" / ".local"
    postgres, valkey = postgres_in(state, children), embedded.Valkey(state, children=children)
    with running(postgres, valkey):
        modes = {stat.S_IMODE(folder.stat().st_mode) for folder in (home, postgres.data_dir, valkey.data_dir)}

    assert modes == {0o700}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_other_major_version_is_refused(tmp_path: Path, children: guardian.Children) -> None:
    """Data of another Postgres is named and left alone."""
    server = postgres_in(tmp_path, children)
    server.data_dir.mkdir()
    (server.data_dir / "PG_VERSION").write_text("15\n")

    with pytest.raises(EmbeddedError, match=r"was made by Postgres 15, this is \d+: move it away"):
        server.start()


def test_port_that_is_taken_is_an_error_with_its_log(tmp_path: Path, children: guardian.Children) -> None:
    """A server that cannot start says where the reason stands."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        server = embedded.Valkey(tmp_path, port=holder.getsockname()[1], children=children)
        with pytest.raises(EmbeddedError, match=r"valkey ended with 1 at start; see .*valkey\.log"):
            server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs, and has, the way over another user")
def test_root_without_namespaces_runs_it_as_nobody(tmp_path: Path, children: guardian.Children) -> None:
    """Where user namespaces are forbidden, root's Postgres runs as nobody in a folder of its own, twice."""
    tmp_path.chmod(0o700)
    server = embedded.Postgres(tmp_path / "state", settings=SMALL, children=children, user_namespace=False)
    try:
        with running(server):
            pid = int(server.pid_file.read_text().split("\n", 1)[0])
            assert Path(f"/proc/{pid}").stat().st_uid == server.user
            assert (
                asyncio.run(ask(server.url_of("postgres"), "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1"))
                == 1
            )
        with running(server):
            assert asyncio.run(ask(server.url_of("postgres"), "SELECT n FROM kept")) == 7
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(server.data_dir.parent)
    assert guardian.working_in(server.data_dir) == []
