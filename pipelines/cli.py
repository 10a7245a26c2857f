"""The `serin` command: a table of contents. What a command does stands in pipelines/commands/."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serin.errors import InterruptedRunError, SerinError
from serin.times import parse_time

if TYPE_CHECKING:
    from serin.platform import Platform

app = typer.Typer(
    name="serin",
    help="The loop around a tabular model: features, training, serving, canary rollout, drift, retraining.",
    epilog="A first walk: `serin demo`. Your own table: `serin new`, `serin train`, `serin serve`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOOP, START, LOOK, CLUSTER = "The loop", "Start", "Look", "On a cluster"
schedule = typer.Typer(
    help="Recurring runs in Git: what runs by itself stands in the use case.\n\n"
    "The section `schedules` of a use case says when training, drift, materialisation and rollout run: five fields as "
    'in crontab(5), in UTC, such as `training: {cron: "0 3 * * 1"}` for Mondays at 03:00. `apply` makes the recurring '
    "runs of Kubeflow Pipelines (SERIN_KFP_HOST) match, and writes nothing where they do.\n\n"
    "To change one: edit the use case, commit, apply. A new recurring run is made, then the old one is disabled; its "
    "runs in flight go on, and a later apply deletes it once they have ended. Only recurring runs that Serin made are "
    "touched.\n\n"
    "On one machine there is nothing to apply: `serin watch` runs the same schedules.",
    no_args_is_help=True,
)
app.add_typer(schedule, name="schedule", rich_help_panel=CLUSTER)
_DIFFERS = 3  # 1 is an error, 2 wrong usage
_INTERRUPTED = 130  # What Typer makes of Ctrl-C, without a word.

UseCaseName = Annotated[str, typer.Argument(help="A file in pipelines/use_cases, without .yaml.", metavar="USE_CASE")]


def _time(text: str) -> str:
    """Refuse what is no time at the prompt, not minutes into the run."""
    try:
        return parse_time(text).isoformat() if text else ""
    except SerinError as error:
        raise typer.BadParameter(str(error)) from None


OneOrAll = Annotated[str, typer.Argument(help="One use case; all of them without it.", metavar="[USE_CASE]")]
AsOf = Annotated[
    str,
    typer.Option(
        "--as-of",
        callback=_time,
        help="The time to look from (UTC), such as 2018-06-01. Default: the end of the data.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on standard output.")]
Table = Annotated[str, typer.Option("--data", help="CSV or Parquet, or a folder of them: a path or an s3:// URI.")]
Host = Annotated[str, typer.Option("--host", help="The URL of Kubeflow Pipelines. Default: SERIN_KFP_HOST.")]


@app.command(rich_help_panel=START)
def demo(json: Json = False) -> None:
    """The whole loop on simulated data: train, serve, drift, retrain, canary, roll back. Minutes."""
    from pipelines.commands import demo as command

    command.run(_console(json), _platform())


@app.command(rich_help_panel=START)
def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make a workspace; what is there stays.")],
    bare: Annotated[bool, typer.Option("--bare", help="Without the use cases that ship with Serin.")] = False,
    json: Json = False,
) -> None:
    """Make a workspace of your own: use cases, feature repository, serving documents."""
    from pipelines.commands import init as command

    command.run(_console(json), folder, bare)


@app.command(rich_help_panel=START)
def new(
    name: Annotated[str, typer.Argument(help="The use case's name: small letters, digits, _.")],
    data: Table,
    label: Annotated[str, typer.Option(help="The column to predict: 0 and 1, or words with --positive.")],
    entity: Annotated[
        list[str] | None,
        typer.Option(help="A column that says whom a row is about; may be repeated. Without: each row for itself."),
    ] = None,
    timestamp: Annotated[str, typer.Option(help="The column of event times, where rows are events.")] = "",
    positive: Annotated[str, typer.Option(help="The outcome to predict, of a label in words, such as Yes.")] = "",
    force: Annotated[bool, typer.Option(help="Replace a use case of that name.")] = False,
    json: Json = False,
) -> None:
    """Write a use case for your own table: its YAML and its Feast definitions."""
    from pipelines.commands import new as command

    command.run(
        _console(json), _platform(), name, data, label, entity or [], timestamp or None, positive or None, force
    )


@app.command(rich_help_panel=START)
def simulate(
    out: Annotated[Path, typer.Option(help="The file to write, .parquet or .csv.")] = Path("transactions.parquet"),
    rows: Annotated[int, typer.Option(help="About how many transactions.", min=1000, max=50_000_000)] = 300_000,
    days: Annotated[int, typer.Option(help="Over how many days.", min=1, max=3660)] = 90,
    start: Annotated[datetime, typer.Option(help="The first day.", formats=["%Y-%m-%d"])] = datetime(2026, 1, 1),
    drift_at: Annotated[
        datetime | None, typer.Option(help="From when on behaviour changes.", formats=["%Y-%m-%d"])
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same table.")] = 0,
    json: Json = False,
) -> None:
    """Make a table of card transactions for `card_fraud`, with drift from a date on if you like."""
    from pipelines.commands import simulate as command

    command.run(_console(json), out, rows, days, start.date(), drift_at.date() if drift_at else None, seed)


@app.command(rich_help_panel=LOOP)
def train(
    use_case: UseCaseName,
    data: Table = "",
    as_of: AsOf = "",
    replace_days: Annotated[
        bool, typer.Option("--replace-days", help="Delete what else is stored of the days that --data covers.")
    ] = False,
    json: Json = False,
) -> None:
    """Ingest, compute features, train the estimators, hold the best against the champion, register."""
    from pipelines.commands import train as command

    if replace_days and not data:
        raise typer.BadParameter(
            "it needs the table whose days are to be replaced: --data TABLE", param_hint="--replace-days"
        )
    command.run(_console(json), _platform(), use_case, data, as_of, replace_days)


@app.command(rich_help_panel=LOOP)
def refresh(use_case: UseCaseName, data: Table = "", as_of: AsOf = "", json: Json = False) -> None:
    """Bring the features online up to date, without training."""
    from pipelines.commands import refresh as command

    command.run(_console(json), _platform(), use_case, data, as_of)


@app.command(
    rich_help_panel=LOOP,
    help="Push events, or labels that come later: they are stored, and the next request sees them.\n\n"
    "A table of events is ingested as `serin train --data` does, and pushed to the online store. With --labels it has "
    "the events' key (`data.key`) and the label; stored events are corrected, and labels of others set aside. The same "
    "again changes nothing. A running predictor takes events itself: POST /v1/events.",
)
def push(
    use_case: UseCaseName,
    table: Annotated[
        str, typer.Argument(help="CSV or Parquet, or a folder of them: a path or an s3:// URI.", metavar="TABLE")
    ],
    labels: Annotated[bool, typer.Option("--labels", help="The table has keys and labels of known events.")] = False,
    json: Json = False,
) -> None:
    from pipelines.commands import push as command

    command.run(_console(json), _platform(), use_case, table, labels)


@app.command(rich_help_panel=LOOP)
def serve(
    use_case: UseCaseName,
    port: Annotated[
        int | None,
        typer.Option(
            help="The gateway's port on 127.0.0.1, HTTP and gRPC. Not on a cluster.",
            min=1,
            max=65535,
            show_default="8080",
        ),
    ] = None,
) -> None:
    """Serve the champion, and what a rollout adds, until Ctrl-C; on a cluster: until it is ready there."""
    from pipelines.commands import serve as command

    command.run(_console(False), _platform(), use_case, port)


@app.command(
    rich_help_panel=LOOP,
    help="Score a table, as the predictor would score its rows one by one.\n\n"
    "INPUT is Parquet or separated text, a file or a folder of them, a path or an s3:// URI; OUTPUT a .parquet or .csv "
    "file. Rows with the features themselves are raw; rows with keys are completed from the online store. OUTPUT has "
    "each row's number and keys, score, decision and version, and is there in full or not at all. Rows that a request "
    "could not hold lie beside it, with the reasons.",
)
def score(
    use_case: UseCaseName,
    source: Annotated[str, typer.Argument(help="The table to score.", metavar="INPUT")],
    output: Annotated[str, typer.Argument(help="The file to write, .parquet or .csv.", metavar="OUTPUT")],
    version: Annotated[str, typer.Option(help="A version's number, or @ and an alias.")] = "@champion",
    as_of: Annotated[
        str,
        typer.Option("--as-of", callback=_time, help="The event time of rows without one (UTC). Default: now."),
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing where a row is refused, or a column is not taken.")
    ] = False,
    json: Json = False,
) -> None:
    from pipelines.commands import score as command

    command.run(_console(json), _platform(), use_case, source, output, version, as_of, strict)


@app.command(rich_help_panel=LOOP)
def rollout(
    use_case: UseCaseName,
    version: Annotated[int, typer.Option(help="The version to roll out. Default: the challenger.", min=0)] = 0,
    force: Annotated[bool, typer.Option(help="Also a version that did not pass the gate.")] = False,
    json: Json = False,
) -> None:
    """Give a new version traffic step by step; promote it, or roll it back when its analysis fails."""
    from pipelines.commands import rollout as command

    command.run(_console(json), _platform(), use_case, version or None, force)


@app.command(rich_help_panel=LOOP)
def drift(use_case: UseCaseName, as_of: AsOf = "", json: Json = False) -> None:
    """Hold the logged predictions against the champion's training reference, with a report."""
    from pipelines.commands import drift as command

    command.run(_console(json), _platform(), use_case, as_of)


@app.command(rich_help_panel=LOOP)
def retrain(
    use_case: UseCaseName,
    data: Table = "",
    drift_as_of: Annotated[
        str, typer.Option(callback=_time, help="The time to look for drift from. Default: --as-of.")
    ] = "",
    as_of: AsOf = "",
    json: Json = False,
) -> None:
    """The drift pipeline: look for drift, and train when it says so."""
    from pipelines.commands import retrain as command

    command.run(_console(json), _platform(), use_case, data, drift_as_of or as_of, as_of)


@app.command(
    rich_help_panel=LOOP,
    help="Compare features as served with features as trained, row by row.\n\n"
    "Replays the prediction log of a version against the stored events, with the definitions that the version was "
    "trained with, and tells the share of rows that are equal, the columns that differ, and the first rows that do. A "
    "logged row is found by its key (`data.key`, where the request gave it), else by its entities and time.\n\n"
    "Exit code 0: no more rows differ than --limit allows. 3: more do, or nothing could be compared.",
)
def skew(
    use_case: UseCaseName,
    version: Annotated[int, typer.Option(help="The version to look at. Default: the champion.", min=0)] = 0,
    start: Annotated[
        str, typer.Option("--from", callback=_time, help="From this event time on. Default: 7 days before --to.")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", callback=_time, help="Before this event time. Default: the end of the log.")
    ] = "",
    limit: Annotated[float, typer.Option(help="The share of the rows that may differ.", min=0, max=1)] = 0.0,
    json: Json = False,
) -> None:
    from pipelines.commands import skew as command

    if not command.run(_console(json), _platform(), use_case, version, start, end, limit):
        raise typer.Exit(_DIFFERS)


@app.command(
    rich_help_panel=LOOP,
    help="Look for features that know too much: what nobody could have known at the time of their row.\n\n"
    "Labels that were not known yet are turned round, and the training set is made again: a feature that changes has "
    "used them. Labels are shuffled: a model must fall to chance. Each feature is tried alone: one whose area under "
    "the ROC curve is above --limit, or above that of all features together, is named.\n\n"
    "It can't find a column that was filled in after the outcome and tells only a little of it, labels that come later "
    "than `label.delay` says, or rows that are in the table only because of their outcome.\n\n"
    "Exit code 0: nothing was found. 3: a leak is proved, or a feature is suspected.",
)
def leak(
    use_case: UseCaseName,
    as_of: AsOf = "",
    limit: Annotated[
        float, typer.Option(help="The area under the ROC curve that a feature alone may have.", min=0.5, max=1)
    ] = 0.95,
    json: Json = False,
) -> None:
    from pipelines.commands import leak as command

    if not command.run(_console(json), _platform(), use_case, as_of, limit):
        raise typer.Exit(_DIFFERS)


@app.command(rich_help_panel=CLUSTER)
def submit(
    pipeline: Annotated[str, typer.Argument(help="training, retraining, refresh, rollout, skew, leak or score.")],
    use_case: UseCaseName,
    data: Table = "",
    as_of: AsOf = "",
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another parameter of the pipeline; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Stay until the run has ended.")] = True,
    host: Host = "",
    json: Json = False,
) -> None:
    """Run a pipeline on Kubeflow, and follow it; Ctrl-C leaves the run."""
    from pipelines.commands import submit as command
    from pipelines.submission import pairs

    options = {"data": data, "as_of": as_of}
    given = pairs([*(values or []), *(f"{name}={value}" for name, value in options.items() if value)])
    command.run(_console(json), _platform(), pipeline, use_case, given, host, follow)


@app.command(rich_help_panel=CLUSTER)
def follow(
    run: Annotated[str, typer.Argument(help="The id of a run, as `serin submit` prints it.", metavar="RUN_ID")],
    host: Host = "",
    json: Json = False,
) -> None:
    """Follow a run on Kubeflow to its end; Ctrl-C leaves it."""
    from pipelines.commands import submit as command

    command.follow(_console(json), _platform(), run, host)


@app.command("compile", rich_help_panel=CLUSTER)
def compile_(
    use_case: Annotated[str, typer.Argument(help="Train on the machines of its pools.", metavar="[USE_CASE]")] = "",
    out: Annotated[Path, typer.Option(help="The folder for the IR YAML files.")] = Path(".serin/ir"),
    json: Json = False,
) -> None:
    """Compile every pipeline to IR YAML, as Kubeflow Pipelines takes it."""
    from pipelines.catalogue import pools_of
    from pipelines.commands import compile as command
    from serin.use_case import Pool

    pools = pools_of(_platform().own_use_case(use_case)) if use_case else (Pool(),)
    command.run(_console(json), out, use_case, pools)


@app.command(
    rich_help_panel=LOOP,
    help="Run what the use cases' `schedules` say, on this machine, until Ctrl-C.\n\n"
    "One run at a time: what comes due meanwhile runs after it, once. Times that passed while this machine slept, or "
    "while nobody watched, are not made up for. A run that fails is told, and is due again at its next time. Use cases "
    "may be edited meanwhile. Rollouts need `serin serve` beside it. With SERIN_KFP_HOST it is `serin schedule apply`.",
)
def watch(
    use_cases: Annotated[
        list[str] | None, typer.Argument(help="Use cases; all of them without any.", metavar="USE_CASE")
    ] = None,
) -> None:
    from pipelines.commands import watch as command

    command.run(_console(False), _platform(), use_cases or [])


@schedule.command("apply")
def schedule_apply(use_case: OneOrAll = "", host: Host = "", json: Json = False) -> None:
    """Make the recurring runs match the use cases; can be run again at any time."""
    from pipelines.commands import schedule as command

    command.apply(_console(json), _platform(), use_case, host)


@schedule.command("diff")
def schedule_diff(use_case: OneOrAll = "", host: Host = "", json: Json = False) -> None:
    """What `apply` would change. Exit code 0: nothing; 3: something (1 is an error, 2 wrong usage)."""
    from pipelines.commands import schedule as command

    if command.diff(_console(json), _platform(), use_case, host):
        raise typer.Exit(_DIFFERS)


@schedule.command("list")
def schedule_list(use_case: OneOrAll = "", host: Host = "", json: Json = False) -> None:
    """The recurring runs that there are, and when each is due; those of others by name."""
    from pipelines.commands import schedule as command

    command.show(_console(json), _platform(), use_case, host)


@schedule.command("remove")
def schedule_remove(use_case: OneOrAll = "", host: Host = "", json: Json = False) -> None:
    """Disable the recurring runs of a use case, and delete those whose runs have ended. The use case stays as it is."""
    from pipelines.commands import schedule as command

    command.remove(_console(json), _platform(), use_case, host)


@app.command(rich_help_panel=LOOK)
def status(use_case: OneOrAll = "", json: Json = False) -> None:
    """Which versions there are, which serve, and with how much traffic."""
    from pipelines.commands import status as command

    command.run(_console(json), _platform(), use_case)


@app.command(rich_help_panel=LOOK)
def doctor(json: Json = False) -> None:
    """Check this machine, this workspace and, of profile cluster, the cluster for what Serin needs."""
    from pipelines.commands import doctor as command

    command.run(_console(json))


def _platform() -> "Platform":
    from serin.platform import build

    return build()


def _console(json: bool):  # type: ignore[no-untyped-def]
    from pipelines.console import Console

    return Console(json)


def main() -> None:
    """Entry point: one of Serin's errors is one message and exit code 1, wrong usage is 2, Ctrl-C 130."""
    try:
        app()
    except SerinError as error:
        print(f"serin: {error}", file=sys.stderr)
        sys.exit(_INTERRUPTED if isinstance(error, InterruptedRunError) else 1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            print("serin: interrupted; run the same command again to go on", file=sys.stderr)
        raise
