"""FHIR capabilities: GET /fhir/metadata and /metadata

Spec: https://hl7.org/fhir/R4/http.html#capabilities
Source: core specification, "GET /fhir/metadata".
"""

from __future__ import annotations

from typing import Any

from boxruntime import __version__
from boxruntime.api.box import Box
from boxruntime.api.call import Call, Result
from boxruntime.api.preconditions import tags
from boxruntime.fhir.metadata import Metadata
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.storage.rows import instant

TYPE_INTERACTIONS = (
    "read", "vread", "update", "delete", "history-instance", "history-type",
    "create", "search-type",
)  # fmt: skip
SYSTEM_INTERACTIONS = ("batch", "transaction", "history-system")
COMMON_PARAMETERS = ("Resource", "DomainResource")


async def capabilities(call: Call, box: Box) -> Result:
    """Return the CapabilityStatement of this box, or with mode=terminology what it holds of it."""
    mode = call.parameter("mode") or "full"
    if mode == "terminology":
        value = _terminology(call, box)
    elif mode in {"full", "normative"}:
        value = _statement(call, box)
    else:
        raise OutcomeError(Fault.INVALID, "mode must be full, normative or terminology.")
    headers = ((b"cache-control", b"no-cache"),)
    known = call.header(b"if-none-match")
    if known is not None and value["version"] in tags(known):
        return Result(status=304, headers=headers)
    return Result(status=200, value=value, headers=headers)


def _head(call: Call, box: Box) -> dict[str, Any]:
    return {
        "status": "active",
        "version": __version__,
        "date": instant(box.started_at),
        "kind": "instance",
        "software": {"name": "Halebox", "version": __version__},
        "implementation": {"description": f"Box {box.settings.box_id}", "url": f"{call.base}/fhir"},
    }


def _statement(call: Call, box: Box) -> dict[str, Any]:
    metadata = box.metadata
    return {
        "resourceType": "CapabilityStatement",
        "name": box.settings.box_id,
        "title": f"Box {box.settings.box_id}",
        **_head(call, box),
        "fhirVersion": metadata.fhir_version,
        "format": ["json", "yaml"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "Basic",
                                }
                            ]
                        }
                    ]
                },
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                "resource": [
                    _resource(metadata, name) for name in sorted(metadata.resource_types)
                ],
            }
        ],
    }


def _resource(metadata: Metadata, name: str) -> dict[str, Any]:
    definition = metadata.types[name]
    return {
        "type": name,
        "interaction": [{"code": code} for code in TYPE_INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": definition.history,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["local"],
        "searchInclude": ["*"],
        "searchRevInclude": ["*"],
        "searchParam": [
            {
                "name": parameter["name"],
                "definition": parameter.get("url") or f"/SearchParameter/{owner}.{parameter['name']}",
                "type": parameter["type"],
            }
            for (owner, _), parameter in sorted(metadata.search_parameters.items())
            if (owner == name or owner in COMMON_PARAMETERS) and parameter["expression"]
        ],
    }


def _terminology(call: Call, box: Box) -> dict[str, Any]:
    head = _head(call, box)
    head["kind"] = "capability"
    return {"resourceType": "TerminologyCapabilities", "name": box.settings.box_id, **head}
