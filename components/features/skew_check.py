"""The skew check: the prediction log of a version against the stored events, replayed."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.features.matching import NONE, SEVERAL, Matched, match
from components.features.recompute import Rows, check_plan, inputs_of, needed_columns, own_columns, reach
from components.features.skew import Comparison, Counts, Verdict, compare
from serin import partitions, predictions
from serin.aliases import CHAMPION
from serin.artifact import Manifest, verify
from serin.columns import TYPES
from serin.errors import ArtifactError, DataError, NotFoundError, UnavailableError
from serin.platform import Platform
from serin.ports import RegisteredVersion
from serin.times import DAY, micros
from serin.use_case import UseCase

_TIME = "event_timestamp"
# What the predictor says of the features that it read for a row.
_READ = ("feature_age_seconds", "missing_features")
_USUAL = 7 * DAY


@dataclass(frozen=True)
class SkewCheck:
    """What was compared of a version's log in [start, end), and what it came to; `notes` tell what was passed over."""

    version: int
    start: datetime
    end: datetime
    limit: float
    counts: Counts
    comparison: Comparison
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """See Comparison."""
        return self.comparison.verdict(self.limit)

    def sentences(self) -> list[str]:
        """What was compared and how it came out, without the columns."""
        found = self.comparison
        told = [*self.counts.sentences(), *self.notes]
        if not found.rows:
            return ["no logged row could be compared", *told]
        differing = found.rows - found.equal
        limit = f"; {self.limit:.2%} may" if self.limit else ""
        return [f"{found.equal:,} of {found.rows:,} rows are equal in all inputs, {differing:,} differ{limit}", *told]


def check_skew(
    platform: Platform,
    case: UseCase,
    *,
    version: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: float = 0.0,
) -> SkewCheck:
    """Compare what a version (None: the champion) was served with in [start, end), by event time, with what training
    would have had.

    Without `end` that is the end of the log; without `start`, seven days before. Raises UnavailableError: no champion,
    a lost artifact, one whose manifest does not say how its features are made, or an empty log. NotFoundError: no such
    version. DataError: a period that ends before it starts, events that lack a column, or rows that nothing identifies.
    """
    chosen = _version(platform, case, version)
    manifest = _manifest(platform, case, chosen)
    check_plan(manifest, chosen.version)
    check_columns(case, manifest, chosen.version)
    start, end = _period(platform, case, start, end)
    entities = [column.name for column in manifest.entities]
    key = [name for name in case.data.key if name != manifest.timestamp]
    logged = predictions.read(
        platform.workspace.predictions(case.name),
        version=str(chosen.version),
        start=start,
        end=end,
        columns=(*manifest.inputs.names, *entities),
        optional=(*key, *_READ),
    )
    rows = _typed(logged.table, case, manifest, (*entities, *key))
    events, damaged = _events(platform, case, manifest, start, end)
    if not entities and not case.data.key:
        raise DataError(f"{case.name} has neither entities nor data.key: nothing says which event a logged row is")
    alike = {name: name for name in entities}
    # A time alone would name an event by chance.
    if entities and manifest.timestamp:
        alike |= {_TIME: manifest.timestamp}
    matched = match(rows, events, case.data.key, alike)
    chosen_rows, counts = _chosen(matched, rows, events, manifest, _snapshot(platform, case))
    return SkewCheck(
        version=chosen.version,
        start=start,
        end=end,
        limit=limit,
        counts=counts,
        comparison=_compared(rows, events, chosen_rows, manifest, case),
        notes=tuple(f"passed over: {one.cause}" for one in (*logged.damaged, *damaged)),
    )


@dataclass(frozen=True)
class _Chosen:
    """Places among the logged rows: those with a stored event, with its place, and those compared as they are."""

    stored: NDArray[np.int64]
    events: NDArray[np.int64]
    asked: NDArray[np.int64]


def check_columns(case: UseCase, manifest: Manifest, version: int) -> None:
    """Raises DataError where the version's features are made of columns that the use case no longer has."""
    wanted = {column.name for column in manifest.entities}
    for view in manifest.online.windows:
        wanted |= {feature.column for feature in view.definition.features if feature.column}
    if lost := sorted(wanted - case.data.columns.keys()):
        raise DataError(
            f"{case.name} v{version} was trained with {', '.join(lost)}, which data.columns no longer has: its "
            "features can't be computed again; look at a version that was trained since"
        )


def _version(platform: Platform, case: UseCase, number: int | None) -> RegisteredVersion:
    if number is not None:
        return platform.registry.version(case.model_name, number)
    champion = platform.registry.by_alias(case.model_name, CHAMPION)
    if champion is None:
        raise UnavailableError(f"{case.name} has no champion yet; `serin train {case.name}` makes one")
    return champion


def _manifest(platform: Platform, case: UseCase, version: RegisteredVersion) -> Manifest:
    try:
        with tempfile.TemporaryDirectory() as folder:
            return verify(platform.registry.fetch(version, Path(folder) / "model"))
    except (NotFoundError, ArtifactError) as error:
        raise UnavailableError(f"{case.name}: v{version.version} is lost: {error}") from None


def _period(
    platform: Platform, case: UseCase, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    log = platform.workspace.predictions(case.name)
    end = end or predictions.end(log)
    if end is None:
        raise UnavailableError(
            f"no predictions of {case.name} are logged at {log}; serve it (`serin serve {case.name}`) and send requests"
        )
    start = start or end - _USUAL
    if start >= end:
        raise DataError(f"the period from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} has no time in it")
    return start, end


def _typed(logged: pa.Table, case: UseCase, manifest: Manifest, named: Sequence[str]) -> pa.Table:
    """The logged rows, key columns in the types of the use case's; a key that is the event time is there too."""
    for name in dict.fromkeys(named):
        place = logged.column_names.index(name)
        logged = logged.set_column(place, name, logged[name].cast(TYPES[case.data.columns[name].type].arrow))
    place = logged.column_names.index(_TIME)
    logged = logged.set_column(place, _TIME, logged[_TIME].cast(TYPES["timestamp"].arrow))
    if manifest.timestamp and manifest.timestamp in case.data.key:
        logged = logged.append_column(manifest.timestamp, logged[_TIME])
    return logged


def _events(
    platform: Platform, case: UseCase, manifest: Manifest, start: datetime, end: datetime
) -> tuple[pa.Table, Sequence[partitions.Damaged]]:
    """The stored events that the rows of a period can be, and all that their windows reach."""
    folder = platform.workspace.events(case.name)
    columns = needed_columns(manifest, case.data.key, tuple(case.data.columns))
    if not manifest.timestamp:
        found = partitions.read(folder, columns)
        return found.table, found.damaged
    first, last = (moment.astimezone(UTC).date().isoformat() for moment in (start - reach(manifest), end))
    if not partitions.files(folder, first, last):
        types = {name: TYPES[case.data.columns[name].type].arrow for name in columns}
        return pa.table({name: pa.array([], kind) for name, kind in types.items()}), ()
    found = partitions.read(folder, columns, timestamp=manifest.timestamp, first=first, last=last)
    return found.table.filter(pc.field(manifest.timestamp).is_valid()), found.damaged


def _snapshot(platform: Platform, case: UseCase) -> datetime | None:
    """The day of the only snapshot of a table without event times."""
    if case.timestamp:
        return None
    dates = partitions.dates(platform.workspace.events(case.name))
    return datetime.fromisoformat(dates[-1]).replace(tzinfo=UTC)


def _chosen(
    matched: Matched, rows: pa.Table, events: pa.Table, manifest: Manifest, snapshot: datetime | None
) -> tuple[_Chosen, Counts]:
    """Which logged rows are compared, how, and how many are not."""
    times = rows[_TIME].cast(pa.int64()).to_numpy()
    given = _given(rows, manifest)
    earlier = ~given & (times < micros(snapshot)) if snapshot else np.zeros(len(rows), bool)
    there = ~given & ~earlier
    stored = there & (matched.places >= 0)
    none = there & (matched.places == NONE)
    ahead = np.zeros(len(rows), bool)
    if manifest.timestamp:
        ahead = none & (times > _last(events, manifest.timestamp))
    left = none & ~ahead
    # What the windows take of the row itself is known where the log has it.
    own_known = own_columns(manifest) <= set(rows.column_names)
    known = left & _has_entities(rows, manifest) if own_known else np.zeros(len(rows), bool)
    counts = Counts(
        logged=len(rows),
        by_key=int((stored & matched.by_key).sum()),
        by_entities=int((stored & ~matched.by_key).sum()),
        asked=int(known.sum()),
        moved=int((stored & matched.moved).sum()),
        ambiguous=int((there & (matched.places == SEVERAL)).sum()),
        unmatched=int((left & ~known).sum()),
        ahead=int(ahead.sum()),
        earlier=int(earlier.sum()),
        given=int(given.sum()),
    )
    return _Chosen(np.flatnonzero(stored), matched.places[stored], np.flatnonzero(known)), counts


def _given(rows: pa.Table, manifest: Manifest) -> NDArray[np.bool_]:
    """Rows whose caller gave the features: nothing was read for them, and nothing was missing."""
    if not manifest.store_features:
        return np.zeros(len(rows), bool)
    age, missing = (rows[name].cast(pa.float64()) for name in _READ)
    found: NDArray[np.bool_] = pc.and_(pc.is_null(age), pc.fill_null(pc.equal(missing, 0), False)).to_numpy()
    return found


def _has_entities(rows: pa.Table, manifest: Manifest) -> NDArray[np.bool_]:
    """Rows with all entity keys: one without has nothing that it could be computed from."""
    found = np.ones(len(rows), bool)
    for column in manifest.entities:
        found &= rows[column.name].is_valid().to_numpy(zero_copy_only=False)
    return found


def _compared(rows: pa.Table, events: pa.Table, chosen: _Chosen, manifest: Manifest, case: UseCase) -> Comparison:
    if not len(chosen.stored) + len(chosen.asked):
        return Comparison(0, 0, (), ())
    served, offline = _both(rows, events, chosen, manifest, case)
    keys = _frame(served, list(dict.fromkeys([*case.data.key, *(column.name for column in manifest.entities)])))
    times = pd.Series(pd.DatetimeIndex(served[_TIME].to_pandas()))
    return compare(_frame(served, manifest.inputs.names), offline, manifest.inputs, keys, times)


def _both(
    rows: pa.Table, events: pa.Table, chosen: _Chosen, manifest: Manifest, case: UseCase
) -> tuple[pa.Table, pd.DataFrame]:
    """The rows to compare as they were logged, and their inputs as the stored events make them, in the same order."""
    asked = rows.take(pa.array(chosen.asked))
    own: Mapping[str, Any] = {name: asked[name] for name in own_columns(manifest) if name in asked.column_names}
    own = {**own, **{name: asked[name] for name in (*case.data.key, *(c.name for c in manifest.entities))}}
    if manifest.timestamp:
        own = {**own, manifest.timestamp: asked[_TIME]}
    offline = inputs_of(manifest, events, Rows(chosen.events, pa.table(dict(own))), case.data.key)
    served = rows.take(pa.array(np.concatenate([chosen.stored, chosen.asked])))
    order = np.argsort(served[_TIME].cast(pa.int64()).to_numpy(), kind="stable")
    return served.take(pa.array(order)), offline.iloc[order].reset_index(drop=True)


def _frame(table: pa.Table, names: Sequence[str]) -> pd.DataFrame:
    # Whole numbers with nulls among them stay whole.
    frame: pd.DataFrame = table.select(list(names)).to_pandas(integer_object_nulls=True)
    return frame


def _last(events: pa.Table, timestamp: str) -> int:
    last = pc.max(events[timestamp]).as_py() if len(events) else None
    return micros(last) if last else np.iinfo(np.int64).min
