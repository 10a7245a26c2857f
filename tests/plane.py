"""A data plane with its prediction log, and no server around it."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from predictors.dataplane import DataPlane
from predictors.identity import Identity
from predictors.log.columns import schema
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from predictors.requests.rows import Rows
from predictors.scoring.kind import Answered, Kind
from serin import partitions

NAMES = ("card-fraud", "12", "card-fraud-v12")
LABELS = dict(zip(("model", "model_version", "deployment"), NAMES, strict=True))


class Plane:
    """Asks a data plane."""

    def __init__(self, plane: DataPlane, kind: Kind, log: PredictionLog, folder: Path) -> None:
        self.plane, self._kind, self._log, self._folder = plane, kind, log, folder

    def ask(self, *requests: Mapping[str, Any], size: int = 100) -> list[Answered | BaseException]:
        """What each of several V1 bodies is answered that are in flight together, the first as r-1; or its error."""

        async def together() -> list[Answered | BaseException]:
            asked = (self.request(body, f"r-{place}", size) for place, body in enumerate(requests, 1))
            return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(together())

    def one(self, *rows: Mapping[str, Any], **parameters: bool) -> Answered:
        """What a request is answered. Raises its error."""
        (answer,) = self.ask({"instances": list(rows), "parameters": parameters})
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def rows(self, rows: Rows) -> Answered:
        """What rows are answered that were decoded already, as r-1."""

        async def one() -> Answered:
            return await self.plane.predict(
                lambda: rows, lambda answered: answered, request_id="r-1", size=100, started=time.perf_counter()
            )

        return asyncio.run(one())

    async def request(self, body: Mapping[str, Any], request_id: str, size: int = 100) -> Answered:
        """One request, within a loop."""
        return await self.plane.predict(
            lambda: self._kind.schema.from_v1(body, datetime.now(UTC)),
            lambda answered: answered,
            request_id=request_id,
            size=size,
            started=time.perf_counter(),
        )

    def flush(self) -> None:
        """Have the prediction log store what it has."""
        self._log.flush()

    def logged(self, *order: str) -> list[dict[str, Any]]:
        """The rows of the prediction log."""
        self.flush()
        table = partitions.read(str(self._folder)).table
        return table.sort_by([(name, "ascending") for name in order or ("request_id", "row")]).to_pylist()


@contextmanager
def data_plane(
    kind: Kind, metrics: Metrics, folder: Path, names: Sequence[str] = NAMES, **options: Any
) -> Iterator[Plane]:
    """A data plane that was not started: nothing of it is measured. Its log goes to `folder`."""
    identity = Identity(*names)
    log = PredictionLog(str(folder), folder.with_name("spool"), identity, schema(kind.logged), metrics.dropped)
    plane = DataPlane(identity, kind, log, metrics, **{"max_threads": 2, "max_concurrency": None, **options})
    yield Plane(plane, kind, log, folder)
    asyncio.run(plane.close())
