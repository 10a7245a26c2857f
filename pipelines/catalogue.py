"""All pipelines, by file name."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from serin.atomic import replaced
from serin.estimators import known
from serin.use_case import Pool, UseCase


def pools_of(case: UseCase) -> tuple[Pool, ...]:
    """The pools on which a use case trains, each once; one that combines others is fitted elsewhere."""
    training = case.training
    return tuple(dict.fromkeys(training.pool_of(name) for name in training.estimators if not known()[name].combines))


@cache
def pipelines(pools: tuple[Pool, ...] = (Pool(),)) -> Mapping[str, Any]:
    """Every pipeline that Serin has; they train on the machines of `pools` (see `pools_of`)."""
    from pipelines.leak import leak
    from pipelines.refresh import refresh
    from pipelines.retraining import retraining_on
    from pipelines.rollout import rollout
    from pipelines.score import score
    from pipelines.skew import skew
    from pipelines.training import training_on

    return {
        "training": training_on(pools),
        "retraining": retraining_on(pools),
        "refresh": refresh,
        "rollout": rollout,
        "skew": skew,
        "leak": leak,
        "score": score,
    }


def compile_all(folder: Path, pools: tuple[Pool, ...] = (Pool(),)) -> list[Path]:
    """Write `folder/NAME.yaml`, the IR YAML of each pipeline; the same code and pools give the same bytes."""
    from kfp.compiler import Compiler

    written = []
    for name, pipeline in pipelines(pools).items():
        path = folder / f"{name}.yaml"
        with replaced(path) as temporary:
            # The compiler goes by the file's suffix.
            draft = temporary.with_suffix(".yaml")
            Compiler().compile(pipeline, str(draft))
            draft.replace(temporary)
        written.append(path)
    return written
