"""The ideas that were tried, as one table in docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.bench.ideas_job import ARMS, AVERAGED, PLAIN
from helpers.bench.page import PAGE, fill_file, markdown
from helpers.bench.report import Report

__all__ = ["PAGE", "TITLES", "write_page"]

TITLES: Mapping[str, str] = {
    "distilled": "prior distillation",
    "masked": "mask on the subject's loss",
    "min-snr": "min-SNR on both terms",
    AVERAGED: "moving average of the weights",
}


def write_page(report: Report, path: Path = PAGE) -> None:
    """Fill the table of the section "Ideas tried"."""
    fill_file(path, "ideas", _section(report))


def _section(report: Report) -> str:
    rows = {row["name"]: row for row in report.results}
    plain = {name: rows[f"{PLAIN}.{name}"]["value"] for name in ("identity", "prompt", "step")}
    start = f"{ARMS[1]}.identity."
    names = [name.removeprefix(start) for name in rows if name.startswith(start)]
    columns = [(score, who) for score in ("identity", "prompt") for who in names]
    table = [
        (
            TITLES[arm],
            *(_gain(rows[f"{arm}.{score}.{who}"]) for score, who in columns),
            f"{rows[f'{arm}.step']['value']:.2f}",
            str(rows[f"{arm}.verdict"]["value"]),
        )
        for arm in ARMS[1:]
    ]
    head = ("idea", *(f"{score}, {who}" for score, who in columns), "step", "verdict")
    return (
        f"Measured on {report.date[:10]} in {report.seconds:.0f} s "
        f"({report.machine_in_words}). Without any idea "
        f"identity is {plain['identity']:.3f}, the prompt score {plain['prompt']:.3f}, a step "
        f"{plain['step']:.2f} s of one core.\n\n{markdown(head, table)}"
    )


def _gain(row: Mapping[str, Any]) -> str:
    low, high = row["spread"]
    return f"{row['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
