"""The query of window features, as text.

Rows are numbered within their entity in the order of time and key. A window is then a run of those numbers: its first
and last are found once for each length and delay, and every aggregation is taken over the rows between them. `matches`
is of rows that have one value, so these are numbered once more within it.

The text knows columns by their place, so no name of the user's can meet one of its own: `entity`, `t` (microseconds
since 1970), `k0` and so on (the key), `c0` and so on (what is aggregated), `place` (of the row in its table).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from serin.use_case import WindowFeature, WindowView
from serin.windows.aggregations import AGGREGATIONS, MISSING, Takes

_MICROSECOND = timedelta(microseconds=1)
_DOUBLE, _INTEGER = "double", "bigint"


@dataclass(frozen=True)
class Run:
    """A window's rows: those of its length and delay among the rows of an entity, or of those with one value too."""

    window: timedelta
    delay: timedelta
    column: str | None


@dataclass(frozen=True)
class Frames:
    """The query of a view's features.

    `columns` are the columns that it aggregates, with what DuckDB calls their types; `keys` is how many columns the
    key has. `names` are what the query calls its features.
    """

    view: WindowView
    columns: dict[str, str]
    keys: int

    @property
    def names(self) -> list[str]:
        """What the query calls the features, in order."""
        return [f"f{place}" for place in range(len(self.view.features))]

    @property
    def width(self) -> int:
        """About how many bytes a row of the query has."""
        return 8 * (6 + self.keys + 2 * len(self.columns) + 2 * len(self._runs) + 2 * len(self.names))

    def own(self) -> list[str]:
        """The columns of which an event's own value counts."""
        return [
            self._column(feature.column)
            for feature in self.view.features
            if feature.column and self.view.takes_own(feature)
        ]

    def reach(self) -> int:
        """How long before an event, in microseconds, the first that any window can hold may lie."""
        return _microseconds(self.view.reach)

    def select(self, rows: str, part: str) -> str:
        """The query over `rows`, a query that gives them with `out`: the place in the result, null for those that are
        not in it. `part` are the columns of what is an entity to it."""
        numbers = "".join(f", {self._number(column, part)}" for column in self._partitions)
        bounds = "".join(f", {bound}" for run in self._runs for bound in self._bounds(run, part))
        values = "".join(
            f", {self._value(feature, part)} as {name}"
            for feature, name in zip(self.view.features, self.names, strict=True)
        )
        return f"""
            with given as ({rows}),
            numbered as (select *{numbers} from given),
            bounded as (select *{bounds} from numbered),
            valued as (select out{values} from bounded)
            select * from valued where out is not null
        """  # noqa: S608

    @property
    def order(self) -> str:
        """The order of an entity's events: what has no key comes last, and where there is none the place decides."""
        return ", ".join(f"{name} nulls last" for name in ("t", *(f"k{place}" for place in range(self.keys)), "place"))

    @property
    def _partitions(self) -> list[str | None]:
        return list(dict.fromkeys(run.column for run in self._runs))

    @property
    def _runs(self) -> list[Run]:
        return list(dict.fromkeys(map(_run, self.view.features)))

    def _column(self, name: str) -> str:
        return f"c{list(self.columns).index(name)}"

    def _taken(self, feature: WindowFeature, takes: Takes) -> str:
        """What an aggregation takes of the feature's column; NaN is missing."""
        if feature.column is None:
            return ""
        name = self._column(feature.column)
        kind = self.columns[feature.column]
        if takes == "codes" and kind == _INTEGER:
            # Online it is the code of a missing one.
            return f"nullif({name}, ({MISSING})::bigint)"
        known = f"nullif({name}, 'nan'::double)" if kind == _DOUBLE else name
        return f"{known}::double" if takes == "numbers" else known

    def _within(self, column: str | None, part: str) -> str:
        return f"partition by {part}" + (f", {self._column(column)}" if column else "")

    def _row(self, column: str | None) -> str:
        return f"r_{self._column(column)}" if column else "r"

    def _number(self, column: str | None, part: str) -> str:
        return f"row_number() over ({self._within(column, part)} order by {self.order}) as {self._row(column)}"

    def _bounds(self, run: Run, part: str) -> Iterator[str]:
        """The numbers of a window's first and last row, null where it has none. Without a delay the last is the event
        itself, which needs no search."""
        place, row = self._runs.index(run), self._row(run.column)
        delay = _microseconds(run.delay)
        over = (
            f"over ({self._within(run.column, part)} order by t "
            f"range between {self._length(run)} preceding and {delay} preceding)"
        )
        yield f"min({row}) {over} as first_{place}"
        if run.delay:
            yield f"max({row}) {over} as last_{place}"

    def _length(self, run: Run) -> str:
        """How many microseconds before the event the first lies that counts."""
        reach = _microseconds(run.window + run.delay)
        if not self.view.hop:
            return str(reach - 1)
        hop = _microseconds(self.view.hop)
        # The remainder is that of a floor, before 1970 too.
        return f"({reach} + ((t - {reach}) % {hop} + {hop}) % {hop})"

    def _value(self, feature: WindowFeature, part: str) -> str:
        run, aggregation = _run(feature), AGGREGATIONS[feature.aggregation]
        place, row = self._runs.index(run), self._row(run.column)
        itself = self.view.current and feature.aggregation != "since_last"
        last = f"coalesce({row} - last_{place}, 0)" if run.delay else ("0" if itself else "1")
        over = (
            f"over ({self._within(run.column, part)} order by {row} "
            f"rows between coalesce({row} - first_{place}, 0) preceding and {last} preceding)"
        )
        value = aggregation.sql.format(c=self._taken(feature, aggregation.takes), over=over, t="t")
        empty = aggregation.empty if feature.empty is None else feature.empty
        told = f"case when first_{place} is not null then {value} end::double"
        return told if empty is None else f"coalesce({told}, {empty!r}::double)"


def _run(feature: WindowFeature) -> Run:
    return Run(feature.window, feature.delay, feature.column if feature.aggregation == "matches" else None)


def _microseconds(duration: timedelta) -> int:
    return duration // _MICROSECOND
