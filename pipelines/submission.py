"""Submitting a pipeline to Kubeflow: which one, and with which arguments."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipelines import catalogue
from serin.adapters.cluster.package import Package, compiled
from serin.errors import SerinError
from serin.platform import Platform
from serin.progress import Listener
from serin.use_case import UseCase

if TYPE_CHECKING:
    from serin.adapters.cluster.pipelines import KubeflowPipelines, Submitted


def submit(
    platform: Platform,
    kubeflow: "KubeflowPipelines",
    pipeline: str,
    case: UseCase,
    given: Mapping[str, str],
    listener: Listener,
) -> "Submitted":
    """Start a run of the pipeline `pipeline` for a use case; `given` are its parameters, as texts.

    What Kubeflow would refuse is refused before anything is published or uploaded. Raises SerinError.
    """
    package = packaged(pipeline, case)
    if "use_case" in given:
        raise SerinError(f"--set use_case={given['use_case']}: the use case is the argument before, {case.name}")
    arguments = {"use_case": case.name, **_own(package), **read(package, given)}
    package.check(arguments)
    arguments["use_case"] = platform.publish(case)
    if "data" in arguments:
        arguments["data"] = kubeflow.table(arguments["data"], listener)
    return kubeflow.submit(package, arguments)


def packaged(pipeline: str, case: UseCase) -> Package:
    """A pipeline as it is compiled for a use case. Raises SerinError: there is none of that name."""
    known = catalogue.pipelines(catalogue.pools_of(case))
    if pipeline not in known:
        raise SerinError(f"no pipeline {pipeline!r}; known: {', '.join(known)}")
    return compiled(known[pipeline])


def read(package: Package, given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters from their texts, by the types that the pipeline declares; unknown names stay texts.

    Raises SerinError for a text that is none of its type.
    """
    return {
        name: _value(name, package.parameters.get(name, {}).get("parameterType", "STRING"), text)
        for name, text in given.items()
    }


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts by name. Raises SerinError for any other text, and for a name that is given twice."""
    found: dict[str, str] = {}
    for name, sign, value in (text.partition("=") for text in texts):
        if not (sign and name):
            raise SerinError(f"--set {name}: allowed is NAME=VALUE, such as --set version=3")
        if name in found:
            raise SerinError(f"{name} is given twice, as {found[name]!r} and as {value!r}; allowed: once")
        found[name] = value
    return found


def _own(package: Package) -> dict[str, str]:
    return {"run_id": uuid4().hex} if "run_id" in package.parameters else {}


def _value(name: str, kind: str, text: str) -> Any:
    readers: dict[str, Callable[[str], Any]] = {
        "NUMBER_INTEGER": int,
        "NUMBER_DOUBLE": float,
        "BOOLEAN": {"true": True, "false": False}.__getitem__,
        "LIST": json.loads,
        "STRUCT": json.loads,
    }
    try:
        return readers.get(kind, str)(text)
    except (ValueError, KeyError):
        allowed = "true or false" if kind == "BOOLEAN" else f"a {kind}"
        raise SerinError(f"{name}: found {text!r}, allowed is {allowed}") from None
