"""Answers of somebody else's kind, whose values may be NumPy's."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from prometheus_client import CollectorRegistry

from predictors.edge.answers import outputs, predictions
from predictors.edge.tensors import response
from predictors.metrics import Metrics
from predictors.requests.rows import Options, Rows
from predictors.requests.schema import RequestSchema
from predictors.scoring.kind import Answered, Kind, Output
from predictors.scoring.plain import answering
from predictors.scoring.tabular import TabularKind
from serin.artifact import RequestColumn
from serin.errors import ArtifactError
from tests.plane import NAMES, data_plane

ROWS = Rows.of_columns({"n": [1, 2]}, [datetime(2026, 1, 1, tzinfo=UTC)] * 2, True, Options())
GOOD = {"score": [0.5, 1.0], "place": [1, 2], "sure": [True, False], "topic": ["a", "b"]}


class Says(Kind):
    """Answers what it was made with."""

    outputs = (Output("score", "FP32"), Output("place", "UINT8"), Output("sure", "BOOL"), Output("topic", "BYTES"))
    schema = RequestSchema.of_columns([RequestColumn(name="n", type="integer")])

    def __init__(self, given: Any) -> None:
        self.given = given

    def sample(self) -> Rows:
        return ROWS

    def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
        return Answered(rows, self.given) if isinstance(self.given, dict) else self.given


def answered(given: Any) -> Answered:
    return answering(Says(given))(ROWS, None, datetime.now(UTC))


@pytest.mark.parametrize(
    "given",
    [
        GOOD,
        {name: np.array(values) for name, values in GOOD.items()},
        {name: list(np.array(values)) for name, values in GOOD.items()},
        {**GOOD, "score": np.array([0.5, 1.0], np.float32), "topic": np.array(["a", "b"], object)},
    ],
)
def test_values_of_numpy_are_answered_as_plain_ones_by_all_protocols(given: dict[str, Any], tmp_path: Path) -> None:
    with data_plane(Says(given), Metrics(*NAMES, CollectorRegistry()), tmp_path / "log") as plane:
        asyncio.run(plane.plane.start())
        found = plane.one({"n": 1}, {"n": 2})
    assert found.outputs == GOOD
    assert orjson.dumps(predictions(found, "1"))
    tensors = outputs(found, Says.outputs, "1")
    assert response("m", "1", "r", tensors, raw=False).outputs[0].contents.fp32_contents == [0.5, 1.0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "Says.answer gave NoneType; allowed: Answered"),
        ({"score": [1.0, 1.0]}, "gave the outputs score; allowed, as declared: score, place, sure, topic"),
        (
            {**GOOD, "score": ["high", None]},
            "output score values of type NoneType, str; allowed for FP32: float or int",
        ),
        ({**GOOD, "place": np.array([1.0, 2.0])}, "output place values of type float; allowed for UINT8: int"),
        ({**GOOD, "sure": [1, 0]}, "output sure values of type int; allowed for BOOL: bool"),
        ({**GOOD, "topic": [b"a", b"b"]}, "output topic values of type bytes; allowed for BYTES: str"),
        ({**GOOD, "score": np.ones((2, 1))}, "output score values of type list; allowed for FP32: float or int"),
    ],
)
def test_what_no_protocol_holds_is_told_with_class_output_and_type_before_anybody_asks(
    given: Any, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=told):
        answered(given)
    with (
        data_plane(Says(given), Metrics(*NAMES, CollectorRegistry()), tmp_path / "log") as plane,
        pytest.raises(ArtifactError, match=told),
    ):
        asyncio.run(plane.plane.start())


def test_nobody_looks_at_the_answers_of_a_tabular_model() -> None:
    kind = TabularKind.__new__(TabularKind)
    assert answering(kind) == kind.answer
