"""Which aliases a new version takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """What decides between two versions that both passed the gate."""

    version: int
    as_of: str
    score: float


def supersedes(new: Standing, current: Standing | None) -> bool:
    """Whether `new` takes the challenger's place from `current`: the later data win, then the better score.

    Two trainings may end in any order; what they leave behind is the same.
    """
    if current is None:
        return True
    return (new.as_of, new.score) >= (current.as_of, current.score)
