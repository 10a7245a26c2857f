"""Two engines of one model: the one that is quick with few rows, and the one that is with many.

ONNX Runtime scores one row in a fraction of what a native library needs to begin with, and many rows more slowly. Where
the two cross depends on the model and on the machine, so it is measured where they serve.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from serin.engines.base import Scorer

SIZES = (1, 4, 16, 64, 256, 1024, 4096)
# A measurement of a size is the quickest of so many, as long as there is time: what else the machine does only adds.
_TRIES = 3
BUDGET_SECONDS = 0.4
# Numbers up to here can be standardised in single precision.
_MODERATE = 1e18


@dataclass(frozen=True)
class Crossing:
    """From how many rows on the second engine is the quicker one; None where it was for no number that was measured.

    `seconds` are those that the first and the second took, by number of rows.
    """

    rows: int | None
    seconds: dict[int, tuple[float, float]]

    def told(self, first: str, second: str) -> str:
        """In words, for engines of these names."""
        most = max(self.seconds, default=0)
        if self.rows is None:
            return f"{first}, which was quicker than {second} for all numbers of rows up to {most:,}"
        if self.rows <= 1:
            return f"{second}, which was quicker than {first} for all numbers of rows up to {most:,}"
        return f"{first} below {self.rows:,} rows, {second} from there on"

    def scorer(self, first: Scorer, second: Scorer) -> Scorer:
        """Scores with the engine that is the quicker one for as many rows as there are."""
        if self.rows is None:
            return first
        border = self.rows
        return lambda inputs: (first if len(inputs) < border else second)(inputs)


def in_single(first: Scorer, second: Scorer) -> Scorer:
    """`first`, an engine that calculates with its inputs in single precision, and `second` where one of them is so
    large that this may overflow: infinity would be a sure score, and a wrong one."""

    def score(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        # The greatest of those that are not NaN.
        largest = np.fmax.reduce(np.abs(inputs), axis=None, initial=0.0)
        return (first if largest <= _MODERATE else second)(inputs)

    return score


def measure(
    first: Scorer, second: Scorer, rows: NDArray[np.float32], clock: Callable[[], float] = time.perf_counter
) -> Crossing:
    """Time both on up to 4,096 of `rows`, which are repeated where there are fewer; no longer than BUDGET_SECONDS.

    A number of rows is left out, with all beyond, where it would not fit into what is left of the time. (One that takes
    longer on the very first row is measured once.)
    """
    start = clock()
    seconds: dict[int, tuple[float, float]] = {}
    for before, size in pairwise((1, *SIZES)):
        # With more rows it takes longer by as much, at most.
        if seconds and clock() - start + sum(seconds[before]) * size / before > BUDGET_SECONDS:
            break
        batch = np.resize(rows, (size, rows.shape[1]))
        seconds[size] = (_timed(first, batch, clock), _timed(second, batch, clock))
        for _ in range(_TRIES - 1):
            if clock() - start > BUDGET_SECONDS / 4:
                break
            again = _timed(first, batch, clock), _timed(second, batch, clock)
            seconds[size] = (min(seconds[size][0], again[0]), min(seconds[size][1], again[1]))
    return Crossing(crossing(seconds), seconds)


def crossing(seconds: dict[int, tuple[float, float]]) -> int | None:
    """The number of rows from which the second is quicker for good; between two sizes, where straight lines cross."""
    sizes = sorted(seconds)
    slower = [size for size in sizes if seconds[size][0] <= seconds[size][1]]
    if not slower:
        return 1
    if slower[-1] == sizes[-1]:
        return None
    below, above = slower[-1], sizes[sizes.index(slower[-1]) + 1]
    ahead, behind = (seconds[below][1] - seconds[below][0]), (seconds[above][0] - seconds[above][1])
    return below + max(1, round((above - below) * ahead / (ahead + behind)))


def _timed(scorer: Scorer, batch: NDArray[np.float32], clock: Callable[[], float]) -> float:
    start = clock()
    scorer(batch)
    return clock() - start
