"""Which features the model of a use case gets."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from serin.times import Duration
from serin.use_case.section import Name, PositiveDuration, Section

Aggregation = Literal["count", "sum", "mean", "min", "max", "distinct", "since_last", "matches"]

CalendarFeature = Literal["hour", "weekday", "night", "weekend"]


class WindowFeature(Section):
    """An aggregation over the entity's events in (t - delay - window, t - delay], t being the event's own time.

    Of events at t itself those count that come before the event in the order of `data.key`, and the event itself where
    the view has `current`. `distinct` counts the values of `column`; `since_last` is the time since the latest other
    event, in seconds; `matches` counts the events that have the same value of `column` as this one. `empty` is the
    value where there is nothing to aggregate; without it, that is 0 for a count, a sum, `distinct` and `matches`, and
    missing for the others.

    Sums are of float64, in no fixed order: where numbers that differ by more than 1e15 times cancel out, what is left
    may be another number online. The least integer of 64 bits counts as missing in `distinct` and `matches`.
    """

    name: str
    aggregation: Aggregation
    column: str | None = None
    window: PositiveDuration
    delay: Duration = timedelta(0)
    empty: FiniteFloat | None = None


class WindowView(Section):
    """A feature view of window features, exact at each event's own time.

    `current`: an event counts in its own windows. With a `hop`, the far end of every window is rounded down to a
    multiple of it since 1970 (a sawtooth window). The online store then holds one state a hop of what lies further
    back than the delays and a day, of entities where that is smaller; what is pushed or corrected of so long ago counts
    from the next refresh on.
    """

    entity: str
    current: bool = True
    hop: PositiveDuration | None = None
    features: tuple[WindowFeature, ...]

    @property
    def reach(self) -> timedelta:
        """How long before an event the first that any of its windows can hold may lie."""
        longest = max((feature.window + feature.delay for feature in self.features), default=timedelta(0))
        return longest + (self.hop or timedelta(0))

    def takes_own(self, feature: WindowFeature) -> bool:
        """Whether a feature takes the event's own value of its column: where the event counts in its own window, or is
        compared with the others."""
        counts = self.current and not feature.delay
        return feature.column is not None and (counts or feature.aggregation == "matches")


class TableView(Section):
    """A feature view that holds columns of the table as they stand: one row an entity."""

    entity: str
    columns: tuple[str, ...]


class DerivedFeature(Section):
    """A feature made of two others at the time of the request; missing where one of them is.

    `ratio` [A, B] is A / B, missing where B is 0; each is a request column of numbers or a number of a view. `elapsed`
    [A, B] is the time from column A to column B in days (fractions count, and it is negative where B is earlier); each
    is a timestamp column that the request carries, or `timestamp` itself.
    """

    name: str
    ratio: tuple[str, str] | None = None
    elapsed: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.ratio is None) == (self.elapsed is None):
            raise ValueError(f"derived feature {self.name}: has one rule, `ratio` or `elapsed`")
        return self


class Features(Section):
    """Which features the model gets and where each comes from.

    `requests_are_events`: a request that was scored counts as an event from then on, without being pushed, where it
    carries the event's key.
    `stale`: what becomes of values that are older than their view's ttl: they are `missing`, or the request is an
    `error`. `unavailable`: the same for a request while the online store does not answer. `engine` computes the windows
    of the training set.
    """

    service: Name
    request: tuple[str, ...] = ()
    calendar: tuple[CalendarFeature, ...] = ()
    windows: dict[Name, WindowView] = Field(default_factory=dict)
    tables: dict[Name, TableView] = Field(default_factory=dict)
    derived: tuple[DerivedFeature, ...] = ()
    requests_are_events: bool = False
    stale: Literal["missing", "error"] = "missing"
    unavailable: Literal["missing", "error"] = "error"
    engine: Literal["duckdb", "spark"] = "duckdb"
