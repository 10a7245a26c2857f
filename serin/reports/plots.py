"""Figures about a model and about drift, each as the text of one `<svg>` element."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serin.errors import DataError
from serin.reports.style import BLUE, COLOURS, GREY, ORANGE, RED, canvas, shorten, styled, svg

_POINTS = 250
_BARS = 30
_CATEGORIES = 8
_WHOLE = 60


@styled
def curves(labels: NDArray[Any], scores: Mapping[str, NDArray[Any]]) -> str:
    """ROC and precision-recall curves of one or more models on the same rows.

    `labels` holds n zeros and ones, `scores` n scores by the model's name; the first model is the one in question.
    Raises DataError where the labels hold one class only.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    _both_classes(labels)
    figure, (left, right) = canvas(9.6, 4.2, ncols=2)
    ranking, precision = {}, {}
    for (name, values), colour in zip(scores.items(), COLOURS * len(scores), strict=False):
        ranking[name], precision[name] = roc_auc_score(labels, values), average_precision_score(labels, values)
        false, true, _ = roc_curve(labels, values)
        left.plot(*_thin(false, true), color=colour, label=f"{shorten(name, 28)}: AUC {ranking[name]:.3f}")
        hits, found, _ = precision_recall_curve(labels, values)
        right.plot(*_thin(found, hits), color=colour, label=f"{shorten(name, 28)}: AP {precision[name]:.3f}")
    share = float(np.mean(labels))
    left.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance: AUC 0.500")
    right.axhline(share, color=GREY, linestyle=":", label=f"chance: AP {share:.3f}")
    left.set(xlabel="False positive rate", ylabel="True positive rate (recall)")
    right.set(xlabel="Recall", ylabel="Precision", ylim=(0, 1.03))
    left.legend(loc="lower right")
    right.legend(loc="upper right")
    first = next(iter(scores))
    left.set_title(f"Ranks {ranking[first]:.1%} of pairs in the right order")
    right.set_title(f"Average precision {precision[first]:.3f}, chance {share:.3f}")
    return svg(figure, f"ROC and precision-recall curves of {', '.join(scores)}")


@styled
def confusion(matrix: NDArray[Any], labels: tuple[str, str]) -> str:
    """The confusion matrix [[true negatives, false positives], [false negatives, true positives]].

    `labels` names the negative and the positive class.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = canvas(4.6, 3.6)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else "#22262e"
        axes.text(
            column,
            row,
            f"{int(count):,}\n{shares[row, column]:.1%} of row",
            ha="center",
            va="center",
            color=colour,
            fontsize=11,
        )
    names = [shorten(name, 20) for name in labels]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names, rotation=90, va="center")
    axes.set(xlabel="Decision", ylabel="Truth")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    flagged = int(counts[:, 1].sum())
    right = f"{counts[1, 1] / flagged:.0%} of flags are right" if flagged else "nothing is flagged"
    axes.set_title(f"Finds {shares[1, 1]:.0%} of {shorten(labels[1], 16)}; {right}")
    return svg(figure, f"Confusion matrix: {counts.tolist()}")


@styled
def score_histogram(labels: NDArray[Any], scores: NDArray[Any], threshold: float) -> str:
    """Scores (0 to 1) of both classes, each in percent of its class on a log scale, and the decision threshold.

    Raises DataError where the labels hold one class only.
    """
    _both_classes(labels)
    figure, axes = canvas(4.6, 3.6)
    edges = np.linspace(min(0.0, float(np.min(scores))), max(1.0, float(np.max(scores))), 41)
    flagged = {}
    for value, name, colour in ((0, "negative", BLUE), (1, "positive", ORANGE)):
        of_class = np.asarray(scores)[np.asarray(labels) == value]
        flagged[value] = float(np.mean(of_class >= threshold))
        heights = np.histogram(of_class, edges)[0] / len(of_class) * 100
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(heights, edges, color=colour, linewidth=1.5, label=f"{name} ({len(of_class):,} rows)")
    axes.axvline(threshold, color=RED, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="Score", ylabel="Rows of the class (%, log scale)")
    axes.legend(loc="upper right")
    axes.set_title(f"Flags {flagged[1]:.0%} of positives, {flagged[0]:.2%} of negatives")
    return svg(figure, "Histogram of scores by class")


@styled
def drift_bars(measures: Mapping[str, float], limits: Mapping[str, float], drifted: Collection[str]) -> str:
    """PSI by column, largest on top, with each column's limit; at most 30 columns are drawn."""
    order = sorted(measures, key=lambda name: -measures[name])[:_BARS]
    figure, axes = canvas(9.6, 1.5 + 0.27 * len(order))
    # A square root keeps the limit visible beside a column that is forty times over it.
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    places = np.arange(len(order))
    values = [measures[name] for name in order]
    axes.barh(places, values, height=0.68, color=[RED if name in drifted else BLUE for name in order])
    for place, name in zip(places, order, strict=True):
        text = axes.annotate(
            f"{measures[name]:.3f}",
            (measures[name], float(place)),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            bbox={"fc": "white", "ec": "none", "pad": 0.8},
        )
        text.set_color(RED if name in drifted else "#555b66")
        axes.plot([limits[name]] * 2, [place - 0.45, place + 0.45], color="#22262e", linewidth=1.6)
    axes.plot([], [], color="#22262e", linewidth=1.6, label="limit")
    axes.set_yticks(places, [shorten(name, 34) for name in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, max([*values, *(limits[name] for name in order)]) * 1.25)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Population stability index (square-root scale)")
    axes.legend(loc="lower right")
    rest = f"; the first {_BARS} are shown" if len(measures) > _BARS else ""
    count = len(set(drifted) & set(measures))
    axes.set_title(f"{count} of {len(measures)} columns drifted{rest}" if count else f"No column drifted{rest}")
    return svg(figure, f"Population stability index of {len(order)} columns")


@styled
def distribution(reference: pd.Series, current: pd.Series, name: str) -> str:
    """How the values of one column were spread in the reference and are now, in percent of the known values."""
    figure, axes = canvas(4.6, 3.0)
    series = (("reference", reference, GREY), ("now", current, BLUE))
    if pd.api.types.is_numeric_dtype(reference) and not pd.api.types.is_bool_dtype(reference):
        found = _histograms(axes, series)
    else:
        found = _category_bars(axes, series)
    axes.set(xlabel=shorten(name, 40), ylabel="Rows (%)", ylim=(0, axes.get_ylim()[1] * 1.2))
    axes.legend(loc="upper right", ncols=2)
    axes.set_title(shorten(found, 50))
    return svg(figure, f"Distribution of {name} in the reference and now")


def _histograms(axes: Any, series: Sequence[tuple[str, pd.Series, str]]) -> str:
    known = {label: _finite(values) for label, values, _ in series}
    together = np.concatenate(list(known.values()))
    # The outermost values would squeeze the rest into one bar; they are counted in the end bins.
    low, high = np.quantile(together, [0.005, 0.995]) if len(together) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 31)
    if high - low <= _WHOLE and np.all(together == np.round(together)):
        edges = np.arange(low - 0.5, high + 1)
    for label, values, colour in series:
        inside = np.clip(known[label], edges[0], edges[-1])
        heights = np.histogram(inside, edges)[0] / max(len(inside), 1) * 100
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(heights, edges, color=colour, linewidth=1.5, label=_legend(label, values))
    before, after = (f"{np.median(values):.3g}" if len(values) else "none" for values in known.values())
    return f"Median {before} before, {after} now"


def _category_bars(axes: Any, series: Sequence[tuple[str, pd.Series, str]]) -> str:
    shares = {label: values.dropna().astype(str).value_counts(normalize=True) for label, values, _ in series}
    total = pd.concat(list(shares.values()), axis=1).fillna(0).sum(axis=1).sort_values(ascending=False)
    shown = list(total.index[:_CATEGORIES])
    names = [*shown, *(["other"] if len(total) > _CATEGORIES else [])]
    for place, (label, values, colour) in enumerate(series):
        heights = [float(shares[label].get(name, 0.0)) for name in shown]
        heights += [1 - sum(heights)] * (len(names) - len(shown))
        axes.bar(
            np.arange(len(names)) + (place - 0.5) * 0.4,
            np.array(heights) * 100,
            width=0.4,
            color=colour,
            label=_legend(label, values),
        )
    axes.set_xticks(np.arange(len(names)), [shorten(name, 14) for name in names])
    axes.tick_params(axis="x", rotation=0 if len(names) < 5 else 35)
    axes.grid(visible=False, axis="x")
    if not shown:
        return "No values"
    before, after = ([float(share.get(name, 0.0)) for name in shown] for share in shares.values())
    most = int(np.argmax(np.abs(np.subtract(after, before))))
    return f"{shorten(shown[most], 20)}: {before[most]:.0%} before, {after[most]:.0%} now"


def _legend(label: str, values: pd.Series) -> str:
    missing = float(values.isna().mean()) if len(values) else 0.0
    return f"{label} ({missing:.0%} missing)" if missing else label


def _finite(values: pd.Series) -> NDArray[np.float64]:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(numbers[np.isfinite(numbers)])


def _both_classes(labels: NDArray[Any]) -> None:
    found = sorted({int(value) for value in np.unique(labels)})
    if found != [0, 1]:
        raise DataError(f"a curve needs rows of both classes, 0 and 1; the labels hold {found}")


def _thin(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most _POINTS points of a curve, evenly along its length."""
    if len(x) <= _POINTS:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], _POINTS)))
    kept = np.union1d(kept, [0, len(x) - 1])
    return x[kept], y[kept]
