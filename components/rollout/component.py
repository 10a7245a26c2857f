"""KFP: roll out."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def roll_out(use_case: str, version: int, summary: dsl.Output[dsl.Markdown]) -> str:
    """Rolls a version out (0: the challenger). Returns the phase in which it ended: Promoted or RolledBack."""
    from pathlib import Path

    from components.rollout.run import roll_out_version
    from components.step import say, step
    from serin.use_case import loads
    from serin.workspace import Workspace

    with step():
        case = loads(use_case)
        lines = []

        def report(event):  # type: ignore[no-untyped-def]
            shares = ", ".join(f"{name} {weight} %" for name, weight in event.weights.items())
            lines.append(f"- {event.time:%H:%M:%S} {event.phase}: {shares}. {event.verdict} {event.reason}")
            say(lines[-1])

        state = roll_out_version(Workspace.from_environment(), case, version or None, report)
        text = f"**{state.canary}: {state.phase}** {state.reason}\n\n" + "\n".join(lines) + "\n"
        Path(summary.path).write_text(text, encoding="utf-8")
        return state.phase
