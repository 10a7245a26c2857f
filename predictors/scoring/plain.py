"""What a kind of model of somebody else's answers, held to what it declared: NumPy's values become plain ones, and what
no protocol could carry is told with class, output and type."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from predictors.requests.rows import Rows
from predictors.scoring.kind import Answered, Kind
from serin.errors import ArtifactError

Answering = Callable[[Rows, Any, datetime], Answered]

# The values of each datatype of V2 that JSON, protobuf and raw contents hold alike.
DATATYPES: Mapping[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    **{f"{sign}INT{bits}": (int,) for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": (float, int) for bits in (32, 64)},
    "BYTES": (str,),
}


def answering(kind: Kind) -> Answering:
    """`Kind.answer`, looked at where the kind does not vouch for what it gives (`Kind.plain`).

    What is looked at raises ArtifactError where an output is not as it was declared: the fault is the kind's.
    """
    if kind.plain:
        return kind.answer

    def answer(rows: Rows, found: Any, now: datetime) -> Answered:
        return _checked(kind, kind.answer(rows, found, now))

    return answer


def _checked(kind: Kind, answered: Answered) -> Answered:
    name = type(kind).__name__
    if not isinstance(answered, Answered):
        raise ArtifactError(f"{name}.answer gave {type(answered).__name__}; allowed: Answered")
    given, declared = list(answered.outputs), [output.name for output in kind.outputs]
    if sorted(given) != sorted(declared):
        raise ArtifactError(
            f"{name}.answer gave the outputs {', '.join(given) or 'none'}; allowed, as declared: {', '.join(declared)}"
        )
    outputs = {}
    for output in kind.outputs:
        values = outputs[output.name] = _plain(answered.outputs[output.name])
        allowed = DATATYPES[output.datatype]
        if odd := set(map(type, values)).difference(allowed):
            found = ", ".join(sorted(type_.__name__ for type_ in odd))
            told = " or ".join(type_.__name__ for type_ in allowed)
            raise ArtifactError(
                f"{name}.answer gave output {output.name} values of type {found}; allowed for {output.datatype}: {told}"
            )
    return replace(answered, outputs=outputs)


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    if isinstance(values, np.ndarray):
        plain: list[Any] = values.tolist()
        return plain
    return [value.item() if isinstance(value, np.generic) else value for value in values]
