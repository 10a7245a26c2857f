"""Figures of traffic over time, each as the text of one `<svg>` element.

`samples` is a table of requests: time, version (text), status (HTTP; 0 for no answer), latency_ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from serin.errors import DataError
from serin.reports.style import COLOURS, GREY, INK, RED, canvas, shorten, styled, svg

_BINS = 80


@dataclass(frozen=True)
class Mark:
    """Something that happened, such as a step of a canary's weight."""

    time: datetime
    text: str


@styled
def traffic(samples: pd.DataFrame, marks: Sequence[Mark] = ()) -> str:
    """Each version's share of the requests over time; the marks are numbered above it and listed below.

    A second panel counts failed requests (status 0 or 500 and more) where there were any.
    Raises DataError for a table without rows.
    """
    table, start = _timed(samples)
    failed = table[(table["status"] == 0) | (table["status"] >= 500)]
    key = _key(marks)
    panels = 2 if len(failed) else 1
    figure, grid = canvas(
        9.6,
        3.7 + 1.1 * (panels - 1) + 0.19 * len(key),
        nrows=panels,
        sharex=True,
        squeeze=False,
        height_ratios=[3.2, 1][:panels],
    )
    axes = grid[0][0]
    edges = _edges(table)
    counts = {version: np.histogram(rows["second"], edges)[0] for version, rows in _by_version(table)}
    total = np.sum(list(counts.values()), axis=0)
    shares = {version: np.where(total, count / np.maximum(total, 1) * 100, np.nan) for version, count in counts.items()}
    base = np.zeros(len(total))
    for (version, share), colour in zip(shares.items(), COLOURS * len(shares), strict=False):
        axes.stairs(base + share, edges, baseline=base, fill=True, color=colour, alpha=0.85, label=version)
        base = base + share
    axes.set(ylabel="Requests (%)", ylim=(0, 100), xlim=(edges[0], edges[-1]))
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1), title="version")
    _mark(axes, [(mark.time - start).total_seconds() for mark in marks], edges)
    plural = "s" if len(counts) > 1 else ""
    axes.set_title(
        f"{len(table):,} requests to {len(counts)} version{plural}, {len(failed):,} failed",
        pad=26,
    )
    if len(failed):
        low = grid[1][0]
        low.stairs(np.histogram(failed["second"], edges)[0], edges, fill=True, color=RED)
        low.set_ylabel("Failed")
    grid[-1][0].set_xlabel("\n".join(["Time (s)", *key]), linespacing=1.5)
    return svg(figure, f"Share of traffic of {', '.join(counts)} over time")


@styled
def latency(samples: pd.DataFrame, *, limit_ms: float | None = None) -> str:
    """Median (solid) and 95th percentile (dashed) of the latency of each version over time, in milliseconds.

    `limit_ms` draws the SLO's limit. Raises DataError for a table without rows.
    """
    table, _ = _timed(samples)
    figure, axes = canvas(9.6, 3.4)
    # Percentiles need more requests in a bin than shares do.
    edges = _edges(table, _BINS // 2)
    worst: dict[str, float] = {}
    for (version, rows), colour in zip(_by_version(table), COLOURS * len(table), strict=False):
        places = np.digitize(rows["second"], edges[1:-1])
        grouped = rows["latency_ms"].groupby(places).quantile(np.array([0.5, 0.95])).unstack()
        middle = (edges[:-1] + edges[1:])[grouped.index] / 2
        axes.plot(middle, grouped[0.5], color=colour, label=version)
        axes.plot(middle, grouped[0.95], color=colour, linestyle="--", linewidth=1.1)
        worst[version] = float(rows["latency_ms"].quantile(0.95))
    axes.plot([], [], color=GREY, label="median")
    axes.plot([], [], color=GREY, linestyle="--", label="95th percentile")
    if limit_ms is not None:
        axes.axhline(limit_ms, color=RED, linewidth=1, label=f"limit {limit_ms:g} ms")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="Time (s)", ylabel="Latency (ms, log scale)", xlim=(edges[0], edges[-1]))
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1))
    found = ", ".join(f"{name} {value:,.{1 if value < 100 else 0}f} ms" for name, value in worst.items())
    axes.set_title(shorten(f"95th percentile: {found}", 100))
    return svg(figure, f"Latency of {', '.join(worst)} over time")


def _timed(samples: pd.DataFrame) -> tuple[pd.DataFrame, datetime]:
    """The samples with `second`, their seconds since the first one, and the time of that."""
    if samples.empty:
        raise DataError("traffic over time: the samples hold no rows; at least one is needed")
    start = samples["time"].min()
    return samples.assign(second=(samples["time"] - start).dt.total_seconds()), start


def _by_version(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each version, in the order of appearance, so that all figures give it the same colour."""
    return [(str(version), rows) for version, rows in table.sort_values("second").groupby("version", sort=False)]


def _edges(table: pd.DataFrame, most: int = _BINS) -> Any:
    last = max(float(table["second"].max()), 1e-3)
    return np.linspace(0, last, min(most, max(len(table) // 20, 1)) + 1)


def _mark(axes: Any, places: list[float], edges: Any) -> None:
    """Dashed lines at the marks and their numbers above, moved apart where they would overlap."""
    width = edges[-1] - edges[0]
    shown = 0.0
    for number, place in enumerate(places, start=1):
        inside = min(max(place, edges[0]), edges[-1])
        shown = max(inside, shown + 0.028 * width) if number > 1 else inside
        axes.axvline(inside, color=INK, linestyle=(0, (3, 3)), linewidth=0.9)
        axes.annotate(
            str(number), (inside, 100), xytext=(shown, 107), annotation_clip=False, ha="center", va="center",
            fontsize=8.5, color="white", bbox={"boxstyle": "circle,pad=0.25", "fc": INK, "ec": "none"},
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7},
        )  # fmt: skip


def _key(marks: Sequence[Mark]) -> list[str]:
    texts = [f"{number}  {shorten(mark.text, 44)}" for number, mark in enumerate(marks, start=1)]
    return ["  ·  ".join(texts[at : at + 3]) for at in range(0, len(texts), 3)]
