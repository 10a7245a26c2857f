"""What a use case may say: frozen models, one a section of the file."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    model_validator,
)

from serin.columns import Column
from serin.cron import Cron
from serin.times import Duration, format_duration, parse_duration
from serin.use_case.consistency import contradictions

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Aggregation = Literal["count", "sum", "mean", "min", "max", "distinct", "since_last", "matches"]
CalendarFeature = Literal["hour", "weekday", "night", "weekend"]
Metric = Literal["average_precision", "roc_auc"]


def _some_time(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError(f"must be longer than zero, found {format_duration(duration)}")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(_some_time)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _word(value: Any) -> str:
    """A word of a table as YAML gives it: `-999` is read as a number, `~` and `null` as nothing."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this word as {value}; put it in quotes")
    return "null" if value is None else str(value)


Word = Annotated[str, BeforeValidator(_word)]
Decimal = Literal[".", ","]
Thousands = Literal["", ",", ".", " ", "'"]
TimeUnit = Literal["s", "ms", "us", "ns"]


class SourceColumn(Column):
    """A column, and how its values are written in the source where it is unlike the rest of `data`.

    `percent`: the values are per cent, with a sign or without, so that 41.0% means 0.41. `unit`: times are numbers
    of seconds (or ms, us, ns) since 1970.
    """

    nulls: tuple[Word, ...] | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    percent: bool = False
    unit: TimeUnit | None = None

    @model_validator(mode="after")
    def _notation_fits_the_type(self) -> Self:
        if self.type not in ("integer", "number") and (self.decimal or self.thousands or self.percent):
            raise ValueError(f"decimal, thousands and percent are of numbers, not of a {self.type} column")
        if self.percent and self.type == "integer":
            raise ValueError("percent makes fractions: the type is number")
        if self.unit and self.type != "timestamp":
            raise ValueError(f"unit is of a timestamp column, not of a {self.type} column")
        return self


class Data(_Model):
    """The source table: its columns under Serin's names, and the rules that ingest holds them to.

    `nulls` are words that stand for a missing value, as blank fields always do.
    """

    columns: dict[str, SourceColumn]
    nulls: tuple[Word, ...] = ()
    decimal: Decimal = "."
    thousands: Thousands = ""
    key: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        for name, column in self.columns.items():
            decimal = column.decimal or self.decimal
            thousands = self.thousands if column.thousands is None else column.thousands
            if decimal == thousands:
                raise ValueError(f"column {name}: {decimal!r} can't mark both the decimals and the thousands")
        return self


def _outcome(value: Any) -> str:
    """A label's word: YAML reads an unquoted Yes or No as a truth value."""
    return {True: "Yes", False: "No"}[value] if isinstance(value, bool) else str(value)


Outcome = Annotated[str, BeforeValidator(_outcome)]


class Label(_Model):
    """What is predicted: a column of 0 and 1, known `delay` after the event.

    A label in words: `positive` is the one that means 1, `negative` those that mean 0 (none named: every other
    word), whatever their case.
    """

    column: str
    positive: Outcome | None = None
    negative: tuple[Outcome, ...] = ()
    delay: Duration = timedelta(0)


class WindowFeature(_Model):
    """An aggregation over the entity's events in (t - delay - window, t - delay], t being the event's own time.

    Of events at t itself those count that come before the event in the order of `data.key`, and the event itself where
    the view has `current`. `distinct` counts the values of `column`; `since_last` is the time since the latest other
    event, in seconds; `matches` counts the events that have the same value of `column` as this one. `empty` is the
    value where there is nothing to aggregate; without it, that is 0 for a count, a sum, `distinct` and `matches`, and
    missing for the others.
    """

    name: str
    aggregation: Aggregation
    column: str | None = None
    window: PositiveDuration
    delay: Duration = timedelta(0)
    empty: FiniteFloat | None = None


class WindowView(_Model):
    """A feature view of window features, exact at each event's own time.

    `current`: an event counts in its own windows. With a `hop`, the far end of every window is rounded down to a
    multiple of it since 1970 (a sawtooth window). The online store then holds one state a hop of what lies further
    back than the delays and a day, of entities where that is smaller; what is pushed or corrected of so long ago counts
    from the next refresh on.
    """

    entity: str
    current: bool = True
    hop: PositiveDuration | None = None
    features: tuple[WindowFeature, ...]


class TableView(_Model):
    """A feature view that holds columns of the table as they stand: one row an entity."""

    entity: str
    columns: tuple[str, ...]


class DerivedFeature(_Model):
    """A feature made of two others at the time of the request; missing where one of them is.

    `ratio` [A, B] is A / B, missing where B is 0; each is a request column of numbers or a number of a view. `elapsed`
    [A, B] is the time from column A to column B in days (fractions count, and it is negative where B is earlier); each
    is a timestamp column that the request carries, or `timestamp` itself.
    """

    name: str
    ratio: tuple[str, str] | None = None
    elapsed: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.ratio is None) == (self.elapsed is None):
            raise ValueError(f"derived feature {self.name}: has one rule, `ratio` or `elapsed`")
        return self


class Features(_Model):
    """Which features the model gets and where each comes from.

    `requests_are_events`: a request that was scored counts as an event from then on, without being pushed, where it
    carries the event's key.
    `stale`: what becomes of values that are older than their view's ttl: they are `missing`, or the request is an
    `error`. `unavailable`: the same for a request while the online store does not answer. `engine` computes the windows
    of the training set.
    """

    service: Name
    request: tuple[str, ...] = ()
    calendar: tuple[CalendarFeature, ...] = ()
    windows: dict[Name, WindowView] = {}
    tables: dict[Name, TableView] = {}
    derived: tuple[DerivedFeature, ...] = ()
    requests_are_events: bool = False
    stale: Literal["missing", "error"] = "missing"
    unavailable: Literal["missing", "error"] = "error"
    engine: Literal["duckdb", "spark"] = "duckdb"


class PrecisionAt(_Model):
    """Precision among the `k` entities a day with the highest scores (card precision@100 in the Handbook)."""

    k: Annotated[int, Field(gt=0)] = 100
    entity: str


Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]


class Pool(_Model):
    """The machines of a cluster on which estimators are trained, and what each training gets of its machine.

    `spot` machines are cheaper, and may be taken away at any time: the training is started again then.
    """

    kind: Literal["cpu", "gpu"] = "cpu"
    spot: bool = False
    cpu: Annotated[int, Field(ge=1, le=256)] = 2
    memory: Memory = "4Gi"

    @property
    def name(self) -> str:
        """What nodes of the pool are labelled with (`serin/pool`); empty where any node of the cluster will do."""
        name = f"{self.kind}-spot" if self.spot else self.kind
        return "" if name == "cpu" else name


class Search(_Model):
    """How long parameters are searched for, of each estimator; those that the use case gives stay as they are.

    `trials` 0 searches nothing. A search that `seconds` ends before its trials are done may come out otherwise when
    it is repeated. A trial sees `rows` rows of each part of a fold at most: all positives, and of the others as many as
    there is room for, each with the weight of those that it stands for.
    """

    trials: Annotated[int, Field(ge=0, le=10_000)] = 20
    seconds: PositiveDuration = timedelta(minutes=10)
    rows: Annotated[int, Field(ge=1000)] = 20_000


class Cost(_Model):
    """What a wrong decision costs, in any one unit: an alarm for nothing, and a positive that was missed."""

    false_positive: Annotated[float, Field(gt=0)] = 1.0
    false_negative: Annotated[float, Field(gt=0)] = 1.0


class Threshold(_Model):
    """Which scores count as positive; at most one of these is named, and without any it is where F1 is highest.

    `cost`: where wrong decisions cost least. `precision`: the lowest score from which on this share of the alarms is
    right. `alerts_a_day`: as many rows a day as somebody can look at.
    """

    cost: Cost | None = None
    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    alerts_a_day: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if len(named := sorted(name for name, rule in self if rule is not None)) > 1:
            raise ValueError(f"a threshold has one rule; found {', '.join(named)}")
        return self


def _period(value: Any) -> timedelta | str:
    """A length, or `auto`: a period that is chosen by the number of positives in it."""
    if value == "auto":
        return "auto"
    try:
        duration = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}; or auto") from None
    return _some_time(duration)


def _format_period(value: timedelta | str) -> str:
    return value if isinstance(value, str) else format_duration(value)


Period = Annotated[
    timedelta | Literal["auto"], BeforeValidator(_period), PlainSerializer(_format_period, return_type=str)
]


class Training(_Model):
    """Which estimators are trained, on which parts, and how they are compared.

    With event times: the last `test` before the labels end is the test part; before it lie `folds` periods of
    `validation` each, every one assessed by a model of what was known when it began (see serin.learning.split), from
    `history` before on. "auto" takes the shortest whole number of days that holds `positives` positives, no fewer than
    7 and no more than leave enough for training (see serin.use_case.periods). Without event times: `test_share` of the
    rows, and `folds` stratified folds of the others; rows of the same `group` stay together.

    `pool` is where estimators are trained, `pools` where those are that need another. With `engine` "spark", XGBoost is
    fitted on the cluster that SERIN_SPARK names; its search, on samples, stays in the step. `checkpoint` is how much
    work may be lost when a training is killed.
    """

    estimators: dict[str, dict[str, Any]]
    primary_metric: Metric = "average_precision"
    search: Search = Search()
    test: Period = "auto"
    validation: Period = "auto"
    positives: Annotated[int, Field(ge=10)] = 100
    folds: Annotated[int, Field(ge=1, le=20)] = 3
    history: PositiveDuration | None = None
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    group: str | None = None
    precision_at: PrecisionAt | None = None
    threshold: Threshold = Threshold()
    calibration: Literal["auto", "none", "platt", "isotonic"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    engine: Literal["local", "spark"] = "local"
    pool: Pool = Pool()
    pools: dict[str, Pool] = {}
    checkpoint: PositiveDuration = timedelta(seconds=30)

    def pool_of(self, estimator: str) -> Pool:
        """Where an estimator is trained."""
        return self.pools.get(estimator, self.pool)


class SliceRule(_Model):
    """The gate's look at parts of the test rows: no value of `columns` may lose more than `max_loss` of the primary
    metric against the champion. Numbers are cut at their quartiles; parts with fewer than `positives` are told and
    not judged."""

    columns: tuple[str, ...]
    max_loss: Annotated[float, Field(ge=0)] = 0.05
    positives: Annotated[int, Field(ge=5)] = 30


class Gates(_Model):
    """What a candidate must reach to become the challenger.

    It passes where its primary metric, less the champion's on the same rows, is above -`max_loss` with `confidence`:
    the whole bootstrap interval of the difference. Where the interval has -`max_loss` inside, the rows can't tell, and
    the candidate is undecided, which is no pass. `minimum` holds for the metric itself; that its interval reaches below
    is told. Too few positives for any interval, or a ROC AUC whose interval holds 0.5, and the candidate is undecided
    too.
    """

    minimum: dict[Metric, float] = {}
    max_loss: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    slices: SliceRule | None = None


class Slo(_Model):
    """What the service promises: share of failed requests, and the 95th percentile of the latency."""

    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    latency_p95_ms: Annotated[float, Field(gt=0)] = 100.0


class Step(_Model):
    """A canary weight in percent and how long it is watched before the next step."""

    weight: Annotated[int, Field(ge=1, le=100)]
    pause: PositiveDuration


class Rollout(_Model):
    """The rollout plan and the limits of its analysis."""

    steps: tuple[Step, ...] = (
        Step(weight=5, pause=timedelta(seconds=60)),
        Step(weight=25, pause=timedelta(seconds=60)),
        Step(weight=50, pause=timedelta(seconds=60)),
    )
    interval: PositiveDuration = timedelta(seconds=10)
    min_requests: Annotated[int, Field(ge=1)] = 50
    failure_limit: Annotated[int, Field(ge=0)] = 1
    inconclusive_limit: Annotated[int, Field(ge=0)] = 6
    error_limit: Annotated[int, Field(ge=0)] = 4

    @model_validator(mode="after")
    def _weights_rise(self) -> Self:
        weights = [step.weight for step in self.steps]
        if not weights or weights != sorted(set(weights)):
            raise ValueError(f"steps: weights must rise from step to step, found {weights}")
        return self


class Drift(_Model):
    """When logged features have moved too far from the training reference."""

    window: PositiveDuration = timedelta(days=7)
    min_rows: Annotated[int, Field(ge=100)] = 1000
    column_limit: Annotated[float, Field(gt=0)] = 0.2
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.3


class Schedule(_Model):
    """When a pipeline runs by itself: the five fields of crontab(5), in UTC."""

    cron: Cron


class DataSchedule(Schedule):
    """Of a pipeline that takes a table: `data` is ingested first; empty: what is stored is all there is."""

    data: str = ""


class Schedules(_Model):
    """What runs by itself: the training, the drift pipeline (which trains where it has to), materialisation, and the
    rollout of a challenger that waits. What is not named does not."""

    training: DataSchedule | None = None
    drift: DataSchedule | None = None
    materialisation: DataSchedule | None = None
    rollout: Schedule | None = None


class UseCase(_Model):
    """Everything that Serin has to know about one use case."""

    name: Name
    description: str = ""
    data: Data
    timestamp: str | None = None
    label: Label
    entities: dict[Name, str]
    features: Features
    training: Training
    gates: Gates = Gates()
    slo: Slo = Slo()
    rollout: Rollout = Rollout()
    drift: Drift = Drift()
    schedules: Schedules = Schedules()

    @property
    def model_name(self) -> str:
        """The name of the registered model, the served model and the VirtualService (a DNS label)."""
        return self.name.replace("_", "-")

    @property
    def views(self) -> dict[str, WindowView | TableView]:
        """All feature views by name."""
        return {**self.features.windows, **self.features.tables}

    @property
    def request_columns(self) -> tuple[str, ...]:
        """What a request carries besides entity keys and timestamp: the model's own inputs, what its windows take of
        the event itself, and what elapsed times are counted from. A request that counts as an event from then on
        carries all that later windows take of it too, but for its label."""
        own = (
            feature.column
            for view in self.features.windows.values()
            for feature in view.features
            if feature.column and self._takes_of_the_request(view, feature)
        )
        between = (column for feature in self.features.derived for column in feature.elapsed or ())
        taken = {self.timestamp, *self.entities.values()}
        named = dict.fromkeys((*self.features.request, *own, *between))
        return tuple(name for name in named if name not in taken)

    def _takes_of_the_request(self, view: WindowView, feature: WindowFeature) -> bool:
        later = self.features.requests_are_events and feature.column != self.label.column
        return later or feature.aggregation == "matches" or (view.current and not feature.delay)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The model's inputs in order: request, calendar, windows, tables, derived."""
        return (
            *self.features.request,
            *self.features.calendar,
            *(f.name for view in self.features.windows.values() for f in view.features),
            *(c for view in self.features.tables.values() for c in view.columns),
            *(feature.name for feature in self.features.derived),
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(contradictions(self))
        if problems:
            raise ValueError("\n  ".join(problems))
        return self
