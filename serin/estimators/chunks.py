"""Boosting in chunks of rounds, so that a fit that was ended goes on as if it had not been.

The library's own random state and its cache of the rows' scores end with a process. So every chunk starts anew from the
bytes of the chunk before, with a seed of its own, whether the process is the same or another: the model is the same.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from serin.estimators.base import Parts
from serin.progress import say

# Beginning a chunk may score all rows with all trees so far: many small chunks would cost more than they save.
# So many values were worked through in 10 s by one core.
_VALUES_A_CHUNK = 900_000_000
_LEAST, _MOST = 10, 100


def chunk_of(shape: tuple[int, ...]) -> int:
    """How many rounds a chunk has for a fit on inputs of this shape: seconds' work, well within a cloud's notice."""
    return max(_LEAST, min(_MOST, _VALUES_A_CHUNK // max(int(np.prod(shape)), 1)))


def seed_of(seed: int, chunk: int) -> int:
    """The seed of a chunk, a positive int32."""
    return int(np.random.SeedSequence([seed, chunk]).generate_state(1)[0] >> 1)


def boosted(
    rounds: int,
    shape: tuple[int, ...],
    seed: int,
    parts: Parts,
    *,
    train: Callable[[bytes | None, int, int], bytes],
) -> bytes:
    """The bytes of a model of `rounds` rounds, on inputs of `shape`.

    `train` takes the bytes so far, rounds to add, and a seed, and gives the bytes then.

    Raises what `parts` and `train` raise.
    """
    size = chunk_of(shape)
    ends = [min(start + size, rounds) for start in range(0, rounds, size)]
    done, model = parts.latest() or (0, None)
    if model is not None and done not in ends:
        say(f"what was kept of a fit has {done} rounds, and its chunks end at others; it is begun anew")
        done, model = 0, None
    for chunk, (start, end) in enumerate(pairwise((0, *ends))):
        if end > done:
            grown = train(model, end - start, seed_of(seed, chunk))
            model, done = grown, end
            parts.done(end, rounds, lambda kept=grown: kept)  # type: ignore[misc]
    if model is None:
        raise ValueError(f"{rounds} rounds of boosting; allowed: one or more")
    return model
