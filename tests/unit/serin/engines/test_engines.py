"""Engines: what was saved scores as it did, calibrated as the manifest says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from serin import engines, estimators
from serin.artifact import MANIFEST, REFERENCE, seal
from serin.calibration import Calibration
from serin.columns import MAX_NUMBER
from serin.engines.stack import LEAST, Member, StackModel
from serin.errors import ArtifactError
from serin.estimators.base import Rows, Unkept
from serin.logistic import logits, sigmoid
from serin.schema import InputColumn, InputSchema
from tests.factories import make_artifact

INPUTS = InputSchema(columns=(InputColumn(name="x"), InputColumn(name="y")))
FEW = {"logistic_regression": {}, "random_forest": {"n_estimators": 5, "max_depth": 3},
       "xgboost": {"n_estimators": 5}, "lightgbm": {"n_estimators": 5}}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> Rows:
    X = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    return Rows(X, (X[:, 0] + X[:, 1] > 0.5).astype(np.int8))


def saved(folder: Path, rows: Rows, name: str) -> tuple[Member, Any]:
    """A fitted model in `folder`, and what it gives the rows."""
    estimator = estimators.known()[name]
    engine = engines.known()[estimator.engine]
    model = estimator.fit(rows, FEW[name], INPUTS, 0, parts=Unkept())
    file = f"{name}-{engine.file}"
    engine.save(model, folder / file)
    return Member(estimator=name, engine=engine.name, file=file), model.predict_proba(rows.X)[:, 1].astype(np.float64)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_two_saves_of_a_booster_are_the_same_bytes(name: str, rows: Rows, tmp_path: Path) -> None:
    member, given = saved(tmp_path, rows, name)
    first = (tmp_path / member.file).read_bytes()
    saved(tmp_path, rows, name)
    assert (tmp_path / member.file).read_bytes() == first
    scores = engines.known()[member.engine].load(tmp_path / member.file)(rows.X)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, given)


@pytest.mark.parametrize(("engine", "content"), [("lightgbm", "tree"), ("lightgbm", ""), ("onnx", "x"), ("stack", "{")])
def test_file_that_is_no_model_is_refused_by_name(engine: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / engines.known()[engine].file
    path.write_text(content)
    with pytest.raises(ArtifactError, match=rf"{path} can't be read: ."):
        engines.known()[engine].load(path)


def test_stack_is_a_logistic_regression_on_the_logits_of_its_members(rows: Rows, tmp_path: Path) -> None:
    members, given = zip(*(saved(tmp_path, rows, name) for name in FEW), strict=True)
    stack = StackModel(members=members, coefficients=(0.5, 0.25, 1.0, -0.5), intercept=-1.0)
    engine = engines.known()["stack"]
    engine.save(stack, tmp_path / engine.file)
    inside = [np.clip(scores, LEAST, 1 - LEAST) for scores in given]
    log_odds = [np.log(scores / (1 - scores)) for scores in inside]
    total = -1.0 + 0.5 * log_odds[0] + 0.25 * log_odds[1] + log_odds[2] - 0.5 * log_odds[3]
    np.testing.assert_allclose(engine.load(tmp_path / engine.file)(rows.X), 1 / (1 + np.exp(-total)), atol=1e-12)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("size", [MAX_NUMBER, 1e-45])
def test_inputs_as_large_and_as_small_as_there_are_have_a_score_before_and_after_it_is_kept(
    name: str, size: float, tmp_path: Path
) -> None:
    X = np.random.default_rng(0).normal(0, 0.1, (200, 2)).astype(np.float32)
    estimator = estimators.known()[name]
    model = estimator.fit(Rows(X, (X[:, 0] > 0.05).astype(np.int8)), FEW[name], INPUTS, 0, parts=Unkept())
    extreme = np.array([[size, 0], [-size, 0], [size, -size]], np.float32)
    given = model.predict_proba(extreme)[:, 1]
    assert ((given >= 0) & (given <= 1)).all()
    assert (given[0] > given[1]) is np.bool_(size > 1)
    engine = engines.known()[estimator.engine]
    engine.save(model, tmp_path / engine.file)
    np.testing.assert_array_equal(engine.load(tmp_path / engine.file)(extreme), given)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engine": "catboost"}, "no engine catboost for xgboost; known: lightgbm, onnx, sklearn, stack, xgboost"),
        ({"engine": "stack"}, "no engine stack for xgboost"),
        ({"file": "gone.ubj"}, r"xgboost needs gone\.ubj beside it"),
        ({"file": "../model.ubj"}, r"xgboost needs \.\./model\.ubj beside it"),
    ],
)
def test_stack_with_a_member_that_can_not_be_had_is_refused(
    changes: dict[str, str], told: str, rows: Rows, tmp_path: Path
) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    member, _ = saved(folder, rows, "xgboost")
    (tmp_path / "model.ubj").write_bytes((folder / member.file).read_bytes())
    stack = StackModel(members=(member.model_copy(update=changes),), coefficients=(1.0,), intercept=0.0)
    engine = engines.known()["stack"]
    engine.save(stack, folder / engine.file)
    with pytest.raises(ArtifactError, match=told):
        engine.load(folder / engine.file)


def test_stack_has_one_coefficient_for_each_member() -> None:
    member = Member(estimator="xgboost", engine="xgboost", file="model.ubj")
    with pytest.raises(ValueError, match="1 members and 2 coefficients"):
        StackModel(members=(member,), coefficients=(1.0, 2.0), intercept=0.0)


def test_logit_of_a_certain_score_is_finite_and_the_sigmoid_undoes_it() -> None:
    assert np.isfinite(logits(np.array([0.0, 1.0]), LEAST)).all()
    np.testing.assert_allclose(sigmoid(logits(np.array([0.0, 0.3, 1.0]), LEAST)), [LEAST, 0.3, 1 - LEAST])


def test_calibration_of_the_manifest_is_applied_to_what_the_engine_gives(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path)
    rows = manifest.inputs.encode(pq.read_table(tmp_path / REFERENCE).to_pydict())
    _, raw = engines.load(tmp_path)
    curve = Calibration(kind="isotonic", x=(0.0, 0.5, 1.0), y=(0.0, 0.1, 1.0))
    seal(tmp_path, manifest.model_copy(update={"calibration": curve}))
    _, served = engines.load(tmp_path)
    np.testing.assert_array_equal(served(rows), np.interp(raw(rows), [0, 0.5, 1], [0, 0.1, 1]))


def test_artifact_of_format_2_still_loads(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    path = tmp_path / MANIFEST
    document = json.loads(path.read_text()) | {"format": 2}
    for later in ("calibration", "parameters"):
        del document[later]
    path.write_text(json.dumps(document))
    manifest, scorer = engines.load(tmp_path)
    assert (manifest.format, manifest.calibration) == (2, None)
    assert scorer(np.zeros((1, len(manifest.inputs.names)), np.float32)).shape == (1,)
