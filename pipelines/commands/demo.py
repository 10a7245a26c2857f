"""`serin demo`."""

from pipelines.console import Console
from serin.platform import Platform


def run(console: Console, platform: Platform) -> None:
    """Tell the story from the first model to the rollback, and leave a report.

    Raises ConflictError when another demo runs in this checkout, and SerinError where the story does not end as told.
    """
    from serin.demo import page, story

    console.title("Serin's loop on this machine: card transactions, simulated; nothing leaves it")
    with platform.lease.hold("demo"):
        told = story.tell(console, platform.workspace)
        with console.working("write the report"):
            index = page.write(told, platform.workspace.state / "report")
        rows, lost = page.results(told), page.lost(told.traffic.samples)
    console.table(("what", "found"), rows, title="The loop")
    console.say(f"report: {index}")
    console.next(
        f"SERIN_ROOT={told.terminal.workspace.root} .venv/bin/serin serve {told.case.name}",
        "your own table: serin new NAME --data TABLE --label COLUMN --entity COLUMN",
    )
    console.result({"report": index, "lost": lost, "results": dict(rows)})
    story.check_end(told, lost)
