"""From a bare Python to the virtual environment, then on with `python -m infra.local`.

Run by the Makefile with whatever `python3` is. Standard library only, and nothing newer than
Python 3.7 in this file, so that an old interpreter gives a sentence instead of a traceback.

    bootstrap.py setup [EXTRA…]     make .venv with the given extras (default: embedded)
    bootstrap.py up|box             the same, then run the command
    bootstrap.py COMMAND …          run the command
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3.14")
NEEDED_MB = 900
PROJECT = Path(__file__).resolve().parents[2]
VENV = PROJECT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "halebox-stamp"


class BootstrapError(Exception):
    """A sentence for a person."""


def main(arguments: list[str]) -> int:
    """Install what is missing, then become the command; return an exit code."""
    try:
        find_new_python(arguments)
        if arguments[:1] == ["setup"]:
            ensure_environment(arguments[1:] or ["embedded"])
            return 0
        if arguments[:1] in (["up"], ["box"]):
            ensure_environment(["embedded"])
        check_environment()
        os.chdir(PROJECT)
        os.execv(PYTHON, [PYTHON, "-m", "infra.local", *arguments])  # noqa: S606 - no shell wanted
    except BootstrapError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or PROJECT}: {error.strerror}.\n")
    except KeyboardInterrupt:
        return 130
    return 1


def find_new_python(arguments: list[str]) -> None:
    """Go on with a newer interpreter when this one is too old and another is installed."""
    found = sys.version_info[:2]
    if found >= OLDEST:
        return
    for name in CANDIDATES:
        newer = shutil.which(name)
        if newer:
            os.execv(newer, [newer, __file__, *arguments])  # noqa: S606 - no shell wanted
    raise BootstrapError(
        f"Halebox needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {found[0]}.{found[1]}."
    )


def ensure_environment(extras: list[str]) -> None:
    """Install what pyproject.toml and requirements.lock say, unless that was done already.

    Extras of an earlier installation stay, so that `make up` does not undo `make test`.
    """
    stamp = STAMP.read_text().split() if STAMP.exists() else ["", ""]
    wanted = sorted(set(extras) | set(filter(None, stamp[1].split(","))))
    if stamp == [fingerprint(), ",".join(wanted)] and os.access(PYTHON, os.X_OK):
        return
    free_mb = shutil.disk_usage(PROJECT).free // 2**20
    if free_mb < NEEDED_MB:
        raise BootstrapError(
            f"Only {free_mb} MB are free on the disk of {PROJECT}; {NEEDED_MB} MB are needed."
        )
    install(make_environment(), wanted)
    STAMP.write_text(f"{fingerprint()} {','.join(wanted)}\n")


def check_environment() -> None:
    """Raise BootstrapError for a command that needs an installation when there is none."""
    if not os.access(PYTHON, os.X_OK):
        raise BootstrapError("Nothing is installed here yet: run `make up` first.")


def fingerprint() -> str:
    """Return a text that changes with the interpreter and with what is to be installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "requirements.lock"):
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def make_environment() -> list[str]:
    """Make .venv if it is missing or broken; return the command that is its pip."""
    if works(PYTHON, "-m", "pip", "--version") and works(
        PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"
    ):
        return [PYTHON, "-m", "pip"]
    say("Making the virtual environment .venv")
    make = [sys.executable, "-m", "venv", "--clear"]
    if works(sys.executable, "-c", "import ensurepip, venv"):
        run([*make, str(VENV)])
        return [PYTHON, "-m", "pip"]
    # Debian splits pip off; the system's own pip can install into an environment without one.
    outside = [sys.executable, "-m", "pip", "--python", PYTHON]
    if works(sys.executable, "-c", "import venv") and works(*outside[:3], "--version"):
        run([*make, "--without-pip", str(VENV)])
        return outside
    raise BootstrapError(
        "Python cannot make a virtual environment here: install its package for that "
        "(on Debian, as root: apt-get install python3-venv)."
    )


def works(*command: str) -> bool:
    """Tell whether a command succeeds."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def run(command: list[str]) -> None:
    """Run a command that must succeed. Raises BootstrapError with its last words."""
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        words = (result.stdout + result.stderr).strip().splitlines() or ["no message"]
        raise BootstrapError(f"{' '.join(command[1:3])} failed: {words[-1]}")


def install(pip: list[str], extras: list[str]) -> None:
    """Run pip, naming each package as it comes; the whole output is in var/log/pip.log."""
    say("Installing Python packages, once (a minute or two)")
    log_path = PROJECT / "var" / "log" / "pip.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *(*pip, "install", "--disable-pip-version-check", "--no-input"),
        *("--root-user-action=ignore", "--constraint", str(PROJECT / "requirements.lock")),
        *("--editable", f"{PROJECT}[{','.join(extras)}]"),
    ]
    lines = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process, log_path.open("w") as log:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            lines.append(line.strip())
            if line.startswith(("Collecting ", "Installing ")):
                show_progress(" ".join(line.split()[:2]))
    show_progress("")
    if process.returncode != 0:
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
        raise BootstrapError(
            f"The Python packages could not be installed: {errors[-1]} (all of it: {log_path})"
        )


def show_progress(text: str) -> None:
    """Replace the last line of a terminal; silent elsewhere."""
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K" + text[:76])
        sys.stdout.flush()


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
