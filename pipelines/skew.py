"""The skew pipeline."""

from kfp import dsl

from components.features.skew_component import find_skew
from pipelines.settings import applied


@dsl.pipeline(name="serin-skew", description="Compare features as served with features as trained")
def skew(use_case: str, version: int = 0, start: str = "", end: str = "", limit: float = 0.0) -> str:
    """Compare features as served with features as trained; nothing is changed.

    1. find_skew: the prediction log of `version` (0: the champion) from `start` to `end` ("": its last seven days),
       row by row against what the stored events make of the same events; the share `limit` of the rows may differ

    Returns `equal`, `skewed` or `nothing_compared`.
    """
    found: str = applied(find_skew(use_case=use_case, version=version, start=start, end=end, limit=limit)).outputs[
        "Output"
    ]
    return found
