"""The demo's last words: a table on the terminal, and a page that a person would like to look at."""

from datetime import datetime
from pathlib import Path

import pandas as pd

from components.evaluate.comparison import evaluate
from serin.adapters.mlflow import ModelRegistry
from serin.atomic import write_text
from serin.demo import oversized
from serin.demo.story import Story
from serin.engines import load
from serin.learning.encoding import labels
from serin.learning.split import SPLIT
from serin.reports import plots
from serin.reports.loop import DriftFound, Loop, loop_page
from serin.reports.page import Figure, Link, Moment, Table, Tile
from serin.reports.timelines import Event
from serin.storage import read_table


def results(story: Story) -> list[tuple[str, str]]:
    """The lines of the table at the end."""
    first, second, bad = (story.versions[chapter] for chapter in ("first", "second", "bad"))
    samples, drifted = story.traffic.samples, story.checks["drifted"]
    answered = samples[samples["status"] == 200].groupby("version").size()
    return [
        (
            f"champion v{first.version} trained and served",
            f"{first.manifest.candidate}, {answered.get(f'v{first.version}', 0):,} requests",
        ),
        ("live traffic with drift switched on", f"from {story.calendar.drift:%Y-%m-%d}, {drifted.rows:,} rows judged"),
        ("drift found", f"{len(drifted.decision.drifted)} columns: {', '.join(drifted.decision.drifted[:3])}, …"),
        (
            f"v{second.version} trained",
            f"average precision {second.manifest.metrics['average_precision']:.3f}, gate {second.gate}",
        ),
        (f"canary v{second.version} stepped and {_fate(story, 'second')}", _steps(story, "second")),
        (f"deliberately bad v{bad.version} {_fate(story, 'bad')}", story.rollouts["bad"].reason),
        ("requests lost", f"{lost(samples)}"),
    ]


def lost(samples: pd.DataFrame) -> int:
    """Requests that did not get a prediction, whatever the reason."""
    return int((samples["status"] != 200).sum())


def write(story: Story, folder: Path) -> Path:
    """Write index.html and the pages that it links to; returns the index."""
    links = _linked_pages(story, folder)
    check = story.checks["drifted"]
    samples = story.traffic.samples
    seconds = (datetime.now(story.started.tzinfo) - story.started).total_seconds()
    text = loop_page(
        Loop(
            use_case=story.case.name,
            summary="From simulated transactions to a promoted model, on one machine.",
            tiles=(
                Tile("Requests", f"{len(samples):,}", f"{lost(samples)} lost", "good" if not lost(samples) else "bad"),
                Tile(
                    "Versions", str(len(story.versions)), ", ".join(_fate(story, chapter) for chapter in story.versions)
                ),
                Tile("Drifted inputs", f"{check.decision.share:.0%}", "a week after behaviour changed", "warn"),
                Tile("Took", f"{seconds / 60:.1f} min", f"{story.started:%Y-%m-%d %H:%M} UTC"),
            ),
            moments=tuple(Moment(f"{when:%H:%M:%S}", what, detail, tone) for when, what, detail, tone in story.moments),
            results=Table(("what", "found"), tuple(results(story))),
            versions=_versions(story),
            training=(Figure(_curves(story), "All versions on the same held-back week, after behaviour had changed."),),
            drift=_drift(story),
            samples=samples,
            events=[Event(when, what) for when, what in story.events],
            latency_limit_ms=story.case.slo.latency_p95_ms,
            links=links,
        )
    )
    path = folder / "index.html"
    write_text(path, text)
    return path


def _fate(story: Story, chapter: str) -> str:
    phase = story.rollouts[chapter].phase if chapter in story.rollouts else ""
    return {"Promoted": "promoted", "RolledBack": "rolled back"}.get(phase, "first champion")


def _steps(story: Story, chapter: str) -> str:
    """The weights that the canary was really seen with."""
    return " → ".join(f"{weight} %" for weight in story.weights[chapter])


def _versions(story: Story) -> Table:
    rows = tuple(
        (
            f"v{trained.version}",
            trained.manifest.candidate,
            trained.manifest.as_of[:10],
            f"{trained.manifest.metrics['average_precision']:.3f}",
            f"{trained.manifest.metrics['roc_auc']:.3f}",
            trained.gate,
            _fate(story, chapter),
        )
        for chapter, trained in story.versions.items()
    )
    return Table(("version", "candidate", "as of", "average precision", "ROC AUC", "gate", "fate"), rows)


def _curves(story: Story) -> str:
    """ROC and precision-recall of every version on the test part of the last training set."""
    frame = read_table(oversized.training_set_file(story.workspace)).to_pandas()
    test = frame[frame[SPLIT] == "test"].reset_index(drop=True)
    registry = ModelRegistry(story.workspace)
    scores = {}
    for chapter in ("second", "first", "bad"):
        version = story.versions[chapter].version
        folder = registry.fetch(
            registry.version(story.case.model_name, version), story.workspace.state / "fetched" / f"v{version}"
        )
        manifest, scorer = load(folder)
        scores[f"v{version}"] = evaluate(f"v{version}", test, manifest, scorer, story.case).scores
    return plots.curves(labels(test, story.case), scores)


def _drift(story: Story) -> DriftFound | None:
    check = story.checks["drifted"]
    if check.measured is None:
        return None
    shown = {name: psi for name, psi in check.measured.psi.items() if name not in story.case.features.calendar}
    return DriftFound(
        shown,
        check.measured.limits,
        check.decision.drifted,
        check.decision.reasons,
        check.reference,
        check.current,
        "drift.html",
    )


def _linked_pages(story: Story, folder: Path) -> tuple[Link, ...]:
    check = story.checks["drifted"]
    if check.measured:
        write_text(folder / "drift.html", check.measured.html)
    links = []
    registry = ModelRegistry(story.workspace)
    for trained in story.versions.values():
        version = trained.version
        text = registry.report(registry.version(story.case.model_name, version), "report.html")
        write_text(folder / f"v{version}.html", text)
        links.append(Link(f"v{version}: evaluation", f"v{version}.html", trained.manifest.candidate))
    return (*links, Link("Evidently's report on the drifted day", "drift.html"))
