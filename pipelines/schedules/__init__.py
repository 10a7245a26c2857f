"""What runs by itself: the schedules of a use case, and the pipeline and the arguments of each.

due, watch              when; on this machine
reconcile, recurring    what changes; as recurring runs of a backend
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serin.use_case import DataSchedule, Schedule, UseCase

# In this order where several are due at once: features first, and what may take longest last.
PIPELINES = {"materialisation": "refresh", "drift": "retraining", "training": "training", "rollout": "rollout"}


@dataclass(frozen=True)
class Scheduled:
    """A schedule of a use case."""

    case: UseCase
    name: str
    schedule: Schedule

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.name} of {self.case.name}"

    @property
    def pipeline(self) -> str:
        """The name of its pipeline in the catalogue."""
        return PIPELINES[self.name]

    def arguments(self, reference: str) -> dict[str, Any]:
        """What the pipeline is run with; `reference` is the published use case.

        The time to look from is left to the run: the end of the data then.
        """
        if self.name == "rollout":
            return {"use_case": reference, "if_waiting": True}
        data = self.schedule.data if isinstance(self.schedule, DataSchedule) else ""
        return {"use_case": reference, "data": data}


def scheduled(case: UseCase) -> Iterator[Scheduled]:
    """The schedules that a use case has."""
    for name in PIPELINES:
        if schedule := getattr(case.schedules, name):
            yield Scheduled(case, name, schedule)


def without_schedules(case: UseCase) -> UseCase:
    """What a scheduled run is given: when it runs is no part of that, so a changed time changes that schedule alone."""
    return case.model_copy(update={"schedules": type(case.schedules)()})
