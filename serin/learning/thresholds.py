"""From which score on a row counts as positive: the use case's rule, on scores of rows that were not fitted on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serin.learning.metrics import Labels, Scores
from serin.use_case import Threshold


@dataclass(frozen=True)
class Chosen:
    """A threshold, and in words what it gives on the rows that it was chosen on."""

    value: float
    note: str


@dataclass(frozen=True)
class _Cuts:
    """What each possible threshold gives, the highest first and before it one that flags nothing; shapes (cuts,)."""

    value: NDArray[np.float64]
    flagged: NDArray[np.int64]
    hits: NDArray[np.int64]
    positives: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """0 where nothing is flagged."""
        return np.divide(self.hits, self.flagged, out=np.zeros(len(self.hits)), where=self.flagged > 0)

    def chosen(self, place: int, why: str) -> Chosen:
        flagged, hits = int(self.flagged[place]), int(self.hits[place])
        right = f", {hits / flagged:.1%} of them right" if flagged else ""
        found = f"{flagged:,} rows are flagged{right}; {hits:,} of {self.positives:,} positives are found"
        return Chosen(float(self.value[place]), f"threshold {self.value[place]:.4g}: {why}; {found}")


def choose(labels: Labels, scores: Scores, rule: Threshold, days: float | None) -> Chosen:
    """The threshold by `rule` for scores as they are served, shape (n,), n > 0; both classes are among the labels.

    `days` is how long the rows' periods are together, None where there are no event times. A threshold lies halfway
    between two scores, so that the last digit of a score decides nothing.
    Where no threshold reaches the precision asked for, the one that comes nearest is taken, and the note says so.
    """
    cuts = _cuts(labels, scores)
    if rule.cost:
        wrong, missed = cuts.flagged - cuts.hits, cuts.positives - cuts.hits
        cost = rule.cost.false_positive * wrong + rule.cost.false_negative * missed
        place = int(np.argmin(cost))
        return cuts.chosen(place, f"wrong decisions cost least, {cost[place]:,.6g} (training.threshold.cost)")
    if rule.precision is not None:
        return _by_precision(cuts, rule.precision)
    if rule.alerts_a_day is not None:
        if days is None:
            raise ValueError("alerts a day need the number of days")
        return _by_alerts(cuts, rule.alerts_a_day, days)
    f1 = 2 * cuts.hits / (cuts.flagged + cuts.positives)
    # Of equal ones the lowest, which finds most.
    place = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return cuts.chosen(place, f"F1 is highest, {f1[place]:.3f}")


def _by_precision(cuts: _Cuts, wanted: float) -> Chosen:
    reached = np.flatnonzero((cuts.precision >= wanted) & (cuts.flagged > 0))
    if len(reached):
        return cuts.chosen(int(reached[-1]), f"{wanted:.1%} of the alarms are right (training.threshold.precision)")
    best = np.flatnonzero(cuts.precision == cuts.precision.max())[-1]
    return cuts.chosen(
        int(best),
        f"no threshold makes {wanted:.1%} of the alarms right (training.threshold.precision), so the one is taken "
        "that comes nearest",
    )


def _by_alerts(cuts: _Cuts, a_day: int, days: float) -> Chosen:
    few = np.flatnonzero(cuts.flagged <= a_day * days)
    why = f"at most {a_day:,} alarms a day (training.threshold.alerts_a_day) over {days:,.1f} days"
    if few[-1] == 0:
        why += "; more rows than that share the highest score, so nothing is flagged"
    return cuts.chosen(int(few[-1]), why)


def _cuts(labels: Labels, scores: Scores) -> _Cuts:
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    distinct = ordered[last]
    lower = np.append((distinct[:-1] + distinct[1:]) / 2, distinct[-1])
    # Between neighbours there may be no other number.
    value = np.append(np.nextafter(distinct[0], np.inf), np.where(lower > np.append(distinct[1:], -1), lower, distinct))
    hits = np.cumsum(labels[order] == 1)
    return _Cuts(value, np.append(0, last + 1), np.append(0, hits[last]), int(hits[-1]))
