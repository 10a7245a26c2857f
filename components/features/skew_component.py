"""KFP: compare what was served with what training has."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def find_skew(
    use_case: str,
    version: int,
    start: str,
    end: str,
    limit: float,
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Replays the prediction log against the stored events. Returns `equal`, `skewed` or `nothing_compared`.

    `version` 0 is the champion; `start` and `end` are times, "" for the last seven days of the log.
    """
    from pathlib import Path

    from components.features.skew_check import check_skew
    from components.features.skew_report import html, markdown
    from components.step import log_metrics, step
    from serin.progress import say
    from serin.times import parse_time

    with step("skew", use_case) as (platform, case):
        check = check_skew(
            platform,
            case,
            version=version or None,
            start=parse_time(start) if start else None,
            end=parse_time(end) if end else None,
            limit=limit,
        )
        Path(report.path).write_text(html(check, case), encoding="utf-8")
        Path(summary.path).write_text(markdown(check), encoding="utf-8")
        found = check.comparison
        log_metrics(metrics, {"rows": found.rows, "equal": found.equal, "share_equal": found.share_equal})
        for line in check.sentences():
            say(line)
        return check.verdict
