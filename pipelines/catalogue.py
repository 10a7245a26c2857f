"""All pipelines, by file name."""

from pathlib import Path
from typing import Any

from serin.atomic import replaced


def pipelines() -> dict[str, Any]:
    """Every pipeline that Serin has."""
    from pipelines.refresh import refresh
    from pipelines.retraining import retraining
    from pipelines.rollout import rollout
    from pipelines.training import training

    return {"training": training, "retraining": retraining, "refresh": refresh, "rollout": rollout}


def compile_all(folder: Path) -> list[Path]:
    """Write `folder/NAME.yaml`, the IR YAML of each pipeline; the same code gives the same bytes."""
    from kfp.compiler import Compiler

    written = []
    for name, pipeline in pipelines().items():
        path = folder / f"{name}.yaml"
        with replaced(path) as temporary:
            # The compiler goes by the file's suffix.
            draft = temporary.with_suffix(".yaml")
            Compiler().compile(pipeline, str(draft))
            draft.replace(temporary)
        written.append(path)
    return written
