"""Kernel SHAP: SHAP values of any model, of nothing but its scores (S. Lundberg, S. Lee, "A Unified Approach to
Interpreting Model Predictions", 2017, theorem 2).

A coalition is a set of inputs that keep the row's own values, while the others take those of the background. What the
model gives of coalitions, on average over the background, is fitted by a weighted linear model; its coefficients are
the values. Where all coalitions can be scored the values are exact, otherwise an estimate from some of them: whole
sizes first, from both ends, as these weigh most, and the rest drawn by chance, each with its complement.

A row's values depend on the row, the background and the number of coalitions alone, not on the rows beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
# From n rows of inputs, shape (n, columns), to n numbers that the values are to add up to on average.
Model = Callable[[NDArray[np.float32]], Matrix]
Link = Callable[[Matrix], Matrix]
_SEED = 0


@dataclass(frozen=True)
class Coalitions:
    """`members` of shape (coalitions, inputs): which inputs keep the row's own values; a weight for each."""

    members: NDArray[np.bool_]
    weights: Matrix
    exact: bool


def kernel_shap(
    model: Model, link: Link, rows: NDArray[np.float32], background: NDArray[np.float32], count: int
) -> tuple[Matrix, float]:
    """The values of `rows`, shape (n, columns), and the base: both on the scale of `link`, which is applied to what the
    model gives on average over the background. About `count` coalitions are scored for each row.

    An input that the whole background shares with the row has the value 0.
    """
    base = float(link(np.mean(model(background), keepdims=True))[0])
    values = np.zeros(rows.shape)
    own = link(model(rows)) if len(rows) else np.zeros(0)
    for place, row in enumerate(rows):
        varying = np.flatnonzero(~_equal(background, row).all(axis=0))
        values[place, varying] = _values(model, link, row, background, varying, count, base, own[place])
    return values, base


def _values(
    model: Model,
    link: Link,
    row: NDArray[np.float32],
    background: NDArray[np.float32],
    varying: NDArray[np.int64],
    count: int,
    base: float,
    own: float,
) -> Matrix:
    """The values of the inputs `varying`; they add up to what the row's own score is above the base."""
    if len(varying) <= 1:
        return np.full(len(varying), own - base)
    drawn = coalitions(len(varying), count)
    mixed = np.tile(background, (len(drawn.members), 1, 1))
    mixed[:, :, varying] = np.where(drawn.members[:, None, :], row[varying], mixed[:, :, varying])
    scores = model(mixed.reshape(-1, len(row))).reshape(len(drawn.members), len(background))
    moved = link(scores.mean(axis=1)) - base
    # That they add up is no wish but a condition: the last input takes what the others leave.
    members = drawn.members.astype(np.float64)
    last = members[:, -1]
    left, right = members[:, :-1] - last[:, None], moved - last * (own - base)
    root = np.sqrt(drawn.weights)
    found = np.linalg.lstsq(left * root[:, None], right * root, rcond=None)[0]
    return np.append(found, own - base - found.sum())


@lru_cache(maxsize=128)
def coalitions(inputs: int, count: int) -> Coalitions:
    """Coalitions of at least two inputs: all of them where there are no more than `count`, otherwise about `count`.

    The weights add up to 1; none and all of the inputs are left out, as what they give is known.
    """
    sizes = np.arange(1, inputs)
    # Of all coalitions of a size together; those of size s and inputs - s have the same.
    shares = (inputs - 1) / (sizes * (inputs - sizes))
    shares = shares / shares.sum()
    members: list[NDArray[np.bool_]] = []
    weights: list[float] = []
    left, open_sizes = count, list(sizes.tolist())
    while open_sizes:
        pair = {open_sizes[0], inputs - open_sizes[0]}
        together = sum(comb(inputs, size) for size in pair)
        share = sum(shares[size - 1] for size in pair)
        # A whole size takes no more than its share of what may still be scored, or all that is left fits.
        rest = sum(shares[size - 1] for size in open_sizes)
        if together > left * share / rest + 1e-9 and sum(comb(inputs, size) for size in open_sizes) > left:
            break
        for size in pair:
            chosen = _all_of(inputs, size)
            members.extend(chosen)
            weights.extend([float(shares[size - 1]) / len(chosen)] * len(chosen))
        left -= together
        open_sizes = [size for size in open_sizes if size not in pair]
    if open_sizes:
        open_shares = shares[np.array(open_sizes) - 1]
        sampled, times = _sampled(inputs, open_sizes, open_shares / open_shares.sum(), max(2, left))
        members.extend(sampled)
        weights.extend((times / times.sum() * open_shares.sum()).tolist())
    return Coalitions(np.array(members), np.array(weights), exact=not open_sizes)


def _all_of(inputs: int, size: int) -> list[NDArray[np.bool_]]:
    found = []
    for chosen in combinations(range(inputs), size):
        member = np.zeros(inputs, bool)
        member[list(chosen)] = True
        found.append(member)
    return found


def _sampled(inputs: int, sizes: list[int], shares: Matrix, count: int) -> tuple[list[NDArray[np.bool_]], Matrix]:
    """Up to `count` different coalitions of `sizes`, in pairs that complement each other, and how often each came."""
    random = np.random.default_rng(_SEED)
    times: dict[bytes, int] = {}
    for _ in range(4 * count):
        if len(times) + 2 > count:
            break
        member = np.zeros(inputs, bool)
        member[random.choice(inputs, random.choice(sizes, p=shares), replace=False)] = True
        for each in (member, ~member):
            times[each.tobytes()] = times.get(each.tobytes(), 0) + 1
    found = [np.frombuffer(each, bool) for each in times]
    return found, np.array(list(times.values()), dtype=np.float64)


def _equal(background: NDArray[np.float32], row: NDArray[np.float32]) -> NDArray[np.bool_]:
    """A missing value is equal to a missing one."""
    same: NDArray[np.bool_] = (background == row) | (np.isnan(background) & np.isnan(row))
    return same
