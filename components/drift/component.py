"""KFP: look for drift."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def find_drift(
    use_case: str,
    as_of: str,
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Holds the logged predictions against the champion's reference. Returns `retrain` or `keep`."""
    from pathlib import Path

    from components.drift.run import check_drift
    from components.step import log_metrics, step
    from serin.progress import say
    from serin.times import parse_time

    with step("drift", use_case) as (platform, case):
        check = check_drift(platform, case, parse_time(as_of) if as_of else None)
        reasons = "".join(f"- {reason}\n" for reason in check.decision.reasons)
        text = f"**{check.decision.verdict}** (v{check.version}, {check.rows:,} rows)\n\n{reasons}"
        html = check.measured.html if check.measured else f"<p>{check.decision.reasons[0]}</p>"
        Path(report.path).write_text(html, encoding="utf-8")
        Path(summary.path).write_text(text, encoding="utf-8")
        psi = check.measured.psi if check.measured else {}
        log_metrics(metrics, {f"psi_{name}": value for name, value in psi.items()})
        for reason in check.decision.reasons:
            say(reason)
        return "retrain" if check.decision.retrain else "keep"
