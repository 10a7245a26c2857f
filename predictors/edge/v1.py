"""V1: `{"instances": [{column: value, ...}, ...]}` to rows, and answers to `{"predictions": [...]}`."""

from datetime import UTC, datetime

import orjson

from predictors.edge import body as bodies
from predictors.edge.answers import predictions
from predictors.requests.fast import FastDecoder, check_objects
from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered


class V1:
    """V1 of one model version."""

    def __init__(self, schema: RequestSchema, fast: FastDecoder, version: str) -> None:
        self._schema, self._fast, self._version = schema, fast, version

    def rows(self, body: bytes) -> Rows:
        """The rows of a body. Raises RequestError."""
        rows = self._fast.v1(body)
        if rows is not None:
            return rows
        check_objects(body)
        return self._schema.from_v1(bodies.parsed(body), datetime.now(UTC))

    def answer(self, answered: Answered) -> bytes:
        """The body of an answer."""
        return orjson.dumps({"predictions": predictions(answered, self._version)})
