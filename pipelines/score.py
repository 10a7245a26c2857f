"""The score pipeline."""

from kfp import dsl

from components.score.component import score_table
from pipelines.settings import applied


@dsl.pipeline(name="serin-score", description="Score a table with a registered version")
def score(
    use_case: str,
    data: str,
    output: str = "",
    version: str = "@champion",
    as_of: str = "",
    strict: bool = False,
) -> str:
    """Score the rows of a table; nothing else is changed.

    1. score_table: the table at `data`, with `version` (a number, or an alias), by the rules of a prediction request,
       to `output` ("": under `scores/` in the storage). Rows without an event time are scored as of `as_of` ("": now);
       rows that a request could not hold are set aside, or with `strict` refuse the table

    Returns where the scores are.
    """
    done = score_table(use_case=use_case, data=data, output=output, version=version, as_of=as_of, strict=strict)
    place: str = applied(done).outputs["Output"]
    return place
