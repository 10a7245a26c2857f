"""SHAP values of every kind of model that an artifact holds."""

import sys

import numpy as np
import pytest

from serin import engines, estimators, explain
from serin.columns import MAX_NUMBER
from serin.engines.stack import Member, StackModel
from serin.estimators.base import Rows, Unkept
from serin.schema import InputColumn, InputSchema
from tests.factories import make_manifest

pytestmark = [
    # shap asks matplotlib for what is on its way out.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:shap"),
]
SCHEMA = InputSchema(
    columns=(
        InputColumn(name="much"),
        InputColumn(name="some"),
        InputColumn(name="nothing"),
        InputColumn(name="kind", kind="category", categories=("a", "b", "c")),
    )
)
SMALL = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 10, "max_depth": 4},
    "xgboost": {"n_estimators": 15, "max_depth": 3},
    "lightgbm": {"n_estimators": 15, "num_leaves": 7},
}


def inputs_and_labels(count=600):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(count, 4)).astype(np.float32)
    inputs[:, 3] = random.integers(0, 3, count)
    labels = (2 * inputs[:, 0] + 0.7 * inputs[:, 1] + (inputs[:, 3] == 1) + random.normal(size=count) > 1).astype(
        np.int8
    )
    inputs[::17, 0] = np.nan
    inputs[::13, 3] = np.nan
    return inputs, labels


INPUTS, LABELS = inputs_and_labels()


def save(folder, name):
    estimator = estimators.known()[name]
    parameters = estimator.settings(SMALL[name])
    model = estimator.fit(Rows(INPUTS, LABELS), parameters, SCHEMA, 0, parts=Unkept())
    engine = engines.known()[estimator.engine]
    engine.save(model, folder / engine.file)
    return engine


def manifest_of(engine, **more):
    return make_manifest(engine=engine.name, models={engine.name: engine.file}, inputs=SCHEMA, **more)


def artifact(folder, name):
    return manifest_of(save(folder, name))


@pytest.fixture(scope="module")
def stacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    saved = {name: save(folder, name) for name in ("xgboost", "logistic_regression")}
    members = tuple(Member(estimator=name, engine=engine.name, file=engine.file) for name, engine in saved.items())
    stack = engines.known()["stack"]
    stack.save(StackModel(members=members, coefficients=(0.7, 0.4), intercept=-0.1), folder / stack.file)
    return folder, manifest_of(stack)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("xgboost", "log-odds"),
        ("lightgbm", "log-odds"),
        ("random_forest", "probability"),
        ("logistic_regression", "log-odds"),
    ],
)
def test_values_add_up_to_the_score_and_find_the_input_that_matters(name, scale, tmp_path):
    found = explain.explain(tmp_path, artifact(tmp_path, name), INPUTS[:120], INPUTS[:50], 0)
    assert found.values.shape == found.inputs.shape == (120, 4)
    assert found.scale == scale
    assert found.adds_up, found.gap
    assert next(iter(found.importance)) == "much"
    assert list(found.importance)[-1] == "nothing"


def test_a_stack_is_explained_by_the_kernel_against_the_background(stacked):
    folder, manifest = stacked
    found = explain.explain(folder, manifest, INPUTS[:20], INPUTS[:50], 0)
    assert found.method == "Kernel SHAP, exact, of all 14 coalitions and 20 rows of background"
    assert found.adds_up
    assert next(iter(found.importance)) == "much"


@pytest.mark.parametrize("name", [*SMALL, "stacking"])
def test_a_row_with_inputs_as_large_as_there_are_is_explained(name, tmp_path, stacked):
    folder, manifest = stacked if name == "stacking" else (tmp_path, artifact(tmp_path, name))
    rows = INPUTS[:3].copy()
    rows[0, 0], rows[1, 1], rows[2, :2] = MAX_NUMBER, -MAX_NUMBER, (MAX_NUMBER, -MAX_NUMBER)
    background = np.concatenate([rows, INPUTS[:20]])
    found = explain.Explainer(folder, manifest, background).explain(rows)
    assert np.isfinite(found.values).all()
    assert found.adds_up


def test_a_row_has_the_same_values_whatever_rows_are_beside_it(stacked):
    folder, manifest = stacked
    explainer = explain.Explainer(folder, manifest, INPUTS[:30], 3)
    together = explainer.explain(INPUTS[:10])
    alone = explainer.explain(INPUTS[4:5])
    np.testing.assert_allclose(together.values[4:5], alone.values, atol=1e-9)


def test_the_kernel_explains_as_many_rows_as_its_budget_allows(stacked, monkeypatch):
    monkeypatch.setattr(explain, "MAX_EVALUATIONS", 5 * 136 * 20)
    folder, manifest = stacked
    assert len(explain.explain(folder, manifest, INPUTS, INPUTS[:50], 0).values) == 5


def test_a_forest_too_large_for_its_trees_to_be_walked_is_explained_by_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(explain, "MAX_TREE_WORK", 1000)
    found = explain.explain(tmp_path, artifact(tmp_path, "random_forest"), INPUTS[:10], INPUTS[:20], 0)
    assert "Kernel SHAP" in found.method
    assert found.scale == "log-odds"


def test_no_more_rows_than_500_are_explained(tmp_path):
    assert explain.explain(tmp_path, artifact(tmp_path, "xgboost"), INPUTS, INPUTS[:20], 0).values.shape == (500, 4)


def test_values_that_miss_the_score_are_told(tmp_path):
    found = explain.explain(tmp_path, artifact(tmp_path, "xgboost"), INPUTS[:20], INPUTS[:20], 0)
    assert not explain.Explanation(**{**vars(found), "gap": 0.01}).adds_up


def test_a_machine_without_shap_explains_a_forest_by_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    found = explain.explain(tmp_path, artifact(tmp_path, "random_forest"), INPUTS[:5], INPUTS[:20], 0)
    assert "Kernel SHAP" in found.method
    assert found.adds_up


def test_boosted_trees_need_no_shap(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    assert explain.explain(tmp_path, artifact(tmp_path, "xgboost"), INPUTS[:5], INPUTS[:20], 0).adds_up
