"""A compiled pipeline: its IR YAML, the name that its content makes, and what it takes."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from serin.errors import SerinError

_LIMIT = 10_000  # characters of a parameter, by KFP's API server
_TYPES: dict[str, Any] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


@dataclass(frozen=True)
class Package:
    """What KFP is given of a pipeline: the text of its IR YAML, pipeline spec and platform spec."""

    text: str

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The pipeline spec."""
        document: dict[str, Any] = next(yaml.safe_load_all(self.text))
        return document

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.spec["pipelineInfo"]["name"])

    @property
    def description(self) -> str:
        """What the pipeline says of itself."""
        return str(self.spec["pipelineInfo"].get("description", ""))

    @property
    def version(self) -> str:
        """The version's name: the pipeline's, and a digest of the text."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """What a run takes, by name: `parameterType`, and `isOptional` where it can be left out."""
        found: Mapping[str, Mapping[str, Any]] = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return found

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raises SerinError where KFP would refuse to run with the arguments, or run into its limit."""
        taken = self.parameters
        problems = [
            f"{name}: no parameter of the pipeline; it takes {', '.join(taken)}" for name in arguments.keys() - taken
        ]
        for name, parameter in taken.items():
            if name not in arguments:
                problems += [] if parameter.get("isOptional") else [f"{name}: missing"]
            else:
                problems += _problems(name, parameter["parameterType"], arguments[name])
        if problems:
            raise SerinError(f"pipeline {self.name} can't run so:\n  " + "\n  ".join(sorted(problems)))


def _problems(name: str, kind: str, value: Any) -> Iterator[str]:
    expected: Any = _TYPES.get(kind, object)
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "BOOLEAN"):
        yield f"{name}: found {value!r}, allowed is a {kind}"
    elif len(str(value)) > _LIMIT:
        yield f"{name}: {len(str(value)):,} characters, allowed are {_LIMIT:,}"


def titles(spec: Mapping[str, Any]) -> dict[str, str]:
    """The display name of each step of a pipeline spec, by its task's name; tasks that only hold others are none."""
    components = spec.get("components", {})
    dags = [spec["root"]["dag"], *(part["dag"] for part in components.values() if "dag" in part)]
    tasks = [(name, task) for dag in dags for name, task in dag["tasks"].items()]
    return {
        name: str(task.get("taskInfo", {}).get("name", name))
        for name, task in tasks
        if "executorLabel" in components.get(task.get("componentRef", {}).get("name"), {})
    }


def compiled(pipeline: Any) -> Package:
    """Compile a KFP pipeline; the same code gives the same text."""
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        Compiler().compile(pipeline, str(path))
        return Package(path.read_text(encoding="utf-8"))
