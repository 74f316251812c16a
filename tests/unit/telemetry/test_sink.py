"""The log's thread: rotation, files that vanish, disks that are full, readers that do not read."""

from __future__ import annotations

import os

import pytest

from boxruntime.telemetry import sink as module
from boxruntime.telemetry.sink import KEPT_FILES, Sink


def lost(count: int) -> bytes:
    return b"lost %d\n" % count


@pytest.fixture
def path(tmp_path):
    return tmp_path / "box.log"


@pytest.fixture
def sink(path):
    made = Sink(str(path), lost, max_file_bytes=20, max_waiting_bytes=64)
    yield made
    made.close()


def put(sink, *chunks):
    for chunk in chunks:
        sink.put(chunk)
        sink.drain()


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path):
    with pytest.raises(OSError, match="Is a directory"):
        Sink(str(tmp_path), lost)


def test_lines_arrive_in_order_and_a_full_file_is_moved(sink, path):
    put(sink, b"first line\n", b"second\n", b"third line\n")
    assert path.read_bytes() == b"third line\n"
    assert path.with_name("box.log.1").read_bytes() == b"first line\nsecond\n"


def test_only_so_many_old_files_are_kept(sink, path):
    put(sink, *(b"%018d\n" % number for number in range(12)))
    files = sorted(each.name for each in path.parent.iterdir())
    assert files == ["box.log", *(f"box.log.{n}" for n in range(1, KEPT_FILES + 1))]
    assert int(path.with_name(f"box.log.{KEPT_FILES}").read_bytes()) == 11 - KEPT_FILES


def test_a_file_that_was_moved_away_is_made_anew(sink, path):
    put(sink, b"old\n")
    path.rename(path.with_name("moved"))
    put(sink, b"new\n")
    assert path.read_bytes() == b"new\n"


def test_a_full_disk_costs_events_which_are_counted(sink, path, monkeypatch):
    real = os.write

    room = [3]

    def full(descriptor, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] = 0
        return real(descriptor, data[:3])

    put(sink, b"a\n")
    monkeypatch.setattr(module.os, "write", full)
    put(sink, b"bbb\nb\n", b"c\n")
    monkeypatch.setattr(module.os, "write", real)
    put(sink, b"d\n")
    # The line that was torn is ended, so that the next one can be read.
    assert path.read_bytes() == b"a\nbbb\nlost 3\nd\n"


def test_who_logs_never_waits_for_who_reads(path):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = Sink(str(path), lost, max_waiting_bytes=300_000)
    try:
        for _ in range(10):
            sink.put(b"x" * 99_999 + b"\n")  # a pipe takes 64 kB
        read = b""
        for _ in range(200):
            try:
                read += os.read(reader, 65536)
            except BlockingIOError:
                sink.drain(0.01)
                if read.count(b"x\n") == 3:
                    break
        sink.put(b"end\n")
        sink.drain()
        read += os.read(reader, 65536)
        assert sorted(read.splitlines(keepends=True)) == [
            b"end\n", b"lost 7\n", *[b"x" * 99_999 + b"\n"] * 3
        ]  # fmt: skip
    finally:
        os.close(reader)
        sink.close()


def test_what_comes_after_the_end_is_dropped(sink, path):
    put(sink, b"a\n")
    sink.close()
    sink.put(b"b\n")
    sink.close()
    assert path.read_bytes() == b"a\n"
