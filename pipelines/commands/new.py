"""`serin new`."""

from pathlib import Path

from pipelines.console import Console
from pipelines.runs import absolute
from serin.atomic import write_text
from serin.errors import ConflictError
from serin.workspace import Workspace


def run(
    console: Console, name: str, data: str, label: str, entities: list[str], timestamp: str | None, force: bool
) -> None:
    """Propose a use case from a table and write its two files; neither is written when one can't be."""
    from components.adapters import source_table
    from components.scaffold.logic import propose
    from components.scaffold.render import render_definitions, render_yaml

    workspace = Workspace.from_environment()
    files = (workspace.use_cases / f"{name}.yaml", workspace.feature_repo / f"{name}.py")
    if not force:
        _refuse_to_replace(files)
    frame = source_table.read(data)
    proposal = propose(frame, name=name, label=label, entities=entities, timestamp=timestamp)
    for path, text in zip(files, (render_yaml(proposal.case), render_definitions(proposal.case)), strict=True):
        write_text(path, text)
        console.good(str(path))
    console.title("What was guessed; change it in the files")
    for note in proposal.notes:
        console.say(f"  - {note}")
    console.next(f"serin train {name} --data {data}")
    console.result({"files": [str(path) for path in files], "notes": proposal.notes, "data": absolute(data)})


def _refuse_to_replace(files: tuple[Path, ...]) -> None:
    for path in files:
        if path.exists():
            raise ConflictError(f"{path} exists already; choose another name, or --force to replace it")
