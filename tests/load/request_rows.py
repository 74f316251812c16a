"""Rows of requests: a running box under load, and beside it the statements it has to run.

Ours and floor are measured in turn, so that a change of the machine's mood meets both.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from boxruntime.fhir.json_text import encode_json
from tests.load import payloads, scale
from tests.load.figures import Cpu, Row
from tests.load.generator import read_requests
from tests.load.usage import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.load.floors import BareDatabase, Floor
    from tests.load.generator import Generator, Outcome
    from tests.load.payloads import Bundle
    from tests.load.scale import Scale
    from tests.load.servers import Box

SETTLE_S = 0.1  # requests that wrk gave up at its end are still worked on
WARM_UP_S = 0.1
READ_IDS = 2000


class Sample(NamedTuple):
    """One measurement of a server under load."""

    rate: float
    outcome: Outcome
    cpu: Cpu
    others_percent: float


class Bench(NamedTuple):
    """What the rows of requests are measured with."""

    generator: Generator
    box: Box
    database: BareDatabase
    postmaster: int
    hello_port: int
    hello_pid: int
    scale: Scale
    say: Callable[[str], None]


def http_rows(bench: Bench) -> list[Row]:
    """Measure the HTTP server alone: what any request costs before anybody looks at it."""
    bodies = [encode_json(patient) for patient in payloads.patients()]
    get = bench.generator.prepare("hello-get", [payloads.http_request("GET", "/")])
    echo = bench.generator.prepare(
        "hello-echo", [payloads.http_request("POST", "/", body) for body in bodies]
    )
    rows = []
    for name, path in (("HTTP alone, GET 2 kB", get), ("HTTP alone, POST 2 kB", echo)):
        bench.say(name)
        samples = [
            load_server(bench, path, bench.hello_port, [bench.hello_pid])
            for _ in range(bench.scale.runs)
        ]
        rows.append(row_of(name, samples))
    return rows


def request_rows(bench: Bench, http_get: Row, http_post: Row) -> list[Row]:
    """Measure create, read and update of single resources."""
    bodies = [encode_json(patient) for patient in payloads.patients()]
    request = payloads.http_request
    create = bench.generator.prepare(
        "create", [request("POST", "/fhir/Patient", body) for body in bodies]
    )
    _warm_up(bench, create)
    known = bench.database.ids_and_documents("Patient", READ_IDS)
    ids = [id_ for id_, _ in known]
    documents = [document for _, document in known[: payloads.PATIENTS]]
    few = scale.DATABASE_CONNECTIONS
    return [
        measure(
            bench,
            "create, /fhir",
            create,
            lambda s: bench.database.create(documents, connections=few, seconds=s),
            http_post,
            target=3500,
        ),
        measure(
            bench,
            "read by id, /fhir",
            bench.generator.prepare("read", [request("GET", f"/fhir/Patient/{i}") for i in ids]),
            lambda s: bench.database.read(ids, connections=few, seconds=s),
            http_get,
            target=9000,
        ),
        measure(
            bench,
            "read by id, /",
            bench.generator.prepare("read-root", [request("GET", f"/Patient/{i}") for i in ids]),
            lambda s: bench.database.read(ids, connections=few, seconds=s),
            http_get,
        ),
        measure(
            bench,
            "update, /fhir",
            bench.generator.prepare("update", _updates(ids)),
            lambda s: bench.database.update(ids, documents, connections=few, seconds=s),
            http_post,
        ),
    ]


def _warm_up(bench: Bench, create: Path) -> None:
    """Have the box compile what it compiles once, and leave rows to read.

    Alone at first: each of many connections that come at once would have the same secret hashed.
    """
    one = bench.generator.prepare("one", read_requests(create)[:1])
    bench.generator.once(one, bench.box.port, connections=1)
    load_server(bench, create, bench.box.port, [bench.box.pid])


def bundle_rows(bench: Bench) -> list[Row]:
    """Measure transactions; rates are resources per second."""
    sizes = bench.scale
    return [
        measure_bundles(bench, "transaction of 100, /fhir", payloads.bundles_of_100(sizes.bundles)),
        measure_bundles(bench, "Synthea bundles, /fhir", payloads.synthea(sizes.synthea)),
    ]


def load_for_memory(bench: Bench) -> None:
    """Give a box all kinds of work once, so that it has what a busy box has."""
    for name in ("create", "read", "update"):
        path = bench.generator.prepare(f"busy-{name}", _busy(name))
        bench.generator.once(path, bench.box.port, connections=scale.CONNECTIONS)
    path = bench.generator.prepare("busy-bundles", _posts(payloads.synthea(bench.scale.synthea)))
    bench.generator.once(path, bench.box.port, connections=scale.BUNDLE_CONNECTIONS)


def _busy(name: str) -> list[bytes]:
    bodies = payloads.patients(200)
    requests = []
    for number, patient in enumerate(bodies):
        url = f"/fhir/Patient/busy-{number}"
        if name == "read":
            requests.append(payloads.http_request("GET", url))
        else:
            body = encode_json({**patient, "id": f"busy-{number}"})
            requests.append(payloads.http_request("PUT", url, body))
    return requests


def _updates(ids: Sequence[str]) -> list[bytes]:
    """Return updates of which two that follow one another on an id differ."""
    requests = []
    for seed in (2, 3):
        patients = payloads.patients(len(ids), seed=seed)
        for id_, patient in zip(ids, patients, strict=True):
            body = encode_json({**patient, "id": id_})
            requests.append(payloads.http_request("PUT", f"/fhir/Patient/{id_}", body))
    return requests


def _posts(bundles: Sequence[Bundle]) -> list[bytes]:
    return [payloads.http_request("POST", "/fhir", bundle.body) for bundle in bundles]


def measure(
    bench: Bench,
    name: str,
    requests: Path,
    floor: Callable[[float], Floor],
    http: Row,
    *,
    target: float | None = None,
    statement: str = "its SQL statement",
) -> Row:
    """Measure requests, and in turn with them what PostgreSQL has to do for them."""
    bench.say(name)
    floor(WARM_UP_S)
    samples, floors = [], []
    for _ in range(bench.scale.runs):
        samples.append(load_server(bench, requests, bench.box.port, [bench.box.pid]))
        floors.append(floor(bench.scale.floor_s))
    row = row_of(name, samples, target)
    row.floor = [one.rate for one in floors]
    row.floor_name = (
        f"{statement} over asyncpg, {scale.DATABASE_CONNECTIONS} connections; CPU with {http.name}"
    )
    bare = _floor_cpu(floors)
    http_us = http.cpu.app_us if http.cpu else 0.0
    row.floor_cpu = Cpu(app_us=bare.app_us + http_us, postgres_us=bare.postgres_us)
    return row


def measure_bundles(bench: Bench, name: str, bundles: Sequence[Bundle]) -> Row:
    """Measure transactions in resources per second, each sent once."""
    bench.say(name)
    path = bench.generator.prepare(
        name.split(",", maxsplit=1)[0].replace(" ", "-"), _posts(bundles)
    )
    types = sorted({kind for bundle in bundles for kind in bundle.types})
    resources = sum(bundle.resources for bundle in bundles)
    before = bench.database.last_version()
    _send_once(bench, path, resources)  # warms up
    written = bench.database.written_since(before, types)
    few = scale.BUNDLE_CONNECTIONS
    bench.database.transactions(written[: 2 * few], connections=few)  # warms up
    samples, floors = [], []
    for _ in range(bench.scale.bundle_runs):
        samples.append(_send_once(bench, path, resources))
        floors.append(bench.database.transactions(written, connections=few))
    row = row_of(name, samples, target=5000)
    row.floor = [one.rate for one in floors]
    row.floor_name = (
        f"the same rows, one INSERT … unnest a type, {scale.BUNDLE_CONNECTIONS} connections"
    )
    row.floor_cpu = _floor_cpu(floors)
    return row


def load_server(bench: Bench, requests: Path, port: int, pids: Sequence[int]) -> Sample:
    """Send requests for a while to a server that is the processes `pids`."""
    with watch(pids, bench.postmaster) as used:
        outcome = bench.generator.for_seconds(
            requests, port, connections=scale.CONNECTIONS, seconds=bench.scale.seconds
        )
    time.sleep(SETTLE_S)
    cpu = _per_operation(used.app_s, used.postgres_s, outcome.requests)
    return Sample(outcome.requests / outcome.seconds, outcome, cpu, used.others_percent)


def _send_once(bench: Bench, path: Path, resources: int) -> Sample:
    with watch([bench.box.pid], bench.postmaster) as used:
        outcome = bench.generator.once(path, bench.box.port, connections=scale.BUNDLE_CONNECTIONS)
    cpu = _per_operation(used.app_s, used.postgres_s, resources)
    return Sample(resources / outcome.seconds, outcome, cpu, used.others_percent)


def _floor_cpu(floors: Sequence[Floor]) -> Cpu:
    return median_cpu(
        [_per_operation(one.client_s, one.postgres_s, one.operations) for one in floors]
    )


def _per_operation(app_s: float, postgres_s: float, operations: int) -> Cpu:
    return Cpu(app_us=app_s / operations * 1e6, postgres_us=postgres_s / operations * 1e6)


def median_cpu(cpus: Sequence[Cpu]) -> Cpu:
    return Cpu(
        app_us=median(cpu.app_us for cpu in cpus),
        postgres_us=median(cpu.postgres_us for cpu in cpus),
    )


def row_of(name: str, samples: Sequence[Sample], target: float | None = None) -> Row:
    return Row(
        name=name,
        unit="/s",
        ours=[sample.rate for sample in samples],
        target=target,
        p50_ms=median(sample.outcome.p50_ms for sample in samples),
        p99_ms=median(sample.outcome.p99_ms for sample in samples),
        cpu=median_cpu([sample.cpu for sample in samples]),
        others_percent=median(sample.others_percent for sample in samples),
    )
