"""`python -m infra.local up|down|status|logs|clean|box`: what the Makefile calls."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys

from infra.local import box, commands
from infra.local.accounts import server_account
from infra.local.places import ensure_places
from infra.local.platform import Platform
from infra.local.problems import SetupError
from infra.local.settings import parse_settings, remember
from infra.local.supervisor import Supervisor

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run one command; whatever stands in its way is one sentence and an exit code."""
    command, *rest = arguments or [""]
    try:
        match command:
            case "up":
                commands.up(os.environ)
            case "down":
                commands.down(os.environ)
            case "clean":
                commands.clean(os.environ)
            case "logs":
                commands.logs(os.environ)
            case "status":
                return 0 if commands.status(os.environ) else 3
            case "box":
                var = commands.project_var(os.environ) / "box"
                return box.serve_box(os.environ, commands.PROJECT, var)
            case "supervise":
                return 0 if _supervise(rest[0]) else 1
            case _:
                sys.stderr.write(f"{__doc__}\n")
                return 2
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            sys.stderr.write(f"There is no space left on the disk of {error.filename or 'var'}.\n")
            return 1
        sys.stderr.write(f"{error.filename or command}: {error.strerror}.\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _supervise(fingerprint: str) -> bool:
    """Be the supervisor that `up` starts; settings come from the file that it wrote."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    places = ensure_places(commands.PROJECT, commands.project_var(os.environ), server_account())
    settings = parse_settings(remember(places.secrets / "settings.json", {}))

    async def run() -> bool:
        supervisor = Supervisor(
            Platform(places, settings).stages(),
            state_file=places.state,
            log_directory=places.logs,
            fingerprint=fingerprint,
            base_url=settings.base_url,
        )
        return await supervisor.run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
