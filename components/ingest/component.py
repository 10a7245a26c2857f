"""KFP: ingest."""

from typing import NamedTuple

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def ingest(
    use_case: str,
    data: str,
    as_of: str,
    replace_days: bool,
    summary: dsl.Output[dsl.Markdown],
) -> NamedTuple("Outputs", [("snapshot", str), ("known_at", str)]):  # type: ignore[valid-type]
    """Checks the table `data` row by row and stores it by date; without one, looks at what is stored.

    With `replace_days`, what else is stored of the days that the table covers is deleted.
    """
    from pathlib import Path

    from components.ingest.run import run
    from components.step import step

    with step("ingest", use_case) as (platform, case):
        result = run(platform, case, data, as_of, replace_days=replace_days)
        Path(summary.path).write_text(result.markdown(), encoding="utf-8")
        return (result.snapshot, result.known_at.isoformat())
