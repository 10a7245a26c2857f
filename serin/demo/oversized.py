"""A version that is deliberately bad: trained and evaluated like any other, but far too big to answer in time."""

import shutil
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from components.evaluate.report import html
from components.evaluate.run import evaluate_candidates
from components.features.run import make_training_set
from components.register.run import register
from components.train.run import train_candidate
from pipelines.runs import Trained
from serin.partitions import snapshot
from serin.storage import write_table
from serin.use_case import CandidateName, UseCase
from serin.workspace import Workspace


def training_set_file(workspace: Workspace) -> str:
    """Where `make` leaves the training set, on whose test part all versions can be compared."""
    return str(workspace.state / "oversized.parquet")


def make(
    workspace: Workspace, case: UseCase, candidate: CandidateName, params: dict[str, Any], as_of: datetime
) -> Trained:
    """Train and register it; the gate's answer does not keep it from being registered."""
    training = case.training.model_copy(update={"candidates": {candidate: params}})
    changed = case.model_copy(update={"training": training})
    folder = workspace.state / "oversized"
    shutil.rmtree(folder, ignore_errors=True)
    frame = make_training_set(workspace, changed, as_of)
    write_table(pa.Table.from_pandas(frame, preserve_index=False), training_set_file(workspace))
    train_candidate(
        frame,
        changed,
        candidate,
        folder / candidate,
        snapshot(workspace.events(case.name), (as_of - timedelta(days=1)).date().isoformat()),
        as_of.isoformat(),
    )
    found = evaluate_candidates(workspace, changed, frame, [folder / candidate], folder / "winner")
    reports = {"report.html": html(found, changed)}
    done = register(workspace, changed, folder / "winner", found.verdict.passed, reports)
    return Trained(done.version, found.manifest, "passed" if found.verdict.passed else "failed")
