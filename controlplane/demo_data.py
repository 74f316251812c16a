"""The demonstration data: sixteen invented patients, loaded through a box's public HTTP API."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from controlplane.environment import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOLDER = PROJECT / "tests" / "data" / "synthea"
PATIENTS = 16
TIMEOUT_S = 120.0


class DemoError(Exception):
    """A sentence for whoever runs the command."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One patient's transaction bundle, as it is sent."""

    body: bytes
    types: Counter[str]


@dataclass(frozen=True, slots=True)
class Loaded:
    counts: dict[str, int]
    """Resources of each type in the box now."""
    seconds: float


def read_bundles(folder: Path = FOLDER) -> Iterator[Bundle]:
    """Read the bundles one by one, in order of their names. Raises DemoError."""
    files = sorted(folder.glob("*.json.gz"))
    if not files:
        raise DemoError(f"The demonstration data is missing: {folder} holds no bundles.")
    for file in files:
        body = gzip.decompress(file.read_bytes())
        entries = msgspec.json.decode(body)["entry"]
        yield Bundle(body, Counter(entry["resource"]["resourceType"] for entry in entries))


def open_box(base_url: str, auth: httpx.Auth | None, token: str | None) -> httpx.Client:
    """Return a client of the box at `base_url`.

    `*.localhost` is reached on the loopback address under its own name, for many resolvers do
    not know these names.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise DemoError("The base URL must look like http://box.example.org.")
    headers = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    if host.endswith(".localhost"):
        headers["host"] = parts.netloc
        port = f":{parts.port}" if parts.port else ""
        base_url = f"{parts.scheme}://127.0.0.1{port}{parts.path}"
    return httpx.Client(
        base_url=base_url.rstrip("/"), headers=headers, auth=auth, timeout=TIMEOUT_S
    )


def count(box: httpx.Client, resource_type: str) -> int:
    """Return how many resources of the type the box holds. Raises DemoError."""
    answer = _send(box, "GET", f"/fhir/{resource_type}?_summary=count")
    return int(answer.get("total", 0))


def load(box: httpx.Client, bundles: list[Bundle], advance: Callable[[int], object]) -> Loaded:
    """Send every bundle; `advance(n)` is told of n more resources stored. Raises DemoError."""
    begun = time.monotonic()
    types: Counter[str] = Counter()
    for bundle in bundles:
        _send(box, "POST", "/fhir", bundle.body)
        types += bundle.types
        advance(bundle.types.total())
    seconds = time.monotonic() - begun
    return Loaded({name: count(box, name) for name in sorted(types)}, seconds)


def _send(box: httpx.Client, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    try:
        answer = box.request(method, path, content=body)
    except httpx.HTTPError as error:
        raise DemoError(f"The box does not answer ({type(error).__name__}).") from error
    if answer.status_code in (401, 403):
        raise DemoError(f"The box refuses these credentials ({answer.status_code}).")
    if answer.is_error:
        raise DemoError(f"The box answered {answer.status_code} to {method} {path}{_why(answer)}")
    try:
        decoded: dict[str, Any] = msgspec.json.decode(answer.content)
    except msgspec.DecodeError as error:
        raise DemoError("What answers there is no FHIR server.") from error
    return decoded


def _why(answer: httpx.Response) -> str:
    """Return the first issue of an OperationOutcome; the data is invented, so it may be shown."""
    try:
        issue = msgspec.json.decode(answer.content)["issue"][0]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        return "."
    where = ", ".join(issue.get("expression") or [])
    return f": {issue.get('diagnostics') or issue.get('code')} {where}".rstrip()
