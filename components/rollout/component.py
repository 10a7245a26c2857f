"""KFP: roll out."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def roll_out(use_case: str, version: int, if_waiting: bool, summary: dsl.Output[dsl.Markdown]) -> str:
    """Rolls a version out (0: the challenger). Returns the phase in which it ended: Promoted, RolledBack or Paused.

    With `if_waiting`, and without a version that waits, it returns Idle.
    """
    from pathlib import Path

    from components.rollout.run import roll_out_version
    from components.rollout.waiting import Idle, roll_out_waiting
    from components.step import step
    from serin.progress import say

    with step("rollout", use_case) as (platform, case):
        lines = []

        def report(event):  # type: ignore[no-untyped-def]
            lines.append(f"- {event}")
            say(str(event))

        if if_waiting and not version:
            state = roll_out_waiting(platform, case, report)
        else:
            state = roll_out_version(platform, case, version or None, report)
        if isinstance(state, Idle):
            say(state.reason)
            Path(summary.path).write_text(f"**Idle** {state.reason}\n", encoding="utf-8")
            return "Idle"
        text = f"**{state.canary}: {state.phase}** {state.reason}\n\n" + "\n".join(lines) + "\n"
        Path(summary.path).write_text(text, encoding="utf-8")
        return state.phase
