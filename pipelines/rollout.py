"""The rollout pipeline."""

from kfp import dsl

from components.rollout.component import roll_out
from pipelines.settings import applied


@dsl.pipeline(name="serin-rollout", description="Give a version traffic step by step; promote it or roll it back")
def rollout(use_case: str, version: int = 0) -> str:
    """Give a version traffic step by step; promote it or roll it back.

    One task: its state lives in the VirtualService, so a killed run is simply run again. `version` 0 is the
    challenger. Returns the phase in which the rollout ended.
    """
    task = applied(roll_out(use_case=use_case, version=version))
    phase: str = task.outputs["Output"]
    return phase
