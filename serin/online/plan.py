"""What a model version reads online: compiled when it is trained, kept in its manifest, so that nothing else need be
asked when it is served."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from serin.columns import TypeName
from serin.use_case import WindowView
from serin.windows.events import EventSchema


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TablePlan(_Model):
    """A feature view whose latest row is read, in Feast's format. `ttl` is in seconds; None: a row never is too old."""

    project: str
    view: str
    key: str
    key_type: TypeName
    features: dict[str, TypeName]
    ttl: float | None = None


class LogPlan(_Model):
    """The event log of an entity column."""

    project: str
    use_case: str
    key: str
    key_type: TypeName
    events: EventSchema

    @property
    def name(self) -> str:
        """What the store calls it: shared by all versions of the use case's models, whatever windows they have.

        Not by those whose entity is of another type: they would find none of its entities, and count 0 events.
        """
        return f"{self.project}:{self.use_case}:{self.key}:{self.key_type}"


class WindowPlan(_Model):
    """A feature view whose features are computed from the log of its entity at the event's own time. `ttl`: how long,
    in seconds, after the last refresh or push the log is believed."""

    view: str
    key: str
    definition: WindowView
    ttl: float | None = None


class OnlinePlan(_Model):
    """All that is read for one request. `logs` has each entity column's log once, by that column; the others are as in
    the use case (`Features`)."""

    tables: tuple[TablePlan, ...] = ()
    windows: tuple[WindowPlan, ...] = ()
    logs: dict[str, LogPlan] = {}
    requests_are_events: bool = False
    stale: Literal["missing", "error"] = "missing"
    unavailable: Literal["missing", "error"] = "error"
