"""The use case: one validated, frozen model of everything that differs between two use cases.

It is read from `pipelines/use_cases/NAME.yaml`; unknown keys and contradictions are errors that name the key.

model                                          the use case, of its sections
data, features, training, serving, schedules   what each section may say
section                                        what all of them have in common
consistency                                    whether they agree with each other
periods                                        how long the test and the validation of a table are
files                                          from its file, and as text between the steps of a pipeline
"""

from serin.use_case.consistency import RESERVED_PREFIX
from serin.use_case.data import Label, SourceColumn, TimeUnit
from serin.use_case.features import DerivedFeature, TableView, WindowFeature, WindowView
from serin.use_case.files import dumps, load, loads, names, parse
from serin.use_case.model import UseCase
from serin.use_case.schedules import DataSchedule, Schedule, Schedules
from serin.use_case.serving import Drift, Rollout, Slo, Step
from serin.use_case.training import Cost, Gates, Pool, PrecisionAt, Search, SliceRule, Threshold

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
