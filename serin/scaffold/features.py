"""Which features a proposed use case gets."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serin.scaffold.columns import Described, identifier, snake_case
from serin.schema import CALENDAR

_WINDOWS = ("1d", "7d", "30d")
_LONGEST_WINDOW = _WINDOWS[-1]
_MEANS = 3  # columns an entity whose means are taken
_LONGEST = 40  # characters of a name in a use case
_SUFFIX = re.compile(r"_(id|key|no|nr|num|number|code)$")


class _Names:
    """Names of features, each unlike the table's columns and those before it, whatever their case."""

    def __init__(self, kept: Sequence[str]) -> None:
        self._taken = {column.lower() for column in kept} | set(CALENDAR)

    def new(self, name: str) -> str:
        unique = identifier(name, self._taken)
        self._taken.add(unique.lower())
        return unique


def propose(
    name: str,
    usable: Mapping[str, Described],
    entities: Sequence[str],
    timestamp: str | None,
    kept: Sequence[str],
    notes: list[str],
) -> dict[str, Any]:
    """The `entities` and `features` of the use case `name`, as plain data; says in `notes` what it chose.

    `usable` has no times but of events, and none that is later than its event. `kept` are all columns of the table that
    the use case declares: no feature is called as one of them.
    """
    named = _entity_names(entities)
    features: dict[str, Any] = {"service": _fit(f"{name}_v1")}
    if timestamp is None and not named:
        features["request"] = list(usable)
        notes.append(f"No --entity: each row stands for itself, and a request carries {', '.join(usable)}.")
        return {"entities": {}, "features": features}
    if timestamp is None:
        (entity,) = named
        features["tables"] = {_fit(f"{name}_{entity}"): {"entity": entity, "columns": list(usable)}}
        notes.append(f"A request carries {named[entity]}; the {len(usable)} features are looked up by it.")
        return {"entities": named, "features": features}
    features["request"] = [column for column, described in usable.items() if described.type != "timestamp"]
    features["calendar"] = [part for part in CALENDAR if part not in kept]
    names = _Names(kept)
    carried = ", ".join([*named.values(), timestamp, *usable])
    if named:
        features["windows"] = _windows(name, usable, named, names, notes)
        notes.append(
            f"A request carries {carried}; the windows are computed from the events up to its time, its own too."
        )
    else:
        notes.append(f"No --entity, so no window features: a request carries {carried}.")
    ratios = list(_ratios(features.get("windows", {}), names)) if named else []
    elapsed = list(_elapsed(usable, timestamp, names, notes))
    if derived := ratios + elapsed:
        features["derived"] = derived
    return {"entities": named, "features": features}


def _entity_names(columns: Sequence[str]) -> dict[str, str]:
    """CUSTOMER_ID becomes the entity `customer`."""
    names: dict[str, str] = {}
    for column in columns:
        plain = snake_case(column).strip("_")
        short = _SUFFIX.sub("", plain)
        if not short[:1].isalpha():
            short = f"entity_{short}".rstrip("_")
        names[_fit(identifier(short, set(names)))] = column
    return names


def _windows(
    name: str, usable: Mapping[str, Described], entities: Mapping[str, str], names: _Names, notes: list[str]
) -> dict[str, Any]:
    numeric = [column for column, described in usable.items() if described.type in ("integer", "number")]
    averaged = numeric[:_MEANS]
    first, *others = entities
    views = {}
    for entity in entities:
        features = [_feature(names, entity, "count", window) for window in _WINDOWS]
        for column in averaged:
            features += [_feature(names, entity, "mean", window, column) for window in _WINDOWS]
        features.append(_feature(names, entity, "since_last", _LONGEST_WINDOW))
        if entity == first:
            features += [_feature(names, entity, "matches", _LONGEST_WINDOW, entities[other]) for other in others]
        views[_fit(f"{name}_{entity}_activity")] = {"entity": entity, "features": features}
    means = f", the means of {', '.join(averaged)}" if averaged else ""
    over = f"counts{means} over {', '.join(_WINDOWS)}, and the time since the event before"
    notes.append(f"For each of {', '.join(entities)}: {over}.")
    if others:
        notes.append(f"How often a {first} met the same {', '.join(others)} in {_LONGEST_WINDOW}: 1 is the first time.")
    if len(numeric) > _MEANS:
        notes.append(f"No window features of {', '.join(numeric[_MEANS:])}: the first {_MEANS} numbers are taken.")
    return views


def _feature(names: _Names, entity: str, aggregation: str, window: str, column: str | None = None) -> dict[str, Any]:
    stem = f"{entity}_{snake_case(column)}" if column else entity
    feature = {"name": names.new(f"{stem}_{aggregation}_{window}"), "aggregation": aggregation, "window": window}
    return feature | ({"column": column} if column else {})


def _ratios(windows: Mapping[str, Any], names: _Names) -> Iterator[dict[str, Any]]:
    """Each averaged number beside the entity's own mean of it: what is unusual for this entity."""
    for view in windows.values():
        for feature in view["features"]:
            if feature["aggregation"] == "mean" and feature["window"] == _LONGEST_WINDOW:
                column, mean = feature["column"], feature["name"]
                yield {"name": names.new(f"{snake_case(column)}_to_{view['entity']}_mean"), "ratio": [column, mean]}


def _elapsed(
    usable: Mapping[str, Described], timestamp: str, names: _Names, notes: list[str]
) -> Iterator[dict[str, Any]]:
    times = [column for column, described in usable.items() if described.type == "timestamp"]
    for column in times:
        yield {"name": names.new(f"days_since_{snake_case(column)}"), "elapsed": [column, timestamp]}
    if times:
        notes.append(f"{', '.join(times)}: never later than {timestamp}; the model gets the days between.")


def _fit(name: str) -> str:
    """`name`, cut to the length that a use case allows, with a hash in place of what was cut."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 7]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
