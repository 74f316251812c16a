"""FHIR capabilities: GET /fhir/metadata and /metadata

Spec: https://hl7.org/fhir/R4/http.html#capabilities
Source: core specification, "GET /fhir/metadata".
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from boxruntime import __version__
from boxruntime.api.call import Call, Interaction, Result
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.storage.rows import instant

if TYPE_CHECKING:
    from boxruntime.api.box import Box
    from boxruntime.fhir.metadata import Metadata

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
_OPERATIONS = (
    {
        "name": "validate",
        "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    },
)
_COMMON = ("Resource", "DomainResource")
"""Abstract types whose search parameters every type has."""
_MAX_CODE_SYSTEMS = 10_000


async def capabilities(call: Call, box: Box) -> Result:
    """Return the CapabilityStatement of this box, or with mode=terminology what it holds of it."""
    mode = call.parameter("mode") or "full"
    if mode == "terminology":
        value = await _terminology(call, box)
    elif mode in {"full", "normative"}:
        value = _statement(call, box, await _configured(box))
    else:
        raise OutcomeError(Fault.INVALID, "mode must be full, normative or terminology.")
    return Result(status=200, value=value, headers=((b"cache-control", b"no-cache"),))


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
    parameters = _parameters_by_type(metadata)
    codes = [each.value for each in _ON_TYPES if each in offered]
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
                "operation": list(_OPERATIONS),
                "resource": [
                    _resource(metadata, name, codes, parameters) | _profiles(box, name)
                    for name in sorted(metadata.resource_types)
                ],
            }
        ],
    }


def _security(configured: dict[str, Any]) -> dict[str, Any]:
    security = configured.get("security")
    stated = dict(security) if isinstance(security, dict) else {}
    stated["service"] = configured.get("service") or stated.get("service") or [_BASIC]
    return stated


def _parameters_by_type(metadata: Metadata) -> dict[str, list[dict[str, str]]]:
    """Return the search parameters by owner; those of abstract types stand under their names."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for (owner, name), parameter in sorted(metadata.search_parameters.items()):
        if parameter["expression"]:
            definition = parameter.get("url") or f"/SearchParameter/{owner}.{name}"
            found[owner].append({"name": name, "definition": definition, "type": parameter["type"]})
    return found


def _resource(
    metadata: Metadata, name: str, codes: list[str], parameters: dict[str, list[dict[str, str]]]
) -> dict[str, Any]:
    return {
        "type": name,
        "interaction": [{"code": code} for code in codes],
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
