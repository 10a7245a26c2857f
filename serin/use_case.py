"""The use case: one validated, frozen model of everything that differs between two use cases.

It is read from `pipelines/use_cases/NAME.yaml`; unknown keys and contradictions are errors that name the key.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from serin import estimators
from serin.columns import Column
from serin.errors import UseCaseError
from serin.prediction_log import COLUMNS
from serin.times import Duration, format_duration

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Aggregation = Literal["count", "sum", "mean", "min", "max"]
CalendarFeature = Literal["hour", "weekday"]
Metric = Literal["average_precision", "roc_auc"]
DAY = timedelta(days=1)
# Columns that Serin adds to a table while it works on it.
RESERVED_PREFIX = "serin_"


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
        problems = list(_contradictions(self))
        if problems:
            raise ValueError("\n  ".join(problems))
        return self


def _contradictions(case: UseCase) -> Iterator[str]:
    yield from _unknown_columns(case)
    yield from _label_contradictions(case.label, case.data.columns.get(case.label.column))
    yield from _time_contradictions(case)
    yield from _view_contradictions(case)
    yield from _taken_names(case)
    yield from _names_of_columns(case)
    if case.label.column in case.feature_names:
        yield f"features: the label {case.label.column} can't be a feature"
    if not case.feature_names:
        yield "features: no feature is named"
    if not case.training.estimators:
        yield f"training.estimators: name at least one of {', '.join(estimators.known())}"
    for name, parameters in case.training.estimators.items():
        yield from (f"training.estimators.{problem}" for problem in estimators.problems(name, parameters))


def _label_contradictions(label: Label, column: Column | None) -> Iterator[str]:
    if label.positive is None and label.negative:
        yield "label.negative: means something beside label.positive only"
    if label.positive is not None and column and column.type != "integer":
        yield f"label.positive: makes a label of 0 and 1, so {label.column} has type integer, not {column.type}"
    if label.positive is not None and label.positive.casefold() in map(str.casefold, label.negative):
        yield f"label.negative: {label.positive!r} is label.positive"


def _taken_names(case: UseCase) -> Iterator[str]:
    """Names that already mean something else in the tables in which features, labels and keys stand side by side."""
    if taken := sorted(COLUMNS.keys() & {*case.data.columns, *case.feature_names}):
        yield f"{', '.join(taken)}: the prediction log has columns of these names; use others (data.rename)"
    for name in sorted({*case.data.columns, *case.feature_names}):
        if name.lower().startswith(RESERVED_PREFIX):
            yield f"{name}: names that start with {RESERVED_PREFIX} are Serin's own; use another (data.rename)"
    if repeated := sorted({n for n in case.feature_names if case.feature_names.count(n) > 1}):
        yield f"features: {', '.join(repeated)} named more than once"
    if repeated := sorted(case.features.windows.keys() & case.features.tables.keys()):
        yield f"features: view {', '.join(repeated)} stands under windows and under tables; give one another name"


def _names_of_columns(case: UseCase) -> Iterator[str]:
    """Features that would stand under the name of another column of the table."""
    for entity, column in case.entities.items():
        if column in case.feature_names:
            yield f"features: {column} is the key of entity {entity}; allowed: any column that is no entity's"
    for view_name, view in case.features.windows.items():
        for name in (feature.name for feature in view.features if feature.name in case.data.columns):
            yield f"features.windows.{view_name}.{name}: the table has a column of this name; allowed: any other name"
    for name in case.features.calendar:
        if name in case.data.columns:
            yield f"features.calendar: the table has a column {name} too; give that another name (data.rename)"


def _unknown_columns(case: UseCase) -> Iterator[str]:
    used = {
        "timestamp": [case.timestamp] if case.timestamp else [],
        "label.column": [case.label.column],
        "data.key": case.data.key,
        "entities": case.entities.values(),
        "features.request": case.features.request,
    }
    for name, view in case.features.windows.items():
        used[f"features.windows.{name}"] = [f.column for f in view.features if f.column]
    for name, table in case.features.tables.items():
        used[f"features.tables.{name}"] = table.columns
    for where, columns in used.items():
        for column in columns:
            if column not in case.data.columns:
                yield f"{where}: {column!r} is no column; data.columns has {', '.join(case.data.columns)}"


def _time_contradictions(case: UseCase) -> Iterator[str]:
    if case.timestamp:
        column = case.data.columns.get(case.timestamp)
        if column and column.type != "timestamp":
            yield f"timestamp: {case.timestamp} has type {column.type}, not timestamp"
        if case.features.tables:
            yield "features.tables: a table with event times (`timestamp`) holds no snapshot of its entities"
        return
    for key, used in (
        ("features.windows", case.features.windows),
        ("features.calendar", case.features.calendar),
        ("label.delay", case.label.delay),
    ):
        if used:
            yield f"{key}: needs event times, but `timestamp` names no column"


def _view_contradictions(case: UseCase) -> Iterator[str]:
    for name, view in case.views.items():
        if view.entity not in case.entities:
            yield f"features: view {name} is of entity {view.entity!r}; entities are {', '.join(case.entities)}"
    for name, table in case.features.tables.items():
        column = case.entities.get(table.entity)
        if column and case.data.key != (column,):
            found = ", ".join(case.data.key) or "nothing"
            yield f"features.tables.{name}: has one row a {table.entity}, so data.key must be [{column}], found {found}"
    for name, view in case.features.windows.items():
        if view.refresh > DAY or DAY % view.refresh:
            yield f"features.windows.{name}.refresh: {format_duration(view.refresh)} does not divide a day"
            continue
        for feature in view.features:
            yield from _window_contradictions(case, f"features.windows.{name}.{feature.name}", view, feature)
    if case.training.precision_at and case.training.precision_at.entity not in case.entities:
        yield f"training.precision_at.entity: {case.training.precision_at.entity!r} is no entity"


def _window_contradictions(case: UseCase, where: str, view: WindowView, feature: WindowFeature) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", feature.name):
        yield f"{where}: a feature's name is letters, digits and underscores"
    if feature.window % view.refresh or feature.delay % view.refresh:
        yield (
            f"{where}: window {format_duration(feature.window)} and delay {format_duration(feature.delay)} "
            f"must be multiples of refresh {format_duration(view.refresh)}"
        )
    if (feature.aggregation == "count") != (feature.column is None):
        yield f"{where}: `count` takes no column, every other aggregation needs one"
    if feature.column == case.label.column and feature.delay < case.label.delay:
        yield (
            f"{where}: sees the label {format_duration(feature.delay)} after the event, "
            f"but it is known only after {format_duration(case.label.delay)} (label.delay)"
        )
    column = case.data.columns.get(feature.column) if feature.column else None
    if column and column.type not in ("integer", "number", "boolean"):
        yield f"{where}: can't take the {feature.aggregation} of {feature.column}, a {column.type} column"


def parse(document: Any, where: str) -> UseCase:
    """Validate a use case given as plain data.

    Raises UseCaseError: every problem at once, each with its key; `where` names the source.
    """
    try:
        return UseCase.model_validate(document)
    except ValidationError as error:
        lines = [_describe(problem) for problem in error.errors()]
        raise UseCaseError(f"{where} is no valid use case:\n" + "\n".join(f"  {x}" for x in lines)) from None


def _describe(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not key:
        return text
    found = "" if problem["type"] in ("missing", "value_error") else f" (found {problem['input']!r})"
    return f"{key}: {text}{found}"


def load(name: str, folder: Path) -> UseCase:
    """Read and validate `folder/NAME.yaml`.

    Raises UseCaseError: no such use case (the message lists those there are), broken YAML, or a file whose
    `name` is another.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise UseCaseError(f"no use case {name!r}; known: {known}. `serin new {name} --data TABLE ...` makes one")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UseCaseError(f"{path} is no valid YAML: {error}") from None
    case = parse(document, str(path))
    if case.name != name:
        raise UseCaseError(f"{path}: name is {case.name!r}, but the file is called {name}.yaml")
    return case


def dumps(case: UseCase) -> str:
    """The use case as JSON text, as pipelines pass it between steps.

    Text, because a pipeline's dictionaries are protobuf structs, which know no integers.
    """
    return case.model_dump_json(exclude_defaults=True)


def loads(text: str) -> UseCase:
    """The use case that `dumps` wrote.

    Raises UseCaseError as `parse` does.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UseCaseError(f"the pipeline's use case is no JSON: {error}") from None
    return parse(document, "the pipeline's use case")
