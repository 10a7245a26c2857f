"""ONNX files: those of Serin's estimators say what the models say, and the gate refuses every one that does not."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components.train.conversion import (
    RANDOM_ROWS,
    REAL_ROWS,
    TOLERANCE,
    convert,
    convert_stack,
    edge_rows,
    parity,
    probes,
)
from components.train.graphs import numbered, of_sklearn, of_xgboost
from serin import estimators
from serin.calibration import Calibration
from serin.columns import MAX_NUMBER
from serin.engines.onnx import INPUT, OUTPUT, scorer
from serin.engines.onnx import scorer as onnx_scorer
from serin.engines.stack import Member, StackModel
from serin.estimators.base import Rows, Unkept
from serin.learning.record import Parity
from serin.schema import InputColumn, InputSchema

CITIES = ("Bern", "Chur", "Genf", "Zug", "Thun", "Olten")
INPUTS = InputSchema(
    columns=(
        InputColumn(name="x"),
        InputColumn(name="y"),
        InputColumn(name="z"),
        InputColumn(name="city", kind="category", categories=CITIES),
    )
)
NUMBERS = InputSchema(columns=tuple(InputColumn(name=f"n{place}") for place in range(4)))
# Between the scores that a forest of 15 trees gives.
THRESHOLD = 0.4711
# More categories than may be taken one by one, so that sets of them decide.
PARAMETERS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"class_weight": "balanced"},
    "random_forest": {"n_estimators": 15, "min_samples_leaf": 2},
    "xgboost": {"n_estimators": 120, "subsample": 0.8, "scale_pos_weight": 2.0, "max_cat_to_onehot": 2},
    "lightgbm": {"n_estimators": 120, "learning_rate": 0.05, "max_cat_to_onehot": 2, "scale_pos_weight": 2.0},
}


def rows_of(missing: float, size: int = 600) -> Rows:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(size, 4)).astype(np.float32)
    X[:, 3] = rng.integers(0, len(CITIES), size)
    y = X[:, 0] + X[:, 1] * X[:, 2] + np.isin(X[:, 3], (1, 4)) + rng.normal(0, 0.3, size) > 0.8
    X[rng.random(X.shape) < missing] = np.nan
    return Rows(X, y.astype(np.int8))


def fitted(name: str, rows: Rows, inputs: InputSchema = INPUTS) -> Any:
    return estimators.known()[name].fit(rows, PARAMETERS[name], inputs, 0, parts=Unkept())


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("name", PARAMETERS)
def test_onnx_model_of_an_estimator_passes_and_scores_as_the_model_does(name: str, missing: float) -> None:
    rows = rows_of(missing)
    model = fitted(name, rows)
    calibration = Calibration(kind="platt", x=(0.2, 0.8))
    onnx, found = convert(model, name, INPUTS, rows.X, THRESHOLD, calibration, seed=0)
    assert found == Parity(passed=True, rows=found.rows, tolerance=TOLERANCE, worst=found.worst)
    assert found.rows > 600 + RANDOM_ROWS
    assert onnx is not None
    given = scorer(onnx, "model")(rows.X)
    # Not calibrated: that is for who loads it, whatever the engine.
    np.testing.assert_allclose(given, model.predict_proba(rows.X)[:, 1], atol=TOLERANCE)


@pytest.mark.parametrize("name", ["random_forest", "xgboost", "lightgbm"])
def test_column_that_says_missing_by_the_least_number_there_is_needs_no_other_engine(name: str) -> None:
    rows = rows_of(0.0)
    rows.X[::20, 0] = -MAX_NUMBER
    onnx, found = convert(fitted(name, rows), name, INPUTS, rows.X, THRESHOLD, None, seed=0)
    assert found.passed, found.reason
    assert onnx is not None


def test_conversion_is_the_same_bytes_each_time() -> None:
    rows = rows_of(0.1)
    model = fitted("xgboost", rows)
    one, other = (convert(model, "xgboost", INPUTS, rows.X, THRESHOLD, None, seed=0)[0] for _ in range(2))
    assert one == other


def test_nodes_that_a_chain_of_categories_shares_are_numbered_once() -> None:
    """As onnxmltools walks them, these 60 levels would be three to the 60th nodes."""
    node: dict[str, Any] = {"nodeid": 0, "leaf": 0.1}
    for number in range(1, 60):
        node = {"nodeid": 2 * number, "children": [node, {"nodeid": 2 * number + 1, "children": [node, node]}]}
    found = numbered(node)
    assert sorted(found.values()) == list(range(119))
    assert list(found)[:3] == [118, 116, 114]


def test_onnx_model_of_a_stack_is_one_graph_of_its_members() -> None:
    rows = rows_of(0.1)
    models = {name: fitted(name, rows) for name in PARAMETERS}
    members = {name: convert(model, name, INPUTS, rows.X, THRESHOLD, None, 0)[0] for name, model in models.items()}
    stack = StackModel(
        members=tuple(Member(estimator=name, engine="-", file="-") for name in models),
        coefficients=(0.2, 0.4, 0.3, 0.3),
        intercept=-0.1,
    )

    def native(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return stack.combine(np.stack([model.predict_proba(matrix)[:, 1] for model in models.values()], axis=1))

    onnx, found = convert_stack(stack, members, native, INPUTS, rows.X, THRESHOLD, None, 0)
    assert (found.passed, found.reason) == (True, "")
    assert onnx is not None
    np.testing.assert_allclose(scorer(onnx, "stack")(rows.X), native(rows.X), atol=TOLERANCE)
    del members["xgboost"]
    onnx, found = convert_stack(stack, members, native, INPUTS, rows.X, THRESHOLD, None, 0)
    assert (onnx, found.reason) == (None, "its members have no ONNX model: xgboost")


def test_estimator_that_nothing_converts_has_no_onnx_model() -> None:
    onnx, found = convert(None, "majority", INPUTS, rows_of(0).X, THRESHOLD, None, 0)
    assert onnx is None
    assert found.reason.startswith("nothing converts majority; converted: logistic_regression, ")


# Conversions known to be wrong, made as they were found.


class Given:
    """A Booster, scored by its own predict."""

    def __init__(self, booster: Any, names: Any = None) -> None:
        self._booster, self._names = booster, names

    def get_booster(self) -> Any:
        return self._booster

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        import xgboost

        positive = self._booster.predict(xgboost.DMatrix(X, feature_names=self._names)).astype(np.float64)
        return np.stack([1 - positive, positive], axis=1)


def numeric(size: int = 400) -> Rows:
    rows = rows_of(0, size)
    rng = np.random.default_rng(4)
    return Rows(np.where(np.arange(4) == 3, rng.normal(size=(size, 4)), rows.X).astype(np.float32), rows.y)


def boosted(rows: Rows, names: Any = None, **parameters: Any) -> Given:
    import xgboost

    own = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 0, **parameters}
    return Given(xgboost.train(own, xgboost.DMatrix(rows.X, rows.y, feature_names=names), 15), names)


def checked(native: Any, onnx: Any, rows: Rows) -> Parity:
    return parity(lambda X: native(X)[:, 1], onnx.SerializeToString(), NUMBERS, rows.X, THRESHOLD, None, 0)


@pytest.mark.parametrize("booster", ["dart", "gblinear"])
@pytest.mark.filterwarnings("ignore")
def test_booster_that_the_converter_can_not_read_has_no_onnx_model(booster: str) -> None:
    rows = numeric()
    model = boosted(rows, booster=booster)
    onnx, found = convert(model, "xgboost", NUMBERS, rows.X, THRESHOLD, None, 0)
    assert (onnx, found.passed) == (None, False)
    assert found.reason == "the converter failed: KeyError: 'gbtree_model_param'"


def test_booster_with_names_of_its_own_has_no_onnx_model() -> None:
    rows = numeric()
    onnx, found = convert(boosted(rows, list("abcd")), "xgboost", NUMBERS, rows.X, THRESHOLD, None, 0)
    assert (onnx, found.passed) == (None, False)
    assert found.reason.startswith("the converter failed: RuntimeError: Unable to interpret")


def test_several_trees_a_round_converted_from_the_classifier_are_refused() -> None:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    rows = numeric()
    model = XGBClassifier(n_estimators=5, num_parallel_tree=4, subsample=0.5, n_jobs=1).fit(rows.X, rows.y)
    made = convert_xgboost(model, initial_types=[(INPUT, FloatTensorType([None, 4]))], target_opset=15)
    found = checked(model.predict_proba, made, rows)
    assert not found.passed
    assert found.reason.startswith("ONNX Runtime can't score the rows: ")
    # Read from the model's bytes, as Serin does, the converter counts its trees rightly.
    assert convert(Given(model.get_booster()), "xgboost", NUMBERS, rows.X, THRESHOLD, None, 0)[1].passed


def test_reg_logistic_of_which_the_raw_margin_comes_out_is_refused() -> None:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBRegressor

    rows = numeric()
    model = XGBRegressor(objective="reg:logistic", n_estimators=15, n_jobs=1).fit(rows.X, rows.y)
    made = convert_xgboost(model, initial_types=[(INPUT, FloatTensorType([None, 4]))], target_opset=15)
    found = checked(Given(model.get_booster()).predict_proba, both_columns(made), rows)
    assert not found.passed
    assert found.worst > 0.5


def test_forest_fed_with_gaps_is_refused_with_the_rows_that_differ() -> None:
    from sklearn.ensemble import RandomForestClassifier

    rows = numeric()
    gaps = Rows(np.where(np.random.default_rng(0).random(rows.X.shape) < 0.2, np.nan, rows.X), rows.y)
    forest = RandomForestClassifier(20, random_state=0).fit(gaps.X, gaps.y)
    onnx, found = convert(forest, "random_forest", NUMBERS, gaps.X, THRESHOLD, None, 0)
    assert (onnx, found.passed) == (None, False)
    assert found.flipped > 0
    assert len(found.differing) == 20
    first = found.differing[0]
    assert abs(first.native - first.onnx) == found.worst > TOLERANCE
    assert None in first.inputs.values()
    assert f"{found.flipped} decisions flipped, allowed 0" in found.reason


def test_float32_scaler_before_trees_is_refused() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = numeric()
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(rows.X, rows.y)
    found = checked(model.predict_proba, of_sklearn(model, 4), rows)
    assert not found.passed
    assert found.worst > 0.01


@pytest.mark.filterwarnings("ignore")
def test_values_near_1e8_whose_borders_float32_does_not_hold_are_refused() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = numeric()
    large = 1e8 + rows.X.astype(np.float64) * 20
    model = HistGradientBoostingClassifier(max_iter=20).fit(large, rows.y)
    near = Rows(large.astype(np.float32), rows.y)
    found = checked(model.predict_proba, of_sklearn(model, 4), near)
    assert not found.passed
    assert any(row.kind == "real" for row in found.differing)


def test_decision_that_flips_within_the_tolerance_is_refused() -> None:
    rows = rows_of(0)
    model = fitted("xgboost", rows)
    onnx = of_xgboost(model, 4).SerializeToString()
    native = model.predict_proba(rows.X)[:, 1]
    theirs = scorer(onnx, "model")(rows.X)
    apart = np.flatnonzero(native > theirs)
    threshold = float(native[apart[0]])
    found = parity(lambda X: model.predict_proba(X)[:, 1], onnx, INPUTS, rows.X, threshold, None, 0)
    assert not found.passed
    assert found.flipped >= 1
    assert found.worst <= TOLERANCE


def test_forest_whose_score_is_the_threshold_itself_is_refused() -> None:
    """Its scores are few, and a float32 is not quite the same number: a threshold has to lie between two scores."""
    rows = rows_of(0)
    model = fitted("random_forest", rows)
    shares = model.predict_proba(rows.X)[:, 1]
    theirs = scorer(of_sklearn(model, 4).SerializeToString(), "model")(rows.X)
    threshold = float(shares[theirs < shares][0])
    onnx, found = convert(model, "random_forest", INPUTS, rows.X, threshold, None, 0)
    assert onnx is None
    assert found.flipped > 0


@pytest.mark.parametrize("name", ["logistic_regression", "xgboost", "lightgbm"])
def test_scores_next_to_0_and_1_survive_a_calibration(name: str) -> None:
    rows = rows_of(0)
    sure = Rows(np.concatenate([rows.X, rows.X * 5]), np.tile(rows.y, 2))
    flat = Calibration(kind="platt", x=(-1.0, 0.4))
    onnx, found = convert(fitted(name, sure), name, INPUTS, sure.X, THRESHOLD, flat, 0)
    assert onnx is not None, found.reason


def test_difference_that_calibration_magnifies_counts() -> None:
    rows = rows_of(0)
    model = fitted("xgboost", rows)
    # Steepest at the row on which the two differ most, if only in a last digit.
    ours = model.predict_proba(rows.X)[:, 1]
    theirs = onnx_scorer(of_xgboost(model, 4).SerializeToString(), "the file")(rows.X)
    score = ours[np.argmax(np.abs(ours - theirs))]
    steep = Calibration(kind="platt", x=(-1e6 * np.log(score / (1 - score)), 1e6))
    onnx, found = convert(model, "xgboost", INPUTS, rows.X, THRESHOLD, steep, 0)
    assert (onnx, found.passed) == (None, False)


def test_score_that_is_no_number_differs() -> None:
    rows = rows_of(0)
    model = fitted("xgboost", rows)
    onnx = of_xgboost(model, 4).SerializeToString()
    found = parity(lambda X: np.full(len(X), np.nan), onnx, INPUTS, rows.X, THRESHOLD, None, 0)
    assert not found.passed


def test_native_model_that_refuses_a_row_is_a_reason_and_no_crash() -> None:
    from sklearn.linear_model import LogisticRegression

    rows = numeric()
    onnx, found = convert(
        LogisticRegression().fit(rows.X, rows.y), "logistic_regression", NUMBERS, rows.X, 0.5, None, 0
    )
    assert onnx is None
    assert found.reason == "the native model can't score the rows: Input X contains NaN."


def test_nothing_to_compare_on_is_no_pass() -> None:
    rows = rows_of(0)
    _, found = convert(fitted("xgboost", rows), "xgboost", INPUTS, rows.X[:0], THRESHOLD, None, 0)
    assert (found.passed, found.reason) == (False, "there is no real row to compare the two on")


def test_probes_are_real_edge_and_random_rows_and_the_same_for_a_seed() -> None:
    rows = rows_of(0.1, REAL_ROWS + 500)
    kinds, matrix = probes(INPUTS, rows.X, 7)
    counts = {kind: int((kinds == kind).sum()) for kind in ("real", "edge", "random")}
    assert (counts["real"], counts["random"]) == (REAL_ROWS, RANDOM_ROWS)
    assert counts["edge"] == 4 + 4 * 4 * 4
    np.testing.assert_array_equal(matrix, probes(INPUTS, rows.X, 7)[1])
    random = matrix[kinds == "random"]
    assert np.isnan(random).any(axis=0).all()
    assert set(np.unique(random[~np.isnan(random[:, 3]), 3])) == set(range(len(CITIES)))


def test_edges_of_a_column_are_missing_zero_and_extreme_and_of_a_category_unseen_first_and_last() -> None:
    edges = edge_rows(INPUTS, rows_of(0).X)
    assert {-1e8, 0.0, 1e8} <= set(edges[:, 0].tolist())
    assert np.isnan(edges).all(axis=1).any()
    assert np.isnan(edges[:, 3]).any()
    assert set(edges[~np.isnan(edges[:, 3]), 3]) <= set(range(len(CITIES)))


def both_columns(model: Any) -> Any:
    """A regressor's one column as a classifier's two."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "a_one"))
    graph.node.append(helper.make_node("Sub", ["a_one", graph.output[0].name], ["another"]))
    graph.node.append(helper.make_node("Concat", ["another", graph.output[0].name], [OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 2]))
    return model
