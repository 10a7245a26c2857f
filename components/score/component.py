"""KFP: score a table."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def score_table(
    use_case: str,
    data: str,
    output: str,
    version: str,
    as_of: str,
    strict: bool,
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Scores the rows of a table with a registered version. Returns where the scores are.

    `output` "" is a file under `scores/` in the storage, named like the table; `version` is a number, or @ALIAS.
    """
    from pathlib import Path

    from components.score.run import markdown, place_of
    from components.score.run import score_table as run
    from components.step import log_metrics, step
    from serin.progress import say

    with step("score", use_case) as (platform, case):
        done = run(
            platform,
            case,
            data,
            output or place_of(platform.workspace, case, data),
            version=version,
            as_of=as_of,
            strict=strict,
            report=lambda rows, rate: say(f"{rows:,} rows, {rate:,.0f} a second"),
        )
        Path(summary.path).write_text(markdown(done), encoding="utf-8")
        log_metrics(metrics, {"rows": done.scored, "refused": done.refused, "positive": done.positive})
        for line in done.sentences():
            say(line)
        return done.output
