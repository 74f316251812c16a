"""`python -m infra.local.chromium`: make sure that browser tests find a browser.

Debian's package is taken, by apt-get where we are root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """Return the path of a browser that Playwright can drive."""
    setting = os.environ.get("HALEBOX_CHROMIUM")
    if setting:
        return setting
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def main() -> int:
    """Install chromium if need and rights be; return an exit code."""
    if find_browser():
        return 0
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        sys.stderr.write(
            "The browser tests need chromium: install it (on Debian, as root: apt-get install "
            "chromium) or set HALEBOX_CHROMIUM to a browser of the same family.\n"
        )
        return 1
    sys.stdout.write("Installing chromium for the browser tests\n")
    sys.stdout.flush()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
        result = subprocess.run(
            [apt, *command], check=False, capture_output=True, text=True, env=environment
        )
        if result.returncode != 0:
            words = (result.stdout + result.stderr).strip().splitlines() or ["no message"]
            sys.stderr.write(f"apt-get {command[0]} failed: {words[-1]}\n")
            return 1
    if find_browser() is None:
        sys.stderr.write("apt-get installed chromium, but it is not on PATH.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
