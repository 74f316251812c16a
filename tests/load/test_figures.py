"""Figures: medians, targets and change, on numbers that are known."""

import mmap
import os
import time

import pytest

from boxruntime.fhir.json_text import encode_json
from tests.load import table
from tests.load.figures import Cpu, Figures, Row
from tests.load.generator import Generator, read_requests
from tests.load.payloads import bundles_of_100, http_request, patients, synthea
from tests.load.usage import cpu_s, private_bytes


def _figures(**row):
    return Figures(
        at="2026-01-01T00:00:00Z",
        commit="abc",
        scale="quick",
        generator="wrk",
        machine={"cpus": "2"},
        rows=[Row(name="create", **row)],
    )


@pytest.mark.parametrize(
    ("unit", "ours", "target", "met"),
    [
        ("/s", [1, 5000, 4000], 3500, True),
        ("/s", [1, 5000, 3000], 3500, False),
        ("ms", [90, 80, 900], 100, True),
        ("ms", [110, 80, 900], 100, False),
        ("MB", [4], None, None),
    ],
)
def test_the_median_is_held_against_the_target(unit, ours, target, met):
    assert Row(name="create", unit=unit, ours=ours, target=target).meets_target is met


def test_the_table_shows_ours_floor_ratio_and_target():
    row = {
        "unit": "/s",
        "ours": [2000.0, 3000.0, 1000.0],
        "floor": [8000.0],
        "floor_name": "bare",
        "target": 3500.0,
        "cpu": Cpu(app_us=150, postgres_us=90),
        "floor_cpu": Cpu(app_us=40, postgres_us=80),
    }
    line = next(text for text in table.render(_figures(**row)).splitlines() if "2,000/s" in text)
    assert line.split() == [
        *("create", "2,000/s", "150+90", "8,000/s", "40+80", "0.25", "2.00"),
        *("≥", "3,500/s", "missed"),
    ]


def test_the_change_is_shown_in_percent_and_a_new_row_as_new():
    before = _figures(unit="/s", ours=[2000.0], cpu=Cpu(app_us=100, postgres_us=100))
    after = _figures(unit="/s", ours=[3000.0], cpu=Cpu(app_us=80, postgres_us=70))
    after.rows.append(Row(name="other", unit="ms", ours=[1.0]))
    text = table.render_change(before, after)
    assert "+50 %" in text
    assert "-25 %" in text
    assert "new" in text


def test_requests_are_read_back_as_they_were_written(tmp_path):
    requests = [http_request("GET", "/x"), http_request("POST", "/", b"x" * 70_000)]
    assert read_requests(Generator(tmp_path).prepare("some", requests)) == requests


def test_payloads_are_what_their_names_say():
    drawn = patients(50)
    assert drawn == patients(50)
    assert len({str(patient) for patient in drawn}) == 50
    assert all(1900 < len(encode_json(patient)) < 2100 for patient in drawn)
    assert all(bundle.resources == 100 for bundle in bundles_of_100(2))
    assert sum(bundle.resources for bundle in synthea(16)) == 2839


def test_cpu_time_of_a_process_grows_with_its_work():
    before = cpu_s(os.getpid())
    ends = time.process_time() + 0.02
    while time.process_time() < ends:
        pass
    assert cpu_s(os.getpid()) - before >= 0.02


def test_private_memory_grows_with_what_is_written():
    before = private_bytes(os.getpid())
    with mmap.mmap(-1, 8 * 2**20) as block:  # the heap may have room that is counted already
        block.write(os.urandom(len(block)))
        assert private_bytes(os.getpid()) - before > len(block) // 2
