"""A use case from its file, and as text between the steps of a pipeline."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from serin.errors import UseCaseError
from serin.use_case.model import UseCase


def parse(document: Any, where: str) -> UseCase:
    """Validate a use case given as plain data.

    Raises UseCaseError: every problem at once, each with its key; `where` names the source.
    """
    try:
        return UseCase.model_validate(document)
    except ValidationError as error:
        lines = [_describe(problem) for problem in error.errors()]
        raise UseCaseError(f"{where} is no valid use case:\n" + "\n".join(f"  {x}" for x in lines)) from None


def _describe(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{key}: {_gone(problem['loc']) or 'unknown key'}"
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not key:
        return text
    found = "" if problem["type"] in ("missing", "value_error") else f" (found {problem['input']!r})"
    return f"{key}: {text}{found}"


def _gone(place: tuple[str | int, ...]) -> str | None:
    """What to do about a key that use cases had once."""
    match place:
        case ("features", "windows", _, "refresh"):
            return "unknown key: windows are exact at each event's own time now, so leave it out"
    return None


def names(folder: Path) -> list[str]:
    """The use cases that have a file in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load(name: str, folder: Path) -> UseCase:
    """Read and validate `folder/NAME.yaml`.

    Raises UseCaseError: no such use case (the message lists those there are), broken YAML, or a file whose
    `name` is another.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(names(folder)) or "none"
        raise UseCaseError(f"no use case {name!r}; known: {known}. `serin new {name} --data TABLE ...` makes one")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UseCaseError(f"{path} is no valid YAML: {error}") from None
    except UnicodeDecodeError as error:
        raise UseCaseError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    case = parse(document, str(path))
    if case.name != name:
        raise UseCaseError(f"{path}: name is {case.name!r}, but the file is called {name}.yaml")
    return case


def dumps(case: UseCase) -> str:
    """The use case as JSON text, as it is published for the steps of a pipeline."""
    return case.model_dump_json(exclude_defaults=True)


def loads(text: str) -> UseCase:
    """The use case that `dumps` wrote.

    Raises UseCaseError as `parse` does.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UseCaseError(f"the published use case is no JSON: {error}") from None
    return parse(document, "the published use case")
