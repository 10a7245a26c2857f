"""What model versions are served with: the feature views as they were when a version was trained.

A version names a feature service of served views, and these stay and are kept fresh as long as an alias needs them,
whatever becomes of the use case and of Feast's definitions. See adr/0014.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from serin.aliases import CHALLENGER, CHAMPION, PREVIOUS
from serin.columns import TYPES, TypeName
from serin.online.rows import EVENT_TIMESTAMP
from serin.platform import Platform
from serin.ports import ServedView, ViewSource, digest
from serin.use_case import TableView, UseCase


def served_view(case: UseCase, source: ViewSource) -> ServedView:
    """The feature view as the use case and Feast's definition, `source`, describe it now."""
    view = case.views[source.name]
    key = case.entities[view.entity]
    columns = case.data.columns
    types: dict[str, TypeName] = {key: columns[key].type}
    if isinstance(view, TableView):
        types |= {name: columns[name].type for name in view.columns}
    else:
        types |= dict.fromkeys((feature.name for feature in view.features), "number")
    return ServedView(
        use_case=case.name,
        view=source.name,
        key=key,
        timestamp=case.timestamp,
        definition=view,
        ttl=source.ttl,
        types=types,
    )


def service_name(case: UseCase, views: Sequence[ServedView]) -> str:
    """The feature service that a version names which is trained with these views."""
    return f"{case.features.service}__{digest(' '.join(view.name for view in views))}"


def still_needed(platform: Platform, case: UseCase, current: str) -> dict[str, tuple[ServedView, ...]]:
    """The services besides `current` that a version with an alias for serving was trained with."""
    others = {name: views for name, views in platform.features.kept(case.name).items() if name != current}
    if not others:
        return {}
    holders = [platform.registry.by_alias(case.model_name, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)]
    named = {holder.feature_service for holder in holders if holder}
    return {name: views for name, views in others.items() if name in named}


def lacking(events: pa.Table, view: ServedView) -> list[str]:
    """The columns that `view` is computed from and `events` does not have, or not in the type it had; sorted."""
    wanted: dict[str, TypeName | None] = {view.key: view.types[view.key]}
    if isinstance(view.definition, TableView):
        wanted |= {name: view.types[name] for name in view.features}
    else:
        wanted |= {feature.column: None for feature in view.definition.features if feature.column}
        wanted |= {view.timestamp or "": "timestamp"}
    return sorted(name for name, kind in wanted.items() if not _has(events, name, kind))


def _has(events: pa.Table, name: str, kind: TypeName | None) -> bool:
    if name not in events.column_names:
        return False
    return kind is None or events.schema.field(name).type == TYPES[kind].arrow


def gone(before: pa.Table, now: pa.Table, key: str) -> pa.Table:
    """Rows that take back what is known online of entities that are in `before` and no longer in `now`.

    Each has the entity's key, the time of `now` and nulls: Feast can't delete a row, and the predictor takes a row of
    nulls for no row. Both tables have the same columns, one row an entity; `now` has at least one.
    """
    keys = before[key].filter(pc.invert(pc.is_in(before[key], value_set=now[key].combine_chunks())))
    nulls = {name: pa.nulls(len(keys), now.schema.field(name).type) for name in now.column_names}
    time = pa.array([now[EVENT_TIMESTAMP][0].as_py()] * len(keys), now.schema.field(EVENT_TIMESTAMP).type)
    return pa.table(nulls | {key: keys, EVENT_TIMESTAMP: time}).cast(now.schema)
