"""Rounds of an interleaved comparison: who was measured, in which order, and what each cost in processor
time. Decides nothing about ratios.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import machine
from bench.figures import median
from bench.load import Order, Outcome
from bench.rig import Rig, send

type_show = Callable[[str, int, int], None]
"""Draws a progress bar: phase, steps done, steps in all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often a bench measures. `smoke` only proves that everything works."""

    smoke: bool
    show: type_show
    rows_max: int = 10_000_000
    """The largest database that `growth` fills."""

    @property
    def rounds(self) -> int:
        """Every compared thing is measured this often, in turn."""
        return 1 if self.smoke else 5

    def seconds(self, full: float, smoke: float = 0.3) -> float:
        """A duration, or the short one."""
        return smoke if self.smoke else full

    def count(self, full: int, smoke: int) -> int:
        """A number of things, or the small one."""
        return smoke if self.smoke else full


@dataclass
class Series:
    """The outcomes of one compared thing, one per round; shares are of one processor."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)
    receiver_share: list[float] = field(default_factory=list)
    postgres_share: list[float] = field(default_factory=list)
    machine_share: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> list[float]:
        """Acknowledged per second, by round."""
        return [outcome.per_s for outcome in self.outcomes]

    @property
    def p50_ms(self) -> list[float]:
        """Half of the answers came sooner, by round."""
        return [outcome.p50_ms for outcome in self.outcomes]

    @property
    def p99_ms(self) -> list[float]:
        """Of a hundred answers one came later, by round."""
        return [outcome.p99_ms for outcome in self.outcomes]

    @property
    def per_cpu_s(self) -> list[float]:
        """Acknowledged per processor second of the receiver, by round: unlike `per_s` it hardly depends on
        how busy other people keep the machine.
        """
        return [
            per_s / share if share else 0.0
            for per_s, share in zip(self.per_s, self.receiver_share, strict=True)
        ]

    @property
    def load_share(self) -> float:
        """What the load generator itself took."""
        return median([outcome.cpu_share for outcome in self.outcomes])

    @property
    def acknowledged(self) -> int:
        """All 2xx answers of all rounds, the warm-ups included."""
        return sum(outcome.acknowledged for outcome in self.outcomes)

    @property
    def refused(self) -> int:
        """All other answers, and requests that got none."""
        return sum(outcome.sent - outcome.acknowledged for outcome in self.outcomes)

    def json(self) -> dict[str, object]:
        """By round, for the JSON."""
        return {
            "per_s": [round(value, 1) for value in self.per_s],
            "p50_ms": [round(value, 3) for value in self.p50_ms],
            "p99_ms": [round(value, 3) for value in self.p99_ms],
            "acknowledged": self.acknowledged,
            "not_acknowledged": self.refused,
            "cpu_share": {
                "receiver": round(median(self.receiver_share), 3),
                "postgres": round(median(self.postgres_share), 3),
                "load": round(self.load_share, 3),
                "machine": round(median(self.machine_share), 3),
            },
        }


async def measure(rig: Rig, series: Series, pids: Sequence[int], order: Order, apart: bool = True) -> None:
    """Carry out one order against the receiver with these pids and keep what it said and cost.

    A receiver of one process is kept `apart`: it has a processor to itself, and the servers and the sender
    have the others; else the kernel now and then queues a server behind it while a processor idles.
    """
    place(rig, pids, apart)
    began, receiver, postgres, busy = (
        time.monotonic(),
        machine.cpu_s(pids),
        _postgres_s(rig),
        machine.busy_s(),
    )
    outcome = await send(order)
    # The generator makes its requests first; a receiver that waits for them spends nothing meanwhile.
    seconds = order.warm_s + outcome.seconds
    series.outcomes.append(outcome)
    series.receiver_share.append((machine.cpu_s(pids) - receiver) / seconds)
    series.postgres_share.append((_postgres_s(rig) - postgres) / seconds)
    series.machine_share.append((machine.busy_s() - busy) / (time.monotonic() - began))


def place(rig: Rig, pids: Sequence[int], apart: bool = True) -> None:
    """Keep these processes on a processor of their own, the servers and what this one starts on the others;
    not `apart`: all on all.
    """
    first, *others = machine.PROCESSORS or (0,)
    if not others:
        return
    machine.keep_on(pids, (first,) if apart else machine.PROCESSORS)
    machine.keep_on((rig.postgres_pid, rig.valkey_pid), others if apart else machine.PROCESSORS)
    os.sched_setaffinity(0, others if apart else machine.PROCESSORS)  # the sender is a child of this process


def keep_together(rig: Rig, backends: Sequence[int]) -> None:
    """Keep these backends on the one processor of this process, the servers' other processes off it: an
    answer then never waits for another processor to wake up, which now and then costs more than the question.
    """
    *others, last = machine.PROCESSORS or (0,)
    machine.keep_on((rig.postgres_pid, rig.valkey_pid), others or (last,))
    machine.keep_on((*backends, os.getpid()), (last,))


def _postgres_s(rig: Rig) -> float:
    return machine.cpu_s([rig.postgres_pid])
