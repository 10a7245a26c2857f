"""Scoring a table: the rows of a source, by the predictor's rules and a registered model, to a file."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry

from components.score.source import Lines, Source
from components.score.target import Write, beside, check_target, written
from predictors.batch.scorer import Batch, TableScorer
from predictors.load import LoadedModel, load
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.scoring.tabular import NOTHING_KNOWN, TabularKind
from serin import storage
from serin.aliases import CHAMPION
from serin.errors import ArtifactError, DataError, NotFoundError, UnavailableError
from serin.online.opening import open_store
from serin.platform import Platform
from serin.ports import RegisteredVersion
from serin.times import parse_time
from serin.use_case import UseCase
from serin.workspace import Workspace

_TOLD_EVERY = 5.0  # seconds
_TOLD_ROWS = 20  # refused rows whose reasons are kept for a message
# Rows so far, and rows a second.
Report = Callable[[int, float], None]


@dataclass
class Scored:
    """What a scoring did. `refused` rows are in `refused_file`, and counted by column and rule in `reasons`; `undated`
    rows had no event time and were scored as of `as_of`; `gaps` counts scored rows by what they lacked; `ignored`
    columns of the table are none of the model's, each with how it is told."""

    version: int
    source: str
    output: str
    raw: bool
    as_of: datetime
    ignored: Mapping[str, str]
    rows: int = 0
    scored: int = 0
    positive: int = 0
    refused: int = 0
    undated: int = 0
    seconds: float = 0.0
    refused_file: str = ""
    reasons: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> list[str]:
        """What somebody has to know, besides how many rows were scored."""
        lines = []
        if self.refused:
            lines.append(
                f"{self.refused:,} of {self.scored + self.refused:,} rows refused, with reasons: {self.refused_file}"
            )
            lines += [f"{_rows(count)} refused: {reason}" for reason, count in self.reasons.most_common(10)]
        lines += [f"{_rows(count)} scored without {gap}" for gap, count in self.gaps.most_common()]
        if self.undated:
            lines.append(
                f"{self.undated:,} rows have no event time, and are scored as of {self.as_of:%Y-%m-%d %H:%M:%S}"
            )
        if self.ignored:
            lines.append(f"columns that the model does not take are left out: {', '.join(self.ignored.values())}")
        return lines


def score_table(
    platform: Platform,
    case: UseCase,
    source: str,
    output: str,
    *,
    version: str = f"@{CHAMPION}",
    as_of: str = "",
    strict: bool = False,
    report: Report = lambda _rows, _rate: None,
) -> Scored:
    """Score the table at `source` with a version (a number, or @ALIAS), and write `output`: for each row its number in
    the table (from 0), the columns it is known by, score, decision and version. Both are paths or s3:// URIs.

    Rows that a request could not hold are written beside it, with the reasons; `strict` refuses all for the first of
    them. The same again makes the same file, given `as_of` (ISO 8601), the event time of rows without one.
    Raises DataError: no table, columns that are missing, no row that can be scored, or with `strict` one that can't.
    NotFoundError and UnavailableError: no such version, a registry or an online store that is away.
    """
    check_target(output, source)
    now = parse_time(as_of) if as_of else datetime.now(UTC)
    start = time.monotonic()
    table = Source(source, case)
    registered = find(platform, case, version)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = _model(platform, case, registered, Path(folder))
        scorer = stack.enter_context(_scorer(platform, model, set(table.names), now))
        ignored = scorer.ignored(table.names)
        done = Scored(registered.version, source, output, scorer.raw, now, ignored)
        if strict and ignored:
            raise DataError(f"{source} has columns that the model does not take: {', '.join(ignored.values())}")
        write = stack.enter_context(written(output, _schema(scorer)))
        _score(scorer, table, done, write, strict, _telling(report))
    done.seconds = time.monotonic() - start
    return done


def place_of(workspace: Workspace, case: UseCase, source: str) -> str:
    """Where scores go when nobody says where: named like the table, under `scores/` in the storage."""
    name = source.rstrip("/").rpartition("/")[2].partition(".")[0] or "table"
    return f"{workspace.storage}/scores/{case.name}/{name}.parquet"


def markdown(done: Scored) -> str:
    """A summary for the Kubeflow UI."""
    lines = [
        f"`{done.source}` with version **{done.version}**: {done.scored:,} rows scored, {done.positive:,} of them "
        f"positive, to `{done.output}`."
    ]
    return "\n".join([*lines, "", *(f"- {line}" for line in done.sentences())]) + "\n"


def as_data(done: Scored) -> dict[str, Any]:
    """For programs."""
    return {
        **{name: getattr(done, name) for name in ("version", "source", "output", "scored", "positive", "refused")},
        "rows": "raw" if done.raw else "keyed",
        "as_of": done.as_of.isoformat(),
        "undated": done.undated,
        "refused_file": done.refused_file or None,
        "reasons": dict(done.reasons.most_common()),
        "gaps": dict(done.gaps.most_common()),
        "ignored": list(done.ignored),
        "seconds": round(done.seconds, 3),
    }


def find(platform: Platform, case: UseCase, version: str) -> RegisteredVersion:
    """The version that a number or @ALIAS names. Raises NotFoundError."""
    if version.startswith("@"):
        found = platform.registry.by_alias(case.model_name, version[1:])
        if found is None:
            raise NotFoundError(f"{case.model_name} has no version {version}; `serin status {case.name}` lists them")
        return found
    if not version.isdecimal():
        raise NotFoundError(f"version {version!r} of {case.model_name}: allowed is a number, or @ and an alias")
    return platform.registry.version(case.model_name, int(version))


def _model(platform: Platform, case: UseCase, registered: RegisteredVersion, folder: Path) -> LoadedModel:
    try:
        return load(platform.registry.fetch(registered, folder / "model"))
    except (NotFoundError, ArtifactError) as error:
        raise UnavailableError(f"{case.model_name} v{registered.version} can't be loaded: {error}") from None


@contextmanager
def _scorer(platform: Platform, model: LoadedModel, names: set[str], now: datetime) -> Iterator[TableScorer]:
    manifest = model.manifest
    with ExitStack() as stack:
        store = None
        if manifest.store_features and not names & set(manifest.store_features):
            online = open_store(platform.workspace.feature_store_yaml)
            stack.callback(online.close)
            store = OnlineFeatures(online, manifest)
        # Counted into a registry of their own: this is no deployment.
        metrics = Metrics(manifest.model_name, "", "score", CollectorRegistry(), views=store.views if store else ())
        runner = stack.enter_context(asyncio.Runner())
        yield TableScorer(model, TabularKind(model, store, metrics), names, now, runner)


def _schema(scorer: TableScorer) -> pa.Schema:
    return scorer.schema.append(pa.field("model_version", pa.string()))


def _score(
    scorer: TableScorer, table: Source, done: Scored, write: Write, strict: bool, told: Callable[[int], None]
) -> None:
    wanted = [scorer.column(name) for name in scorer.columns]
    schema = pa.schema([("row", pa.int64()), ("reason", pa.string()), *((c.name, pa.string()) for c in wanted)])
    place, first = beside(done.output), []
    with ExitStack() as stack:
        write_refused: Write | None = None
        for lines in _ahead(table.batches(wanted)):
            result = scorer.score(Batch(lines.columns, lines.rows, done.rows, lines.wrong)) if lines.rows else None
            refused = dict(result.refused) if result else {}
            _count(done, result.table if result else None, refused, lines)
            if refused or lines.bad:
                first += [f"row {done.rows + row}: {text}" for row, text in sorted(refused.items())] + list(lines.bad)
                del first[_TOLD_ROWS:]
                if strict:
                    raise DataError(_refusal(done, first))
                write_refused = write_refused or stack.enter_context(written(place, schema))
                write_refused(_refused_rows(lines, refused, done.rows, schema))
            done.rows += lines.rows
            if result:
                done.undated += result.undated
                done.gaps += Counter(result.gaps)
                versions = pa.repeat(pa.scalar(str(done.version)), result.table.num_rows)
                write(result.table.append_column("model_version", versions))
            told(done.rows)
        if not done.scored:
            raise DataError(_refusal(done, first) if done.refused else f"{done.source} holds no row")
    if done.refused:
        done.refused_file = place
    else:
        # That of an earlier run would say what is no longer so.
        storage.remove(place)


def _ahead(batches: Iterator[Lines]) -> Iterator[Lines]:
    """The same, each of them read while the one before is scored."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        following = pool.submit(next, batches, None)
        while (lines := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield lines


def _count(done: Scored, table: pa.Table | None, refused: Mapping[int, str], lines: Lines) -> None:
    done.refused += len(refused) + len(lines.bad)
    for text in refused.values():
        for part in text.split("; "):
            done.reasons[_rule(part)] += 1
    if lines.bad:
        done.reasons["the line has more or fewer fields than the table has columns"] += len(lines.bad)
    if table is not None:
        done.scored += table.num_rows
        done.positive += pc.sum(table["decision"]).as_py() or 0


def _rule(text: str) -> str:
    """What is wrong with a row, without the row's own values: as many reasons as there are rules, not rows."""
    if text.startswith(NOTHING_KNOWN):
        return f"{NOTHING_KNOWN} the keys"
    return text.partition(" (found ")[0]


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _refusal(done: Scored, first: list[str]) -> str:
    left = done.refused - len(first)
    more = [f"and {left:,} more"] if left > 0 else []
    told = "\n  ".join([*first, *more])
    return f"{done.source}: {done.refused:,} rows can't be scored, so nothing is written:\n  {told}"


def _refused_rows(lines: Lines, refused: Mapping[int, str], first: int, schema: pa.Schema) -> pa.Table:
    """As they came, as texts; lines that are no rows have no number."""
    places = sorted(refused)
    chosen = pa.array(places, pa.int64())
    columns: dict[str, Any] = {
        "row": [place + first for place in places] + [None] * len(lines.bad),
        "reason": [refused[place] for place in places] + list(lines.bad),
    }
    for name in schema.names[2:]:
        values = lines.columns[name].take(chosen).to_pylist() if places else []
        columns[name] = [None if value is None else str(value) for value in values] + [None] * len(lines.bad)
    return pa.table(columns, schema=schema)


def _telling(report: Report) -> Callable[[int], None]:
    """Tells of rows that are scored from here on, now and then: to load the model takes its own time."""
    start = last = time.monotonic()

    def told(rows: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TOLD_EVERY:
            last = now
            report(rows, rows / (now - start))

    return told
