"""A logistic regression over the scores of other models, which lie beside it."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from serin.atomic import write_text
from serin.engines.base import Engine, Scorer
from serin.errors import ArtifactError, first_line
from serin.logistic import logits, sigmoid

# Scores beyond are taken as these. A forest that is sure says 0 or 1, which has no logit, and in float32 a score next
# to 1 has none worth its name: 1e-5 moved a stack's score by 5e-5 between two engines.
LEAST = 1e-4


class Member(BaseModel):
    """One model of a stack: the estimator that made it, the engine that scores it, and its file beside the stack's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    estimator: str
    engine: str
    file: str


class StackModel(BaseModel):
    """score = sigmoid(intercept + sum over the members of coefficient * logit(score of the member)).

    The members' scores are raw: none is calibrated before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: tuple[Member, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @model_validator(mode="after")
    def _one_coefficient_each(self) -> Self:
        if not self.members or len(self.members) != len(self.coefficients):
            raise ValueError(f"{len(self.members)} members and {len(self.coefficients)} coefficients; one each, please")
        return self

    def combine(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The stack's n scores from those of its members, shape (n, members)."""
        return sigmoid(logits(scores, LEAST) @ np.asarray(self.coefficients) + self.intercept)


class Stack(Engine):
    """JSON, and the files of the members."""

    name = "stack"
    file = "stack.json"

    def save(self, model: Any, path: Path) -> None:
        """Write a StackModel; its members' files are the caller's to put beside it."""
        write_text(path, model.model_dump_json(indent=2) + "\n")

    def load(self, path: Path) -> Scorer:
        """See Engine. The hashes of the members' files were checked with the artifact's."""
        try:
            stack = StackModel.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, ValueError) as error:
            raise ArtifactError(f"{path} can't be read: {first_line(error)}") from None
        members = [_member(path, member) for member in stack.members]
        return lambda inputs: stack.combine(np.stack([score(inputs) for score in members], axis=1))


def _member(path: Path, member: Member) -> Scorer:
    from serin.engines import known

    file = path.parent / member.file
    if member.engine not in known() or member.engine == Stack.name:
        raise ArtifactError(f"{path}: no engine {member.engine} for {member.estimator}; known: {', '.join(known())}")
    # A name that leads out of the artifact is one whose hash nobody checked.
    if Path(member.file).name != member.file or not file.is_file():
        raise ArtifactError(f"{path}: {member.estimator} needs {member.file} beside it")
    return known()[member.engine].load(file)
