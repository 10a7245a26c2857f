"""What a person reads of a skew check: the HTML report, and a summary for the Kubeflow UI."""

from typing import Any

from components.features.skew import ColumnSkew, Difference, Verdict
from components.features.skew_check import SkewCheck
from serin.reports.agreement import by_column, over_time
from serin.reports.page import Figure, Part, Section, Table, Text, Tile, Tone, render
from serin.use_case import UseCase

_TONES: dict[Verdict, Tone] = {"equal": "good", "skewed": "bad", "nothing_compared": "warn"}
WORDS: dict[Verdict, str] = {
    "equal": "served as trained",
    "skewed": "served otherwise than trained",
    "nothing_compared": "nothing could be compared",
}


def html(check: SkewCheck, case: UseCase) -> str:
    """The report as one self-contained page."""
    found = check.comparison
    sections = [Section("Rows", tuple(Text(line) for line in check.sentences()))]
    if found.rows:
        sections += [Section("Columns", _columns(check)), Section("Over time", (_over_time(check),))]
    if differing := [column for column in found.columns if column.differing]:
        sections.append(Section("First differences", tuple(_first(column) for column in differing)))
    sections.append(Section("What is compared", tuple(Text(line) for line in _EXPLAINED)))
    return render(
        f"{case.name}: features as served and as trained",
        sections,
        subtitle=f"v{check.version}, events from {check.start:%Y-%m-%d %H:%M} to {check.end:%Y-%m-%d %H:%M} UTC",
        tiles=_tiles(check),
    )


_EXPLAINED = (
    "Served is what the prediction log holds. As trained is what the offline store, as it is now, makes of the same "
    "event with the definitions that the version was trained with. Numbers are equal within a millionth of the greater "
    "one, and a missing value equals a missing value alone.",
    "A difference has one of few causes: an event or a label was pushed late or never, and came to the offline store "
    "otherwise; it was corrected after it was served; the online store was stale or not reached; the caller sent "
    "other values than the event has; or Serin computes the two differently, which is a bug.",
)


def markdown(check: SkewCheck) -> str:
    """The verdict, what it rests on, and the columns that differ."""
    lines = [f"**{WORDS[check.verdict]}** (v{check.version})", "", *(f"- {line}" for line in check.sentences())]
    if rows := column_rows(check):
        lines += ["", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


COLUMNS = ("column", "rows that differ", "served alone", "offline alone", "mean difference", "largest")


def column_rows(check: SkewCheck) -> list[tuple[str | int | None, ...]]:
    """The columns that differ, most rows first, as cells under COLUMNS."""
    differing = [column for column in check.comparison.columns if column.differing]
    return [
        (
            column.name,
            column.differing,
            column.only_served,
            column.only_offline,
            _number(column.mean_difference),
            _number(column.largest),
        )
        for column in sorted(differing, key=lambda column: -column.differing)
    ]


def as_data(check: SkewCheck) -> dict[str, Any]:
    """What is told to programs."""
    found = check.comparison
    return {
        "version": check.version,
        "from": check.start.isoformat(),
        "to": check.end.isoformat(),
        "verdict": check.verdict,
        "limit": check.limit,
        "rows": found.rows,
        "equal": found.equal,
        "share_equal": found.share_equal if found.rows else None,
        "counts": vars(check.counts),
        "columns": {column.name: _as_data(column) for column in found.columns},
        "reasons": check.sentences(),
    }


def _as_data(column: ColumnSkew) -> dict[str, Any]:
    return {
        "differing": column.differing,
        "only_served": column.only_served,
        "only_offline": column.only_offline,
        "mean_difference": column.mean_difference,
        "largest": column.largest,
        "first": [
            {"keys": dict(each.keys), "time": each.time.isoformat(), "served": each.served, "offline": each.offline}
            for each in column.first
        ],
    }


def _tiles(check: SkewCheck) -> list[Tile]:
    found = check.comparison
    share = f"{found.share_equal:.2%}" if found.rows else "none"
    left_out = check.counts.logged - check.counts.compared
    return [
        Tile("verdict", WORDS[check.verdict], tone=_TONES[check.verdict]),
        Tile("rows equal", share, f"{found.equal:,} of {found.rows:,}"),
        Tile("columns that differ", str(sum(1 for column in found.columns if column.differing))),
        Tile("left out", f"{left_out:,}", "of the logged rows", "warn" if left_out else "plain"),
    ]


def _columns(check: SkewCheck) -> tuple[Part, ...]:
    found = check.comparison
    figure = Figure(by_column({column.name: column.differing for column in found.columns}, found.rows))
    rows = column_rows(check)
    return (figure, Table(COLUMNS, tuple(rows))) if rows else (figure,)


def _over_time(check: SkewCheck) -> Figure:
    hours = check.comparison.hours
    return Figure(over_time([h.start for h in hours], [h.rows for h in hours], [h.equal for h in hours]))


def _first(column: ColumnSkew) -> Table:
    rows = tuple(difference_row(each) for each in column.first)
    return Table(("row", "event time", "served", "offline"), rows, caption=column.name)


def difference_row(found: Difference) -> tuple[str, str, str, str]:
    """A differing row as cells: who it is, its event time, the value served and the offline one."""
    who = ", ".join(f"{name} {value}" for name, value in found.keys.items())
    return who, f"{found.time:%Y-%m-%d %H:%M:%S}", _shown(found.served), _shown(found.offline)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
