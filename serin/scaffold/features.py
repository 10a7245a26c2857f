"""Which features a proposed use case gets."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from serin.scaffold.columns import Described, identifier, snake_case

_WINDOWS = ("1d", "7d", "30d")
_MEANS = 3  # columns an entity whose means are taken
_LONGEST = 40  # characters of a name in a use case
_SUFFIX = re.compile(r"_(id|key|no|nr|num|number|code)$")


def propose(
    name: str,
    usable: Mapping[str, Described],
    entities: Sequence[str],
    timestamp: str | None,
    kept: Sequence[str],
    notes: list[str],
) -> dict[str, Any]:
    """The `entities` and `features` of the use case `name`, as plain data; says in `notes` what it chose.

    `kept` are all columns of the table that the use case declares: no feature is called as one of them.
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
    features["request"] = list(usable)
    features["calendar"] = [part for part in ("hour", "weekday") if part not in kept]
    carried = ", ".join([*named.values(), timestamp, *usable])
    if not named:
        notes.append(f"No --entity, so no window features: a request carries {carried}.")
        return {"entities": named, "features": features}
    features["windows"] = _windows(name, usable, named, kept, notes)
    notes.append(f"A request carries {carried}; the window features are looked up.")
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
    name: str, usable: Mapping[str, Described], entities: Mapping[str, str], kept: Sequence[str], notes: list[str]
) -> dict[str, Any]:
    numeric = [column for column, described in usable.items() if described.type in ("integer", "number")]
    averaged = numeric[:_MEANS]
    taken = {column.lower() for column in kept} | {"hour", "weekday"}
    views = {}
    for entity in entities:
        features = []
        for aggregation, column in (("count", None), *(("mean", column) for column in averaged)):
            for window in _WINDOWS:
                stem = f"{entity}_{snake_case(column)}" if column else entity
                feature = identifier(f"{stem}_{aggregation}_{window}", taken)
                taken.add(feature.lower())
                features.append(
                    {"name": feature, "aggregation": aggregation, "window": window}
                    | ({"column": column} if column else {})
                )
        views[_fit(f"{name}_{entity}_activity")] = {"entity": entity, "features": features}
    means = f" and the means of {', '.join(averaged)}" if averaged else ""
    notes.append(f"For each of {', '.join(entities)}: counts{means} over {', '.join(_WINDOWS)}.")
    if len(numeric) > _MEANS:
        notes.append(f"No window features of {', '.join(numeric[_MEANS:])}: the first {_MEANS} numbers are taken.")
    return views


def _fit(name: str) -> str:
    """`name`, cut to the length that a use case allows, with a hash in place of what was cut."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 7]}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
