"""`serin skew`."""

from collections.abc import Sequence

from components.features.skew import ColumnSkew
from components.features.skew_check import check_skew
from components.features.skew_report import COLUMNS, WORDS, as_data, column_rows, difference_row, html
from pipelines.console import Console
from serin.atomic import write_text
from serin.platform import Platform
from serin.times import parse_time


def run(console: Console, platform: Platform, name: str, version: int, start: str, end: str, limit: float) -> bool:
    """Compare what was served with what training has, print it, keep the report; whether no more than the share `limit`
    of the rows differs."""
    case = platform.own_use_case(name)
    with console.working("compare the prediction log with the stored events"):
        check = check_skew(
            platform,
            case,
            version=version or None,
            start=parse_time(start) if start else None,
            end=parse_time(end) if end else None,
            limit=limit,
        )
    report = platform.workspace.state / "report" / f"{case.model_name}-skew.html"
    write_text(report, html(check, case))
    console.title(f"{case.model_name} v{check.version}, {check.start:%Y-%m-%d %H:%M} to {check.end:%Y-%m-%d %H:%M}")
    (console.good if check.verdict == "equal" else console.bad)(WORDS[check.verdict])
    for line in check.sentences():
        console.say(f"  - {line}")
    if rows := column_rows(check):
        console.table(COLUMNS, [["" if cell is None else cell for cell in row] for row in rows])
        console.table(("column", "row", "event time", "served", "offline"), _first(check.comparison.columns))
    console.say(f"report: {report}")
    console.result({**as_data(check), "report": report})
    return check.verdict == "equal"


def _first(columns: Sequence[ColumnSkew]) -> list[tuple[str, ...]]:
    """The first differing row of each column."""
    return [(column.name, *difference_row(column.first[0])) for column in columns if column.first]
