"""Source: core specification, "Media types"; platform specification, "REST Console"."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from boxruntime.http import yaml_text
from boxruntime.http.yaml_output import encode_yaml
from boxruntime.http.yaml_text import YamlError, decode_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("Yes", "Yes"), ("22:30", "22:30"), ("1990-10-10", "1990-10-10"),
        ("2020-01-05T10:11:12Z", "2020-01-05T10:11:12Z"), ("007", "007"), ("0o7", "0o7"), ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("+1", "+1"), (".5", ".5"), ("1.", "1."), (".inf", ".inf"), (".nan", ".nan"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("12", 12), ("-3", -3),
        ("1.00", Decimal("1.00")), ("1e3", Decimal("1e3")), ("'12'", "12"), ('"a\\nb"', "a\nb"),
        ("=", "="), ("<<", "<<"), ("{a: present?}", {"a": "present?"}), ("[a, b]", ["a", "b"]),
        ("1: x", {"1": "x"}), ("true: x", {"true": "x"}), ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}), ("# only a comment", None),
    ],
)  # fmt: skip
def test_what_resolves_to_what(text, value):
    found = decode_yaml(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "a: b: c", "\t- a", "a: 1\na: 2", "!!python/object:os.system x", "!custom x", "!!binary x",
        "? [a]\n: b", "? {a: b}\n: c", "a: 1\n---\nb: 2", "a: *unknown", "a: &x [*x]", "&x {a: *x}",
        "x: \x00", "[" * 300 + "]" * 300, "%YAML 9.9\n---\na", "@a", "`a`",
    ],
)  # fmt: skip
def test_what_is_refused(text):
    with pytest.raises(YamlError) as refused:
        decode_yaml(text)
    assert text[:8] not in str(refused.value)


def test_expansion_is_limited():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlError):
        decode_yaml("\n".join(lines))


def test_the_size_is_limited():
    with pytest.raises(YamlError, match="too large"):
        decode_yaml("a" * (yaml_text.MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    "text",
    ["no", "Off", "1", "1.0", "007", "1990-10-10", "12:30", "null", "~", "", "true", "0x1", "1e3", ".5",
     "- a", "a: b", "#a", "'", '"', "a\nb", " a ", "=", "<<", "é", "\U0001f333", "\u2028", "*a", "&a", "!a", "{", "%a"],
)  # fmt: skip
def test_strings_stay_strings_for_any_reader(text):
    encoded = encode_yaml({"a": [text], text or "k": 1})
    assert decode_yaml(encoded.decode())["a"] == [text]
    if text in {
        "no",
        "Off",
        "1",
        "1.0",
        "007",
        "1990-10-10",
        "12:30",
        "null",
        "~",
        "",
        "true",
        "0x1",
        "1e3",
    }:
        assert f"'{text}'".encode() in encoded


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-10**6, max_value=10**6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_what_is_written_is_read_back(value):
    assert decode_yaml(encode_yaml(value).decode()) == value


@given(values)
def test_what_is_written_means_the_same_to_another_reader(value):
    read = YAML(typ="safe", pure=True).load(encode_yaml(value).decode())
    assert read == json.loads(json.dumps(value, default=float))


def test_collections_are_blocks():
    value = {"a": [{"b": 1, "c": [[1, 2], []]}, {}], "d": {"e": {"f": "x: y"}}}
    wanted = "a:\n- b: 1\n  c:\n  - - 1\n    - 2\n  - []\n- {}\nd:\n  e:\n    f: 'x: y'\n"
    assert encode_yaml(value).decode() == wanted


def test_keys_keep_their_order_and_numbers_their_text():
    assert encode_yaml({"z": Decimal("1.00"), "a": 1}) == b"z: 1.00\na: 1\n"
