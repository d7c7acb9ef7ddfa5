"""How Postgres carries out a query as the API asks it: which partitions it opens, how many rows it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from db.reads import AUDIT, by_index
from db.rollup import ROLLUP
from tests.api.seed import Seed


@dataclass(frozen=True)
class Done:
    """A plan that was carried out."""

    root: dict[str, Any]

    def _nodes(self) -> Iterator[dict[str, Any]]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.get("Plans", [])

    def rows_read(self) -> int:
        """Rows that its scans took out of tables, those included that a filter then dropped."""
        read = 0.0
        for node in self._nodes():
            if "Relation Name" in node:
                read += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return round(read)

    def days(self) -> set[str]:
        """The daily partitions that it opened and read from."""
        return {
            node["Relation Name"]
            for node in self._nodes()
            if node.get("Relation Name", "").startswith("webhook_log_2") and node["Actual Loops"]
        }

    def loops(self, index: str) -> int:
        """How often it went down an index of this name."""
        return sum(int(node["Actual Loops"]) for node in self._nodes() if node.get("Index Name") == index)

    def read_whole(self) -> set[str]:
        """Tables that it read from end to end."""
        return {node["Relation Name"] for node in self._nodes() if node["Node Type"] == "Seq Scan"}


async def carried_out(
    seed: Seed, query: str, *arguments: object, once: bool = True, side_by_side: bool = False
) -> Done:
    """Carry a query out and tell how: planned by index, `once` for all values or for these."""
    async with seed.connection.transaction():
        if once:
            await by_index(seed.connection)
        else:
            await seed.connection.execute(AUDIT.plan_for_these_values)
        if side_by_side:
            await seed.connection.execute(ROLLUP.plan_side_by_side)
        # Prepared, for EXPLAIN of the query itself plans it for these values whatever was asked for.
        await seed.connection.execute(f"PREPARE carried_out AS {query}")
        given = f"({', '.join(map(_literal, arguments))})" if arguments else ""
        told = await seed.connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE carried_out{given}")
        await seed.connection.execute("DEALLOCATE carried_out")
    return Done(json.loads(told)[0]["Plan"])


def _literal(value: object) -> str:
    """An argument as SQL text, whose type is that of its place."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "'{" + ",".join(f'"{one}"' for one in value) + "}'"
    return f"'{value}'"
