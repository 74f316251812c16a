"""FHIR capabilities: GET /fhir/metadata and /metadata

Spec: https://hl7.org/fhir/R4/http.html#capabilities
Source: core specification, "GET /fhir/metadata".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from boxruntime import __version__
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.fhir.json_text import encode_json
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.http.negotiation import Format, answer_format
from boxruntime.storage.rows import instant

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.api.own_operations import OwnOperations
    from boxruntime.fhir.metadata import Metadata
    from boxruntime.fhir.profiles.registry import ProfileSet

_PATCHES = ("json-patch", "merge-patch")
_BASIC = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": "Basic",
        }
    ]
}
_ON_TYPES = (
    Interaction.READ, Interaction.VREAD, Interaction.UPDATE, Interaction.PATCH,
    Interaction.DELETE, Interaction.HISTORY_INSTANCE, Interaction.HISTORY_TYPE,
    Interaction.CREATE, Interaction.SEARCH,
)  # fmt: skip
_ON_SYSTEM = (Interaction.BUNDLE, Interaction.HISTORY_SYSTEM, Interaction.SEARCH_SYSTEM)
_COMMON = ("Resource", "DomainResource")
"""Abstract types whose search parameters every type has."""
_DEFINITIONS = {
    "$lastn": ("Observation", "http://hl7.org/fhir/OperationDefinition/Observation-lastn"),
    "$validate": (None, "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
}
"""FHIR's own operations: the type they are of (None = every one), and their definition."""
_NO_CACHE = (b"cache-control", b"no-cache")
_MAX_CODE_SYSTEMS = 10_000


class _Made(NamedTuple):
    """The resources of a statement, and what beside the metadata they were made of."""

    operations: OwnOperations
    profiles: ProfileSet
    resources: list[dict[str, Any]]


async def capabilities(call: Call, box: Box) -> Result:
    """Return the CapabilityStatement of this box, or with mode=terminology what it holds of it."""
    mode = call.parameter("mode") or "full"
    if mode == "terminology":
        return Result(status=200, value=await _terminology(call, box), headers=(_NO_CACHE,))
    if mode not in {"full", "normative"}:
        raise OutcomeError(Fault.INVALID, "mode must be full, normative or terminology.")
    value = _statement(call, box, await _configured(box))
    if call.is_entry or call.parameter("_pretty") == "true" or not _wants_json(call):
        return Result(status=200, value=value, headers=(_NO_CACHE,))
    (rest,) = value["rest"]
    rest["resource"] = _encoded_resources(call, box, rest["resource"])
    fhir = call.dialect is Dialect.FHIR
    media = b"application/fhir+json" if fhir else b"application/json"
    headers = (_NO_CACHE, (b"content-type", media + b"; charset=utf-8"))
    return Result(status=200, raw=encode_json(value), headers=headers)


def _wants_json(call: Call) -> bool:
    wanted = call.parameter("_format")
    return answer_format(call.header(b"accept"), wanted) is Format.JSON


def _encoded_resources(call: Call, box: Box, resources: list[dict[str, Any]]) -> msgspec.Raw:
    """Return the resources as JSON, encoded once for a metadata and its operations.

    They are 99 % of the statement: 390 kB, which take 15 ms to make and 1 ms to encode.
    """
    cache = box.metadata.artefacts("capabilities")
    key = f"json {call.dialect}"
    known: tuple[object, msgspec.Raw] | None = cache.get(key)
    if known is None or known[0] is not resources:
        known = cache[key] = resources, msgspec.Raw(encode_json(resources))
    return known[1]


async def _configured(box: Box) -> dict[str, Any]:
    """Return what /AidboxConfig/box says of the statement."""
    stored = await box.store.find("AidboxConfig", "box")
    found = stored.resource().get("metadata") if stored is not None else None
    return found if isinstance(found, dict) else {}


def _head(call: Call, box: Box) -> dict[str, Any]:
    return {
        "status": "active",
        "version": __version__,
        "date": instant(box.started_at),
        "kind": "instance",
        "software": {"name": "Halebox", "version": __version__},
        "implementation": {"description": f"Box {box.settings.box_id}", "url": f"{call.base}/fhir"},
    }


def _statement(call: Call, box: Box, configured: dict[str, Any]) -> dict[str, Any]:
    metadata = box.metadata
    offered = box.routes.interactions[Dialect.FHIR]
    operations = _operations(box)
    name = f"Box {box.settings.box_id}"
    return {
        "resourceType": "CapabilityStatement",
        "name": configured.get("name") or box.settings.box_id,
        "title": configured.get("title") or name,
        **_head(call, box),
        "fhirVersion": metadata.fhir_version,
        "format": ["json", "yaml"],
        **({"patchFormat": list(_PATCHES)} if Interaction.PATCH in offered else {}),
        "rest": [
            {
                "mode": "server",
                "security": _security(configured),
                "interaction": [
                    {"code": code}
                    for each in _ON_SYSTEM
                    if each in offered
                    for code in (
                        ("batch", each.value) if each is Interaction.BUNDLE else (each.value,)
                    )
                ],
                "resource": _resources(call, box),
                **({"operation": operations} if operations else {}),
            }
        ],
    }


def _security(configured: dict[str, Any]) -> dict[str, Any]:
    security = configured.get("security")
    stated = dict(security) if isinstance(security, dict) else {}
    stated["service"] = configured.get("service") or stated.get("service") or [_BASIC]
    return stated


def _operations(box: Box) -> list[dict[str, str]]:
    """Return all operations that have a definition: ours by their routes, and people's own."""
    own = [{"name": each.name, "definition": each.definition} for each in box.own_operations.shown]
    ours = [
        {"name": name.removeprefix("$"), "definition": definition}
        for name, (_, definition) in _DEFINITIONS.items()
        if name in box.routes.operations[Dialect.FHIR]
    ]
    return [*ours, *own]


def _operations_by_type(box: Box) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for name, (type_name, definition) in _DEFINITIONS.items():
        if type_name is not None and name in box.routes.operations[Dialect.FHIR]:
            found[type_name].append({"name": name.removeprefix("$"), "definition": definition})
    for each in box.own_operations.shown:
        for type_name in dict.fromkeys(each.types):
            found[type_name].append({"name": each.name, "definition": each.definition})
    return found


def _resources(call: Call, box: Box) -> list[dict[str, Any]]:
    """Return what the box can do with each type; made once for all that it depends on."""
    cache = box.metadata.artefacts("capabilities")
    key = f"value {call.dialect}"
    known: _Made | None = cache.get(key)
    if (
        known is None
        or known.operations is not box.own_operations
        or known.profiles is not box.profiles
    ):
        offered = box.routes.interactions[Dialect.FHIR]
        codes = [{"code": each.value} for each in _ON_TYPES if each in offered]
        parameters = _parameters_by_type(box.metadata, call.dialect)
        operations = _operations_by_type(box)
        resources = [
            _resource(box.metadata, name, codes, parameters, operations.get(name))
            | _profiles(box, name)
            for name in sorted(box.metadata.resource_types)
        ]
        known = cache[key] = _Made(box.own_operations, box.profiles, resources)
    return known.resources


def _parameters_by_type(metadata: Metadata, dialect: Dialect) -> dict[str, list[dict[str, str]]]:
    """Return the search parameters by owner; those of abstract types stand under their names.

    FHIR wants the canonical URL of a definition, Aidbox names the resource that holds it.
    """
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for (owner, name), parameter in sorted(metadata.search_parameters.items()):
        if parameter["expression"]:
            definition = f"/SearchParameter/{parameter.get('id') or f'{owner}.{name}'}"
            if dialect is Dialect.FHIR:
                definition = parameter.get("url") or definition
            found[owner].append({"name": name, "definition": definition, "type": parameter["type"]})
    return found


def _resource(
    metadata: Metadata,
    name: str,
    codes: list[dict[str, str]],
    parameters: dict[str, list[dict[str, str]]],
    operations: list[dict[str, str]] | None,
) -> dict[str, Any]:
    return {
        "type": name,
        "interaction": codes,
        "versioning": "versioned-update",
        "readHistory": metadata.types[name].history,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["local"],
        "searchInclude": ["all"],
        "searchRevInclude": ["all"],
        "searchParam": [each for owner in (*_COMMON, name) for each in parameters.get(owner, ())],
        **({"operation": operations} if operations else {}),
    }


def _profiles(box: Box, name: str) -> dict[str, list[str]]:
    urls = box.profiles.urls_of(name)
    return {"supportedProfile": urls} if urls else {}


async def _terminology(call: Call, box: Box) -> dict[str, Any]:
    """Return the TerminologyCapabilities with the code systems that the box holds."""
    records = await box.store.runner.run(
        "SELECT DISTINCT resource->>'url' AS url, resource->>'version' AS version "
        "FROM codesystem WHERE resource->>'url' IS NOT NULL ORDER BY 1, 2 LIMIT $1",
        _MAX_CODE_SYSTEMS,
    )
    versions: dict[str, list[dict[str, str]]] = {}
    for record in records:
        known = versions.setdefault(record["url"], [])
        if record["version"] is not None:
            known.append({"code": record["version"]})
    value: dict[str, Any] = {
        "resourceType": "TerminologyCapabilities",
        "name": box.settings.box_id,
        **_head(call, box),
        "kind": "capability",
    }
    if versions:
        value["codeSystem"] = [
            {"uri": url, **({"version": known} if known else {})} for url, known in versions.items()
        ]
    return value
