"""Whether the sections of a use case agree with each other."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from serin import estimators
from serin.columns import Column
from serin.prediction_log import COLUMNS
from serin.times import format_duration

if TYPE_CHECKING:
    from serin.use_case.data import Label
    from serin.use_case.features import WindowFeature, WindowView
    from serin.use_case.model import UseCase
    from serin.use_case.training import Training

# Columns that Serin adds to a table while it works on it.
RESERVED_PREFIX = "serin_"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The types of the columns that an aggregation takes; any where it is not here.
_NUMERIC = ("integer", "number", "boolean")
_TELLING = ("integer", "number", "boolean", "text")
_TAKEN = dict.fromkeys(("sum", "mean", "min", "max"), _NUMERIC) | dict.fromkeys(("distinct", "matches"), _TELLING)


def contradictions(case: "UseCase") -> Iterator[str]:
    """What is wrong with a use case whose sections are each in order, every problem with its key."""
    yield from _unknown_columns(case)
    yield from _label_contradictions(case.label, case.data.columns.get(case.label.column))
    yield from _time_contradictions(case)
    yield from _view_contradictions(case)
    yield from _derived_contradictions(case)
    yield from _event_contradictions(case)
    yield from _taken_names(case)
    yield from _names_of_columns(case)
    if case.label.column in case.feature_names:
        yield f"features: the label {case.label.column} can't be a feature"
    if not case.feature_names:
        yield "features: no feature is named"
    if case.schedules.materialisation and not case.views:
        yield "schedules.materialisation: there is no feature view to materialise; leave it out"
    yield from _estimator_contradictions(case)
    yield from _split_contradictions(case)
    for name in case.gates.slices.columns if case.gates.slices else ():
        if name not in case.feature_names:
            yield f"gates.slices.columns: {name!r} is no feature; features are {', '.join(case.feature_names)}"


def _estimator_contradictions(case: "UseCase") -> Iterator[str]:
    training, known = case.training, estimators.known()
    if not training.estimators:
        yield f"training.estimators: name at least one of {', '.join(known)}"
    for name, parameters in training.estimators.items():
        yield from (f"training.estimators.{problem}" for problem in estimators.problems(name, parameters))
    if training.engine == "spark":
        yield from _spark_contradictions(training)
    combining = [name for name in training.estimators if name in known and known[name].combines]
    others = [name for name in training.estimators if name in known and not known[name].combines]
    for name in combining:
        if len(others) < 2:
            allowed = ", ".join(other for other in known if not known[other].combines)
            yield (
                f"training.estimators.{name}: combines at least two others, found {', '.join(others) or 'none'}; "
                f"allowed: {allowed}"
            )
        if training.folds < 2:
            yield (
                f"training.estimators.{name}: is fitted on some validation folds and assessed on others, so "
                f"training.folds is 2 or more, found {training.folds}"
            )
    yield from _pool_contradictions(training)


def _pool_contradictions(training: "Training") -> Iterator[str]:
    """Pools that nothing would be trained on, or that it would leave idle."""
    known = estimators.known()
    for name, pool in training.pools.items():
        if name not in training.estimators:
            yield f"training.pools.{name}: is not listed; training.estimators has {', '.join(training.estimators)}"
        elif name in known and known[name].combines:
            yield f"training.pools.{name}: it combines the others' scores in seconds, on any node; leave it out"
        elif pool.kind == "gpu" and name in known and not known[name].on_gpu:
            able = ", ".join(other for other in known if known[other].on_gpu)
            yield f"training.pools.{name}.kind: {name} has no use for a GPU, found gpu; allowed: cpu (GPUs: {able})"


def _split_contradictions(case: "UseCase") -> Iterator[str]:
    """Of the periods where there are no event times, and of the groups where there are."""
    training = case.training
    if training.group is not None and training.group not in case.data.columns:
        yield f"training.group: {training.group!r} is no column; data.columns has {', '.join(case.data.columns)}"
    if training.group == case.label.column:
        yield f"training.group: {training.group} is the label, which can't say what belongs together"
    if case.timestamp:
        if training.group is not None:
            yield "training.group: rows with event times (`timestamp`) are split by time; leave it out"
        return
    for key, used in (
        ("test", training.test != "auto"),
        ("validation", training.validation != "auto"),
        ("history", training.history),
        ("threshold.alerts_a_day", training.threshold.alerts_a_day),
    ):
        if used:
            yield f"training.{key}: needs event times, but `timestamp` names no column"


def _label_contradictions(label: "Label", column: Column | None) -> Iterator[str]:
    if label.positive is None and label.negative:
        yield "label.negative: means something beside label.positive only"
    if label.positive is not None and column and column.type != "integer":
        yield f"label.positive: makes a label of 0 and 1, so {label.column} has type integer, not {column.type}"
    if label.positive is not None and label.positive.casefold() in map(str.casefold, label.negative):
        yield f"label.negative: {label.positive!r} is label.positive"


def _spark_contradictions(training: "Training") -> Iterator[str]:
    parameters = training.estimators.get("xgboost")
    if parameters is None:
        yield "training.engine: spark trains xgboost, which training.estimators does not list"
    elif parameters.get("tree_method") == "exact":
        yield "training.estimators.xgboost.tree_method: exact needs all rows in one place; with spark: hist or approx"
    if training.pool_of("xgboost").kind == "gpu":
        yield "training.engine: spark trains on the CPUs of its executors; the pool of xgboost must be cpu"


def _taken_names(case: "UseCase") -> Iterator[str]:
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


def _names_of_columns(case: "UseCase") -> Iterator[str]:
    """Features that would stand under the name of another column of the table."""
    for entity, column in case.entities.items():
        if column in case.feature_names:
            yield f"features: {column} is the key of entity {entity}; allowed: any column that is no entity's"
    for view_name, view in case.features.windows.items():
        for name in (feature.name for feature in view.features if feature.name in case.data.columns):
            yield f"features.windows.{view_name}.{name}: the table has a column of this name; allowed: any other name"
    for name in (feature.name for feature in case.features.derived if feature.name in case.data.columns):
        yield f"features.derived.{name}: the table has a column of this name; allowed: any other name"
    for name in case.features.calendar:
        if name in case.data.columns:
            yield f"features.calendar: the table has a column {name} too; give that another name (data.rename)"


def _unknown_columns(case: "UseCase") -> Iterator[str]:
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


def _time_contradictions(case: "UseCase") -> Iterator[str]:
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


def _view_contradictions(case: "UseCase") -> Iterator[str]:
    for name, view in case.views.items():
        if view.entity not in case.entities:
            yield f"features: view {name} is of entity {view.entity!r}; entities are {', '.join(case.entities)}"
    for name, table in case.features.tables.items():
        column = case.entities.get(table.entity)
        if column and case.data.key != (column,):
            found = ", ".join(case.data.key) or "nothing"
            yield f"features.tables.{name}: has one row a {table.entity}, so data.key must be [{column}], found {found}"
    for name, view in case.features.windows.items():
        for feature in view.features:
            yield from _window_contradictions(case, f"features.windows.{name}.{feature.name}", view, feature)
    if case.training.precision_at and case.training.precision_at.entity not in case.entities:
        yield f"training.precision_at.entity: {case.training.precision_at.entity!r} is no entity"


def _window_contradictions(case: "UseCase", where: str, view: "WindowView", feature: "WindowFeature") -> Iterator[str]:
    if not _NAME.fullmatch(feature.name):
        yield f"{where}: a feature's name is letters, digits and underscores"
    if (feature.aggregation in ("count", "since_last")) != (feature.column is None):
        yield f"{where}: `count` and `since_last` take no column, every other aggregation needs one"
    if feature.column == case.label.column:
        yield from _label_seen_too_early(case, where, view, feature)
    column = case.data.columns.get(feature.column) if feature.column else None
    if column and column.type not in _TAKEN.get(feature.aggregation, (column.type,)):
        yield f"{where}: can't take the {feature.aggregation} of {feature.column}, a {column.type} column"
    if view.hop and (feature.window < view.hop or feature.delay % view.hop):
        yield (
            f"{where}: window {format_duration(feature.window)} must be no shorter than hop "
            f"{format_duration(view.hop)}, and delay {format_duration(feature.delay)} a multiple of it"
        )


def _label_seen_too_early(case: "UseCase", where: str, view: "WindowView", feature: "WindowFeature") -> Iterator[str]:
    if feature.delay < case.label.delay:
        yield (
            f"{where}: sees the label {format_duration(feature.delay)} after the event, "
            f"but it is known only after {format_duration(case.label.delay)} (label.delay)"
        )
    elif view.current and not feature.delay:
        yield f"{where}: sees the label of the event that is predicted; give it a delay, or the view `current: false`"
    if feature.aggregation == "matches":
        yield f"{where}: no request knows its label, so nothing can match it"


def _derived_contradictions(case: "UseCase") -> Iterator[str]:
    numbers, times = _numbers(case), [name for name, column in case.data.columns.items() if column.type == "timestamp"]
    for feature in case.features.derived:
        where = f"features.derived.{feature.name}"
        if not _NAME.fullmatch(feature.name):
            yield f"{where}: a feature's name is letters, digits and underscores"
        rule, what, allowed = ("ratio", "number", numbers) if feature.ratio else ("elapsed", "time column", times)
        operands = feature.ratio or feature.elapsed or ("", "")
        if operands[0] == operands[1]:
            yield f"{where}.{rule}: {operands[0]} stands on both sides, which says nothing"
        for name in dict.fromkeys(operands):
            if name not in allowed:
                yield f"{where}.{rule}: {name!r} is no {what}; allowed: {', '.join(allowed) or 'none, there is none'}"


def _numbers(case: "UseCase") -> list[str]:
    """What a ratio can be made of: numbers that a request carries, window features, and numbers of table views."""
    carried = [*case.request_columns, *(name for view in case.features.tables.values() for name in view.columns)]
    of_windows = [feature.name for view in case.features.windows.values() for feature in view.features]
    columns = case.data.columns
    numeric = [name for name in carried if name in columns and columns[name].type in ("integer", "number")]
    return [*dict.fromkeys([*numeric, *of_windows])]


def _event_contradictions(case: "UseCase") -> Iterator[str]:
    """Of what becomes of events between two refreshes, and of what computes their windows."""
    features = case.features
    if features.requests_are_events and not features.windows:
        yield "features.requests_are_events: there is no window that an event could move; leave it out"
    elif features.requests_are_events and not case.data.key:
        yield "features.requests_are_events: an event is known by its key, but data.key names no column"
    if features.engine == "spark" and not features.windows:
        yield "features.engine: spark computes windows, and there are none; leave it out"
