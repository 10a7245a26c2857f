"""`serin init`."""

from pathlib import Path

from pipelines.console import Console
from serin.scaffold.workspace import make


def run(console: Console, folder: Path, bare: bool) -> None:
    """Make a workspace, or complete one, and say how it is used."""
    made = make(folder, () if bare else None)
    console.good(f"{folder.resolve()}: {len(made.written)} files written, {len(made.kept)} kept as they were")
    console.next(
        f"cd {folder}",
        "serin new NAME --data TABLE --label COLUMN --entity COLUMN",
        "serin train NAME --data TABLE",
    )
    console.result({"folder": folder.resolve(), "written": made.written, "kept": made.kept})
