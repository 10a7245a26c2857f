"""`serin rollout`."""

from dataclasses import asdict

from pipelines.console import Console
from serin.errors import SerinError
from serin.platform import Platform


def run(console: Console, platform: Platform, name: str, version: int | None, force: bool) -> None:
    """Roll out, one line a measurement. Exit code 1 when the version was not promoted."""
    from components.rollout.controller import Update
    from components.rollout.run import roll_out_version

    updates: list[Update] = []

    def follow(update: Update) -> None:
        updates.append(update)
        console.say(f"  {update}")

    case = platform.own_use_case(name)
    console.title(f"Rolling out {case.model_name} {f'v{version}' if version else '@challenger'}")
    state = roll_out_version(platform, case, version, follow, force=force)
    console.result(
        {
            "canary": state.canary,
            "stable": state.stable,
            "phase": state.phase,
            "reason": state.reason,
            "updates": [asdict(update) for update in updates],
        }
    )
    if state.phase == "Paused":
        raise SerinError(
            f"{state.canary} was paused, and {state.stable} has all traffic: {state.reason}. "
            "Nothing speaks against it: run the same command again when there is traffic"
        )
    if state.phase != "Promoted":
        raise SerinError(f"{state.canary} was rolled back: {state.reason}")
    console.good(f"{state.canary} is the champion and has all traffic")
    console.next(f"serin status {case.name}")
