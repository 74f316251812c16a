"""What the bench sends: patients of 2 kB, transaction bundles of 100, Synthea's patients.

Everything is drawn with a fixed seed, so that two runs send the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import random
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from boxruntime.fhir.json_text import decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYNTHEA = Path(__file__).parents[1] / "data" / "synthea"
CLIENT_ID, CLIENT_SECRET = "bench", "not-a-secret-bench-only"
AUTHORIZATION = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
PATIENTS = 400  # different ones, so that the indexes see different keys
_FAMILIES = ("Okafor", "Lindqvist", "Marchetti", "Nowak", "Haddad", "Tanaka", "Moreau", "Silva")
_GIVEN = ("Ada", "Björn", "Chiara", "Daniel", "Elif", "Farid", "Grete", "Hugo", "Ines", "Jonas")
_CITIES = ("Lund", "Torino", "Gdańsk", "Porto", "Lyon", "Leiden", "Graz", "Bergen")
_LOINC = (("8867-4", "/min"), ("8480-6", "mm[Hg]"), ("29463-7", "kg"), ("8310-5", "Cel"))
_TYPES_OF_100 = (
    *(("Organization", 2), ("Practitioner", 5), ("Patient", 5), ("Encounter", 13)),
    *(("Observation", 50), ("Condition", 10), ("Procedure", 10), ("MedicationRequest", 5)),
)
_ANYBODY = {
    "Patient": ["Patient/x"],
    "Practitioner": ["Practitioner/x"],
    "Encounter": ["Encounter/x"],
}


class Bundle(NamedTuple):
    """A transaction, with what must be known of it to measure it."""

    body: bytes
    types: tuple[str, ...]
    resources: int


def http_request(
    method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of one request with Basic authentication."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZATION}\r\n"
        "Accept: application/fhir+json\r\n"
    )
    for name, value in (headers or {}).items():
        head += f"{name}: {value}\r\n"
    if body:
        head += f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def patients(count: int = PATIENTS, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return different patients without ids; one is about 2,000 bytes of JSON."""
    draw = random.Random(seed)
    return [_patient(draw) for _ in range(count)]


def bundles_of_100(count: int) -> list[Bundle]:
    """Return transactions of 100 resources of eight types that refer to each other."""
    draw = random.Random(100)
    return [_bundle(draw) for _ in range(count)]


def bundles_of_1000(count: int) -> list[Bundle]:
    """Return transactions of 1,000 resources, of each type ten times as many."""
    draw = random.Random(1000)
    return [_bundle(draw, times=10) for _ in range(count)]


def observations(patients: Sequence[str], count: int = 400) -> list[dict[str, Any]]:
    """Return different vital signs of the patients with these ids."""
    draw = random.Random(7)
    found = []
    for _ in range(count):
        resource = _resource("Observation", draw, _ANYBODY)
        del resource["encounter"], resource["performer"]
        resource["subject"] = {"reference": f"Patient/{draw.choice(patients)}"}
        found.append({"resourceType": "Observation"} | resource)
    return found


def synthea_resources(count: int) -> list[dict[str, Any]]:
    """Return the resources of the first Synthea patients, as they are published."""
    found = []
    for path in sorted(SYNTHEA.glob("*.json.gz"))[:count]:
        bundle = decode_json(gzip.decompress(path.read_bytes()))
        found.extend(entry["resource"] for entry in bundle["entry"])
    return found


def synthea(count: int) -> list[Bundle]:
    """Return the first Synthea patients without the ids of their resources, in compact JSON.

    A box keeps the id that a resource comes with, so that it could be loaded only once.
    """
    found = []
    for path in sorted(SYNTHEA.glob("*.json.gz"))[:count]:
        bundle = decode_json(gzip.decompress(path.read_bytes()))
        resources = [entry["resource"] for entry in bundle["entry"]]
        for resource in resources:
            del resource["id"]
        types = tuple(sorted({resource["resourceType"] for resource in resources}))
        found.append(Bundle(encode_json(bundle), types, len(resources)))
    return found


def _patient(draw: random.Random) -> dict[str, Any]:
    family, given, city = draw.choice(_FAMILIES), draw.choice(_GIVEN), draw.choice(_CITIES)
    born = f"{draw.randint(1925, 2020)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
    number = f"{draw.randrange(10**9):09}"
    phone = f"+46 {draw.randrange(10**8):08}"
    use = [{"system": "phone", "value": phone, "use": "mobile", "rank": 1}]
    use.append({"system": "email", "value": f"{given.lower()}.{number}@example.org"})
    relation = "http://terminology.hl7.org/CodeSystem/v2-0131"
    marital = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
    kind = "http://terminology.hl7.org/CodeSystem/v2-0203"
    address = {
        "use": "home",
        "type": "both",
        "line": [f"Storgatan {draw.randint(1, 250)}", f"Apartment {draw.randint(1, 99)}"],
        "city": city,
        "postalCode": f"{draw.randint(10000, 99999)}",
        "country": "SE",
        "period": {"start": "2015-03-01"},
    }
    return {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p class="summary">'
            f"<b>{given} {family}</b>, born {born}, lives in {city}</p><table>"
            f"<tr><th>Record number</th><td>{number}</td></tr>"
            f"<tr><th>National number</th><td>{number[::-1]}</td></tr>"
            f"<tr><th>Telephone</th><td>{phone}</td></tr>"
            f"<tr><th>Address</th><td>{address['line'][0]}, {address['postalCode']} {city}</td>"
            "</tr><tr><th>Language</th><td>Swedish; no interpreter is needed</td></tr></table>"
            "<p>Seen at admission, details confirmed by the patient. The next of kin is to be "
            "told of a transfer; telephone in the evening.</p></div>",
        },
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": kind, "code": "MR", "display": "Record number"}]},
                "system": "urn:oid:1.2.752.129.2.1.3.1",
                "value": number,
                "assigner": {"display": "Regional hospital"},
            },
            {"use": "official", "system": "http://example.org/id/national", "value": number[::-1]},
        ],
        "active": True,
        "name": [
            {"use": "official", "family": family, "given": [given, draw.choice(_GIVEN)]},
            {"use": "usual", "given": [given[:3]]},
        ],
        "telecom": use,
        "gender": draw.choice(("male", "female", "other")),
        "birthDate": born,
        "deceasedBoolean": False,
        "address": [address],
        "maritalStatus": {
            "coding": [{"system": marital, "code": draw.choice("MSDW")}],
            "text": "as told at admission",
        },
        "multipleBirthBoolean": False,
        "contact": [
            {
                "relationship": [
                    {"coding": [{"system": relation, "code": "N", "display": "Next-of-Kin"}]}
                ],
                "name": {"family": family, "given": [draw.choice(_GIVEN)]},
                "telecom": [{"system": "phone", "value": phone[::-1].strip()}],
                "gender": "female",
                "period": {"start": "2012-01-01"},
            }
        ],
        "communication": [
            {
                "language": {
                    "coding": [{"system": "urn:ietf:bcp:47", "code": "sv", "display": "Swedish"}]
                },
                "preferred": True,
            }
        ],
    }


def _bundle(draw: random.Random, times: int = 1) -> Bundle:
    urls: dict[str, list[str]] = {}
    entries = []
    for resource_type, count in _TYPES_OF_100:
        for _ in range(count * times):
            url = f"urn:uuid:{uuid.UUID(int=draw.getrandbits(128), version=4)}"
            urls.setdefault(resource_type, []).append(url)
            resource = {"resourceType": resource_type} | _resource(resource_type, draw, urls)
            request = {"method": "POST", "url": resource_type}
            entries.append({"fullUrl": url, "resource": resource, "request": request})
    body = encode_json({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return Bundle(body, tuple(urls), len(entries))


def _resource(
    resource_type: str, draw: random.Random, urls: dict[str, list[str]]
) -> dict[str, Any]:
    def some(target: str) -> dict[str, str]:
        return {"reference": draw.choice(urls[target])}

    def code(system: str) -> dict[str, Any]:
        number = str(draw.randrange(10**7, 10**9))
        return {"coding": [{"system": system, "code": number}], "text": "as recorded"}

    snomed = "http://snomed.info/sct"
    day = f"2021-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T09:30:00+01:00"
    if resource_type == "Organization":
        return {"name": f"Ward {draw.randint(1, 99)}", "active": True}
    if resource_type == "Practitioner":
        return {"name": [{"family": draw.choice(_FAMILIES), "given": [draw.choice(_GIVEN)]}]}
    if resource_type == "Patient":
        return _patient(draw) | {"managingOrganization": some("Organization")}
    about = {"subject": some("Patient")}
    if resource_type == "Encounter":
        system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
        return about | {
            "status": "finished",
            "class": {"system": system, "code": "AMB"},
            "type": [code(snomed)],
            "participant": [{"individual": some("Practitioner")}],
            "period": {"start": day, "end": day},
            "serviceProvider": some("Organization"),
        }
    about["encounter"] = some("Encounter")
    if resource_type == "Observation":
        loinc, unit = draw.choice(_LOINC)
        ucum = {"system": "http://unitsofmeasure.org", "code": unit, "unit": unit}
        category = "http://terminology.hl7.org/CodeSystem/observation-category"
        return about | {
            "status": "final",
            "category": [{"coding": [{"system": category, "code": "vital-signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
            "effectiveDateTime": day,
            "issued": day,
            "performer": [some("Practitioner")],
            "valueQuantity": {"value": draw.randint(400, 1999) / 10, **ucum},
        }
    if resource_type == "Condition":
        system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
        active = {"coding": [{"system": system, "code": "active"}]}
        return about | {"clinicalStatus": active, "code": code(snomed), "onsetDateTime": day}
    if resource_type == "Procedure":
        period = {"start": day, "end": day}
        return about | {"status": "completed", "code": code(snomed), "performedPeriod": period}
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    return about | {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": code(rxnorm),
        "authoredOn": day,
        "requester": some("Practitioner"),
        "dosageInstruction": [{"text": "1 tablet daily", "asNeededBoolean": False}],
    }
