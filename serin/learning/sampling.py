"""A sample of rows with a rare label, and the weights that make it stand for all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """Places among the rows, rising, and the weight of each; None where all rows are in it."""

    places: NDArray[np.int64]
    weight: NDArray[np.float32] | None


def sample(labels: NDArray[np.int8], rows: int, seed: int) -> Sample:
    """At most `rows` rows, drawn without replacement: all of the rarer class, and of the other what there is room for.

    Where the rarer class alone would fill more than half of the room, half is drawn of each. The weights of a class
    add up to its number of rows. `labels` have shape (n,); the same labels and seed give the same sample.
    """
    if len(labels) <= rows:
        return Sample(np.arange(len(labels)), None)
    rng = np.random.default_rng(seed)
    classes = sorted((np.flatnonzero(labels == value) for value in (0, 1)), key=len)
    rare = min(len(classes[0]), rows // 2)
    places, weight = [], []
    for members, count in zip(classes, (rare, rows - rare), strict=True):
        taken = members if count == len(members) else rng.choice(members, count, replace=False)
        places.append(taken)
        weight.append(np.full(count, len(members) / max(count, 1), np.float32))
    found = np.concatenate(places)
    order = np.argsort(found)
    return Sample(found[order], np.concatenate(weight)[order])
