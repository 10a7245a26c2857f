"""The prediction log that the command line asks for."""

import argparse

import pyarrow as pa

from predictors.identity import Identity
from predictors.log.limits import Limits
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from serin.workspace import Workspace


def log_of(
    options: argparse.Namespace,
    workspace: Workspace,
    use_case: str,
    identity: Identity,
    columns: pa.Schema,
    metrics: Metrics,
) -> PredictionLog:
    """The log of a use case, counted by `metrics`; it still has to be started."""
    limits = Limits(
        file_seconds=options.log_seconds,
        spool_bytes=options.log_spool_bytes,
        close_seconds=options.log_close_seconds,
    )
    # A spool has the files of one use case only: whoever finds them there stores them with its own.
    spool = (options.log_spool or workspace.spool) / use_case
    log = PredictionLog(
        workspace.predictions(use_case),
        spool,
        identity,
        columns,
        metrics.dropped,
        metrics.upload_failed,
        limits,
    )
    metrics.watch_log(log.rows_waiting, log.spool_bytes, log.oldest_seconds)
    return log
