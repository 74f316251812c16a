from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.names import (
    RESERVED,
    InvalidBoxNameError,
    check_box_name,
    database_name,
    host_name,
    role_name,
)

names = st.from_regex(r"[a-z][a-z0-9]{4,39}", fullmatch=True).filter(lambda n: n not in RESERVED)


@given(names)
def test_a_name_fits_a_database_a_role_and_a_host_label(name: str):
    assert len(database_name(name)) <= 63
    assert len(role_name(name)) <= 63
    assert host_name(name, "example.org").split(".")[0] == name


@given(names, names)
def test_different_boxes_share_nothing(one: str, other: str):
    if one != other:
        assert database_name(one) != database_name(other)
        assert role_name(one) != role_name(other)


@pytest.mark.parametrize(
    "text",
    ["", "abcd", "Abcde", "1abcde", "a" * 41, "../etc", "ab.cde", "clinic 1", "clinic\n", "clínic",
     "postgres", "template1", "admin"],
)  # fmt: skip
def test_what_could_escape_or_collide_is_no_name(text: str):
    with pytest.raises(InvalidBoxNameError):
        check_box_name(text)
