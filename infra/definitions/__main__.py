"""Command line: `python -m infra.definitions generate|check`.

`generate` writes the committed data files and the reports of what could not be compiled;
`check` regenerates them elsewhere and fails if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from infra.definitions.fetch import FetchError
from infra.definitions.generate import differences, generate, project_root


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 done or equal, 1 different, 2 a source could not be had."""
    parser = argparse.ArgumentParser(prog="python -m infra.definitions", description=__doc__)
    parser.add_argument("command", choices=("generate", "check"))
    command = parser.parse_args(arguments).command
    root = project_root()
    try:
        if command == "generate":
            for path in generate(root, progress=print):
                print(f"wrote {path.relative_to(root)}")
            return 0
        with tempfile.TemporaryDirectory(prefix="definitions-") as directory:
            generate(Path(directory), progress=print)
            found = differences(Path(directory), root)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 2
    for name in found:
        print(f"differs: {name}", file=sys.stderr)
    if not found:
        print("the committed definitions are up to date")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
