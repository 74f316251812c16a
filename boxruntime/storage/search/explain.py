"""`_explain`: how PostgreSQL runs a search.

Source: search specification, 7.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime.storage.search.compile import compile_search
from boxruntime.storage.search.statement import Statement

if TYPE_CHECKING:
    from boxruntime.fhir.search.query import Query
    from boxruntime.storage.database import Runner


async def explain(runner: Runner, query: Query) -> dict[str, Any]:
    """Run the search under EXPLAIN ANALYZE; return `{query, plan}`, or `{exception, query}`."""
    statement = compile_search(query)
    analysed = Statement(f"EXPLAIN (ANALYZE, BUFFERS) {statement.sql}", statement.parameters)
    try:
        records = await runner.run(analysed.sql, *analysed.parameters)
    except asyncpg.PostgresError as error:
        # The caller may run any SQL here, so the message is theirs to see.
        return {"exception": error.message or "", "query": statement.as_jdbc()}
    return {
        "query": statement.as_jdbc(),
        "plan": "\n".join(record[0] for record in records),
    }
