"""The indexes every box has from the start, and which SQL they serve.

Each create pays for each index of its table, so there are few. Microseconds per inserted
Observation (750 B, one core, shared machine): 30 bare, 101 with GIN, 118 with subject, 163 with
date, 203 with period; per Patient 24 bare, 70 with GIN, 131 with names. They add 9 MB and about
30 ms to `CREATE DATABASE … TEMPLATE`.

- all types: GIN on the document (tokens, references), `txid`, `(ts, id)`, `txid` of the history;
- types about a patient: btree on the subject, with the end of the date where there is one, for
  timelines, chains, `_has` and `_revinclude`;
- types with a main date: btree on its end for `_sort=-date`, and GiST on its range for
  `date=ge…&date=lt…`, where neither end alone tells much (134 of 200k rows: 13 s without);
- people, organizations, locations: trigrams of the names.

New entries of the document index wait in a list of at most 64 kB (8 pages), the smallest there is:
an insert of a 2.5 kB Patient took 175 us with it and 386 without, and a lookup the same 200 to
240 us, also while rows are written. With PostgreSQL's 4 MB a lookup would read up to 500 pages.

Source: design of the box runtime, Search to SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.search.query import Key, Location
from boxruntime.storage.search.dates import DATES, single_date
from boxruntime.storage.search.places import Row, reference_id, table_of
from boxruntime.storage.search.statement import identifier
from boxruntime.storage.search.strings import TEXT_INDEXES, search_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.metadata import Metadata

SUBJECTS: dict[str, str] = {
    "Account": "subject",
    "AllergyIntolerance": "patient",
    "CarePlan": "subject",
    "CareTeam": "subject",
    "Claim": "patient",
    "ClinicalImpression": "subject",
    "Communication": "subject",
    "CommunicationRequest": "subject",
    "Composition": "subject",
    "Condition": "subject",
    "Consent": "patient",
    "Coverage": "beneficiary",
    "Device": "patient",
    "DeviceRequest": "subject",
    "DiagnosticReport": "subject",
    "DocumentReference": "subject",
    "Encounter": "subject",
    "EpisodeOfCare": "patient",
    "ExplanationOfBenefit": "patient",
    "FamilyMemberHistory": "patient",
    "Flag": "subject",
    "Goal": "subject",
    "ImagingStudy": "subject",
    "Immunization": "patient",
    "List": "subject",
    "Media": "subject",
    "MedicationAdministration": "subject",
    "MedicationDispense": "subject",
    "MedicationRequest": "subject",
    "MedicationStatement": "subject",
    "NutritionOrder": "patient",
    "Observation": "subject",
    "Procedure": "subject",
    "QuestionnaireResponse": "subject",
    "RelatedPerson": "patient",
    "RiskAssessment": "subject",
    "ServiceRequest": "subject",
    "Specimen": "subject",
    "Task": "for",
}
"""Type -> element with the reference to the patient, indexed by its id."""

_HERE = "resource"


def has_reference_index(type_name: str, place: Location) -> bool:
    """Whether the id of this reference is indexed; then equality beats containment."""
    return (
        place.datatype == "Reference"
        and place.steps == (Key(SUBJECTS.get(type_name, "")),)
        and not place.raw
    )


def default_indexes(metadata: Metadata) -> Iterator[str]:
    """Yield repeatable CREATE INDEX statements for all types, without semicolons."""
    for type_name in sorted(metadata.resource_types):
        yield from type_indexes(metadata, type_name)


def type_indexes(metadata: Metadata, type_name: str) -> Iterator[str]:
    """Yield the CREATE INDEX statements of one type."""
    yield _index(
        type_name,
        "resource",
        "USING gin (resource jsonb_path_ops) WITH (fastupdate = on, gin_pending_list_limit = 64)",
    )
    yield _index(type_name, "txid", "(txid)")
    yield _index(type_name, "ts", "(ts, id)")
    # The newest version of a type counts its deletions too.
    yield _index(f"{type_name}_history", "txid", "(txid)")
    row = Row(type_name, _HERE, "id")
    date = _date_end(metadata, row)
    subject = _subject_id(metadata, row)
    if subject is not None:
        columns = subject if date is None else f"{subject}, {date}"
        yield _index(type_name, "subject", f"({columns})")
    if date is not None:
        yield _index(type_name, "date", f"({date})")
        yield _index(type_name, "period", f"USING gist ({_date_range(metadata, row)})")
    paths = TEXT_INDEXES.get(type_name)
    if paths is not None:
        text = search_text(row, [tuple(Key(name) for name in path) for path in paths])
        yield _index(type_name, "name", f"USING gin (({text}) public.gin_trgm_ops)")


def _index(type_name: str, suffix: str, definition: str) -> str:
    name = identifier(f"{type_name.lower()}_{suffix}_idx")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {table_of(type_name)} {definition}"


def _date_end(metadata: Metadata, row: Row) -> str | None:
    parameter = find_parameter(metadata, row.type, DATES.get(row.type, ""))
    stored = None if parameter is None else single_date(parameter, row)
    # The order of `_sort=-date`: NULLs last.
    return None if stored is None else f"(box_date_hi({stored})) DESC NULLS LAST"


def _date_range(metadata: Metadata, row: Row) -> str:
    parameter = find_parameter(metadata, row.type, DATES[row.type])
    assert parameter is not None
    return f"box_date_range({single_date(parameter, row)})"


def _subject_id(metadata: Metadata, row: Row) -> str | None:
    name = SUBJECTS.get(row.type, "")
    element = metadata.find_element(row.type, (name,))
    if element is None or element.array or element.type != "Reference":
        return None
    return f"({reference_id(row, Location((Key(name),), 'Reference'))})"
