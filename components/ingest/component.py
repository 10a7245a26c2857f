"""KFP: ingest."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    use_case: str,
    data: str,
    as_of: str,
    summary: dsl.Output[dsl.Markdown],
) -> NamedTuple("Outputs", [("snapshot", str), ("known_at", str)]):  # type: ignore[valid-type]
    """Checks the table `data` row by row and stores it by date; without one, looks at what is stored."""
    from pathlib import Path

    from components.ingest.run import run
    from components.step import step
    from serin.use_case import loads
    from serin.workspace import Workspace

    with step():
        case = loads(use_case)
        result = run(Workspace.from_environment(), case, data, as_of)
        Path(summary.path).write_text(result.markdown(), encoding="utf-8")
        return (result.snapshot, result.known_at.isoformat())
