"""KFP: features, and their refresh without a training."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def features(use_case: str, as_of: str, snapshot: str, training_set: dsl.Output[dsl.Dataset]):  # type: ignore[no-untyped-def]
    """Computes the feature views, fills the online store and makes the point-in-time training set.

    What a model that is trained on it reads online goes with it, as `online`.

    `snapshot` names the events; it makes the step wait for ingest and its result traceable.
    """
    from components.features.run import make_training_set
    from components.step import step
    from serin.times import parse_time

    with step("features", use_case) as (platform, case):
        made = make_training_set(platform, case, parse_time(as_of))
        made.frame.to_parquet(training_set.path, index=False)
        training_set.metadata.update(
            {
                "rows": len(made.frame),
                "snapshot": snapshot,
                "as_of": as_of,
                "feature_service": made.service,
                "online": made.online.model_dump_json(),
            }
        )


@dsl.component(base_image=image(), install_kfp_package=False)
def refresh(use_case: str, as_of: str, snapshot: str, summary: dsl.Output[dsl.Markdown]) -> None:
    """Brings the online store up to the events. `snapshot` names the events, as in `features`."""
    from pathlib import Path

    from components.features.run import published, refresh
    from components.step import step
    from serin.progress import say
    from serin.times import parse_time

    with step("refresh", use_case) as (platform, case):
        moment = parse_time(as_of)
        views = refresh(platform, case, moment).served
        text = published(platform, views).text(moment)
        say(text)
        Path(summary.path).write_text(f"From events `{snapshot}`: {text}.\n", encoding="utf-8")
