"""`serin demo`."""

from pipelines.console import Console
from serin.demo import report, story
from serin.workspace import Workspace


def run(console: Console) -> None:
    """Tell the story from the first model to the rollback, and leave a report."""
    main = Workspace.from_environment()
    console.title("Serin's loop on this machine: card transactions, simulated; nothing leaves it")
    with story.prepared(console, main) as told:
        console.title("1/7  A first model")
        story.train_first(told)
        console.title("2/7  Serving")
        with story.served(told):
            console.title("3/7  A calm day")
            story.calm_day(told)
            console.title("4/7  Customers and fraudsters change")
            story.drifted_day(told)
            with story.background(told):
                console.title("5/7  Four weeks on, the labels are in: look for drift, retrain")
                story.retrain(told)
            console.title("6/7  The new version as a canary")
            story.roll_out(told, "second")
            console.title("7/7  A deliberately bad version")
            with story.background(told):
                story.train_bad(told)
            story.roll_out(told, "bad")
        with console.working("write the report"):
            page = report.write(told, main.state / "report")
        rows = report.results(told)
        console.table(("what", "found"), rows, title="The loop")
        console.say(f"report: {page}")
        console.next(
            f"SERIN_ROOT={told.workspace.root} {story.COMMAND} serve card_fraud",
            "your own table: serin new NAME --data TABLE --label COLUMN --entity COLUMN",
        )
        lost = report.lost(told.traffic.samples)
        console.result({"report": page, "lost": lost, "results": dict(rows)})
        story.check_end(told, lost)
