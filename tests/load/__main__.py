"""`make bench`, `python -m tests.load`: measure a box and its floors, and print one table.

docs/bench.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from infra.local.problems import SetupError
from infra.postgres import ProvisioningError
from tests.load import bench, figures, table
from tests.load.box_rows import BoxError
from tests.load.generator import LoadError
from tests.load.scale import FULL, QUICK, SMALLEST


def main() -> int:
    """Run the bench; return the exit code. A missed target is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="one run of each row, under 40 s")
    size.add_argument("--smallest", action="store_true", help="only show that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="print the change since FILE")
    parser.add_argument("--generator", choices=("wrk", "client"), help="default: wrk if installed")
    chosen = parser.parse_args()
    scale = QUICK if chosen.quick else SMALLEST if chosen.smallest else FULL
    try:
        before = figures.load(chosen.compare) if chosen.compare else None
        measured = bench.run(scale, _progress(), chosen.generator)
        path = figures.kept_path(measured)
        for file in (path, chosen.json):
            if file is not None:
                figures.write(measured, file)
    except (SetupError, ProvisioningError, LoadError, BoxError) as error:
        return _refuse(str(error))
    except msgspec.MsgspecError:
        return _refuse(f"{chosen.compare} holds no figures of the bench.")
    except OSError as error:
        return _refuse(f"{error.filename or 'A file'}: {error.strerror}.")
    sys.stderr.write(f"Kept in {path}\n\n")
    sys.stdout.write(table.render(measured) + "\n")
    if before is not None:
        sys.stdout.write("\n" + table.render_change(before, measured) + "\n")
    return 0


def _progress():
    started = time.monotonic()

    def say(what: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:6.1f} s  {what}\n")

    return say


def _refuse(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
