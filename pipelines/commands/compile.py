"""`serin compile`."""

from pathlib import Path

from pipelines.console import Console


def run(console: Console, out: Path) -> None:
    """Write the IR YAML of every pipeline to the folder `out`."""
    from pipelines import catalogue

    written = catalogue.compile_all(out)
    for path in written:
        console.good(str(path))
    console.next("upload a file in the Kubeflow UI (Pipelines, Upload pipeline), or `kfp pipeline create`")
    console.result({"files": [str(path) for path in written]})
