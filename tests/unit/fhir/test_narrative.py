"""Sanitising. Source: core specification, "When and on what" (Stripping); FHIR R4, Narrative."""

from __future__ import annotations

import pytest

from boxruntime.fhir.formats import accept_aidbox, to_aidbox
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.narrative import clean_div

METADATA = base_metadata("4.0.1")
XMLNS = 'xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    "inside",
    [
        "plain text, 1 &lt; 2 &amp; &#160; &#xA0;",
        '<p class="a" id="b" style="color: red" title="a>b">x</p>',
        '<a href="http://e.x/?a=1&amp;b=2">x</a><a name="here"/><a href="#here">y</a>',
        '<a href=\'Patient/p1\'>x</a><a href="../x?y:z">x</a><a href="mailto:a@b.c">m</a>',
        '<img src="data:image/png;base64,AAAA" alt="x"/><img src="#pic" alt=""/>',
        '<table border="1"><tr><td colspan="2" align="left">x</td></tr></table><br/><hr />',
        "<ul><li>x</li></ul><pre>\n x\n</pre><!-- a comment -->",
        "onclick=alert(1) javascript:alert(1)",
    ],
)
def test_what_fhir_allows_stays_byte_for_byte(inside):
    div = f"<div {XMLNS}>{inside}</div>"
    assert clean_div(div) is div


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("<script>alert(1)</script>x", "x"),
        ("<SCRIPT>alert(1)</SCRIPT>x", "x"),
        ('<p onclick="alert(1)">x</p>', "<p>x</p>"),
        ("<p onclick=alert(1)>x</p>", "<p>x</p>"),
        ('<p OnClick="alert(1)" class="a">x</p>', '<p class="a">x</p>'),
        ('<a href="javascript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href=" javascript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href="java&#115;cript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href="javascript&colon;alert(1)">x</a>', "<a>x</a>"),
        ('<a href="data:text/html,x">x</a>', "<a>x</a>"),
        ('<img src="x" onerror="alert(1)"/>', '<img src="x"/>'),
        ('<iframe src="http://e.x"></iframe>x', "x"),
        ("<svg><script>alert(1)</script></svg>x", "x"),
        ('<form action="x"><input name="a"/></form>x', "x"),
        ('<p style="width: expression(alert(1))">x</p>', "<p>x</p>"),
        ("<p/>x<br/>y<script/>", "<p></p>x<br/>y"),
        ("a&nbsp;b<script>x</script>", "a&#160;b"),
    ],
)
def test_active_content_is_removed_and_the_rest_stays_xhtml(inside, expected):
    assert clean_div(f"<div {XMLNS}>{inside}</div>") == f"<div {XMLNS}>{expected}</div>"


def test_cleaning_twice_changes_nothing_more():
    dirty = (
        f'<div {XMLNS}><p onclick="x">a<br/>b &amp; c<img src="x" onerror="y" alt=""/></p></div>'
    )
    clean = clean_div(dirty)
    assert clean_div(clean) is clean


def test_looking_is_linear():
    for hostile in ("<div " + 'a="b" ' * 30000, "<!-- a " * 30000, "<p " + "x '" * 30000):
        assert clean_div(hostile) is not hostile


@pytest.mark.parametrize("convert", [to_aidbox, accept_aidbox])
def test_narratives_are_cleaned_wherever_they_stand(convert):
    dirty = {"status": "generated", "div": f"<div {XMLNS}>x<script>y</script></div>"}
    clean = {"status": "generated", "div": f"<div {XMLNS}>x</div>"}
    document = {
        "text": dirty,
        "section": [{"text": dirty, "section": [{"text": dirty}]}],
        "contained": [{"resourceType": "Patient", "text": dirty}],
    }
    resource = convert(METADATA, "Composition", document).resource
    assert resource["text"] == clean
    assert resource["section"] == [{"text": clean, "section": [{"text": clean}]}]
    assert resource["contained"][0]["text"] == clean
    assert document["text"] == dirty


def test_a_clean_narrative_is_shared():
    text = {"status": "generated", "div": f"<div {XMLNS}>x</div>"}
    assert to_aidbox(METADATA, "Patient", {"text": text}).resource["text"] is text
