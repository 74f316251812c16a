"""GET /health: is the box, with its database, fit to serve? Public.

Source: core specification, "Health".
"""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from boxruntime import __version__
from boxruntime.api.call import Call, Result
from boxruntime.storage.errors import outcome_of

if TYPE_CHECKING:
    from boxruntime.api.box import Box


async def health(call: Call, box: Box) -> Result:
    """Return the state of process and database; 503 when the database does not answer."""
    del call
    started = time.perf_counter()
    try:
        await box.database.run("SELECT 1")
        status = "pass"
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if outcome_of(error) is None:
            raise
        status = "fail"
    response_ms = round((time.perf_counter() - started) * 1000, 3)
    now = datetime.now(UTC)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    value: dict[str, Any] = {
        "status": status,
        "description": f"health of {box.settings.box_id}",
        "version": __version__,
        "releaseId": box.metadata.module,
        "checks": {
            "uptime": [
                {
                    "componentType": "system",
                    "observedValue": round((now - box.started_at).total_seconds()),
                    "observedUnit": "s",
                    "status": "pass",
                    "time": now.isoformat(timespec="milliseconds")[:23] + "Z",
                }
            ],
            "memory:utilization": [
                {
                    "componentType": "system",
                    "observedValue": memory_mb,
                    "observedUnit": "Mb",
                    "status": "pass",
                }
            ],
            "db:responseTime": [
                {
                    "componentType": "database",
                    "observedValue": response_ms,
                    "observedUnit": "ms",
                    "status": status,
                }
            ],
        },
    }
    return Result(
        status=200 if status == "pass" else 503,
        value=value,
        headers=((b"cache-control", b"no-store"),),
    )
