"""Figures as text for a terminal: the table, and the change against another run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.figures import Cpu, Figures, Row

_HEADINGS = (
    *("", "ours", "p50 ms", "p99 ms", "CPU µs app+pg", "others"),
    *("floor", "floor CPU µs", "ours:floor", "CPU:floor", "target", ""),
)
NOISY_PERCENT = 10


def render(figures: Figures) -> str:
    """Return the table with what is needed to read it."""
    about = ", ".join(f"{name} {text}" for name, text in figures.machine.items())
    lines = [
        (
            f"Halebox {figures.commit or '?'}, {figures.at}, {figures.scale}; load by "
            f"{figures.generator}"
        ),
        about,
        "",
        *_columns([_HEADINGS, *(_cells(row) for row in figures.rows)]),
        "",
    ]
    lines += [f"floor of {row.name}: {row.floor_name}" for row in figures.rows if row.floor_name]
    for row in figures.rows:
        if row.parts:
            parts = ", ".join(f"{name} {value:.1f}" for name, value in row.parts.items())
            lines.append(f"{row.name}, {row.unit}: {parts}")
    if any((row.others_percent or 0) > NOISY_PERCENT for row in figures.rows):
        lines.append(
            "Other programs used the cores as well (column others): trust CPU µs more than rates."
        )
    return "\n".join(lines)


def render_change(before: Figures, after: Figures) -> str:
    """Return what changed between two runs, row by row."""
    known = {row.name: row for row in before.rows}
    lines: list[Sequence[str]] = [("", "before", "now", "change", "CPU before", "now", "change")]
    for row in after.rows:
        old = known.get(row.name)
        if old is None:
            lines.append((row.name, "-", _amount(row.ours_median, row.unit), "new", "", "", ""))
            continue
        lines.append(
            (
                row.name,
                _amount(old.ours_median, old.unit),
                _amount(row.ours_median, row.unit),
                _change(old.ours_median, row.ours_median),
                f"{old.cpu.total_us:,.0f}" if old.cpu else "",
                f"{row.cpu.total_us:,.0f}" if row.cpu else "",
                _change(old.cpu.total_us, row.cpu.total_us) if old.cpu and row.cpu else "",
            )
        )
    title = f"Change since {before.commit or '?'}, {before.at} ({before.scale})"
    return "\n".join([title, *_columns(lines)])


def _cells(row: Row) -> tuple[str, ...]:
    floor = row.floor_median
    cpu, floor_cpu = row.cpu, row.floor_cpu
    verdict = {True: "met", False: "missed", None: ""}[row.meets_target]
    sign = "≥" if row.more_is_better else "≤"
    return (
        row.name,
        _amount(row.ours_median, row.unit),
        "" if row.p50_ms is None else f"{row.p50_ms:.1f}",
        "" if row.p99_ms is None else f"{row.p99_ms:.1f}",
        _cpu(cpu),
        "" if row.others_percent is None else f"{row.others_percent:.0f} %",
        "" if floor is None else _amount(floor, row.unit),
        _cpu(floor_cpu),
        "" if floor is None else f"{row.ours_median / floor:.2f}",
        f"{cpu.total_us / floor_cpu.total_us:.2f}" if cpu and floor_cpu else "",
        "" if row.target is None else f"{sign} {_amount(row.target, row.unit)}",
        verdict,
    )


def _amount(value: float, unit: str) -> str:
    if unit == "/s":
        return f"{value:,.0f}/s"
    return f"{value:,.1f} {unit}"


def _cpu(cpu: Cpu | None) -> str:
    return "" if cpu is None else f"{cpu.app_us:,.0f}+{cpu.postgres_us:,.0f}"


def _change(before: float, after: float) -> str:
    return f"{(after / before - 1) * 100:+.0f} %" if before else ""


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines with columns of equal width; the first is left-aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
