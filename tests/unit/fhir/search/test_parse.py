"""Requests as queries: keys, modifiers, control parameters, handling.

Source: search specification, 2, 4.8, 5, 6, 7.
"""

import pytest

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect, Fault, OutcomeError
from boxruntime.fhir.search.filter_language import (
    FilterAll,
    FilterAny,
    FilterNot,
    FilterTest,
    parse_filter,
)
from boxruntime.fhir.search.parse import parse_search
from boxruntime.fhir.search.query import (
    AnyOf,
    Chain,
    DotMatch,
    IdMatch,
    Match,
    Missing,
    Modifier,
    Not,
    ReverseChain,
    Summary,
    Total,
    Word,
    WordAll,
    WordAny,
    WordNot,
)
from boxruntime.fhir.search.values import MalformedValueError
from boxruntime.fhir.search.words import parse_words
from boxruntime.http.target import parse_query


@pytest.fixture(scope="module")
def metadata():
    return base_metadata("4.0.1")


@pytest.fixture
def parse(metadata):
    def run(url, dialect=Dialect.FHIR, *, strict=False):
        type_name, _, text = url.partition("?")
        return parse_search(
            metadata, type_name or None, parse_query(text.encode()), dialect, strict=strict
        )

    return run


def conditions(query):
    (branch,) = query.branches
    return branch.conditions


def test_repeated_keys_are_and_commas_are_or(parse):
    first, second = conditions(parse("Patient?gender=a,b&gender=c"))
    assert [v.code for v in first.values] == ["a", "b"]
    assert [v.code for v in second.values] == ["c"]


def test_an_encoded_comma_still_separates(parse):
    (only,) = conditions(parse("Patient?gender=a%2Cb"))
    assert len(only.values) == 2


def test_a_query_prints_what_was_understood_as_sent(parse):
    text = "family=van%20dyke&_count=5&_sort=-birthdate&identifier=http://s|a%26b&_include=organization"
    query = parse(f"Patient?{text}&nosuch=1&_nosuch=2&gender=")
    assert str(query) == text
    assert [i.code for i in query.ignored] == ["not-supported"]
    assert parse(f"Patient?{query}").branches == query.branches


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("Patient?_id=a", IdMatch),
        ("Patient?_id:not=a", Not),
        ("Patient?gender=a", Match),
        ("Patient?gender:not=a", Not),
        ("Patient?gender:missing=true", Missing),
        ("Patient?deceased:missing=true", AnyOf),
        ("Patient?organization.name=a", Chain),
        ("Patient?organization:Organization.name:exact=a", Chain),
        ("Patient?_has:Observation:patient:code=a", ReverseChain),
        ("Patient?.name.0=a", DotMatch),
    ],
)
def test_keys_become_conditions(parse, url, kind):
    (found,) = conditions(parse(url))
    assert isinstance(found, kind)


def test_a_chain_without_a_type_takes_every_target_with_the_parameter(parse):
    (chain,) = conditions(parse("Encounter?subject.birthdate=2020"))
    assert [name for name, _ in chain.targets] == ["Patient"]
    (chain,) = conditions(parse("Encounter?subject._id=x"))
    assert [name for name, _ in chain.targets] == ["Group", "Patient"]


def test_modifiers_reach_the_last_parameter_of_a_chain(parse):
    (chain,) = conditions(parse("Encounter?subject:Patient.family:exact=Lee"))
    assert chain.targets[0][1].modifier is Modifier.EXACT


def test_an_own_parameter_beats_a_parents(parse, metadata):
    (found,) = conditions(parse("Patient?_tag=x"))
    assert found.parameter.type == "token"


@pytest.mark.parametrize(
    "key",
    [
        "birthdate:exact", "gender:exact", "gender:contains", "family:not", "family:text",
        "organization:contains", "organization:in", "organization:Observation",
        "probability:text", "identifier:in", "identifier:below", "telecom:of-type",
        "active:in", "gender:of-type", "_id:text", "_lastUpdated:not", "_text:exact",
        "family:nosuch", "gender:",
    ],
)  # fmt: skip
def test_modifiers_that_do_not_apply_are_refused(parse, key):
    if key == "probability:text":
        url = f"RiskAssessment?{key}=1"
    elif key == "gender:":
        assert conditions(parse("Patient?gender:=x"))  # an empty modifier is none
        return
    else:
        url = f"Patient?{key}=1"
    with pytest.raises(OutcomeError) as failure:
        parse(url)
    assert failure.value.fault is Fault.INVALID


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("_count=7", "count", 7),
        ("_count=0", "count", 0),
        ("_page=3", "page", 3),
        ("page=3", "page", 3),
        ("_page=3&page=4", "page", 4),
        ("_total=none", "total", Total.NONE),
        ("_totalMethod=estimate", "total", Total.ESTIMATE),
        ("countMethod=count", "total", Total.ACCURATE),
        ("_elements=id,name.given&_elements=-x", "elements", ("id", "name.given", "-x")),
        ("_summary=text", "summary", Summary.TEXT),
        ("_timeout=5", "timeout_ms", 5),
        ("_result=array", "as_array", True),
        ("_explain=1", "explain", True),
        ("_format=json&_pretty=true&_assoc=x", "branches", None),
    ],
)
def test_control_parameters(parse, text, attribute, value):
    query = parse(f"Patient?{text}", strict=True)
    assert conditions(query) == ()
    if value is not None:
        assert getattr(query, attribute) == value


def test_counts_are_capped_on_fhir(parse):
    assert parse("Patient?_count=5000").count == 1000
    assert parse("Patient?_count=5000", Dialect.AIDBOX).count == 5000
    assert parse("Patient", Dialect.AIDBOX).count == 100


@pytest.mark.parametrize("key", ["nosuch", "_include", "_revinclude", "_sort", "_with"])
def test_unknown_names_are_refused_only_when_strict(parse, key):
    assert parse(f"Patient?{key}=nosuch").ignored
    with pytest.raises(OutcomeError) as failure:
        parse(f"Patient?{key}=nosuch", strict=True)
    assert failure.value.fault is Fault.NOT_SUPPORTED_PARAMETER
    assert "nosuch" in failure.value.issues[0].message


def test_messages_never_quote_values(parse):
    for url in (
        "Patient?birthdate=secret",
        "Patient?_filter=secret",
        "Observation?value-quantity=secret",
    ):
        with pytest.raises(OutcomeError) as failure:
            parse(url)
        assert "secret" not in failure.value.issues[0].message


def test_chains_have_an_end(parse):
    long = "partof:Organization." * 40
    with pytest.raises(OutcomeError):
        parse(f"Organization?{long}name=x")


@pytest.mark.parametrize(
    ("text", "source", "name", "target", "reverse", "iterate", "recurse"),
    [
        ("_include=organization", "Patient", "organization", None, False, False, False),
        ("_include=Patient:organization", "Patient", "organization", None, False, False, False),
        ("_include=organization:Organization", "Patient", "organization", "Organization", False, False, False),
        ("_include=Patient:link:RelatedPerson", "Patient", "link", "RelatedPerson", False, False, False),
        ("_include=Patient:organization:*", "Patient", "organization", None, False, False, False),
        ("_include:iterate=Organization:partof", "Organization", "partof", None, False, True, False),
        ("_include:recursive=Organization:partof", "Organization", "partof", None, False, True, True),
        ("_include:iterate=Organization:partof:Organization", "Organization", "partof", "Organization", False, True, True),
        ("_revinclude=Observation:patient", "Observation", "patient", None, True, False, False),
        ("_include:reverse=Observation:patient", "Observation", "patient", None, True, False, False),
        ("_with=organization", "Patient", "organization", None, False, False, False),
        ("_with=Condition.patient", "Condition", "patient", "Patient", True, False, False),
    ],
)  # fmt: skip
def test_includes(parse, text, source, name, target, reverse, iterate, recurse):
    (edge,) = parse(f"Patient?{text}").includes
    assert (edge.source, edge.parameter.name, edge.target) == (source, name, target)
    assert (edge.reverse, edge.iterate, edge.recurse) == (reverse, iterate, recurse)


def test_with_nests(parse):
    edges = parse(
        "Patient?_with=organization{Organization{partof:recur}},Condition.patient"
    ).includes
    assert [(e.source, e.parameter.name, e.target, e.reverse, e.recurse) for e in edges] == [
        ("Patient", "organization", "Organization", False, False),
        ("Organization", "partof", None, False, True),
        ("Condition", "patient", "Patient", True, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "_with=organization{",
        "_with=organization}",
        "_with={",
        "_with=organization:x",
        "_revinclude=*",
        "_include:x=organization",
    ],
)
def test_malformed_includes_are_refused(parse, text):
    with pytest.raises(OutcomeError):
        parse(f"Patient?{text}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", WordAll((Word("a"), Word("b")))),
        ("a AND b", WordAll((Word("a"), Word("b")))),
        ("a OR b c", WordAny((Word("a"), WordAll((Word("b"), Word("c")))))),
        ("(NOT bar OR baz) AND foo", WordAll((WordAny((WordNot(Word("bar")), Word("baz"))), Word("foo")))),
        ('"a b" c', WordAll((Word("a b"), Word("c")))),
    ],
)  # fmt: skip
def test_word_expressions(text, words):
    assert parse_words(text) == words


@pytest.mark.parametrize(
    "text", ["", "(", ")", "a (", "a OR", "NOT", "AND", '"', '""', "(" * 50 + "a"]
)
def test_malformed_word_expressions_are_refused(text):
    with pytest.raises(MalformedValueError):
        parse_words(text)


def test_filter_and_binds_tighter_than_or():
    tree = parse_filter("a eq 1 or b eq 2 and not(c eq 3)")
    assert isinstance(tree, FilterAny)
    assert isinstance(tree.parts[1], FilterAll)
    assert isinstance(tree.parts[1].parts[1], FilterNot)


def test_filter_paths_and_literals():
    tree = parse_filter("subject:Patient[a eq 1].name.x co 'it\\'s \"so\"'")
    assert isinstance(tree, FilterTest)
    assert [hop.name for hop in tree.path] == ["subject:Patient", "name", "x"]
    assert tree.path[0].condition is not None
    assert (tree.value, tree.quoted) == ('it\'s "so"', True)
    assert parse_filter(".name.0.family eq Lee").path[0].name == ".name.0.family"
    assert parse_filter("not eq 1").path[0].name == "not"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a eq",
        "a zz 1",
        "(a eq 1",
        "a eq 1)",
        "a eq 1 and",
        "a[b eq 1 eq 2",
        "a eq 'x",
        "not(a eq 1",
        "(" * 100,
    ],
)
def test_malformed_filters_are_refused(text):
    with pytest.raises(MalformedValueError):
        parse_filter(text)


@pytest.mark.parametrize("inner", ["special", "composite"])
def test_a_composite_of_what_has_no_values_is_refused(inner):
    component = {"expression": [["name"]]}
    row = {
        "id": "Patient.pair",
        "name": "pair",
        "type": "composite",
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "expression": [[]],
        "components": [
            {**component, "name": "a", "type": "string"},
            {**component, "name": "b", "type": inner},
        ],
    }
    metadata = base_metadata("4.0.1").with_records([], [], [row])
    with pytest.raises(OutcomeError) as refused:
        parse_search(metadata, "Patient", [("pair", "x$y")], Dialect.FHIR, strict=False)
    assert refused.value.fault is Fault.NOT_SUPPORTED_PARAMETER
