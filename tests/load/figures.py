"""Figures of one run: rows of ours and floor, their medians, and the file they are kept in."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "var" / "bench"


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of CPU one operation took, by process."""

    app_us: float
    postgres_us: float

    @property
    def total_us(self) -> float:
        return self.app_us + self.postgres_us


class Row(msgspec.Struct, kw_only=True):
    """One line of the table."""

    name: str
    unit: str
    """"/s": more is better; "ms", "MB": less is."""
    ours: list[float]
    """One figure a run; the median counts."""
    floor: list[float] = []
    floor_name: str = ""
    target: float | None = None
    """From the specification of the product."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu: Cpu | None = None
    floor_cpu: Cpu | None = None
    """Of the floor: the bare statement, and the bare HTTP server where it was added."""
    others_percent: float | None = None
    """Of the cores' time, taken by processes the bench did not start while it measured ours."""
    parts: dict[str, float] = {}
    """What the figure is made of, in its unit."""

    @property
    def more_is_better(self) -> bool:
        return self.unit == "/s"

    @property
    def ours_median(self) -> float:
        return median(self.ours)

    @property
    def floor_median(self) -> float | None:
        return median(self.floor) if self.floor else None

    @property
    def meets_target(self) -> bool | None:
        """Tell whether the target was met; None where there is none."""
        if self.target is None:
            return None
        if self.more_is_better:
            return self.ours_median >= self.target
        return self.ours_median <= self.target


class Figures(msgspec.Struct, kw_only=True):
    """One run of the bench."""

    at: str
    commit: str
    scale: str
    generator: str
    machine: dict[str, str]
    rows: list[Row]


def machine(postgres: str) -> dict[str, str]:
    """Return what a reader must know of where it was measured."""
    load_1min, _, _ = os.getloadavg()
    return {
        "cpus": str(os.cpu_count()),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "postgresql": postgres,
        "load before": f"{load_1min:.2f}",
    }


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit() -> str:
    """Return the commit that is measured, with a + if files differ from it; "" outside git."""
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return result.stdout.strip()


def kept_path(figures: Figures) -> Path:
    """Return where the figures of a run are kept."""
    return KEPT / f"{figures.at.replace(':', '')}-{figures.scale}.json"


def write(figures: Figures, path: Path) -> None:
    """Write the figures as JSON for programs and people. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


def load(path: Path) -> Figures:
    """Return figures that `write` wrote. Raises OSError, msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Figures)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
