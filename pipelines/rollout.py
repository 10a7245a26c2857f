"""The rollout pipeline."""

from kfp import dsl

from components.rollout.component import roll_out
from pipelines.settings import applied


@dsl.pipeline(name="serin-rollout", description="Give a version traffic step by step; promote it or roll it back")
def rollout(use_case: str, version: int = 0, if_waiting: bool = False) -> str:
    """Give a version traffic step by step; promote it or roll it back.

    One task: its state lives in the VirtualService, so a killed run is simply run again. `version` 0 is the
    challenger; with `if_waiting` an interrupted rollout goes first, and that nothing waits is no error. Returns the
    phase in which the rollout ended, or Idle.
    """
    task = applied(roll_out(use_case=use_case, version=version, if_waiting=if_waiting))
    phase: str = task.outputs["Output"]
    return phase
