"""Figures about a model, each as the text of one `<svg>` element."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.errors import DataError
from serin.reports.style import BLUE, COLOURS, GREY, ORANGE, RED, canvas, shorten, styled, svg


@styled
def curves(labels: NDArray[Any], scores: Mapping[str, NDArray[Any]]) -> str:
    """ROC and precision-recall curves of one or more models on the same rows.

    `labels` holds n zeros and ones, `scores` n scores by the model's name; the first model is the one in question.
    Raises DataError where the labels hold one class only.
    """
    from sklearn.metrics import PrecisionRecallDisplay, RocCurveDisplay

    _both_classes(labels)
    figure, (left, right) = canvas(9.6, 4.6, ncols=2)
    found: dict[str, tuple[float, float]] = {}
    for (name, values), colour in zip(scores.items(), COLOURS * len(scores), strict=False):
        # Chance is the same line for every model: it is drawn once, with the last.
        shown = {
            "name": shorten(name, 28),
            "curve_kwargs": {"color": colour},
            "plot_chance_level": len(found) == len(scores) - 1,
            "chance_level_kw": {"color": GREY, "linestyle": ":"},
            "drop_intermediate": True,
        }
        ranking = RocCurveDisplay.from_predictions(labels, values, ax=left, **shown)
        precision = PrecisionRecallDisplay.from_predictions(labels, values, ax=right, **shown)
        found[name] = ranking.roc_auc, precision.average_precision
    for axes in (left, right):
        axes.set(aspect="auto", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        # A good model leaves no room inside.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    left.set(xlabel="False positive rate", ylabel="True positive rate (recall)")
    right.set(xlabel="Recall", ylabel="Precision")
    auc, average = next(iter(found.values()))
    left.set_title(f"Ranks {auc:.1%} of pairs in the right order")
    right.set_title(f"Average precision {average:.3f}, chance {np.mean(labels):.3f}")
    return svg(figure, f"ROC and precision-recall curves of {', '.join(scores)}")


@styled
def confusion(labels: NDArray[Any], decisions: NDArray[Any]) -> str:
    """The confusion matrix of n labels and n decisions, both zeros and ones: counts, coloured by share of the row."""
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    counts = confusion_matrix(labels, decisions, labels=[0, 1])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = canvas(4.6, 3.6)
    drawn = ConfusionMatrixDisplay(shares, display_labels=["negative", "positive"])
    drawn.plot(ax=axes, cmap="Blues", colorbar=False, im_kw={"vmin": 0, "vmax": 1, "aspect": "auto"})
    for text, count, share in zip(drawn.text_.flat, counts.flat, shares.flat, strict=True):
        text.set_text(f"{count:,}\n{share:.1%} of row")
    axes.set(xlabel="Decision", ylabel="Truth")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    flagged = int(counts[:, 1].sum())
    right = f"{counts[1, 1] / flagged:.0%} of flags are right" if flagged else "nothing is flagged"
    axes.set_title(f"Finds {shares[1, 1]:.0%} of positives; {right}")
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
def reliability(labels: NDArray[Any], scores: Mapping[str, NDArray[Any]]) -> str:
    """Scores against what came of them: rows in up to ten groups of like scores, each a point at its mean score and
    its share of positives, with a 95 % Wilson interval; on the line a score is a probability.

    Where under one row in ten is positive both axes are logarithmic, and groups without a positive are left out.
    Raises DataError where the labels hold one class only.
    """
    _both_classes(labels)
    rare = float(np.mean(labels)) < 0.1
    figure, axes = canvas(4.6, 4.4)
    ends = []
    for (name, values), colour in zip(scores.items(), COLOURS * len(scores), strict=False):
        means, shares, low, high = _groups(np.asarray(labels), np.asarray(values))
        shown = (shares > 0) & (means > 0) if rare else np.full(len(means), True)
        means, shares, low, high = (part[shown] for part in (means, shares, low, high))
        ends += [means, shares]
        axes.vlines(means, low, high, color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(means, shares, "o-", color=colour, markersize=4.5, linewidth=1.2, label=shorten(name, 28))
    least = max(min(float(part.min()) for part in ends), 1e-5) / 2 if rare else 0.0
    axes.plot([least, 1], [least, 1], color=GREY, linestyle=":")
    if rare:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlim=(least, 1.03), ylim=(least, 1.03))
    axes.set(xlabel="Mean score of the group", ylabel="Share of positives")
    axes.legend(loc="upper left")
    first = np.asarray(next(iter(scores.values())))
    axes.set_title(f"Mean score {_rate(float(first.mean()))}, positives {_rate(float(np.mean(labels)))}")
    return svg(figure, f"Calibration of {', '.join(scores)}")


def _rate(share: float) -> str:
    return f"{share:.1%}" if share >= 0.1 else f"{share:.2%}"


def _groups(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """Mean score, share of positives and the ends of its interval, by group.

    Half of the groups hold equal numbers of rows, half equal numbers of positives, as the rare ones are at the top.
    The interval is E. B. Wilson's ("Probable Inference", 1927).
    """
    steps = np.linspace(0, 1, 6)
    edges = np.unique(np.concatenate([np.quantile(scores, steps), np.quantile(scores[labels == 1], steps)]))
    group = np.clip(np.searchsorted(edges, scores, "right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(group)
    filled = count > 0
    count = count[filled].astype(np.float64)
    means = np.bincount(group, scores)[filled] / count
    shares = np.bincount(group, labels)[filled] / count
    z = 1.96
    centre = (shares + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(shares * (1 - shares) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return means, shares, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _both_classes(labels: NDArray[Any]) -> None:
    found = sorted({int(value) for value in np.unique(labels)})
    if found != [0, 1]:
        raise DataError(f"a curve needs rows of both classes, 0 and 1; the labels hold {found}")
