"""The refresh pipeline."""

from kfp import dsl

from components.features.component import refresh as bring_up_to_date
from components.ingest.component import ingest
from pipelines.settings import applied


@dsl.pipeline(name="serin-refresh", description="Bring the online store up to date")
def refresh(use_case: str, data: str = "", as_of: str = "") -> None:
    """Bring the online store up to the events; nothing is trained.

    1. ingest: where `data` names a table, check and store it; settle the time to look from, as the training does
    2. refresh: the event logs of the windows, and of each feature view every entity's row as known then
    """
    ingested = applied(ingest(use_case=use_case, data=data, as_of=as_of, replace_days=False))
    known_at, snapshot = ingested.outputs["known_at"], ingested.outputs["snapshot"]
    applied(bring_up_to_date(use_case=use_case, as_of=known_at, snapshot=snapshot))
