"""The use case: one validated, frozen model of everything that differs between two use cases.

It is read from `pipelines/use_cases/NAME.yaml`; unknown keys and contradictions are errors that name the key.

model         what a use case may say, a class a section
consistency   whether its sections agree with each other
periods       how long the test and the validation of a table are
files         from its file, and as text between the steps of a pipeline
"""

from serin.use_case.consistency import RESERVED_PREFIX
from serin.use_case.files import dumps, load, loads, names, parse
from serin.use_case.model import (
    Cost,
    DataSchedule,
    DerivedFeature,
    Drift,
    Gates,
    Label,
    Pool,
    PrecisionAt,
    Rollout,
    Schedule,
    Schedules,
    Search,
    SliceRule,
    Slo,
    SourceColumn,
    Step,
    TableView,
    Threshold,
    TimeUnit,
    UseCase,
    WindowFeature,
    WindowView,
)

__all__ = [
    "RESERVED_PREFIX",
    "Cost",
    "DataSchedule",
    "DerivedFeature",
    "Drift",
    "Gates",
    "Label",
    "Pool",
    "PrecisionAt",
    "Rollout",
    "Schedule",
    "Schedules",
    "Search",
    "SliceRule",
    "Slo",
    "SourceColumn",
    "Step",
    "TableView",
    "Threshold",
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
