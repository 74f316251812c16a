"""Rows of the core engine: conversion and validation alone, and the dearer interactions."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.formats import to_aidbox, to_fhir
from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate
from tests.load import payloads, scale
from tests.load.figures import Row
from tests.load.request_rows import READ_IDS, load_server, measure, measure_bundles, row_of
from tests.load.servers import FHIR_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.load.request_rows import Bench, Sample

PASSES = 5  # over all resources; the fastest counts: the others were interrupted


def conversion_rows(bench: Bench) -> list[Row]:
    """Measure conversion and validation of Synthea's resources, in microseconds a resource."""
    bench.say("conversion and validation")
    metadata = base_metadata(FHIR_VERSION)
    resources = payloads.synthea_resources(bench.scale.synthea)
    texts = [encode_json(resource) for resource in resources]
    kilobytes = sum(map(len, texts)) / 1000 / len(texts)
    stored = [to_aidbox(metadata, r["resourceType"], r).resource for r in resources]

    def check(resource: dict[str, Any]) -> None:
        issues = validate(metadata, resource["resourceType"], resource, Dialect.FHIR)
        if issues:
            raise AssertionError(f"{resource['resourceType']} is not valid: {issues[0].message}")

    parse_us = [_each_us(decode_json, texts) for _ in range(bench.scale.runs)]
    rows = []
    for name, work, items in (
        (
            "convert to Aidbox format",
            lambda r: to_aidbox(metadata, r["resourceType"], r),
            resources,
        ),
        ("convert to FHIR format", lambda r: to_fhir(metadata, r), stored),
        ("validate", check, stored),
    ):
        figures = [_each_us(work, items) for _ in range(bench.scale.runs)]
        rows.append(
            Row(
                name=name,
                unit="µs",
                ours=figures,
                floor=parse_us,
                floor_name="parsing the JSON of the same resources",
                parts={"per kB": median(figures) / kilobytes},
            )
        )
    return rows


def _each_us(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the microseconds of CPU that one item takes."""
    fastest = float("inf")
    for _ in range(PASSES):
        started = time.process_time()
        for item in items:
            work(item)
        fastest = min(fastest, time.process_time() - started)
    return fastest / len(items) * 1e6


def interaction_rows(bench: Bench, http_get: Row, http_post: Row) -> list[Row]:
    """Measure a conditional update, a history, a transaction of 1,000 and a grown table."""
    known = bench.database.ids_and_documents("Patient", READ_IDS)
    ids = [id_ for id_, _ in known]
    documents = [document for _, document in known[: payloads.PATIENTS]]
    few = scale.DATABASE_CONNECTIONS
    return [
        measure(
            bench,
            "conditional update, /fhir",
            bench.generator.prepare("conditional-update", _conditional_updates(bench)),
            lambda s: bench.database.update(ids, documents, connections=few, seconds=s),
            http_post,
            statement="the UPDATE alone",
        ),
        measure(
            bench,
            "history of a resource, /fhir",
            bench.generator.prepare(
                "history",
                [payloads.http_request("GET", f"/fhir/Patient/{i}/_history") for i in ids],
            ),
            lambda s: bench.database.history(ids, connections=few, seconds=s),
            http_get,
        ),
        measure_bundles(
            bench,
            "transaction of 1000, /fhir",
            payloads.bundles_of_1000(bench.scale.bundle_runs + 3),
        ),
        *_grown_rows(bench, ids),
    ]


def _conditional_updates(bench: Bench) -> list[bytes]:
    """Return updates, by their record number, of patients that are not there twice."""
    create, update = [], []
    for patient in payloads.patients(seed=5):
        create.append(payloads.http_request("POST", "/fhir/Patient", encode_json(patient)))
        number = patient["identifier"][0]
        body = encode_json(patient | {"active": False})
        criteria = f"identifier={number['system']}|{number['value']}"
        update.append(payloads.http_request("PUT", f"/fhir/Patient?{criteria}", body))
    once = bench.generator.prepare("patients-to-update", create)
    bench.generator.once(once, bench.box.port, connections=scale.BUNDLE_CONNECTIONS)
    return update


def _grown_rows(bench: Bench, patients: Sequence[str]) -> list[Row]:
    """Measure creating and reading observations in a small table and in a large one."""
    bodies = [encode_json(one) for one in payloads.observations(patients)]
    creates = [payloads.http_request("POST", "/fhir/Observation", body) for body in bodies]
    create = bench.generator.prepare("create-observation", creates)
    small = _samples(bench, create)
    bench.say(f"a table of {bench.scale.grown_rows:,} rows")
    bench.database.grow(bench.scale.grown_rows)
    large = _samples(bench, create)
    rows = []
    for name in large:
        row = row_of(f"{name} in a grown table, /fhir", large[name])
        row.floor = [sample.rate for sample in small[name]]
        row.floor_name = f"the same in a small table; grown to {bench.scale.grown_rows:,} rows"
        row.floor_cpu = row_of("", small[name]).cpu
        rows.append(row)
    return rows


def _samples(bench: Bench, create: Path) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {"create": [], "read": []}
    load_server(bench, create, bench.box.port, [bench.box.pid])
    ids = [id_ for id_, _ in bench.database.ids_and_documents("Observation", READ_IDS)]
    read = bench.generator.prepare(
        "read-observation",
        [payloads.http_request("GET", f"/fhir/Observation/{id_}") for id_ in ids],
    )
    for _ in range(bench.scale.runs):
        samples["create"].append(load_server(bench, create, bench.box.port, [bench.box.pid]))
        samples["read"].append(load_server(bench, read, bench.box.port, [bench.box.pid]))
    return samples
