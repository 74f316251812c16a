"""Talking to a box through its public HTTP API, over its unix socket.

The console reads a box only this way and only as the person, with a token of theirs, so that
the box's own policies govern what a page shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import msgspec

if TYPE_CHECKING:
    from pathlib import Path

HEALTH_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
BODY_LIMIT_BYTES = 16 * 1024 * 1024


@unique
class Health(StrEnum):
    PASS = "pass"  # noqa: S105 - the word of the health page, no password
    FAIL = "fail"
    UNREACHABLE = "unreachable"


def check_health(socket: Path) -> Health:
    """Ask the box for its health, which wakes it."""
    try:
        with _open(socket, "health", HEALTH_TIMEOUT_S) as client:
            answer = client.get("/health")
    except httpx.HTTPError:
        return Health.UNREACHABLE
    return Health.PASS if answer.status_code == httpx.codes.OK else Health.FAIL


class BoxDownError(Exception):
    """The box did not answer."""


class BoxRefusedError(Exception):
    """The box answered with an error status; `status` is it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The box answered {status}.")
        self.status = status


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a type's resources. `total` is None when the box does not say."""

    resources: list[dict[str, Any]]
    total: int | None
    has_next: bool


class BoxClient:
    """A person's view of one box. `host` is the box's own host, as browsers send it."""

    def __init__(self, socket: Path, host: str, token: str) -> None:
        self._socket = socket
        self._host = host
        self._token = token

    def count(self, types: list[str]) -> dict[str, int | None]:
        """Return how many resources there are of each type, in one batch; None where refused."""
        entries = [
            {"request": {"method": "GET", "url": f"{name}?_summary=count"}} for name in types
        ]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answered = self._ask("POST", "/fhir", json=bundle).get("entry") or []
        totals = [(entry.get("resource") or {}).get("total") for entry in answered]
        return dict(zip(types, totals, strict=False))

    def list_page(self, resource_type: str, *, page: int, size: int) -> Page:
        """Return a page of resources, the first being page 1, newest first."""
        bundle = self._ask(
            "GET",
            f"/fhir/{quote(resource_type, safe='')}",
            params={"_count": str(size), "_page": str(page), "_sort": "-_lastUpdated"},
        )
        links = {link.get("relation"): link for link in bundle.get("link") or []}
        return Page(
            resources=[entry["resource"] for entry in bundle.get("entry") or []],
            total=bundle.get("total"),
            has_next="next" in links,
        )

    def read(self, resource_type: str, resource_id: str) -> str:
        """Return one resource in FHIR format as indented JSON, numbers as they were written."""
        body = self._send(
            "GET", f"/fhir/{quote(resource_type, safe='')}/{quote(resource_id, safe='')}"
        )
        try:
            return msgspec.json.format(body, indent=2).decode()
        except msgspec.DecodeError as error:
            raise BoxDownError("no JSON") from error

    def resource_types(self) -> list[str]:
        """Return the types that the box says it serves."""
        statement = self._ask("GET", "/fhir/metadata")
        rest = statement.get("rest") or [{}]
        return sorted(resource["type"] for resource in rest[0].get("resource") or [])

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the decoded body, an object. Raises BoxDownError, BoxRefusedError."""
        try:
            decoded = msgspec.json.decode(self._send(method, path, **request))
        except msgspec.DecodeError as error:
            raise BoxDownError("no JSON") from error
        return decoded if isinstance(decoded, dict) else {}

    def _send(self, method: str, path: str, **request: Any) -> bytes:
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/fhir+json"}
        try:
            with (
                _open(self._socket, self._host, READ_TIMEOUT_S) as client,
                client.stream(method, path, headers=headers, **request) as answer,
            ):
                if answer.status_code >= httpx.codes.BAD_REQUEST:
                    raise BoxRefusedError(answer.status_code)
                body = _read_body(answer)
        except httpx.HTTPError as error:
            raise BoxDownError(type(error).__name__) from error
        return body


def _read_body(answer: httpx.Response) -> bytes:
    parts, length = [], 0
    for part in answer.iter_bytes():
        length += len(part)
        if length > BODY_LIMIT_BYTES:
            raise BoxDownError("answer too large")
        parts.append(part)
    return b"".join(parts)


def _open(socket: Path, host: str, timeout_s: float) -> httpx.Client:
    """Return a client of the box. Raises httpx.ConnectError where there is none."""
    if not socket.exists():
        raise httpx.ConnectError("The box has no socket.")
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket)),
        base_url=f"http://{host}",
        timeout=timeout_s,
        trust_env=False,
    )
