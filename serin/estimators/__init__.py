"""The estimators that a use case may list, one file each; adding one is adding a file.

Their libraries are imported when a model is made, so reading a use case stays quick.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from serin.estimators.base import Estimator
from serin.plugins import kinds


@cache
def known() -> Mapping[str, Estimator]:
    """Every estimator by its name."""
    return {kind.name: kind() for kind in kinds(__name__, __path__, Estimator)}  # type: ignore[type-abstract]


def problems(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """What is wrong with an estimator's entry in a use case, each with its key; nothing where all is well."""
    estimator = known().get(name)
    if estimator is None:
        return [f"{name}: no such estimator; allowed: {', '.join(known())}"]
    try:
        estimator.settings(parameters)
    except ValidationError as error:
        allowed = ", ".join(sorted(estimator.parameters.model_fields))
        return [_problem(name, problem, allowed) for problem in error.errors()]
    return []


def _problem(name: str, problem: Any, allowed: str) -> str:
    key = ".".join(str(part) for part in (name, *problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown parameter; allowed: {allowed}"
    return f"{key}: {problem['msg']} (found {problem['input']!r})"
