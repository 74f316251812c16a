"""`python -m boxruntime.host --run-dir DIRECTORY`: serve the boxes of one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from boxruntime.host import handover
from boxruntime.host.errors import HostError
from boxruntime.host.factory import DEFAULT
from boxruntime.host.log import log_to_stderr
from boxruntime.host.manager import Manager
from boxruntime.host.specs import parse_key

EXIT_USAGE = 2


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m boxruntime.host", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="for sockets")
    parser.add_argument("--application", default=DEFAULT, help="module:factory of a box")
    parser.add_argument("--check", action="store_true", help="only say whether it could start")
    parser.add_argument("--resume-fd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    log_to_stderr()
    run_dir = options.run_dir.absolute()
    arguments = ["--run-dir", str(run_dir), "--application", options.application]
    try:
        key = parse_key(os.environ.get("HALEBOX_CLUSTER_KEY"))
        if options.check:
            return 0
        resumed = None if options.resume_fd is None else handover.resume(options.resume_fd)
        return asyncio.run(_run(run_dir, key, options.application, arguments, resumed))
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {error.filename or run_dir}\n")
        return EXIT_USAGE


async def _run(
    run_dir: Path,
    key: bytes,
    application: str,
    arguments: list[str],
    resumed: handover.Handover | None,
) -> int:
    return await Manager(run_dir, key, application, arguments).run(resumed)


if __name__ == "__main__":
    sys.exit(main())
