"""The leak pipeline. Its step needs two others, the features and the leak test, and so it is defined here."""

from kfp import dsl

from components.ingest.component import ingest
from pipelines.settings import applied
from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def find_leaks(
    use_case: str,
    as_of: str,
    snapshot: str,
    limit: float,
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Looks for features that know too much. Returns `clean`, `suspect` or `leak`.

    `snapshot` names the events; it makes the step wait for ingest and its result traceable.
    """
    from pathlib import Path

    from components.leak.report import html, markdown
    from components.leak.verdict import sentences
    from components.step import log_metrics, step
    from pipelines.commands.leak import look
    from serin.progress import say
    from serin.times import parse_time

    with step("leak", use_case) as (platform, case):
        found = look(platform, case, parse_time(as_of), limit)
        Path(report.path).write_text(html(found, case), encoding="utf-8")
        text = f"From events `{snapshot}`: {markdown(found, case)}"
        Path(summary.path).write_text(text, encoding="utf-8")
        alone = {f"alone_{each.name}": each.auc.value for each in found.ranked.features}
        log_metrics(metrics, {"shuffled_roc_auc": found.shuffled.auc, "roc_auc": found.ranked.all.value, **alone})
        for line in sentences(found, case):
            say(line)
        return found.verdict


@dsl.pipeline(name="serin-leak", description="Look for features that know too much")
def leak(use_case: str, data: str = "", as_of: str = "", limit: float = 0.95) -> str:
    """Look for features that know too much; no version is made of it.

    1. ingest: where `data` names a table, check and store it; settle the time to look from, as the training does
    2. find_leaks: labels turned round, labels shuffled, each feature alone (whose area under the ROC curve may be
       `limit`)

    Returns `clean`, `suspect` or `leak`.
    """
    ingested = applied(ingest(use_case=use_case, data=data, as_of=as_of, replace_days=False))
    known_at, snapshot = ingested.outputs["known_at"], ingested.outputs["snapshot"]
    found = applied(find_leaks(use_case=use_case, as_of=known_at, snapshot=snapshot, limit=limit))
    verdict: str = found.outputs["Output"]
    return verdict
