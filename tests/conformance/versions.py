"""Boxes of the FHIR versions beside the default, and how tests speak to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from boxruntime.fhir.formats import to_aidbox
from boxruntime.fhir.json_text import decode_json, encode_json
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate
from tests.conformance.data import examples
from tests.conformance.dstu2 import WRITTEN
from tests.fixtures_box import RunningBox, box_environment, running_box

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SKIP = {"aidbox-validation-skip": "reference"}
JSON = {"content-type": "application/json", "accept": "application/fhir+json"}


class Version(NamedTuple):
    number: str
    examples: tuple[dict[str, Any], ...]
    types: int
    box: RunningBox


NAMES = {"1.0.2": "dstu2", "3.0.2": "stu3", "4.3.0": "r4b", "5.0.0": "r5"}
TYPES = {"1.0.2": 94, "3.0.2": 117, "4.3.0": 141, "5.0.0": 158}


@pytest.fixture(scope="session", params=sorted(NAMES))
async def version(request, box_databases, tmp_path_factory) -> AsyncIterator[Version]:
    """A box of a FHIR version: a single server on an empty database, which it prepares itself."""
    number = request.param
    sent = examples(NAMES[number]) + (WRITTEN if number == "1.0.2" else ())
    name = box_databases.create_empty()
    log = tmp_path_factory.mktemp(NAMES[number]) / "box.log"
    environment = box_environment(box_databases, name, log) | {
        "AIDBOX_FHIR_VERSION": number,
        "BOX_FHIR_VALIDATION_SKIP_REFERENCE": "true",
    }
    try:
        async with running_box(environment) as running:
            yield Version(number, sent, TYPES[number], running)
    finally:
        box_databases.drop(name)


def only(*numbers: str) -> pytest.MarkDecorator:
    """Run a test in boxes of these versions."""
    return pytest.mark.parametrize("version", numbers, indirect=True)


def findings(running, resource):
    """Return what is wrong with a resource that a box sent, by its own definitions."""
    metadata = running.application.box.metadata
    shape = metadata.fhir_type(resource["resourceType"])
    converted = to_aidbox(metadata, shape, resource, keep_meta=True)
    found = converted.issues + validate(metadata, shape, converted.resource, Dialect.FHIR)
    return [(issue.message, issue.expression) for issue in found]


async def put(running, path, value, **headers):
    return await running.client.put(path, content=encode_json(value), headers={**JSON, **headers})


async def get(running, path):
    answer = await running.client.get(path, headers={"accept": "application/fhir+json"})
    assert answer.status_code == 200, answer.text
    return decode_json(answer.content)
