"""All pipelines, by file name."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from serin.atomic import replaced
from serin.use_case import Pool


@cache
def pipelines(pool: Pool | None = None) -> Mapping[str, Any]:
    """Every pipeline that Serin has; with `pool`, they train on the machines of that pool."""
    from pipelines.refresh import refresh
    from pipelines.retraining import retraining_on
    from pipelines.rollout import rollout
    from pipelines.training import training_on

    chosen = pool or Pool()
    return {
        "training": training_on(chosen),
        "retraining": retraining_on(chosen),
        "refresh": refresh,
        "rollout": rollout,
    }


def compile_all(folder: Path, pool: Pool | None = None) -> list[Path]:
    """Write `folder/NAME.yaml`, the IR YAML of each pipeline; the same code and pool give the same bytes."""
    from kfp.compiler import Compiler

    written = []
    for name, pipeline in pipelines(pool).items():
        path = folder / f"{name}.yaml"
        with replaced(path) as temporary:
            # The compiler goes by the file's suffix.
            draft = temporary.with_suffix(".yaml")
            Compiler().compile(pipeline, str(draft))
            draft.replace(temporary)
        written.append(path)
    return written
