"""SQL, jsonpath and pattern syntax in every position of a request is text or a refusal.

Source: search specification, 2 (identifiers come from metadata, values are bound).
"""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest

EVIL = (
    "' OR '1'='1",
    "'; DROP TABLE patient; --",
    '"; DROP TABLE patient; --',
    '"patient".id) OR (1=1',
    "$1", "$$x$$", "\\", "\\'", "%", "_", "{", "}", '{"a":', "a}' OR true --",
    '$.x ? (@ == "a")', '" || true || "', "@.x", "?", "??", "\u202e", "\U0001f600", "\ud7ff",
    "1e400", "-", "(", ")", "[", "*", ":", "::", "a::text", "NULL", "''",
)  # fmt: skip
POSITIONS = (
    "Patient?name={}", "Patient?name:exact={}", "Patient?name:contains={}", "Patient?gender={}",
    "Patient?gender:not={}", "Patient?gender:text={}", "Patient?gender:i={}", "Patient?gender:in={}",
    "Patient?identifier={}|{}", "Patient?identifier=|{}", "Patient?identifier=a|{}",
    "Patient?identifier:of-type=a|b|{}", "Patient?organization={}",
    "Patient?organization=Organization/{}", "Patient?organization:identifier={}",
    "Patient?organization:text={}", "Patient?birthdate={}", "Patient?birthdate:missing={}",
    "Patient?organization.name={}", "Patient?_has:Observation:patient:code={}",
    "Observation?value-quantity={}", "Observation?value-quantity=5|{}|{}",
    "Observation?component-code-value-quantity={}$5", "RiskAssessment?probability={}",
    "ValueSet?url={}", "ValueSet?url:below={}", "ValueSet?url:above={}",
    "QuestionnaireResponse?questionnaire={}", "Location?near={}|1", "Location?partof:below={}",
    "Patient?_id={}", "Patient?_id:not={}", "Patient?_lastUpdated={}", "Patient?_tag={}",
    "Patient?_list={}", "Patient?_ilike={}", "Patient?_text={}", "Patient?_content={}",
    "Patient?_filter={}", "Patient?_filter=name co {}", "Patient?_filter={} eq 1",
    "Patient?.name={}", "Patient?.name$contains={}", "Patient?.birthDate::date$gt={}",
    "Patient?{}=1", "Patient?name:{}=1", "Patient?.{}=1", "Patient?.name::{}=1",
    "Patient?.name${}=1", "Patient?organization:{}.name=1", "Patient?organization.{}=1",
    "Patient?_has:{}:patient:code=1", "Patient?_has:Observation:{}:code=1",
    "Patient?_has:Observation:patient:{}=1", "Patient?_sort={}", "Patient?_sort=.{}",
    "Patient?_sort=-{}", "Patient?_include={}", "Patient?_include=Patient:{}",
    "Patient?_include=Patient:organization:{}", "Patient?_include:{}=organization",
    "Patient?_revinclude={}:subject", "Patient?_with={}", "Patient?_elements={}",
    "Patient?_summary={}", "Patient?_count={}", "Patient?page={}", "Patient?_total={}",
    "Patient?_timeout={}", "Patient?_etag={}", "?_type={}", "?_type=Patient&_id={}",
)  # fmt: skip


@pytest.mark.parametrize("position", POSITIONS)
async def test_foreign_syntax_changes_nothing(client, postgres, position):
    for evil in EVIL:
        for base in ("/fhir", "") if not position.startswith("?") else ("/fhir",):
            url = f"{base}/{position}" if not position.startswith("?") else f"{base}{position}"
            answer = await client.get(url.replace("{}", quote(evil, safe="")))
            assert answer.status_code in (200, 304, 400), (url, evil, answer.text)
    with psycopg.connect(postgres.dsn("search_http", "search_http", "search_http")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM patient").fetchone()
    assert count == 6


@pytest.mark.parametrize("key", ["name", "_id", "gender", "organization", "_ilike", "name:exact"])
@pytest.mark.parametrize("evil", ["' OR '1'='1", '") OR true --', "zz%' OR 1=1 --"])
async def test_a_condition_cannot_be_widened(client, key, evil):
    for base in ("", "/fhir"):
        bundle = (await client.get(f"{base}/Patient", params={key: evil})).json()
        assert bundle["total"] == 0


@pytest.mark.parametrize(
    "key", ["name", "name:contains", "family:ends", "_ilike", "gender:text", ".gender$contains"]
)
@pytest.mark.parametrize("term", ["%", "_", "%25", "l%e", "l_e", "\\", "\uff05"])
async def test_patterns_are_literal(client, key, term):
    for base in ("", "/fhir"):
        bundle = (await client.get(f"{base}/Patient", params={key: term})).json()
        assert bundle["total"] == 0
