"""The refresh pipeline."""

from kfp import dsl

from components.features.component import refresh as bring_up_to_date
from components.ingest.component import ingest
from pipelines.settings import applied


@dsl.pipeline(name="serin-refresh", description="Bring feature views and the online store up to date")
def refresh(use_case: str, data: str = "", as_of: str = "") -> None:
    """Bring feature views and the online store up to date; nothing is trained.

    1. ingest: where `data` names a table, check and store it; settle the time to look from, as the training does
    2. refresh: the feature views as known then, copied to the online store (Feast's materialisation)
    """
    ingested = applied(ingest(use_case=use_case, data=data, as_of=as_of, replace_days=False))
    known_at, snapshot = ingested.outputs["known_at"], ingested.outputs["snapshot"]
    applied(bring_up_to_date(use_case=use_case, as_of=known_at, snapshot=snapshot))
