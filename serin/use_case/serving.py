"""What is promised of a served model, how a new one takes over, and when it has aged."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from serin.use_case.section import PositiveDuration, Section


class Slo(Section):
    """What the service promises: share of failed requests, and the 95th percentile of the latency."""

    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    latency_p95_ms: Annotated[float, Field(gt=0)] = 100.0


class Step(Section):
    """A canary weight in percent and how long it is watched before the next step."""

    weight: Annotated[int, Field(ge=1, le=100)]
    pause: PositiveDuration


class Rollout(Section):
    """The rollout plan and the limits of its analysis."""

    steps: tuple[Step, ...] = (
        Step(weight=5, pause=timedelta(seconds=60)),
        Step(weight=25, pause=timedelta(seconds=60)),
        Step(weight=50, pause=timedelta(seconds=60)),
    )
    interval: PositiveDuration = timedelta(seconds=10)
    min_requests: Annotated[int, Field(ge=1)] = 50
    failure_limit: Annotated[int, Field(ge=0)] = 1
    inconclusive_limit: Annotated[int, Field(ge=0)] = 6
    error_limit: Annotated[int, Field(ge=0)] = 4

    @model_validator(mode="after")
    def _weights_rise(self) -> Self:
        weights = [step.weight for step in self.steps]
        if not weights or weights != sorted(set(weights)):
            raise ValueError(f"steps: weights must rise from step to step, found {weights}")
        return self


class Drift(Section):
    """When logged features have moved too far from the training reference."""

    window: PositiveDuration = timedelta(days=7)
    min_rows: Annotated[int, Field(ge=100)] = 1000
    column_limit: Annotated[float, Field(gt=0)] = 0.2
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.3
