from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.train.graphs import of_sklearn, of_xgboost
from predictors.load import load
from serin.artifact import REFERENCE, Manifest, seal
from serin.columns import MAX_NUMBER
from serin.engines import load as load_engine
from serin.errors import ArtifactError, RequestError
from serin.estimators.kept import loads
from serin.estimators.xgboost import Boosted
from serin.online.plan import OnlinePlan
from tests.factories import make_artifact


def reseal(folder: Path, manifest: Manifest, **columns: pa.Array) -> None:
    table = pq.read_table(folder / REFERENCE)
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    pq.write_table(table, folder / REFERENCE)
    seal(folder, manifest)


def with_onnx(folder: Path, manifest: Manifest, source: Path) -> Manifest:
    """The artifact in `folder` with the ONNX model of the one in `source` beside its own."""
    import xgboost

    booster = xgboost.Booster(model_file=str(source / manifest.models["xgboost"]))
    onnx = of_xgboost(Boosted(booster), len(manifest.inputs.names)).SerializeToString()
    (folder / "model.onnx").write_bytes(onnx)
    return seal(folder, manifest.model_copy(update={"models": {**manifest.models, "onnx": "model.onnx"}}))


def test_loaded_model_gives_the_stored_scores(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path, store=True)
    model = load(tmp_path)
    reference = pq.read_table(tmp_path / REFERENCE).to_pydict()
    scores = model.predict(manifest.inputs.encode(reference))
    assert model.manifest == manifest
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, reference["score"], atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_artifact_that_does_not_say_how_features_are_read_is_refused(tmp_path: Path, version: int) -> None:
    manifest = make_artifact(tmp_path, store=True)
    seal(tmp_path, manifest.model_copy(update={"format": version, "online": OnlinePlan()}))
    with pytest.raises(ArtifactError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is an artifact of format {version} that does not say how customer_count_1d, "
        "terminal_fraud_rate_7d are read online: features are computed at the event's own time from format 4 on. "
        "Train again: `serin train card_fraud`"
    )


@pytest.mark.parametrize("version", [2, 3])
def test_older_artifact_without_features_of_the_store_is_served(tmp_path: Path, version: int) -> None:
    manifest = make_artifact(tmp_path)
    seal(tmp_path, manifest.model_copy(update={"format": version}))
    assert load(tmp_path).manifest.format == version


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_model_with_other_scores_than_stored_is_refused(tmp_path: Path, difference: float) -> None:
    manifest = make_artifact(tmp_path)
    score = pq.read_table(tmp_path / REFERENCE)["score"]
    reseal(tmp_path, manifest, score=pc.add(score, difference))
    with pytest.raises(ArtifactError, match=r"the model's scores differ from the stored ones by .*, allowed: 1e-05"):
        load(tmp_path)


def test_artifact_without_reference_rows_is_refused(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path)
    (tmp_path / REFERENCE).unlink()
    seal(tmp_path, manifest)
    with pytest.raises(ArtifactError, match=r"holds no reference\.parquet; the self-test needs its rows"):
        load(tmp_path)


def test_unreadable_model_is_refused(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path)
    (tmp_path / "model.ubj").write_bytes(b"{L")
    seal(tmp_path, manifest)
    with pytest.raises(ArtifactError, match=r"model\.ubj can't be read: "):
        load(tmp_path)


@pytest.mark.parametrize("estimator", ["logistic_regression", "random_forest"])
def test_sklearn_model_is_loaded_from_skops(tmp_path: Path, estimator: str) -> None:
    manifest = make_artifact(tmp_path, estimator=estimator)
    width = len(manifest.inputs.names)
    assert load(tmp_path).predict(np.full((2, width), np.nan, np.float32)).shape == (2,)


def test_skops_file_with_another_type_is_refused(tmp_path: Path) -> None:
    from skops import io

    manifest = make_artifact(tmp_path, estimator="logistic_regression")
    io.dump({"model": Path("x")}, tmp_path / "model.skops")
    seal(tmp_path, manifest)
    with pytest.raises(ArtifactError, match=r"model\.skops holds .*Path.*; allowed besides skops' own: numpy\.dtype"):
        load(tmp_path)


def test_rows_that_sklearn_can_not_take_are_the_request_s_fault(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path, estimator="logistic_regression")
    model = load(tmp_path)
    with pytest.raises(RequestError, match="the model can't score these rows: "):
        model.predict(np.full((1, len(manifest.inputs.names)), np.inf, np.float32))


def test_model_with_an_onnx_file_beside_it_is_scored_by_either_as_the_number_of_rows_says(tmp_path: Path) -> None:
    manifest = with_onnx(tmp_path, make_artifact(tmp_path), tmp_path)
    model = load(tmp_path)
    assert model.engines.startswith(("onnx", "xgboost"))
    reference = manifest.inputs.encode(pq.read_table(tmp_path / REFERENCE).to_pydict())
    _, native = load_engine(tmp_path)
    for rows in (reference[:1], np.resize(reference, (10_000, reference.shape[1]))):
        np.testing.assert_allclose(model.predict(rows), native(rows), atol=1e-5)


def test_linear_model_scores_large_inputs_alike_by_either_engine(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path, estimator="logistic_regression", store=True)
    model = loads((tmp_path / manifest.models["sklearn"]).read_bytes())
    (tmp_path / "model.onnx").write_bytes(of_sklearn(model, len(manifest.inputs.names)).SerializeToString())
    seal(tmp_path, manifest.model_copy(update={"models": {**manifest.models, "onnx": "model.onnx"}}))
    rows = manifest.inputs.encode(pq.read_table(tmp_path / REFERENCE).to_pydict())[:6]
    rows[0, -1], rows[1, -1], rows[2, 2:] = MAX_NUMBER, -MAX_NUMBER, MAX_NUMBER
    predict, (_, native) = load(tmp_path).predict, load_engine(tmp_path)
    np.testing.assert_allclose([predict(row[None])[0] for row in rows], native(rows), atol=1e-6)


def test_onnx_file_with_other_scores_than_stored_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path / "other", seed=1)
    manifest = with_onnx(tmp_path / "this", make_artifact(tmp_path / "this"), tmp_path / "other")
    assert manifest.engine == "xgboost"
    with pytest.raises(ArtifactError, match="engine onnx would not serve what was evaluated"):
        load(tmp_path / "this")


def test_model_without_an_onnx_file_is_scored_by_its_own_engine(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    assert load(tmp_path).engines == "xgboost"
