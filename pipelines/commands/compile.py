"""`serin compile`."""

from pathlib import Path

from pipelines.console import Console
from serin.use_case import Pool


def run(console: Console, out: Path, use_case: str, pools: tuple[Pool, ...]) -> None:
    """Write the IR YAML of every pipeline to the folder `out`; trainings run on the machines of `pools`."""
    from pipelines import catalogue

    written = catalogue.compile_all(out, pools)
    for path in written:
        console.good(str(path))
    console.next(
        f"serin submit training {use_case or 'USE_CASE'}",
        "or upload a file in the Kubeflow UI (Pipelines, Upload pipeline)",
    )
    console.result({"files": [str(path) for path in written]})
