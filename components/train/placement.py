"""Which estimators are trained, and on which machines: the items of the pipeline's loop."""

from typing import Any

from serin import environment, estimators
from serin.errors import UnavailableError
from serin.progress import say
from serin.use_case import Pool, UseCase

POOL_LABEL = "serin/pool"  # of nodes: a label, and a taint of effect NoSchedule


def placements(case: UseCase) -> list[dict[str, Any]]:
    """One item an estimator that is fitted on rows; one that combines others is not among them.

    On this machine an estimator that can't be trained here is left out, and that is told.
    Raises UnavailableError: in a pod, for such a one; and where none is left.
    """
    found = []
    for name in case.training.estimators:
        kind = estimators.known()[name]
        if kind.combines:
            continue
        if reason := kind.missing():
            if environment.runner() is None:
                raise UnavailableError(f"{name} can't be trained: {reason}")
            say(f"{name} is left out: {reason}")
            continue
        pool = case.training.pool_of(name)
        if pool.kind == "gpu" and not kind.on_gpu:
            say(f"{name} is trained on a machine of training.pool, and leaves its GPU idle; see training.pools")
        found.append(_item(name, pool))
    if not found:
        raise UnavailableError(f"none of {', '.join(case.training.estimators)} can be trained here")
    return found


def _item(estimator: str, pool: Pool) -> dict[str, Any]:
    """As the pipeline's tasks take it, in KFP's and Kubernetes' words."""
    toleration = {"key": POOL_LABEL, "operator": "Equal", "value": pool.name, "effect": "NoSchedule"}
    return {
        "estimator": estimator,
        "cpu": str(pool.cpu),
        "memory": pool.memory,
        "gpus": str(int(pool.kind == "gpu")),
        "selector": {POOL_LABEL: pool.name} if pool.name else {},
        "tolerations": [toleration] if pool.name else [],
    }
