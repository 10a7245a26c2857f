"""The train step around its work: where its checkpoint lies, how it hears of its end, and how many threads it has."""

from pathlib import Path

import pandas as pd

from components.train.checkpoints import Checkpoint
from components.train.identity import training_key
from components.train.interruption import notices
from components.train.run import train_estimator
from components.train.sealing import Made, Origin
from components.train.spark import elsewhere
from serin import environment
from serin.platform import Platform
from serin.use_case import UseCase


def train_task(
    platform: Platform, frame: pd.DataFrame, case: UseCase, estimator: str, folder: Path, origin: Origin
) -> Made:
    """Train an estimator from its checkpoint on, and write its artifact to `folder`.

    Raises InterruptedStepError where SIGTERM came, UnavailableError as `elsewhere` and its fits do.
    """
    from threadpoolctl import threadpool_limits

    pool = case.training.pool_of(estimator)
    threads = environment.threads() or pool.cpu
    full = elsewhere(case, estimator, environment.spark(), platform.workspace.storage)
    key = training_key(case, estimator, frame, origin.snapshot, origin.as_of, pool.kind)
    with notices() as told_to_end, threadpool_limits(threads):
        folder_of = platform.workspace.checkpoint(case.name, key)
        checkpoint = Checkpoint(folder_of, case.training.checkpoint, told_to_end, estimator)
        checkpoint.remove_old()
        with checkpoint.attempt():
            return train_estimator(frame, case, estimator, folder, origin, checkpoint, threads, full)
