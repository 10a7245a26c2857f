"""Labels that come after their events: a table of keys and labels corrects the events that are stored."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.rules import check
from components.ingest.store import event_schema, set_aside, stored_events, to_table, write_dates
from serin import tables as source_table
from serin.errors import DataError
from serin.platform import Platform
from serin.use_case import UseCase

_NOT_FOUND = "no event of this key is stored"


@dataclass(frozen=True)
class Labelled:
    """What a table of labels did. `rows` are those whose event is stored: `corrected` had another label or none, of
    `known` ones it was the same. `quarantined` rows, of which `not_found` have no event, lie in `quarantine`. `events`
    are the events of all `rows`, with their labels."""

    rows: int
    corrected: int
    not_found: int
    quarantined: int
    quarantine: str | None
    events: pa.Table

    @property
    def known(self) -> int:
        """How many labels were stored already."""
        return self.rows - self.corrected


def label_events(platform: Platform, case: UseCase, source: str) -> Labelled:
    """Give the stored events the labels of a table that has `data.key` and the label; other columns are passed over.

    Labels of events that are not stored, and rows that break a rule, are set aside. The same table again changes
    nothing, and goes on where a run before was killed.
    Raises DataError where events have no key, and for a table as a whole as `check` does.
    """
    if not case.data.key:
        raise DataError(
            f"{case.name}: events without a key (`data.key`) can't be told apart; declare one to push labels"
        )
    folder, key, label = platform.workspace.events(case.name), list(case.data.key), case.label.column
    theirs = {mine: name for name, mine in case.data.rename.items()}
    table = source_table.read(source, needed=[theirs.get(name, name) for name in (*key, label)])
    narrow = _of_labels(case)
    # Labels of one class are nothing strange: most are reports of what went wrong.
    checked = check(table.frame, narrow, source, (0.0, 1.0), table.bad_lines)
    told = to_table(checked.good, narrow.data.columns)
    labels = told.to_pandas()
    with platform.lease.hold(f"ingest-{case.name}", wait=True):
        stored = stored_events(platform.workspace, case, told)
        changed = {date: _relabelled(events, labels, key, label) for date, events in stored.items()}
        write_dates(folder, case, {date: each.whole for date, each in changed.items() if each.corrected})
    events = pa.concat_tables([event_schema(case).empty_table(), *(each.events for each in changed.values())])
    found = labels.merge(events.select(key).to_pandas(), on=key, how="left", indicator=True)
    missing = found.loc[found["_merge"] == "left_only", [*key, label]]
    bad = pd.concat([checked.bad, _not_found(missing)], ignore_index=True)
    where = set_aside(platform.workspace, case, source, bad)
    corrected = sum(each.corrected for each in changed.values())
    return Labelled(len(events), corrected, len(missing), len(bad), where, events)


@dataclass(frozen=True)
class _Relabelled:
    """All events of a date with their labels, those of them that were told of, and how many had another label."""

    whole: pa.Table
    events: pa.Table
    corrected: int


def _relabelled(events: pa.Table, labels: pd.DataFrame, key: list[str], label: str) -> _Relabelled:
    """Events with the labels of a table."""
    merged = events.select(key).to_pandas().merge(labels, on=key, how="left", validate="many_to_one")[label]
    told = pa.array(merged, events.schema.field(label).type, from_pandas=True)
    is_told = told.is_valid()
    place = events.schema.get_field_index(label)
    whole = events.set_column(place, events.schema.field(label), pc.coalesce(told, events[label]))
    same = pc.fill_null(pc.equal(told, events[label].combine_chunks()), False)
    corrected = int(np.count_nonzero(is_told.to_numpy(False) & ~same.to_numpy(False)))
    return _Relabelled(whole, whole.filter(is_told), corrected)


def _of_labels(case: UseCase) -> UseCase:
    """The use case as if its table had the key and the label alone, none of which may be null."""
    names = dict.fromkeys((*case.data.key, case.label.column))
    columns = {name: case.data.columns[name].model_copy(update={"nullable": False}) for name in names}
    rename = {theirs: mine for theirs, mine in case.data.rename.items() if mine in columns}
    return case.model_copy(update={"data": case.data.model_copy(update={"columns": columns, "rename": rename})})


def _not_found(labels: pd.DataFrame) -> pd.DataFrame:
    return labels.astype(str).astype(object).assign(reason=_NOT_FOUND)
