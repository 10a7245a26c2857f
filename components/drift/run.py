"""The drift step: the served version's logged predictions against its training reference."""

import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from components.drift.bins import vanished
from components.drift.decision import SCORE, Decision, decide, too_few_rows
from components.drift.measure import Measured, measure
from serin import partitions, predictions
from serin.aliases import CHAMPION
from serin.artifact import REFERENCE, Manifest, verify
from serin.errors import ArtifactError, ConflictError, DataError, NotFoundError, UnavailableError
from serin.platform import Platform
from serin.ports import RegisteredVersion
from serin.use_case import UseCase


@dataclass(frozen=True)
class DriftCheck:
    """A decision and what it rests on; `measured` is None below the minimum sample."""

    version: int
    as_of: datetime
    rows: int
    decision: Decision
    measured: Measured | None


def check_drift(platform: Platform, case: UseCase, as_of: datetime | None) -> DriftCheck:
    """Look for drift in the window before `as_of` (None: the end of the prediction log).

    Raises UnavailableError where there is no champion, its artifact is lost, or no prediction was logged.
    """
    champion = platform.registry.by_alias(case.model_name, CHAMPION)
    if champion is None:
        raise UnavailableError(f"{case.name} has no champion yet; `serin train {case.name}` makes one")
    manifest, reference = _reference(platform, case, champion)
    log = platform.workspace.predictions(case.name)
    moment = as_of or _end(log, case)
    found = predictions.read(
        log,
        version=str(champion.version),
        start=moment - case.drift.window,
        end=moment,
        columns=(*manifest.inputs.names, SCORE),
    )
    current = found.table.to_pandas()
    decision, measured = _judge(case, manifest, reference, current)
    passed_over = tuple(f"passed over: {one.cause}" for one in found.damaged)
    decision = replace(decision, reasons=(*decision.reasons, *passed_over, *_compacted(platform, case, moment)))
    return DriftCheck(champion.version, moment, len(current), decision, measured)


def _reference(platform: Platform, case: UseCase, champion: RegisteredVersion) -> tuple[Manifest, pd.DataFrame]:
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = platform.registry.fetch(champion, Path(folder) / "model")
            return verify(model), pd.read_parquet(model / REFERENCE)
    except (NotFoundError, ArtifactError) as error:
        raise UnavailableError(
            f"{case.name}: champion v{champion.version} is lost, and with it what drift is measured against: {error}; "
            f"`serin train {case.name}` and `serin rollout {case.name}` replace it"
        ) from None


def _judge(
    case: UseCase, manifest: Manifest, reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[Decision, Measured | None]:
    if few := too_few_rows(len(current), case.drift):
        return few, None
    measured = measure(reference, current, manifest.inputs, case.drift)
    decision = decide(
        measured.psi,
        measured.limits,
        rows=len(current),
        limits=case.drift,
        ignore=manifest.calendar,
        vanished=vanished(reference, current, manifest.inputs),
    )
    return decision, measured


def _compacted(platform: Platform, case: UseCase, moment: datetime) -> tuple[str, ...]:
    """Merge the log's many small files of the days before the check; what is in the way of that is told."""
    log, before = platform.workspace.predictions(case.name), moment.astimezone(UTC).date().isoformat()
    try:
        with platform.lease.hold(f"predictions-{case.name}"):
            partitions.compact(log, before, datetime.now(UTC))
    except (ConflictError, UnavailableError) as error:
        return (f"the prediction log was not compacted: {error}",)
    return ()


def _end(log: str, case: UseCase) -> datetime:
    end = predictions.end(log)
    if end is None and partitions.files(log):
        raise DataError(f"the prediction log {log} holds no file that can be used; `serin doctor` lists them")
    if end is None:
        raise UnavailableError(
            f"no predictions of {case.name} are logged at {log}; serve it (`serin serve {case.name}`) and send requests"
        )
    return end
