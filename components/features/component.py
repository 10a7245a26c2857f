"""KFP: features."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def features(use_case: str, as_of: str, snapshot: str, training_set: dsl.Output[dsl.Dataset]):  # type: ignore[no-untyped-def]
    """Computes the feature views, fills the online store and makes the point-in-time training set.

    `snapshot` names the events; it makes the step wait for ingest and its result traceable.
    """
    from components.features.run import make_training_set
    from components.step import step
    from serin.times import parse_time
    from serin.use_case import loads
    from serin.workspace import Workspace

    with step():
        case = loads(use_case)
        frame = make_training_set(Workspace.from_environment(), case, parse_time(as_of))
        frame.to_parquet(training_set.path, index=False)
        training_set.metadata.update({"rows": len(frame), "snapshot": snapshot, "as_of": as_of})
