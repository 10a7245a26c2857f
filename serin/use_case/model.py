"""What a use case may say: frozen models, one a section of the file."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from serin.columns import Column
from serin.cron import Cron
from serin.times import DAY, Duration, format_duration
from serin.use_case.consistency import contradictions

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Aggregation = Literal["count", "sum", "mean", "min", "max"]
CalendarFeature = Literal["hour", "weekday"]
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
    """An aggregation over the entity's events in [t - delay - window, t - delay), t being a refresh time."""

    name: str
    aggregation: Aggregation
    column: str | None = None
    window: PositiveDuration
    delay: Duration = timedelta(0)


class WindowView(_Model):
    """A feature view of window features, computed for every entity at every `refresh`, at UTC boundaries."""

    entity: str
    refresh: PositiveDuration = DAY
    features: tuple[WindowFeature, ...]


class TableView(_Model):
    """A feature view that holds columns of the table as they stand: one row an entity."""

    entity: str
    columns: tuple[str, ...]


class Features(_Model):
    """Which features the model gets and where each comes from."""

    service: Name
    request: tuple[str, ...] = ()
    calendar: tuple[CalendarFeature, ...] = ()
    windows: dict[Name, WindowView] = {}
    tables: dict[Name, TableView] = {}


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


class Training(_Model):
    """Which estimators are trained, on which parts, and how they are compared."""

    estimators: dict[str, dict[str, Any]]
    primary_metric: Metric = "average_precision"
    test: PositiveDuration = timedelta(days=7)
    validation: PositiveDuration = timedelta(days=7)
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    validation_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    precision_at: PrecisionAt | None = None
    seed: int = 0
    pool: Pool = Pool()


class Gates(_Model):
    """What a candidate must reach to become the challenger."""

    minimum: dict[Metric, float] = {}
    max_loss: Annotated[float, Field(ge=0)] = 0.0


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
    def feature_names(self) -> tuple[str, ...]:
        """The model's inputs in order: request, calendar, windows, tables."""
        return (
            *self.features.request,
            *self.features.calendar,
            *(f.name for view in self.features.windows.values() for f in view.features),
            *(c for view in self.features.tables.values() for c in view.columns),
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(contradictions(self))
        if problems:
            raise ValueError("\n  ".join(problems))
        return self
