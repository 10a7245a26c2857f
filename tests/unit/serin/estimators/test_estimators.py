"""Estimators and engines: each a file, held to what its library says, and light until a model is made."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.evaluate.comparison import evaluate
from components.train.fitting import train
from components.train.run import train_estimator
from predictors.load import load as load_for_serving
from serin import engines, estimators, use_case
from serin.artifact import REFERENCE, Manifest, seal
from serin.errors import ArtifactError, UseCaseError
from serin.estimators.base import Estimator
from serin.learning.encoding import encode
from serin.learning.split import SPLIT

# Where Serin's own default differs from the library's, and why is said there.
OWN_DEFAULTS = {"logistic_regression": {"max_iter": 1000}}

DUMMY_ENGINE = """
import numpy as np
from serin.engines.base import Engine

class Constant(Engine):
    name, file = "constant", "model.txt"

    def save(self, model, path):
        path.write_text(repr(model.share))

    def load(self, path):
        share = float(path.read_text())
        return lambda inputs: np.full(len(inputs), share)
"""
DUMMY_ESTIMATOR = """
import numpy as np
from serin.estimators.base import Estimator, Parameters

class MajorityParameters(Parameters):
    weight: float = 1.0

class Core:
    def __init__(self, weight):
        self.weight = weight

    def fit(self, X, y):
        self.share = float(y.mean()) * self.weight
        return self

    def predict_proba(self, X):
        return np.tile([1 - self.share, self.share], (len(X), 1))

class Majority(Estimator):
    name, engine, parameters = "majority", "constant", MajorityParameters

    def make(self, parameters, inputs, seed):
        return Core(parameters.get("weight", 1.0))
"""


def case_of(**listed: Any) -> use_case.UseCase:
    columns = {"id": {"type": "integer"}, "x": {"type": "number"}, "y": {"type": "integer"}}
    return use_case.parse(
        {
            "name": "toy",
            "data": {"columns": columns},
            "label": {"column": "y"},
            "entities": {"client": "id"},
            "features": {"service": "toy_v1", "request": ["x"]},
            "training": {"estimators": listed},
        },
        "test",
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=300)
    part = np.repeat(["fit", "validation", "test"], 100)
    return pd.DataFrame({"id": range(300), "x": x, "y": (x > 0.5).astype(int), SPLIT: part})


@pytest.fixture
def dummies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An estimator and an engine that are one file each, beside the shipped ones."""
    with monkeypatch.context() as patch:
        for package, name, text in (
            (estimators, "majority", DUMMY_ESTIMATOR),
            (engines, "constant", DUMMY_ENGINE),
        ):
            folder = tmp_path / package.__name__
            folder.mkdir()
            (folder / f"{name}.py").write_text(text)
            patch.setattr(package, "__path__", [*package.__path__, str(folder)])
            package.known.cache_clear()
        yield
    for module in ("serin.estimators.majority", "serin.engines.constant"):
        sys.modules.pop(module, None)
    estimators.known.cache_clear()
    engines.known.cache_clear()


def test_estimator_is_one_file_that_a_use_case_lists_and_serving_loads(dummies, frame, tmp_path):
    case = case_of(majority={"weight": 0.5})
    folder = tmp_path / "model"
    manifest = train_estimator(frame, case, "majority", folder, "snapshot", "2026-01-01", "toy_v1")
    assert (manifest.estimator, manifest.engine, manifest.models) == ("majority", "constant", {"constant": "model.txt"})
    share = frame[frame[SPLIT] != "test"]["y"].mean() / 2
    served = load_for_serving(folder)
    np.testing.assert_allclose(served.predict(np.zeros((3, 1), np.float32)), share)
    test = frame[frame[SPLIT] == "test"]
    assert evaluate("majority", test, *engines.load(folder), case).metrics["roc_auc"] == 0.5
    with pytest.raises(UseCaseError, match=r"training\.estimators\.majority\.wait: unknown parameter; allowed: weight"):
        case_of(majority={"wait": 0.5})


def test_estimator_whose_file_is_gone_is_no_longer_known():
    assert "majority" not in estimators.known()
    assert set(estimators.known()) == {"logistic_regression", "random_forest", "xgboost"}
    assert set(engines.known()) == {"sklearn", "xgboost"}


def test_artifact_holds_a_model_file_for_each_engine_that_can_serve_it(dummies, frame, tmp_path):
    folder = tmp_path / "model"
    manifest = train_estimator(
        frame, case_of(xgboost={"n_estimators": 5}), "xgboost", folder, "s", "2026-01-01", "toy_v1"
    )
    (folder / "model.txt").write_text("0.25")
    both = {"xgboost": "model.ubj", "constant": "model.txt"}
    seal(folder, manifest.model_copy(update={"models": both}))
    rows = encode(frame, manifest.inputs)
    _, native = engines.load(folder)
    _, other = engines.load(folder, "constant")
    reference = pd.read_parquet(folder / REFERENCE)
    np.testing.assert_allclose(native(encode(reference, manifest.inputs)), reference["score"], atol=1e-6)
    np.testing.assert_array_equal(other(rows), np.full(len(rows), 0.25))
    with pytest.raises(ArtifactError, match="no model of engine sklearn; the artifact holds xgboost, constant, known"):
        engines.load(folder, "sklearn")


def test_engine_that_is_not_known_here_is_named(frame, tmp_path):
    folder = tmp_path / "model"
    manifest = train_estimator(
        frame, case_of(xgboost={"n_estimators": 5}), "xgboost", folder, "s", "2026-01-01", "toy_v1"
    )
    (folder / "model.onnx").touch()
    changed: Manifest = manifest.model_copy(update={"models": {"onnx": "model.onnx"}, "engine": "onnx"})
    seal(folder, changed)
    with pytest.raises(ArtifactError, match=r"no model of engine onnx; .* known here: sklearn, xgboost"):
        engines.load(folder)


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_declared_parameters_are_the_librarys_with_its_defaults(name):
    estimator = estimators.known()[name]
    core = _core(estimator)
    assert estimator.parameters.model_fields.keys() <= core.get_params().keys()
    expected = {key: type(core)().get_params()[key] for key in estimator.parameters.model_fields}
    assert _declared(estimator) == expected | OWN_DEFAULTS.get(name, {})
    assert {key: core.get_params()[key] for key in expected} == _declared(estimator), "make() has other defaults"


def test_declared_parameters_of_xgboost_are_those_of_the_library_with_its_defaults():
    """XGBClassifier itself leaves them to the C++ core, which tells them once a model is fitted."""
    estimator = estimators.known()["xgboost"]
    from xgboost import XGBClassifier

    assert estimator.parameters.model_fields.keys() <= XGBClassifier().get_params().keys()
    model = XGBClassifier(n_jobs=1).fit(np.array([[0.0], [1.0]]), np.array([0, 1]))
    learner = json.loads(model.get_booster().save_config())["learner"]
    core = learner["gradient_booster"]
    told = core["tree_train_param"] | core["gbtree_model_param"] | core["gbtree_train_param"]
    # A third answer of the library: what its objective and its own loop take.
    told |= learner["objective"]["reg_loss_param"] | {"n_estimators": model.get_num_boosting_rounds()}
    declared = {key: value for key, value in _declared(estimator).items() if value is not None}
    different = {
        key: (value, told[key])
        for key, value in declared.items()
        if key != "tree_method" and not _same(value, told[key])
    }
    assert different == {}
    assert _core_settings(estimator)["tree_method"] == declared["tree_method"]


def _same(declared: Any, told: Any) -> bool:
    return str(told) == declared if isinstance(declared, str) else float(told) == pytest.approx(declared)


def _declared(estimator: Estimator) -> dict[str, Any]:
    return estimator.parameters().model_dump()


def _core_settings(estimator: Estimator) -> dict[str, Any]:
    found: dict[str, Any] = _core(estimator).get_params()
    return found


def _core(estimator: Estimator) -> Any:
    from serin.schema import InputColumn, InputSchema

    model: Any = estimator.make({}, InputSchema(columns=(InputColumn(name="x"),)), 0)
    return model.steps[-1][1] if hasattr(model, "steps") else model


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("xgbost", {}, r"training\.estimators\.xgbost: no such estimator; allowed: logistic_regression, r"),
        ("xgboost", {"n_estimator": 5}, r"training\.estimators\.xgboost\.n_estimator: unknown parameter; allowed: b"),
        ("xgboost", {"n_estimators": 0}, r"xgboost\.n_estimators: Input should be greater than 0 \(found 0\)"),
        ("xgboost", {"subsample": 1.5}, r"xgboost\.subsample: Input should be less than or equal to 1 \(found 1\.5\)"),
        ("xgboost", {"tree_method": "hits"}, r"xgboost\.tree_method: .*'hist', 'exact' or 'approx' \(found 'hits'\)"),
        ("logistic_regression", {"C": -1}, r"logistic_regression\.C: Input should be greater than 0 \(found -1\)"),
        ("logistic_regression", {"C": "much"}, r"logistic_regression\.C: .*valid number.* \(found 'much'\)"),
        ("random_forest", {"max_samples": 1.5}, r"random_forest\.max_samples\..*less than or equal to 1 \(found 1\."),
        ("random_forest", {"class_weight": "even"}, r"random_forest\.class_weight\..*'balanced'.*\(found 'even'\)"),
    ],
)  # fmt: skip
def test_misspelt_or_impossible_parameter_is_refused_when_the_use_case_is_read(name, parameters, told):
    with pytest.raises(UseCaseError, match=told):
        case_of(**{name: parameters})


def test_weights_by_class_survive_the_way_through_a_pipeline(frame):
    """JSON has no whole numbers as keys, and scikit-learn knows no class '1'."""
    case = case_of(logistic_regression={"class_weight": {0: 1.0, 1: 50.0}})
    read = use_case.loads(use_case.dumps(case))
    weighted, plain = (train(frame, c, "logistic_regression") for c in (read, case_of(logistic_regression={})))
    assert weighted.validation_scores.mean() > plain.validation_scores.mean() + 0.1


def test_reading_a_use_case_imports_no_library_of_an_estimator():
    program = (
        "import sys; from serin import use_case, workspace; "
        "use_case.load('card_fraud', workspace.Workspace.from_variables({}).use_cases); "
        "print(sorted({'sklearn', 'xgboost', 'skops', 'scipy', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
