"""`serin drift`."""

from pathlib import Path

from components.drift.run import DriftCheck, check_drift
from pipelines.console import Console
from serin import use_case
from serin.atomic import write_text
from serin.platform import Platform
from serin.times import parse_time
from serin.workspace import Workspace


def run(console: Console, platform: Platform, name: str, as_of: str) -> None:
    """Check for drift, print the decision with its reasons, and keep Evidently's report."""
    case = platform.own_use_case(name)
    with console.working("compare logged predictions with the training reference"):
        check = check_drift(platform, case, parse_time(as_of) if as_of else None)
    report = keep_report(platform.workspace, case, check)
    decision = check.decision
    console.title(f"{case.model_name} v{check.version}, {check.rows:,} rows before {check.as_of:%Y-%m-%d %H:%M}")
    (console.bad if decision.retrain else console.good)(decision.verdict.replace("_", " "))
    for reason in decision.reasons:
        console.say(f"  - {reason}")
    if report:
        console.say(f"report: {report}")
    if decision.retrain:
        console.next(f"serin retrain {case.name}")
    console.result(
        {
            "version": check.version,
            "as_of": check.as_of.isoformat(),
            "rows": check.rows,
            "verdict": decision.verdict,
            "retrain": decision.retrain,
            "share": decision.share,
            "drifted": decision.drifted,
            "reasons": decision.reasons,
            "psi": check.measured.psi if check.measured else {},
            "limits": check.measured.limits if check.measured else {},
            "report": report,
        }
    )


def keep_report(workspace: Workspace, case: use_case.UseCase, check: DriftCheck) -> Path | None:
    """Write Evidently's page to the report folder; None where nothing was measured."""
    if check.measured is None:
        return None
    path = workspace.state / "report" / f"{case.model_name}-drift.html"
    write_text(path, check.measured.html)
    return path
