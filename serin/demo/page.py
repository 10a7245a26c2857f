"""What the demo leaves behind: the rows of its last table, and a page that a person would like to look at."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from serin.atomic import replaced, write_text
from serin.demo.story import DRIFT, Story
from serin.reports import timelines
from serin.reports.page import Figure, Link, Links, Part, Section, Table, Text, Tile, Timeline, render

_DRIFT_PAGE = "demo-drift.html"


def results(story: Story) -> list[tuple[str, str]]:
    """The lines of the table at the end."""
    first, second, bad = (story.trained[chapter] for chapter in ("first", "second", "bad"))
    samples, drifted = story.traffic.samples, story.checks["drifted"]
    answered = samples[samples["status"] == 200].groupby("version").size()
    names, v1, v2 = drifted["drifted"], f"v{first['version']}", f"v{second['version']}"
    return [
        (f"champion {v1} trained and served", f"{first['estimator']}, {answered.get(v1, 0):,} requests"),
        ("live traffic with drift switched on", f"from {DRIFT}, {drifted['rows']:,} rows judged"),
        ("drift found", f"{len(names)} columns: {', '.join(names[:3])}" + ", …" * (len(names) > 3)),
        (
            f"{v2} trained",
            f"average precision {second['metrics']['average_precision']:.3f}, gate {second['gate']}",
        ),
        (f"canary {v2} stepped and {_fate(story, 'second')}", _weights(story, "second")),
        (f"deliberately bad v{bad['version']} {_fate(story, 'bad')}", story.rollouts["bad"]["reason"]),
        ("requests lost", f"{lost(samples)}{_put_off(samples)}"),
    ]


def lost(samples: pd.DataFrame) -> int:
    """Requests that did not get a prediction, whatever the reason."""
    return int((samples["status"] != 200).sum())


def _put_off(samples: pd.DataFrame) -> str:
    """How many were told to ask again, in words; nothing where none was."""
    count = int((samples["put_off"] > 0).sum())
    return f"; {count} told to ask again by a version with too much to do" if count else ""


def write(story: Story, folder: Path) -> Path:
    """Write index.html and the pages that it links to; returns the index."""
    _copy(story.checks["drifted"]["report"], folder / _DRIFT_PAGE)
    for trained in story.trained.values():
        _copy(trained["report"], folder / _evaluation_page(trained["version"]))
    path = folder / "index.html"
    write_text(path, index(story))
    return path


def index(story: Story) -> str:
    """The page of the whole story, as one self-contained HTML text."""
    happened = (Timeline(tuple(story.moments)), Table(("what", "found"), tuple(results(story))))
    evaluations = tuple(
        Link(f"v{trained['version']}: evaluation", _evaluation_page(trained["version"]), trained["estimator"])
        for trained in story.trained.values()
    )
    return render(
        f"{story.case.name}: the whole loop",
        [
            Section("What happened", happened),
            Section("Traffic", _traffic(story)),
            Section("Models", (_versions(story), Links(evaluations))),
            Section("Drift", _drift(story)),
        ],
        subtitle="From simulated transactions to a promoted model, on one machine.",
        tiles=_tiles(story),
    )


def _tiles(story: Story) -> tuple[Tile, ...]:
    samples = story.traffic.samples
    gone, seconds = lost(samples), (datetime.now(UTC) - story.started).total_seconds()
    fates = ", ".join(_fate(story, chapter) for chapter in story.trained)
    return (
        Tile("Requests", f"{len(samples):,}", f"{gone} lost{_put_off(samples)}", "bad" if gone else "good"),
        Tile("Versions", str(len(story.trained)), fates),
        Tile("Drifted inputs", f"{story.checks['drifted']['share']:.0%}", "a week after behaviour changed", "warn"),
        Tile("Took", f"{seconds / 60:.1f} min", f"{story.started:%Y-%m-%d %H:%M} UTC"),
    )


def _traffic(story: Story) -> tuple[Part, ...]:
    samples = story.traffic.samples
    return (
        Figure(
            timelines.traffic(samples, story.marks),
            "Which version answered, as the clients saw it behind the gateway. The rollout moves the weights; "
            "nothing is restarted.",
        ),
        Figure(
            timelines.latency(samples, limit_ms=story.case.slo.latency_p95_ms),
            "Time from request to answer at the client, through the gateway.",
        ),
    )


def _versions(story: Story) -> Table:
    rows = tuple(
        (
            f"v{trained['version']}",
            trained["estimator"],
            trained["as_of"][:10],
            f"{trained['metrics']['average_precision']:.3f}",
            f"{trained['metrics']['roc_auc']:.3f}",
            trained["gate"],
            _fate(story, chapter),
        )
        for chapter, trained in story.trained.items()
    )
    return Table(("version", "estimator", "as of", "average precision", "ROC AUC", "gate", "fate"), rows)


def _drift(story: Story) -> tuple[Part, ...]:
    """The judged columns, the furthest from the training reference first."""
    check = story.checks["drifted"]
    judged = {name: psi for name, psi in check["psi"].items() if name not in story.case.features.calendar}
    rows = tuple(
        (name, f"{psi:.3f}", f"{check['limits'][name]:.3f}", "drifted" if name in check["drifted"] else "")
        for name, psi in sorted(judged.items(), key=lambda item: -item[1])
    )
    return (
        Text(check["reasons"][0], "warn"),
        Table(
            ("column", "PSI", "limit", ""),
            rows,
            "The population stability index (PSI) of the columns that are judged, against the training reference.",
        ),
        Links(
            (Link("Evidently's report of this check", _DRIFT_PAGE, "every column's distribution, calendar included"),)
        ),
    )


def _fate(story: Story, chapter: str) -> str:
    return story.fate(chapter) if chapter in story.rollouts else "first champion"


def _weights(story: Story, chapter: str) -> str:
    """The weights that the canary was really seen with."""
    done = story.rollouts[chapter]
    seen = dict.fromkeys(update["weights"].get(done["canary"], 0) for update in done["updates"])
    return " → ".join(f"{weight} %" for weight in seen)


def _evaluation_page(version: int) -> str:
    return f"demo-v{version}.html"


def _copy(source: str, target: Path) -> None:
    with replaced(target) as temporary:
        shutil.copyfile(source, temporary)
