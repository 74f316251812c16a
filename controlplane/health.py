"""Readiness of the control plane: `GET /__healthcheck`, 200 when database and broker answer."""

from __future__ import annotations

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis import Redis
from redis.exceptions import RedisError

TIMEOUT_S = 2.0


def healthcheck(request: HttpRequest) -> JsonResponse:
    checks = {"database": _database_answers(), "broker": broker_answers()}
    status = 200 if all(checks.values()) else 503
    words = {name: "pass" if passed else "fail" for name, passed in checks.items()}
    return JsonResponse(
        {"status": "pass" if status == 200 else "fail", "checks": words}, status=status
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def broker_answers() -> bool:
    """Return whether the broker answers; for brokers other than Redis it is taken on trust."""
    url = settings.CELERY_BROKER_URL
    if not url.startswith(("redis:", "rediss:", "unix:")):
        return True
    try:
        with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as r:
            return bool(r.ping())
    except (RedisError, OSError):
        return False
