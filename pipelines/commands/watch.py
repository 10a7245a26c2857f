"""`serin watch`."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from pipelines import runs
from pipelines.console import Console
from pipelines.schedules import Scheduled
from pipelines.schedules.watch import Files, Surroundings, watch
from serin.errors import SerinError, UnavailableError
from serin.platform import Platform

LEASE = "watch"


def _now() -> datetime:
    return datetime.now(UTC)


def run(console: Console, platform: Platform, names: Sequence[str], *, clock: Callable[[], datetime] = _now) -> None:
    """Run what is due in the foreground until Ctrl-C or SIGTERM."""
    if platform.pipelines.recurring is not None:
        raise UnavailableError(
            "Kubeflow Pipelines runs the schedules of a cluster, and both would run everything twice: "
            "`serin schedule apply` hands them over"
        )
    schedules = Files(platform, names, console.bad)
    if not schedules():
        raise SerinError(f"{', '.join(names) or 'no use case'} has no schedules; the section `schedules` names them")

    def started(each: Scheduled) -> None:
        trained = runs.run_scheduled(platform, each, console.progress)
        if trained:
            made = trained.registered
            console.good(f"{each.case.model_name} v{made.version}: {made.estimator}, gate {made.gate}")
            console.say(f"report: {trained.report}")

    around = Surroundings(
        schedules=schedules,
        run=started,
        clock=clock,
        sleep=time.sleep,
        title=console.title,
        say=console.say,
        bad=console.bad,
    )
    with platform.lease.hold(LEASE), _terminable():
        console.title("Running what is due on this machine; all times are UTC. Ctrl-C ends it.")
        try:
            watch(around)
        except KeyboardInterrupt:
            console.good("stopped; no process was left behind, and what was under way starts anew when it is due")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
