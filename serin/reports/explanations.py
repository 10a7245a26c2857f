"""Figures of SHAP values: how much each input moves the scores, and in which direction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.errors import DataError
from serin.reports.style import BLUE, GREY, INK, ORANGE, canvas, shorten, styled, svg

MOST_INPUTS = 12
MOST_SWARMS = 8
# Every point is an element of the figure's text.
MOST_POINTS = 150
_BINS = 60


@styled
def importance(names: Sequence[str], values: NDArray[Any], scale: str) -> str:
    """Mean absolute SHAP value of the inputs that matter most, as bars; `values` has shape (rows, inputs).

    Raises DataError where there is no row or no input.
    """
    _some(values)
    means = np.abs(values).mean(axis=0)
    order = np.argsort(-means, kind="stable")[:MOST_INPUTS]
    figure, axes = canvas(9.6, 1.3 + 0.3 * len(order))
    bars = axes.barh(range(len(order)), means[order], color=BLUE, height=0.62)
    axes.bar_label(bars, [f"{mean:.3g}" for mean in means[order]], padding=4, color=INK, fontsize=9)
    axes.set(ylim=(len(order) - 0.4, -0.6), xlabel=f"Mean |SHAP value| ({scale})")
    axes.margins(x=0.08)
    axes.set_yticks(range(len(order)), [shorten(names[place], 34) for place in order])
    axes.grid(visible=False, axis="y")
    total = float(means.sum())
    share = means[order[:3]].sum() / total if total else 0.0
    few = min(3, len(order))
    axes.set_title(
        f"{shorten(names[order[0]], 30)} moves scores most; the first {few} inputs make {share:.0%} of it all"
    )
    return svg(figure, f"Mean absolute SHAP values: {', '.join(names[place] for place in order)}")


@styled
def swarms(names: Sequence[str], values: NDArray[Any], inputs: NDArray[Any], scale: str) -> str:
    """SHAP values of single rows by input, coloured by the input's own value from low to high; a cross where missing.

    `values` and `inputs` have shape (rows, inputs); the first MOST_POINTS rows are drawn.
    Raises DataError where there is no row or no input.
    """
    _some(values)
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:MOST_SWARMS]
    drawn, given = values[:MOST_POINTS], inputs[:MOST_POINTS]
    figure, axes = canvas(9.6, 1.5 + 0.55 * len(order))
    colours = _ramp()
    extent = float(np.abs(drawn[:, order]).max()) or 1.0
    for row, place in enumerate(order):
        heights = row + _spread(drawn[:, place], extent)
        level = _levels(given[:, place], len(colours) - 1)
        for number, colour in enumerate(colours):
            chosen = level == number - 1
            if chosen.any():
                # A middling value is pale, and pale is near to grey: what is missing has a mark of its own.
                mark, edge = ("x", 0.9) if number == 0 else ("o", 0)
                axes.plot(
                    drawn[chosen, place], heights[chosen], mark, color=colour, markersize=3.4, markeredgewidth=edge
                )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set(ylim=(len(order) - 0.4, -0.6), xlabel=f"SHAP value ({scale}): to the right the score is higher")
    axes.set_yticks(range(len(order)), [shorten(names[place], 34) for place in order])
    axes.grid(visible=False, axis="y")
    for mark, colour, label in (("o", colours[1], "low"), ("o", colours[-1], "high"), ("x", colours[0], "missing")):
        axes.plot([], [], mark, color=colour, markersize=5, label=label if mark == "x" else f"{label} value")
    figure.legend(loc="outside lower center", ncols=3)
    axes.set_title(f"What the inputs did to the scores of {len(drawn):,} rows")
    return svg(figure, f"SHAP values of single rows: {', '.join(names[place] for place in order)}")


def _some(values: NDArray[Any]) -> None:
    if values.ndim != 2 or not values.size:
        raise DataError(f"a figure of SHAP values needs rows and inputs; found an array of shape {values.shape}")


def _ramp() -> list[Any]:
    """Grey for missing, then seven colours from blue by way of a pale tone to orange."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("low to high", [BLUE, "#c9bfae", ORANGE])
    return [GREY, *(to_hex(ramp(share)) for share in np.linspace(0, 1, 7))]


def _levels(given: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Of each value its rank from 0 to `count` - 1, equal for equal ones; -1 where it is missing."""
    levels = np.full(len(given), -1, np.int64)
    known = ~np.isnan(given)
    if known.any():
        sorted_values = np.sort(given[known])
        below = np.searchsorted(sorted_values, given[known], "left")
        above = np.searchsorted(sorted_values, given[known], "right")
        shares = (below + above) / 2 / len(sorted_values)
        levels[known] = np.minimum((shares * count).astype(np.int64), count - 1)
    return levels


def _spread(values: NDArray[Any], extent: float) -> NDArray[np.float64]:
    """Heights around 0 that keep points of like values from hiding each other, the densest within ±0.38."""
    bins = np.clip(((values + extent) / (2 * extent) * _BINS).astype(np.int64), 0, _BINS)
    heights = np.zeros(len(values))
    densest = max(int(np.bincount(bins).max()), 1)
    for number in np.unique(bins):
        places = np.flatnonzero(bins == number)
        ranks = np.arange(len(places))
        # From the middle outwards: 0, 1, -1, 2, -2, …
        heights[places] = (ranks + 1) // 2 * np.where(ranks % 2, 1, -1)
    return heights * min(0.08, 0.76 / densest)
