"""From checked rows to scores and decisions."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from predictors.identity import Identity
from predictors.load import LoadedModel
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from predictors.online.enrich import Fetched, OnlineFeatures
from predictors.online.events import EventSink
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.explain import Explanations
from predictors.scoring.kind import Answered, Kind, Output
from serin.artifact import Manifest
from serin.columns import TypeName
from serin.derived import derived
from serin.errors import UnavailableError
from serin.online.store import Found
from serin.schema import calendar

logger = logging.getLogger("kserve")


class TabularKind(Kind):
    """A model of an artifact folder: its rows are completed from the online store, and scored."""

    outputs: ClassVar = (Output("score", "FP64"), Output("decision", "BOOL"))

    def __init__(
        self,
        model: LoadedModel,
        store: OnlineFeatures | None,
        metrics: Metrics,
        events: EventSink | None = None,
    ) -> None:
        """`events` is where scored rows go, if they are to count as events."""
        self._model, self._store, self._metrics, self._events = model, store, metrics, events
        self._schema = RequestSchema(model.manifest)
        self._explanations = Explanations(model)

    @property
    def schema(self) -> RequestSchema:
        """See Kind."""
        return self._schema

    @property
    def logged(self) -> Mapping[str, TypeName]:
        """What the log has of a row besides its request: the answer, what was missing, each input under its own name,
        and the keys of the row's entities and its event."""
        manifest = self._model.manifest
        types: dict[str, TypeName] = {
            "score": "number",
            "decision": "boolean",
            "feature_age_seconds": "number",
            "missing_features": "integer",
        }
        types |= {column.name: "text" if column.kind == "category" else "number" for column in manifest.inputs.columns}
        return types | {column.name: column.type for column in (*manifest.entities, *manifest.event_key)}

    async def ready(self) -> None:
        """Read from the online store once, and tell of what is empty there.

        Raises UnavailableError where it does not answer and the use case wants no scores then.
        """
        if self._store is None:
            return
        try:
            empty = await self._store.never_filled()
        except UnavailableError as error:
            if self._model.manifest.online.unavailable == "error":
                raise
            logger.error("%s; scores are of what the requests bring", error)
            return
        for key in empty:
            logger.warning("no events of %s are online yet: their features are missing until `serin refresh`", key)

    async def read(self, rows: Rows) -> Found | None:
        """What the online store has of the rows' entities; None where nothing is read, or where the store does not
        answer and the use case wants scores all the same.

        Raises UnavailableError where it does not answer and the use case wants none.
        """
        if rows.raw or self._store is None:
            return None
        try:
            return await self._store.read(rows.columns)
        except UnavailableError:
            self._metrics.store_failed("read")
            if self._model.manifest.online.unavailable == "error":
                raise
            return None

    def answer(self, rows: Rows, found: Found | None, now: datetime) -> Answered:
        """Score rows with what was read for them.

        Raises RequestError for rows of which nothing is known (unless the request is partial) or that the model can't
        take, UnavailableError where what was read is too old and the use case wants no score then.
        """
        features = Fetched.nothing(rows.count)
        if not rows.raw and self._store:
            features = self._store.features(rows, found)
        if features.refusal:
            raise UnavailableError(features.refusal)
        return self._scored(rows, features, now)

    def answered(self, answered: Answered, now: datetime) -> None:
        """Count the rows, and take them for events where the use case says so."""
        features = answered.context
        for view, stale in features.stale.items():
            self._metrics.view(view, features.ages.get(view), stale, features.late.get(view, 0))
        age = None if np.isnan(features.age_seconds).all() else float(np.nanmax(features.age_seconds))
        self._metrics.scored(sum(answered.outputs["decision"]), int(features.misses.sum()), age)
        for unknown in answered.unknown:
            for column in unknown:
                self._metrics.unknown(column)
        if self._events and not answered.rows.raw:
            self._events.take_rows(answered.rows, now)

    def explain(self, rows: Rows, found: Found | None) -> Sequence[Mapping[str, Any]]:
        """Of each row which input moved its score by how much; see `Explanations.of`.

        Raises as `answer`, RequestError for too many rows, UnavailableError where the artifact does not allow it.
        """
        self._explanations.check(rows.count)
        return self._explanations.of(self.answer(rows, found, datetime.now(UTC)))

    def _scored(self, rows: Rows, features: Fetched, now: datetime) -> Answered:
        manifest = self._model.manifest
        values: dict[str, Any] = {**rows.columns, **features.values}
        for name in manifest.calendar:
            values[name] = _calendar(name, rows)
        own = {manifest.timestamp: rows.times} if manifest.timestamp else {}
        for feature in manifest.derived:
            values[feature.name] = derived(feature, values | own)
        inputs = manifest.inputs.encode(values)
        if nothing := _nothing_known(inputs, rows, manifest):
            kept = [place for place, number in enumerate(rows.numbers) if number not in nothing]
            return self._scored(rows.without(nothing), features.of(kept), now)
        scores = self._model.predict(inputs)
        outputs = {"score": scores.tolist(), "decision": (scores >= manifest.threshold).tolist()}
        return Answered(
            rows,
            outputs,
            {
                **outputs,
                "feature_age_seconds": [None if np.isnan(age) else float(age) for age in features.age_seconds],
                "missing_features": features.misses.tolist(),
                **{column.name: _plain(column.kind, values[column.name]) for column in manifest.inputs.columns},
                **{column.name: rows.columns[column.name] for column in manifest.entities},
                **{column.name: _key(column.name, rows, manifest) for column in manifest.event_key},
            },
            _unknown_categories(inputs, values, manifest),
            features,
        )


@dataclass(frozen=True)
class Scores:
    """Probabilities and decisions of n rows, and of each the values of categories that training did not know."""

    rows: Rows
    scores: list[float]
    decisions: list[bool]
    unknown: list[dict[str, str]]


class RowScorer:
    """Scores rows with one model; any thread may call it."""

    def __init__(
        self,
        identity: Identity,
        model: LoadedModel,
        store: OnlineFeatures | None,
        log: PredictionLog,
        metrics: Metrics,
        events: EventSink | None = None,
    ) -> None:
        """`events` is where scored rows go, if they are to count as events."""
        self._identity = identity
        self._model = model
        self._store = store
        self._log = log
        self._metrics = metrics
        self._events = events

    async def try_store(self) -> None:
        """Read from the online store once, so that the first request finds everything warm; tells of what is empty.

        Raises UnavailableError where it does not answer and the use case wants no scores then.
        """
        if self._store is None:
            return
        try:
            empty = await self._store.never_filled()
        except UnavailableError as error:
            if self._model.manifest.online.unavailable == "error":
                raise
            logger.error("%s; scores are of what the requests bring", error)
            return
        for key in empty:
            logger.warning("no events of %s are online yet: their features are missing until `serin refresh`", key)

    async def read(self, rows: Rows) -> Found | None:
        """What the online store has of the rows' entities; None where nothing is read, or where the store does not
        answer and the use case wants scores all the same.

        Raises UnavailableError where it does not answer and the use case wants none.
        """
        if rows.raw or self._store is None:
            return None
        try:
            return await self._store.read(rows.columns)
        except UnavailableError:
            self._metrics.store_failed("read")
            if self._model.manifest.online.unavailable == "error":
                raise
            return None

    def score(self, rows: Rows, found: Found | None, request_id: str, now: datetime) -> Scores:
        """Score rows with what was read for them, log them as answered at `now`, and take them for events where the
        use case says so.

        Raises RequestError for rows of which nothing is known (unless the request is partial) or that the model can't
        take, UnavailableError where what was read is too old and the use case wants no score then.
        """
        features = self._features(rows, found)
        self._count_views(features)
        if features.refusal:
            raise UnavailableError(features.refusal)
        return self._score(rows, features, request_id, now)

    def _score(self, rows: Rows, features: Fetched, request_id: str, now: datetime) -> Scores:
        manifest = self._model.manifest
        values: dict[str, Any] = {**rows.columns, **features.values}
        for name in manifest.calendar:
            values[name] = _calendar(name, rows)
        own = {manifest.timestamp: rows.times} if manifest.timestamp else {}
        for feature in manifest.derived:
            values[feature.name] = derived(feature, values | own)
        inputs = manifest.inputs.encode(values)
        if nothing := _nothing_known(inputs, rows, manifest):
            kept = [place for place, number in enumerate(rows.numbers) if number not in nothing]
            return self._score(rows.without(nothing), features.of(kept), request_id, now)
        scores = self._model.predict(inputs)
        decisions = scores >= manifest.threshold
        result = Scores(rows, scores.tolist(), decisions.tolist(), _unknown_categories(inputs, values, manifest))
        self._count(result, features)
        self._log.append(self._logged(result, values, features, request_id, now))
        if self._events and not rows.raw:
            self._events.take_rows(rows, now)
        return result

    def _count_views(self, features: Fetched) -> None:
        for view, stale in features.stale.items():
            self._metrics.view(view, features.ages.get(view), stale, features.late.get(view, 0))

    def _count(self, result: Scores, features: Fetched) -> None:
        age = None if np.isnan(features.age_seconds).all() else float(np.nanmax(features.age_seconds))
        self._metrics.scored(sum(result.decisions), int(features.misses.sum()), age)
        for unknown in result.unknown:
            for column in unknown:
                self._metrics.unknown(column)

    def _features(self, rows: Rows, found: Found | None) -> Fetched:
        if rows.raw or self._store is None:
            return Fetched.nothing(rows.count)
        return self._store.features(rows, found)

    def _logged(
        self, result: Scores, values: Mapping[str, Any], features: Fetched, request_id: str, now: datetime
    ) -> dict[str, Sequence[Any]]:
        rows, count = result.rows, result.rows.count
        manifest = self._model.manifest
        return {
            "logged_at": [now] * count,
            "event_timestamp": rows.times,
            "request_id": [request_id] * count,
            "row": rows.numbers,
            "model": [self._identity.model] * count,
            "model_version": [self._identity.version] * count,
            "deployment": [self._identity.deployment] * count,
            "score": result.scores,
            "decision": result.decisions,
            "feature_age_seconds": [None if np.isnan(age) else float(age) for age in features.age_seconds],
            "missing_features": features.misses.tolist(),
            **{column.name: _plain(column.kind, values[column.name]) for column in manifest.inputs.columns},
            **{column.name: rows.columns[column.name] for column in manifest.entities},
            **{column.name: _key(column.name, rows, manifest) for column in manifest.event_key},
        }


def _nothing_known(inputs: NDArray[np.float32], rows: Rows, manifest: Manifest) -> dict[int, str]:
    """What is wrong with rows whose every input is missing: a score of one would say nothing."""
    problems = {}
    for index in np.flatnonzero(np.isnan(inputs).all(axis=1)).tolist():
        keys = ", ".join(f"{column.name}={rows.columns[column.name][index]!r}" for column in manifest.entities)
        problems[rows.numbers[index]] = f"none of the model's inputs is known of {keys}"
    return problems


def _unknown_categories(
    inputs: NDArray[np.float32], values: Mapping[str, Sequence[Any]], manifest: Manifest
) -> list[dict[str, str]]:
    """Of each row the values, by column, that are there but have no code."""
    unknown: list[dict[str, str]] = [{} for _ in inputs]
    for place, column in enumerate(manifest.inputs.columns):
        if column.kind != "category":
            continue
        for row in np.flatnonzero(np.isnan(inputs[:, place])).tolist():
            value = values[column.name][row]
            if value is not None and value == value:
                unknown[row][column.name] = str(value)
    return unknown


def _plain(kind: str, values: Sequence[Any]) -> list[Any]:
    convert = float if kind == "number" else str
    return [None if value is None or value != value else convert(value) for value in values]


def _key(name: str, rows: Rows, manifest: Manifest) -> Sequence[Any]:
    return rows.times if name == manifest.timestamp else rows.columns[name]


def _calendar(name: str, rows: Rows) -> NDArray[np.float64]:
    """The calendar feature of the event times; a raw row may carry its own value instead."""
    computed = calendar(name, rows.times)
    given = rows.columns.get(name)
    if given is None:
        return computed
    return np.array([own if value is None else value for own, value in zip(computed, given, strict=True)])
