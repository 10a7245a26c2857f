"""What another kind of model declares, checked before it is served: by name of its class and attribute, not by the
traceback of whoever comes upon it first."""

from collections import Counter
from collections.abc import Mapping

from predictors.edge.answers import RESERVED
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Kind, Output
from predictors.scoring.plain import DATATYPES
from serin.columns import TYPES, shown
from serin.errors import ArtifactError

_OUTPUTS = 'one predictors.scoring.kind.Output or more, such as (Output("score", "FP64"),)'
_SCHEMA = "a RequestSchema, such as RequestSchema.of_columns([...])"
_WANTED = {"outputs": _OUTPUTS, "schema": _SCHEMA, "answer": "a method answer(self, rows, found, now)"}


def check_class(name: str, of: type[Kind]) -> None:
    """Raises ArtifactError for what a class `name` has to have and lacks."""
    lacking = [attribute for attribute in _WANTED if not hasattr(of, attribute) or attribute in of.__abstractmethods__]
    if lacking:
        told = "; ".join(f"{attribute}: {_WANTED[attribute]}" for attribute in lacking)
        raise ArtifactError(f"--kind {name}: the class has no {', '.join(lacking)}; allowed is, as {told}")


def check_kind(name: str, kind: Kind) -> None:
    """Raises ArtifactError for what the kind `name`, as it was made, declares and can't be served."""
    if not isinstance(kind.schema, RequestSchema):
        raise ArtifactError(f"--kind {name}: schema is {type(kind.schema).__name__}; allowed: {_SCHEMA}")
    for problem in (_of_outputs(kind.outputs), _of_logged(kind.logged)):
        if problem:
            raise ArtifactError(f"--kind {name}: {problem}")


def _of_outputs(outputs: object) -> str:
    if not isinstance(outputs, tuple | list) or not outputs:
        return f"outputs is {shown(outputs)}; allowed: {_OUTPUTS}"
    if odd := [output for output in outputs if not isinstance(output, Output)]:
        return f"outputs holds {shown(odd[0])}; allowed: {_OUTPUTS}"
    names = [output.name for output in outputs]
    if odd := [name for name in names if not isinstance(name, str) or not name]:
        return f"outputs has one called {shown(odd[0])}; allowed: a text"
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        return f"outputs names {', '.join(twice)} more than once; allowed: once"
    if taken := [name for name in names if name in RESERVED]:
        return f"outputs has {', '.join(taken)}; allowed: other names than the answer's own, {', '.join(RESERVED)}"
    if odd := [output for output in outputs if output.datatype not in DATATYPES]:
        return f"outputs has {odd[0].name} of datatype {shown(odd[0].datatype)}; allowed: {', '.join(DATATYPES)}"
    return ""


def _of_logged(logged: object) -> str:
    if not isinstance(logged, Mapping):
        return f"logged is {type(logged).__name__}; allowed: a mapping of columns to types"
    if odd := [name for name, type_ in logged.items() if type_ not in TYPES]:
        return f"logged has {odd[0]} of type {shown(logged[odd[0]])}; allowed: {', '.join(TYPES)}"
    return ""
