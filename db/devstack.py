"""`python -m db.devstack up|demo`: the whole stack on one machine; must never be how production runs.

Servers first, then the Procfile's release line, then its processes, then for the demo the customer. `run.py`
is its front and holds the other end of the lifeline: when that breaks, everything here ends in order.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from db import dev_environment, embedded
from runtime import guardian, procfile
from runtime.supervisor import EXIT_BAD_SETTINGS, Program, StartFailedError, StopRequestedError, Supervisor
from runtime.terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]

wave_customer, wave_sandbox, wave_app, wave_valkey, wave_postgres = range(5)
"""Who ends when: first who makes work, then who does it, last what they do it with."""

told_every_s = 15.0
"""How often somebody who waits for a process is told which one."""
demo_ready_s_max = 120.0
"""A demo whose processes are not ready by then has failed; `up` keeps waiting, its processes are being worked
on."""
ready_poll_s = 0.1


class Stack:
    """One run of the stack in its state directory; `customer` holds the demo's arguments, None means `up`."""

    def __init__(self, terminal: Terminal, state_dir: Path, customer: list[str] | None, stays: bool) -> None:
        self._terminal = terminal
        self._state_dir = state_dir
        self._customer = customer
        self._stays = stays
        self._status: int | None = None
        self._ended_by: int | None = None
        self._commands = procfile.parse((ROOT / "Procfile").read_text(encoding="utf-8"))
        if customer is not None:
            self._commands += procfile.parse("sandbox: python -m psp.sandbox")
        self._environment: dict[str, str] = {}
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = guardian.RunLock(state_dir / "run")
        self._children = guardian.Children(state_dir / "run")
        self._supervisor = Supervisor(self._children, terminal.say, terminal.show)

    def run(self) -> int:
        """Run until the end is asked for; returns the exit status. Raises RunHeldError, AddressError."""
        self._lock.take(self._terminal.say)
        try:
            self._children.end_leftovers(self._terminal.say)
            given = {name: value for name, value in os.environ.items() if name != guardian.LIFELINE_VARIABLE}
            self._environment = dev_environment.complete(
                given, self._state_dir, demo=self._customer is not None
            )
            programs = f"{Path(sys.executable).parent}{os.pathsep}{given.get('PATH', os.defpath)}"
            self._environment |= {"PATH": programs, "PYTHONUNBUFFERED": "1"}
            dev_environment.require_free_ports(
                self._environment, [command.name for command in self._commands]
            )
            return asyncio.run(self._run())
        finally:
            self._lock.close()

    async def _run(self) -> int:
        self._listen_for_the_end()
        try:
            await self._start_servers()
            await self._start_processes()
            await self._until_ready()
            self._announce()
            if self._customer is not None:
                await self._serve(self._customer)
            if self._stays:
                self._terminal.say("Ctrl-C stops everything")
                await self._supervisor.stopping.wait()
        except StopRequestedError:
            pass
        except StartFailedError as error:
            self._terminal.say(str(error))
            self._status = 1
        finally:
            self._lock.mark("stopping")
            self._terminal.say("stopping")
            await self._supervisor.stop()
            self._terminal.say("stopped")
        if self._supervisor.refused:
            return EXIT_BAD_SETTINGS
        if self._status is None and self._customer is not None:
            return 128 + (self._ended_by or signal.SIGTERM)
        return self._status or 0

    def _listen_for_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, functools.partial(self._end, number, again_means_hurry=True))
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means: outlive the terminal
            loop.add_signal_handler(signal.SIGHUP, functools.partial(self._end, signal.SIGHUP))
        lifeline = os.environ.get(guardian.LIFELINE_VARIABLE)
        if lifeline is None:
            return

        def broken() -> None:
            loop.remove_reader(int(lifeline))
            if not self._supervisor.stopping.is_set():
                self._terminal.say("run.py is gone")
            self._end(signal.SIGHUP)

        loop.add_reader(int(lifeline), broken)

    def _end(self, number: int, again_means_hurry: bool = False) -> None:
        self._lock.mark("stopping")
        self._ended_by = self._ended_by or number
        self._supervisor.request_stop(again_means_hurry)

    async def _start_servers(self) -> None:
        servers = [
            n
            for n, v in (("Postgres", "DATABASE_URL"), ("Valkey", "REDIS_URL"))
            if not self._environment.get(v)
        ]
        if servers:
            self._terminal.say(f"starting {' and '.join(servers)} in {self._state_dir}")
        if not self._environment.get("DATABASE_URL"):
            postgres = embedded.Postgres(self._state_dir, children=self._children)
            await self._supervisor.start(postgres.program(wave_postgres))
            await self._supervisor.or_stop(embedded.ensure_database(postgres))
            self._environment["DATABASE_URL"] = postgres.url
        if not self._environment.get("REDIS_URL"):
            valkey = embedded.Valkey(self._state_dir, children=self._children)
            await self._supervisor.start(valkey.program(wave_valkey))
            self._environment["REDIS_URL"] = valkey.url

    async def _start_processes(self) -> None:
        """Run the release line to its end, then start the sandbox before who calls it, then the rest."""
        for command in self._commands:
            if command.name == procfile.RELEASE:
                program = self._program(command, wave_app, to_log=True)
                status = await self._supervisor.run_to_end(program)
                if status != 0:
                    tail = self._supervisor.tail(program)
                    raise StartFailedError("\n".join([f"{command.name} failed ({status}):", *tail]))
        rest = [command for command in self._commands if command.name != procfile.RELEASE]
        for command in sorted(rest, key=lambda command: command.name != "sandbox"):
            wave = wave_sandbox if command.name == "sandbox" else wave_app
            await self._supervisor.start(self._program(command, wave, to_log=self._customer is not None))

    def _program(self, command: procfile.Command, wave: int, to_log: bool) -> Program:
        return Program(
            name=command.name,
            argv=command.argv,
            env=self._environment,
            cwd=ROOT,
            wave=wave,
            log=self._state_dir / "log" / f"{command.name}.log" if to_log else None,
            signal_group=not command.execs,
            hurried=True,
        )

    async def _until_ready(self) -> None:
        """Wait until every process that listens says that it is ready. Raises StartFailedError for the
        demo."""
        names = [command.name for command in self._commands]
        urls = {name: url for name in names if (url := dev_environment.ready_url(self._environment, name))}
        began = told = time.monotonic()
        while urls:
            for name, url in list(urls.items()):
                if await self._supervisor.or_stop(asyncio.to_thread(_answers_200, url)):
                    del urls[name]
            now = time.monotonic()
            waiting = ", ".join(f"{name} ({url})" for name, url in urls.items())
            if urls and self._customer is not None and now - began > demo_ready_s_max:
                raise StartFailedError(
                    f"not ready within {demo_ready_s_max:.0f} s: {waiting}; see {self._log_dir()}"
                )
            if urls and now - told > told_every_s:
                told = now
                self._terminal.say(f"waiting for {waiting}")
            await self._supervisor.or_stop(asyncio.sleep(ready_poll_s if urls else 0))

    def _announce(self) -> None:
        say, environment = self._terminal.say, self._environment
        receiver, api = (dev_environment.reachable(environment, name) for name in ("ingest", "api"))
        say(f"receiver   http://{receiver}/webhooks/stripe")
        say(f"api        http://{api}")
        say(f"console    http://{api}/console")
        kept = self._state_dir / dev_environment.SECRETS_FILE
        for what, name in (("ops token ", "OPS_TOKENS"), ("signing   ", "STRIPE_WEBHOOK_SECRETS")):
            given = dev_environment.is_given(os.environ, name)
            say(f"{what} in {name} of {'your environment' if given else kept}")
        say(f"database   {_without_password(environment['DATABASE_URL'])}")
        if self._customer is not None:
            say(f"logs       {self._log_dir()}")

    async def _serve(self, customer: list[str]) -> None:
        """Let the customer do its business on our terminal; its exit status becomes ours."""
        status = await self._supervisor.run_to_end(
            Program(
                name="demo",
                argv=(sys.executable, "-m", "psp.sandbox.demo", *customer),
                env=self._environment,
                cwd=ROOT,
                wave=wave_customer,
                owns_terminal=True,
                hurried=True,
            )
        )
        self._status = status if status >= 0 else 128 - status

    def _log_dir(self) -> Path:
        return self._state_dir / "log"


def _answers_200(url: str) -> bool:
    parts = urlsplit(
        url
    )  # http.client, unlike urllib, does not send loopback through a proxy of the environment
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2.0)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _without_password(dsn: str) -> str:
    parts = urlsplit(dsn)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}" if user else host, query=""))


def main() -> int:
    """`up`, or `demo` with the customer's arguments and `--exit`; 78 for a setting, 1 for what else prevents
    a start."""
    mode, *arguments = sys.argv[1:] or ["up"]
    if mode not in ("up", "demo"):
        sys.stderr.write("usage: python -m db.devstack up | demo [--exit] [arguments of psp.sandbox.demo]\n")
        return 2
    terminal = Terminal(mode)
    customer = [part for part in arguments if part != "--exit"] if mode == "demo" else None
    try:
        state_dir = guardian.state_dir(ROOT, os.environ)
        return Stack(terminal, state_dir, customer, stays="--exit" not in arguments).run()
    except dev_environment.AddressError as error:
        terminal.say(str(error))
        return EXIT_BAD_SETTINGS
    except (guardian.RunHeldError, procfile.ProcfileError, OSError) as error:
        terminal.say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        terminal.close()


if __name__ == "__main__":
    sys.exit(main())
