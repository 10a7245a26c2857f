"""The page that tells the story of a whole loop: trained, served, drifted, trained anew, rolled out or back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from serin.reports.page import Figure, Link, Links, Moment, Part, Section, Table, Text, Tile, Timeline, render
from serin.reports.plots import distribution, drift_bars
from serin.reports.timelines import Event, latency, traffic

_SHOWN = 4


@dataclass(frozen=True)
class DriftFound:
    """One drift check: PSI and limit by column, the columns over it, the reasons given, and the rows compared."""

    measures: Mapping[str, float]
    limits: Mapping[str, float]
    drifted: tuple[str, ...]
    reasons: tuple[str, ...]
    reference: pd.DataFrame
    current: pd.DataFrame
    href: str = ""


@dataclass(frozen=True)
class Loop:
    """Everything that the page shows; a part that is empty is left out.

    `results` is the table at the end of the story, `versions` one row a model version. `samples` has the columns
    of serin.reports.timelines; `events` are on its time scale, `latency_limit_ms` is the SLO's.
    """

    use_case: str
    summary: str
    tiles: tuple[Tile, ...]
    moments: tuple[Moment, ...]
    results: Table | None = None
    versions: Table | None = None
    training: tuple[Figure, ...] = ()
    drift: DriftFound | None = None
    samples: pd.DataFrame = field(default_factory=pd.DataFrame)
    events: Sequence[Event] = ()
    latency_limit_ms: float | None = None
    links: tuple[Link, ...] = ()


def loop_page(loop: Loop) -> str:
    """The page as one self-contained HTML text."""
    sections = [
        Section("What happened", _some(Timeline(loop.moments) if loop.moments else None, loop.results)),
        Section("Traffic", _traffic(loop)),
        Section("Models", _some(loop.versions, *loop.training)),
        Section("Drift", _drift(loop.drift) if loop.drift else ()),
        Section("Read on", (Links(loop.links),) if loop.links else ()),
    ]
    return render(
        f"{loop.use_case}: the whole loop",
        [section for section in sections if section.parts],
        subtitle=loop.summary,
        tiles=loop.tiles,
    )


def _some(*parts: Part | None) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not None)


def _traffic(loop: Loop) -> tuple[Part, ...]:
    if loop.samples.empty:
        return ()
    return (
        Figure(
            traffic(loop.samples, loop.events),
            "Which version answered, as the clients saw it behind the gateway. The rollout moves the weights; "
            "nothing is restarted.",
        ),
        Figure(
            latency(loop.samples, limit_ms=loop.latency_limit_ms),
            "Time from request to answer at the client, through the gateway.",
        ),
    )


def _drift(found: DriftFound) -> tuple[Part, ...]:
    page = (Links((Link("Evidently's report of this check", found.href),)),) if found.href else ()
    shown = sorted(found.drifted, key=lambda name: -found.measures[name])[:_SHOWN]
    return (
        # The first reason is the verdict's; the others are the numbers of the bars.
        *(Text(reason, "warn" if found.drifted else "plain") for reason in found.reasons[:1]),
        Figure(
            drift_bars(found.measures, found.limits, found.drifted),
            "How far each logged input and the score moved from the training reference. A bar at or beyond its "
            "mark drifted, unless the column is not judged.",
        ),
        *(
            Figure(distribution(found.reference[name], found.current[name], name), narrow=True)
            for name in shown
            if name in found.reference and name in found.current
        ),
        *page,
    )
