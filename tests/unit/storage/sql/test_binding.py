"""Values in SQL. Source: search specification, 8 and 11.1."""

from __future__ import annotations

import pytest

from boxruntime.storage.sql.binding import TooManyParametersError, fill, from_jdbc, plain, value


def filled(template, **values):
    return fill(template, values.get, lambda path: '"patient"' if path == "table" else None)


def test_a_placeholder_becomes_a_value_wherever_code_stands():
    bound = filled(
        "SELECT {{a}},{{ b }}/*{{a}}*/ FROM {{table}} WHERE '{{a}}' = \"{{a}}\" -- {{a}}",
        a="x",
        b=2,
    )
    assert bound.values == ("x", 2)
    assert (
        bound.text()
        == 'SELECT  $1 , $2 /*{{a}}*/ FROM "patient" WHERE \'{{a}}\' = "{{a}}" -- {{a}}'
    )


def test_what_stands_inside_a_value_is_no_template():
    bound = filled("SELECT {{a}}", a="{{b}} {{table}} '")
    assert bound.values == ("{{b}} {{table}} '",)
    assert bound.text(("text",)) == "SELECT  ($1::text)::text "


def test_jdbc_forms():
    bound = from_jdbc("SELECT ? ?? '?' -- ?", [1])
    assert bound.text() == "SELECT  $1  ? '?' -- ?"
    assert bound.as_jdbc() == ["SELECT ? ?? '?' -- ?", 1]
    assert from_jdbc("SELECT ?", []) is None
    assert from_jdbc("SELECT 1", [1]) is None
    with pytest.raises(TooManyParametersError):
        from_jdbc("?," * 40_000, ["x"] * 40_000)


def test_statements_are_put_together():
    both = plain("SELECT ") + value(1) + plain(" LIMIT ") + value(2)
    assert both.values == (1, 2)
    assert both.text() == "SELECT  $1  LIMIT  $2 "
