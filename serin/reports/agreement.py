"""Figures of how far two tables agree, row by row."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from serin.errors import DataError
from serin.reports.style import BLUE, INK, RED, canvas, shorten, styled, svg

MOST_COLUMNS = 40
_MOST_BINS = 96


@styled
def by_column(differing: Mapping[str, int], rows: int) -> str:
    """The share of `rows` rows that is equal in each column, those that differ most first.

    Raises DataError where there is no row or no column.
    """
    if not rows or not differing:
        raise DataError("a figure of columns needs rows and columns; found none")
    names = sorted(differing, key=lambda name: -differing[name])[:MOST_COLUMNS]
    shares = [100 * (1 - differing[name] / rows) for name in names]
    figure, axes = canvas(9.6, 1.3 + 0.27 * len(names))
    places = range(len(names))
    bars = axes.barh(places, shares, color=[RED if differing[name] else BLUE for name in names], height=0.62)
    axes.bar_label(bars, [_label(differing[name], share) for name, share in zip(names, shares, strict=True)], padding=4)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 118), xlabel="Rows that are equal (%)")
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_yticks(places, [shorten(name, 40) for name in names])
    axes.grid(visible=False, axis="y")
    apart = sum(1 for name in differing if differing[name])
    axes.set_title(f"{apart} of {len(differing)} columns differ somewhere, in {rows:,} rows")
    return svg(figure, f"Share of equal rows by column: {', '.join(names)}")


@styled
def over_time(starts: Sequence[datetime], rows: Sequence[int], equal: Sequence[int]) -> str:
    """The share of equal rows over event time, hour by hour, or several hours together where they are many; below it
    the number of rows. `starts` are hours in order, UTC; `rows` and `equal` are counts in each.

    Raises DataError where there is no hour.
    """
    if not starts:
        raise DataError("a figure over time needs at least one hour with rows; found none")
    hours = np.array([int(start.timestamp()) // 3600 for start in starts])
    width = max(1, -(-(int(hours[-1] - hours[0]) + 1) // _MOST_BINS))
    edges = np.arange(hours[0], hours[-1] + width + 1, width)
    total, same = (np.histogram(hours, edges, weights=counts)[0] for counts in (rows, equal))
    share = np.where(total > 0, 100 * same / np.maximum(total, 1), np.nan)
    figure, (high, low) = canvas(9.6, 3.6, nrows=2, sharex=True, height_ratios=[2.4, 1])
    moments = (edges * 3600).astype("datetime64[s]")
    high.stairs(share, moments, color=BLUE, linewidth=1.8, baseline=None)
    high.plot(moments[:-1] + (moments[1:] - moments[:-1]) / 2, share, "o", color=BLUE, markersize=3.5)
    lowest = float(np.nanmin(share))
    high.set(ylabel="Equal rows (%)", ylim=(max(0.0, lowest - 5) if lowest > 60 else 0, 101.5))
    high.set_title(f"Equal in all inputs: {same.sum() / total.sum():.2%} of {int(total.sum()):,} rows")
    low.stairs(total, moments, fill=True, color=INK, alpha=0.35)
    low.set(ylabel="Rows", xlabel=f"Event time (UTC), by {'the hour' if width == 1 else f'{width} hours'}")
    low.tick_params(axis="x", rotation=20)
    return svg(figure, "Share of rows that are equal in all inputs, over event time")


def _label(differing: int, share: float) -> str:
    return f"{share:.2f} % ({differing:,} differ)" if differing else "all"
