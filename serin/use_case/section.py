"""What the sections of a use case have in common."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from serin.times import Duration, format_duration

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Metric = Literal["average_precision", "roc_auc"]


def some_time(duration: timedelta) -> timedelta:
    """The duration. Raises ValueError where it is none."""
    if duration <= timedelta(0):
        raise ValueError(f"must be longer than zero, found {format_duration(duration)}")
    return duration


PositiveDuration = Annotated[Duration, AfterValidator(some_time)]


class Section(BaseModel):
    """A part of the file: frozen, and without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
