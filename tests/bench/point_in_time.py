"""The point-in-time join against Feast's `get_historical_features` on the same files (offline store `file`)."""

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

ROWS, DAYS, RUNS = 60_000, 40, 3
AS_OF = datetime(2026, 2, 10, tzinfo=UTC)


def run() -> None:
    """Measure both three times in turn and print the ratio of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, rows = _prepare(Path(folder))
        seconds: dict[str, list[float]] = {"serin": [], "feast": []}
        found = {"serin": 0, "feast": 0}
        for _ in range(RUNS):
            for name, join in (("serin", ours), ("feast", theirs)):
                start = time.perf_counter()
                found[name] = join()
                seconds[name].append(time.perf_counter() - start)
    serin, feast = (median(seconds[name]) for name in ("serin", "feast"))
    print(
        f"point-in-time join of {rows:,} events to 13 features of two views: {feast / serin:.1f} x Feast's file store"
    )
    print(f"  serin {serin:.2f} s, {found['serin']:,} rows; feast {feast:.2f} s, {found['feast']:,} rows (median)")


def _prepare(folder: Path) -> tuple[Callable[[], int], Callable[[], int], int]:
    from components.features.run import refresh
    from components.features.training_set import point_in_time_join
    from components.ingest.store import ingest
    from serin.learning.split import EVENT_TIME
    from serin.platform import build
    from serin.simulate import simulate
    from tests.services import workspace_copy

    os.environ["SERIN_ROOT"] = str(workspace_copy(folder))
    platform = build()
    workspace, case = platform.workspace, platform.own_use_case("card_fraud")
    table = folder / "t.parquet"
    simulate(seed=1, start=date(2026, 1, 1), days=DAYS, rows=ROWS).to_parquet(table)
    ingest(workspace, case, str(table), AS_OF)
    refreshed = refresh(platform, case, AS_OF)
    keys = list(case.entities.values())
    events = refreshed.events.to_pandas().rename(columns={case.timestamp or "": EVENT_TIME})[[*keys, EVENT_TIME]]

    def ours() -> int:
        return len(point_in_time_join(events, refreshed.views))

    def theirs() -> int:
        from feast import FeatureStore

        store = FeatureStore(str(workspace.feature_repo))
        asked = events.rename(columns={EVENT_TIME: "event_timestamp"})
        with contextlib.redirect_stdout(io.StringIO()):
            job = store.get_historical_features(asked, store.get_feature_service(case.features.service))
            return len(job.to_df())

    return ours, theirs, len(events)
