"""A use case as the two files that its user keeps: the YAML, and the Feast definitions that go with it."""

from collections.abc import Iterator
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from serin.columns import TYPES
from serin.times import format_duration
from serin.use_case import TableView, UseCase, WindowFeature, WindowView

_WORDS = {
    "count": "Number of events",
    "sum": "Sum of {}",
    "mean": "Mean of {}",
    "min": "Smallest {}",
    "max": "Largest {}",
    "distinct": "Number of different values of {}",
    "since_last": "Seconds since the event before",
    "matches": "Number of events with the same {}",
}


def render_yaml(case: UseCase) -> str:
    """The use case file with comments; `serin.use_case.parse` reads the same use case back."""
    split = ["test", "validation", "positives"] if case.timestamp else ["test_share"]
    optional = [key for key in ("group", "history", "precision_at") if getattr(case.training, key) is not None]
    whole = case.model_dump(mode="json")
    optional_label = {"positive", "negative"} if case.label.positive is None else set()
    optional_label |= set() if case.timestamp else {"delay"}
    whole["label"] = {key: value for key, value in whole["label"].items() if key not in optional_label}
    text = _templates().get_template("use_case.yaml.j2")
    return text.render(
        case=case,
        document=case.model_dump(mode="json", exclude_defaults=True),
        whole=whole,
        shown=[*split, "folds", *optional, "seed"],
    )


def render_definitions(case: UseCase) -> str:
    """The Feast definitions of a use case as a Python module in the house format.

    Entities and views are global in Feast, so an entity is called USE_CASE_ENTITY there.
    """
    views = [_view(case, name, view) for name, view in case.views.items()]
    types = sorted({field["type"] for view in views for field in view["fields"]})
    text = _templates().get_template("definitions.py.j2")
    return text.render(case=case, views=views, types=types, column_types=TYPES)


def _templates() -> Environment:
    # Python and YAML are no HTML: names are identifiers, and `flow` quotes every value.
    environment = Environment(  # noqa: S701
        loader=PackageLoader("serin.scaffold", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flow"] = _flow
    return environment


def _flow(value: Any) -> str:
    """A value as YAML on one line, quoted where YAML asks for it."""
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _view(case: UseCase, name: str, view: WindowView | TableView) -> dict[str, Any]:
    key = case.entities[view.entity]
    fields = [_field(case, key, f"The {view.entity}."), *_fields(case, view)]
    if isinstance(view, WindowView):
        return {
            "name": name,
            "entity": view.entity,
            "fields": fields,
            "ttl": "timedelta(days=2)",
            "why": "So long after the last refresh or push, the known events are no more believed to be all there are. "
            "With a\n    # refresh a day, one may fail.",
            "description": f"What the {view.entity} did lately.",
        }
    return {
        "name": name,
        "entity": view.entity,
        "fields": fields,
        "ttl": "timedelta(0)",
        "why": "No limit: a snapshot holds until the next one.",
        "description": f"The {view.entity}'s row in the latest snapshot.",
    }


def _fields(case: UseCase, view: WindowView | TableView) -> Iterator[dict[str, str]]:
    if isinstance(view, TableView):
        for column in view.columns:
            yield _field(case, column, f"{column}, as the table has it.")
        return
    for feature in view.features:
        yield {"name": feature.name, "type": TYPES["number"].feast, "description": _describe(feature)}


def _field(case: UseCase, column: str, description: str) -> dict[str, str]:
    return {
        "name": column,
        "type": TYPES[case.data.columns[column].type].feast,
        "description": description,
    }


def _describe(feature: WindowFeature) -> str:
    what = _WORDS[feature.aggregation].format(feature.column)
    end = f"{format_duration(feature.delay)} before the event" if feature.delay else "the event"
    return f"{what} in the {format_duration(feature.window)} up to {end}."
