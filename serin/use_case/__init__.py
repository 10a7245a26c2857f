"""The use case: one validated, frozen model of everything that differs between two use cases.

It is read from `pipelines/use_cases/NAME.yaml`; unknown keys and contradictions are errors that name the key.

model         what a use case may say, a class a section
consistency   whether its sections agree with each other
files         from its file, and as text between the steps of a pipeline
"""

from serin.use_case.consistency import RESERVED_PREFIX
from serin.use_case.files import dumps, load, loads, names, parse
from serin.use_case.model import (
    DataSchedule,
    Drift,
    Gates,
    Label,
    Pool,
    Rollout,
    Schedule,
    Schedules,
    Slo,
    SourceColumn,
    Step,
    TableView,
    TimeUnit,
    UseCase,
    WindowFeature,
    WindowView,
)

__all__ = [
    "RESERVED_PREFIX",
    "DataSchedule",
    "Drift",
    "Gates",
    "Label",
    "Pool",
    "Rollout",
    "Schedule",
    "Schedules",
    "Slo",
    "SourceColumn",
    "Step",
    "TableView",
    "TimeUnit",
    "UseCase",
    "WindowFeature",
    "WindowView",
    "dumps",
    "load",
    "loads",
    "names",
    "parse",
]
