"""The use case: its sections, and what follows from them together."""

from typing import Self

from pydantic import model_validator

from serin.use_case.consistency import contradictions
from serin.use_case.data import Data, Label
from serin.use_case.features import Features, TableView, WindowFeature, WindowView
from serin.use_case.schedules import Schedules
from serin.use_case.section import Name, Section
from serin.use_case.serving import Drift, Rollout, Slo
from serin.use_case.training import Gates, Training


class UseCase(Section):
    """Everything that Serin has to know about one use case."""

    name: Name
    description: str = ""
    data: Data
    timestamp: str | None = None
    label: Label
    entities: dict[Name, str]
    features: Features
    training: Training
    gates: Gates = Gates()
    slo: Slo = Slo()
    rollout: Rollout = Rollout()
    drift: Drift = Drift()
    schedules: Schedules = Schedules()

    @property
    def model_name(self) -> str:
        """The name of the registered model, the served model and the VirtualService (a DNS label)."""
        return self.name.replace("_", "-")

    @property
    def views(self) -> dict[str, WindowView | TableView]:
        """All feature views by name."""
        return {**self.features.windows, **self.features.tables}

    @property
    def request_columns(self) -> tuple[str, ...]:
        """What a request carries besides entity keys and timestamp: the model's own inputs, what its windows take of
        the event itself, and what elapsed times are counted from. A request that counts as an event from then on
        carries all that later windows take of it too, but for its label."""
        own = (
            feature.column
            for view in self.features.windows.values()
            for feature in view.features
            if feature.column and self._takes_of_the_request(view, feature)
        )
        between = (column for feature in self.features.derived for column in feature.elapsed or ())
        taken = {self.timestamp, *self.entities.values()}
        named = dict.fromkeys((*self.features.request, *own, *between))
        return tuple(name for name in named if name not in taken)

    def _takes_of_the_request(self, view: WindowView, feature: WindowFeature) -> bool:
        later = self.features.requests_are_events and feature.column != self.label.column
        return later or view.takes_own(feature)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The model's inputs in order: request, calendar, windows, tables, derived."""
        return (
            *self.features.request,
            *self.features.calendar,
            *(f.name for view in self.features.windows.values() for f in view.features),
            *(c for view in self.features.tables.values() for c in view.columns),
            *(feature.name for feature in self.features.derived),
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(contradictions(self))
        if problems:
            raise ValueError("\n  ".join(problems))
        return self
