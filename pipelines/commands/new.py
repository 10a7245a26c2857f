"""`serin new`."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.console import Console
from serin import use_case
from serin.atomic import replaced
from serin.errors import ConflictError, UseCaseError
from serin.platform import Platform
from serin.storage import absolute
from serin.workspace import Workspace

if TYPE_CHECKING:
    from serin.scaffold.proposal import Proposal


def run(
    console: Console,
    platform: Platform,
    name: str,
    data: str,
    label: str,
    entities: list[str],
    timestamp: str | None,
    positive: str | None,
    force: bool,
) -> None:
    """Propose a use case from a table and write its two files; neither is written when one can't be."""
    from serin import tables
    from serin.scaffold.proposal import propose
    from serin.scaffold.render import render_definitions, render_yaml

    workspace = platform.workspace
    files = (workspace.use_cases / f"{name}.yaml", workspace.feature_repo / f"{name}.py")
    if not force:
        _refuse_to_replace(files)
    _refuse_module_names(name)
    table = tables.read(data, needed=[label, *entities, *([timestamp] if timestamp else [])])
    proposal = propose(
        table.frame,
        name=name,
        label=label,
        entities=entities,
        timestamp=timestamp,
        positive=positive,
        unread_rows=len(table.bad_lines),
    )
    _refuse_taken_views(workspace, proposal.case)
    with replaced(files[0]) as declaration, replaced(files[1]) as definitions:
        declaration.write_text(render_yaml(proposal.case), encoding="utf-8")
        definitions.write_text(render_definitions(proposal.case), encoding="utf-8")
    _tell(console, files, table.notes, proposal)
    console.next(f"serin train {name} --data {data}")
    console.result(
        {
            "files": [str(path) for path in files],
            "read": list(table.notes),
            "notes": proposal.notes,
            "warnings": proposal.warnings,
            "data": absolute(data),
        }
    )


def _tell(console: Console, files: Sequence[Path], read: Sequence[str], proposal: "Proposal") -> None:
    for path in files:
        console.good(str(path))
    if read:
        console.title("How the table was read")
        for note in read:
            console.say(f"  - {note}")
    console.title("What was guessed; change it in the files")
    for note in proposal.notes:
        console.say(f"  - {note}")
    if proposal.warnings:
        console.title("Look at this first")
        for warning in proposal.warnings:
            console.bad(warning)


def _refuse_to_replace(files: tuple[Path, ...]) -> None:
    for path in files:
        if path.exists():
            raise ConflictError(f"{path} exists already; choose another name, or --force to replace it")


def _refuse_module_names(name: str) -> None:
    """Feast imports feature_repo/NAME.py by its bare name, and would get the module that is called so already."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    # A mere folder of that name is found too, but only where there is no module: Feast's import passes it over.
    if name in sys.stdlib_module_names or (spec and spec.origin):
        raise UseCaseError(f"{name!r} is the name of a Python module, which Feast would import instead; choose another")


def _refuse_taken_views(workspace: Workspace, case: use_case.UseCase) -> None:
    """Views and services are global in Feast."""
    for path in sorted(workspace.use_cases.glob("*.yaml")):
        if path.stem == case.name:
            continue
        other = use_case.load(path.stem, workspace.use_cases)
        taken = {*other.views, other.features.service} & {*case.views, case.features.service}
        if taken:
            raise ConflictError(f"use case {path.stem} has {', '.join(sorted(taken))} already; choose another name")
