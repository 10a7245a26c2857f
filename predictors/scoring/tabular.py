"""From checked rows to scores and decisions."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from predictors.load import LoadedModel
from predictors.log.columns import logged_of
from predictors.metrics import Metrics
from predictors.online.enrich import Fetched, OnlineFeatures, greatest
from predictors.online.events import EventSink
from predictors.requests.by_column import values_at
from predictors.requests.rows import Options, Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.explain import Explanations
from predictors.scoring.inputs import InputReader, Inputs
from predictors.scoring.kind import Answered, Kind, Output, Values
from serin.columns import TypeName
from serin.errors import UnavailableError
from serin.online.store import Found

logger = logging.getLogger("kserve")

NOTHING_KNOWN = "none of the model's inputs is known of"
NO_SCORE = "the model can't score it: its score is no number"


class TabularKind(Kind):
    """A model of an artifact folder: its rows are completed from the online store, and scored."""

    outputs: ClassVar = (Output("score", "FP64"), Output("decision", "BOOL"))
    plain: ClassVar = True

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
        self._inputs = model.manifest.inputs.names
        self._readers: dict[tuple[str, ...], InputReader] = {}
        manifest = model.manifest
        self._keys = tuple(dict.fromkeys(column.name for column in (*manifest.entities, *manifest.event_key)))
        self._explanations = Explanations(model)

    @property
    def schema(self) -> RequestSchema:
        """See Kind."""
        return self._schema

    @property
    def logged(self) -> Mapping[str, TypeName]:
        """What the log has of a row besides its request: the answer, what was missing, each input under its own name,
        and the keys of the row's entities and its event."""
        return logged_of(self._model.manifest)

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

    def sample(self) -> Rows | None:
        """The artifact's reference rows, as raw ones."""
        given, manifest = self._model.reference, self._model.manifest
        count = len(next(iter(given.values()), ()))
        if not count:
            return None
        request = (column.name for column in (*manifest.entities, *manifest.event_key, *manifest.request))
        names = dict.fromkeys(name for name in (*request, *manifest.inputs.names) if name != manifest.timestamp)
        columns = {name: given.get(name) or [None] * count for name in names}
        return Rows.of_columns(columns, [datetime.now(UTC)] * count, True, Options())

    def reads(self, rows: Rows) -> bool:
        """See Kind."""
        return not rows.raw and self._store is not None

    async def read(self, rows: Rows) -> Found | None:
        """What the online store has of the rows' entities; None where nothing is read, or where the store does not
        answer and the use case wants scores all the same.

        Raises UnavailableError where it does not answer and the use case wants none.
        """
        if not self._store or rows.raw:
            return None
        try:
            return await self._store.read(rows)
        except UnavailableError:
            self._metrics.store_failed("read")
            if self._model.manifest.online.unavailable == "error":
                raise
            return None

    def answer(self, rows: Rows, found: Found | None, now: datetime) -> Answered:  # noqa: ARG002
        """Score rows with what was read for them.

        Raises RequestError for rows of which nothing is known (unless the request is partial) or that the model can't
        take, UnavailableError where what was read is too old and the use case wants no score then.
        """
        if rows.raw or not self._store:
            return self._scored(rows, None)
        features = self._store.features(rows, found)
        if features.refusal:
            raise _TooOldError(features)
        return self._scored(rows, features)

    def answered(self, answered: Answered, now: datetime) -> Callable[[], None] | None:
        """Count the rows; have them taken for events where the use case says so."""
        features: Fetched | None = answered.context
        if features:
            self._count_views(features)
            self._metrics.features(sum(features.misses), greatest(features.age_seconds))
        self._metrics.positive(sum(answered.outputs["decision"]))
        if answered.unknown:
            for column, values in Counter(chain.from_iterable(answered.unknown)).items():
                self._metrics.unknown(column, values)
        if self._events and not answered.rows.raw:
            return partial(self._events.take_rows, answered.rows, now)
        return None

    def failed(self, error: Exception) -> None:
        """Count the views of which values were too old."""
        if isinstance(error, _TooOldError):
            self._count_views(error.features)

    def explain(self, rows: Rows, found: Found | None) -> Sequence[Mapping[str, Any]]:
        """Of each row which input moved its score by how much; see `Explanations.of`. A row that `answer` leaves out of
        a partial answer has an `error`.

        Raises as `answer`, RequestError for too many rows, UnavailableError where the artifact does not allow it.
        """
        self._explanations.check(rows.count)
        answered = self.answer(rows, found, datetime.now(UTC))
        explained = self._explanations.of(answered)
        if answered.rows is rows:
            return explained
        of_rows = dict(zip(answered.rows.numbers, explained, strict=True))
        return [of_rows.get(row) or {"error": answered.rows.refused[row]} for row in rows.numbers]

    def _scored(self, rows: Rows, features: Fetched | None) -> Answered:
        manifest = self._model.manifest
        names, records = rows.names, rows.records
        if features:
            names += features.names
            records = [record + found for record, found in zip(records, features.records, strict=True)]
        inputs = self._reader(names).read(records, rows.times)
        if inputs.nothing:
            problems = {rows.numbers[row]: self._nothing_known(rows, row) for row in inputs.nothing}
            return self._scored(*_without(rows, features, problems))
        scores = self._model.predict(inputs.single)
        decisions = scores >= manifest.threshold
        outputs = {"score": scores.tolist(), "decision": decisions.tolist()}
        if not isfinite(sum(outputs["score"])) and (odd := np.flatnonzero(~np.isfinite(scores)).tolist()):
            problems = {rows.numbers[row]: NO_SCORE for row in odd}
            return self._scored(*_without(rows, features, problems))
        logged = {"score": scores, "decision": decisions, **self._logged(rows, features, inputs)}
        missing = features.misses if features and any(features.misses) else ()
        return Answered(rows, outputs, logged, inputs.unknown, missing, features)

    def _reader(self, names: tuple[str, ...]) -> InputReader:
        reader = self._readers.get(names)
        if reader is None:
            # Requests of one shape have one order of columns, so there are two or three.
            reader = self._readers[names] = InputReader(self._model.manifest, names)
        return reader

    def _logged(self, rows: Rows, features: Fetched | None, inputs: Inputs) -> dict[Any, Values]:
        count = rows.count
        return {
            "feature_age_seconds": features.age_seconds if features else np.full(count, np.nan),
            "missing_features": features.misses if features else np.zeros(count, np.int32),
            self._inputs: inputs.matrix,
            **inputs.texts,
            **{name: self._key(name, rows) for name in self._keys},
        }

    def _key(self, name: str, rows: Rows) -> Sequence[Any]:
        if name == self._model.manifest.timestamp:
            return rows.times
        return values_at(rows.records, rows.names.index(name))

    def _nothing_known(self, rows: Rows, row: int) -> str:
        """A score of a row whose every input is missing would say nothing."""
        names = [column.name for column in self._model.manifest.entities]
        keys = ", ".join(f"{name}={rows.records[row][rows.names.index(name)]!r}" for name in names)
        return f"{NOTHING_KNOWN} {keys}"

    def _count_views(self, features: Fetched) -> None:
        for view, stale in features.stale.items():
            self._metrics.view(view, features.ages.get(view), stale, features.late.get(view, 0))


class _TooOldError(UnavailableError):
    """What was read is too old for a use case that wants no score then."""

    def __init__(self, features: Fetched) -> None:
        super().__init__(features.refusal)
        self.features = features


def _without(rows: Rows, features: Fetched | None, problems: Mapping[int, str]) -> tuple[Rows, Fetched | None]:
    """The other rows, with their features. Raises RequestError as `Rows.without`."""
    kept = [place for place, number in enumerate(rows.numbers) if number not in problems]
    return rows.without(problems), features and features.of(kept)
