"""The drift step: the served version's logged predictions against its training reference."""

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.drift.current import read_current
from components.drift.decision import Decision, decide, too_few_rows
from components.drift.measure import Measured, measure
from serin import storage
from serin.aliases import CHAMPION
from serin.artifact import REFERENCE, Manifest, verify
from serin.errors import ArtifactError, NotFoundError, UnavailableError
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
    reference: pd.DataFrame
    current: pd.DataFrame


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
    current = read_current(
        log,
        version=str(champion.version),
        as_of=moment,
        window=case.drift.window,
        inputs=manifest.inputs.names,
    )
    few = too_few_rows(len(current), case.drift)
    if few:
        return DriftCheck(champion.version, moment, len(current), few, None, reference, current)
    measured = measure(reference, current, manifest.inputs, case.drift)
    decision = decide(measured.psi, measured.limits, rows=len(current), limits=case.drift, ignore=manifest.calendar)
    return DriftCheck(champion.version, moment, len(current), decision, measured, reference, current)


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


def _end(log: str, case: UseCase) -> datetime:
    """Just after the latest event that had happened when it was logged.

    One request with a date in the future would otherwise move the window there for good. Where all events are in
    the future (a simulation), the latest of them.
    """
    locations = storage.files(log)
    if not locations:
        raise UnavailableError(
            f"no predictions of {case.name} are logged at {log}; serve it (`serin serve {case.name}`) and send requests"
        )
    columns = ["event_timestamp", "logged_at"]
    days = sorted({location.rpartition("/")[0] for location in locations}, reverse=True)
    for day in days:
        table = storage.read_table(day, columns=columns)
        happened = table.filter(pc.less_equal(table["event_timestamp"], table["logged_at"]))
        if happened.num_rows:
            return _after(happened)
    return _after(storage.read_table(days[0], columns=columns))


def _after(table: pa.Table) -> datetime:
    last: datetime = pc.max(table["event_timestamp"]).as_py()
    return last + timedelta(microseconds=1)
