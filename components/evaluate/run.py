"""The evaluate step: choose the candidate, score the test rows once, hold it against the champion, seal it."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.evaluate import latency
from components.evaluate.choice import Choice, best_single, choose, common
from components.evaluate.comparison import Scored, Test, evaluate, held_against, on_validation, sliced, test_of
from components.evaluate.gate import Against, GateResult, Incomparable, Latency, Measured, SliceFound, judge
from serin import estimators
from serin.aliases import CHAMPION
from serin.artifact import BACKGROUND, VALIDATION, Manifest, seal, verify
from serin.atomic import replaced
from serin.engines import load
from serin.errors import ArtifactError, NotFoundError, UnavailableError
from serin.explain import Explanation, explain
from serin.learning.encoding import encode
from serin.learning.intervals import Estimate
from serin.learning.paired import Paired
from serin.learning.record import RECORD, TrainingRecord
from serin.learning.split import split_rule, start_of_test
from serin.platform import Platform
from serin.progress import say
from serin.times import parse_time
from serin.use_case import UseCase

# Of the training alone: what is served neither needs nor carries it.
NOT_SERVED = (RECORD, VALIDATION)
# Parts of the rows that are shown where the use case names no columns.
SHOWN_COLUMNS = 3


@dataclass(frozen=True)
class Rival:
    """The champion, and what it scored on the test rows."""

    model: Manifest
    scored: Scored


@dataclass(frozen=True)
class Evaluation:
    """What the step found. `labels` has shape (test rows,); `against` is the champion's version, whether or not it
    could be compared, and None where there is none."""

    manifest: Manifest
    records: tuple[TrainingRecord, ...]
    choice: Choice
    validation: dict[str, dict[str, Estimate]]
    labels: NDArray[np.int8]
    candidate: Scored
    champion: Scored | None
    against: int | None
    differences: dict[str, Estimate]
    slices: tuple[SliceFound, ...]
    latency: Latency
    explanation: Explanation | None
    unexplained: str
    verdict: GateResult

    @property
    def record(self) -> TrainingRecord | None:
        """The candidate's own; None where its training kept none."""
        return next((record for record in self.records if record.estimator == self.manifest.estimator), None)

    @property
    def facts(self) -> dict[str, float]:
        """What this run alone knows, as metrics: a training to the same end may have taken another course."""
        return {
            "interruptions": float(sum(record.interruptions for record in self.records)),
            "lost_seconds": sum(record.lost_seconds for record in self.records),
            "training_seconds": sum(record.seconds for record in self.records),
            "test_positives": float(self.labels.sum()),
            "latency_p50_ms": self.latency.p50_ms,
            "latency_p95_ms": self.latency.p95_ms,
        }


def evaluate_models(
    platform: Platform, case: UseCase, frame: pd.DataFrame, models: Sequence[Path], winner: Path
) -> Evaluation:
    """Evaluate on the test part of the training set `frame` and write the candidate's artifact to `winner`.

    `models` are artifact folders of the train step, of which the candidate is chosen on validation: no other is scored
    on the test rows. Its manifest gets the test metrics.
    """
    folders = {verify(folder).estimator: folder for folder in models}
    choice, validation = choice_of(case, frame, folders)
    for reason in choice.reasons:
        say(reason)
    folder = folders[choice.name]
    test = test_of(frame, case)
    manifest, scorer = load(folder)
    candidate = evaluate(choice.name, test, manifest, scorer, case)
    version, rival = _champion(platform, case, test, manifest.as_of)
    champion = rival.scored if isinstance(rival, Rival) else None
    beside = held_against(test, candidate, champion, case) if champion else None
    explanation, unexplained = _explained(folder, manifest, test, case)
    columns = case.gates.slices.columns if case.gates.slices else _telling(explanation, manifest)
    slices, took = sliced(test, columns, candidate, champion, case), latency.measure(folder, test.rows)
    against = _against(rival, manifest, candidate, beside, case) if isinstance(rival, Rival) and beside else None
    found = Measured(
        metrics=candidate.metrics,
        positives=test.positives,
        negatives=test.negatives,
        champion=rival if isinstance(rival, Incomparable) else against,
        slices=slices,
        latency=took,
    )
    verdict = judge(found, case)
    say(f"gate {verdict.outcome}: {'; '.join(verdict.reasons)}")
    return Evaluation(
        manifest=_seal(folder, winner, manifest, candidate),
        records=tuple(record for each in folders.values() if (record := _record(each))),
        choice=choice,
        validation={name: each.metrics for name, each in validation.items()},
        labels=test.on.labels,
        candidate=candidate,
        champion=champion,
        against=version,
        differences=beside.differences if beside else {},
        slices=slices,
        latency=took,
        explanation=explanation,
        unexplained=unexplained,
        verdict=verdict,
    )


def choice_of(case: UseCase, frame: pd.DataFrame, folders: Mapping[str, Path]) -> tuple[Choice, dict[str, Paired]]:
    """The candidate, and all estimators on the validation rows that they have in common."""
    tables = {name: pd.read_parquet(folder / VALIDATION) for name, folder in folders.items()}
    rows = common(tables)
    metric = case.training.primary_metric
    combining = {name for name in folders if estimators.known()[name].combines}
    single = best_single(common({name: table for name, table in tables.items() if name not in combining}), metric)
    found = on_validation(frame, rows, case, single.name)
    return choose(rows, found, single, combining, metric), found


def _champion(
    platform: Platform, case: UseCase, test: Test, as_of: str
) -> tuple[int | None, Rival | Incomparable | None]:
    """The champion's version; and itself on the test rows, or why it can't be compared. None where there is none."""
    version = platform.registry.by_alias(case.model_name, CHAMPION)
    if version is None:
        return None, None
    title = f"champion v{version.version}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            manifest, scorer = load(platform.registry.fetch(version, Path(folder) / "model"))
    except (NotFoundError, ArtifactError) as error:
        return version.version, Incomparable(f"{title} is lost, and counts as none: {error}", lost=True)
    if problem := _problem(case, test.rows, manifest, as_of):
        return version.version, Incomparable(f"{title} can't be compared: {problem}")
    return version.version, Rival(manifest, evaluate(title, test, manifest, scorer, case))


def _problem(case: UseCase, rows: pd.DataFrame, champion: Manifest, as_of: str) -> str:
    """Why a champion has no comparable score on the test rows; "" where it has."""
    if case.timestamp and parse_time(champion.as_of) > parse_time(as_of):
        return f"it was trained as of {champion.as_of[:16]} and has seen the rows that are held back as of {as_of[:16]}"
    if lacking := [name for name in champion.inputs.names if name not in rows]:
        return (
            f"it needs {', '.join(lacking)}, which the use case no longer declares; declare that again, or take "
            f"the new version without a comparison: serin rollout {case.name} --version N --force"
        )
    if case.timestamp and champion.known_until and start_of_test(rows) < parse_time(champion.known_until):
        return (
            f"it was fitted on rows up to {champion.known_until[:16]}, and the test begins on "
            f"{start_of_test(rows):%Y-%m-%d}; a shorter training.test or a later --as-of begins after that"
        )
    if champion.split != split_rule(case) and champion.split:
        return f"it held back {champion.split}, not {split_rule(case)}, so it may have been fitted on these rows"
    return ""


def _against(rival: Rival, manifest: Manifest, candidate: Scored, beside: Paired, case: UseCase) -> Against:
    champion, metric = rival.scored, case.training.primary_metric
    tie = bool(np.array_equal(candidate.scores, champion.scores))
    return Against(
        champion.name,
        champion.metrics[metric].value,
        beside.differences[metric],
        tie=tie,
        itself=tie and _made_alike(manifest, rival.model),
    )


def _made_alike(one: Manifest, other: Manifest) -> bool:
    """Whether two models were made in the same way of the same rows, whatever was measured of them since."""
    measured: dict[str, object] = {"metrics": {}, "files": {}}
    return one.model_copy(update=measured) == other.model_copy(update=measured)


def _explained(folder: Path, manifest: Manifest, test: Test, case: UseCase) -> tuple[Explanation | None, str]:
    """SHAP values of test rows; where there are none, why. They explain a model, they do not judge it."""
    path = folder / BACKGROUND
    if not path.is_file():
        return None, f"the artifact holds no {BACKGROUND} that they would be measured against"
    background = encode(pd.read_parquet(path), manifest.inputs)
    try:
        found = explain(folder, manifest, encode(test.rows, manifest.inputs), background, case.training.seed)
    except UnavailableError as error:
        say(f"no explanations: {error}")
        return None, str(error)
    if not found.adds_up:
        say(f"explanations: base and values of a row miss its score by up to {found.gap:.2g}; the report says so")
    return found, ""


def _telling(explanation: Explanation | None, manifest: Manifest) -> tuple[str, ...]:
    """The columns whose parts are shown where none are asked for: the inputs that matter most."""
    names = explanation.importance if explanation else manifest.inputs.names
    return tuple(names)[:SHOWN_COLUMNS]


def _seal(folder: Path, winner: Path, manifest: Manifest, candidate: Scored) -> Manifest:
    """The candidate's artifact as it is served: with its test metrics, without what only training needs."""
    with replaced(winner) as temporary:
        shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns(*NOT_SERVED))
        return seal(temporary, manifest.model_copy(update={"metrics": manifest.metrics | candidate.flat}))


def _record(folder: Path) -> TrainingRecord | None:
    path = folder / RECORD
    return TrainingRecord.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None
