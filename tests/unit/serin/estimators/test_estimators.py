"""Estimators and engines: each a file, held to what its library says, and light until a model is made."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from predictors.load import load as load_for_serving
from serin import engines, estimators, use_case
from serin.artifact import REFERENCE, Manifest, seal
from serin.errors import ArtifactError, UseCaseError
from serin.estimators import lightgbm, logistic_regression, random_forest, xgboost
from serin.estimators.base import Estimator, Rows, Unkept
from serin.schema import InputColumn, InputSchema
from tests.factories import make_artifact

# Where Serin's own default differs from the library's, and why is said there.
OWN_DEFAULTS = {"logistic_regression": {"max_iter": 1000}}
SEARCHED = ("lightgbm", "logistic_regression", "random_forest", "xgboost")

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
    def __init__(self, share):
        self.share = share

    def predict_proba(self, X):
        return np.tile([1 - self.share, self.share], (len(X), 1))

class Majority(Estimator):
    name, engine, parameters = "majority", "constant", MajorityParameters

    def space(self, trial):
        return {"weight": trial.suggest_float("weight", 0.5, 1.0)}

    def fit(self, rows, parameters, inputs, seed, *, parts, device="cpu", threads=1):
        return Core(float(rows.y.mean()) * parameters.get("weight", 1.0))
"""


INPUTS = InputSchema(columns=(InputColumn(name="x"),))


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


def test_estimator_is_one_file_that_a_use_case_lists_and_serving_loads(dummies, tmp_path):
    case_of(majority={"weight": 0.5})
    estimator = estimators.known()["majority"]
    rows = Rows(np.zeros((4, 1), np.float32), np.array([0, 0, 0, 1], np.int8))
    model = estimator.fit(rows, estimator.settings({"weight": 0.5}), INPUTS, 0, parts=Unkept())
    manifest = with_engine(tmp_path, "constant", model)
    served = load_for_serving(tmp_path)
    assert (served.manifest, served.engines) == (manifest, "constant")
    np.testing.assert_allclose(served.predict(np.zeros((3, 1), np.float32)), 0.125)
    with pytest.raises(UseCaseError, match=r"training\.estimators\.majority\.wait: unknown parameter; allowed: weight"):
        case_of(majority={"wait": 0.5})


def with_engine(folder: Path, engine: str, model: Any) -> Manifest:
    """An artifact whose model is of another engine alone."""
    manifest = make_artifact(folder)
    (folder / manifest.models[manifest.engine]).unlink()
    file = engines.known()[engine].file
    engines.known()[engine].save(model, folder / file)
    table = pq.read_table(folder / REFERENCE)
    score = pa.array(engines.known()[engine].load(folder / file)(np.zeros((table.num_rows, 4), np.float32)))
    pq.write_table(table.set_column(table.schema.get_field_index("score"), "score", score), folder / REFERENCE)
    return seal(folder, manifest.model_copy(update={"engine": engine, "models": {engine: file}}))


def test_estimator_whose_file_is_gone_is_no_longer_known():
    assert "majority" not in estimators.known()
    assert set(estimators.known()) == {"lightgbm", "logistic_regression", "random_forest", "stacking", "xgboost"}
    assert set(engines.known()) == {"lightgbm", "onnx", "sklearn", "stack", "xgboost"}
    assert all(estimator.engine in engines.known() for estimator in estimators.known().values())


def test_artifact_holds_a_model_file_for_each_engine_that_can_serve_it(dummies, tmp_path):
    manifest = make_artifact(tmp_path)
    (tmp_path / "model.txt").write_text("0.25")
    both = {"xgboost": "model.ubj", "constant": "model.txt"}
    seal(tmp_path, manifest.model_copy(update={"models": both}))
    rows = np.ones((3, 4), np.float32)
    assert not np.allclose(engines.load(tmp_path)[1](rows), 0.25)
    np.testing.assert_array_equal(engines.load(tmp_path, "constant")[1](rows), np.full(3, 0.25))
    with pytest.raises(ArtifactError, match="no model of engine sklearn; the artifact holds xgboost, constant, known"):
        engines.load(tmp_path, "sklearn")


def test_engine_that_is_not_known_here_is_named(tmp_path):
    manifest = make_artifact(tmp_path)
    (tmp_path / "model.tflite").touch()
    changed = manifest.model_copy(update={"models": {"tflite": "model.tflite"}, "engine": "tflite"})
    seal(tmp_path, changed)
    with pytest.raises(
        ArtifactError, match=r"no model of engine tflite; .* known here: lightgbm, onnx, sklearn, stack"
    ):
        engines.load(tmp_path)


class Suggested:
    """A trial that takes what it was given and hears which names are asked for, within which bounds."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.asked = given, set[str]()

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(self._of(name, low, high))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self._of(name, low, high))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.add(name)
        assert self.given[name] in choices
        return self.given[name]

    def _of(self, name: str, low: float, high: float) -> Any:
        self.asked.add(name)
        assert low <= self.given[name] <= high
        return self.given[name]


@pytest.mark.parametrize("name", SEARCHED)
def test_first_trial_lies_in_the_space_and_names_all_of_it(name):
    estimator = estimators.known()[name]
    trial = Suggested(dict(estimator.first))
    estimator.settings(estimator.space(trial))
    assert trial.asked == estimator.first.keys()


@pytest.mark.parametrize("name", SEARCHED)
def test_every_trial_of_a_search_gives_parameters_that_a_use_case_may_give(name):
    from optuna.logging import WARNING, set_verbosity
    from optuna.samplers import RandomSampler
    from optuna.study import create_study

    set_verbosity(WARNING)
    estimator, study = estimators.known()[name], create_study(sampler=RandomSampler(seed=0))
    for _ in range(20):
        assert estimators.problems(name, estimator.space(study.ask())) == []


def test_stacking_is_not_fitted_on_rows():
    estimator = estimators.known()["stacking"]
    assert estimator.combines
    with pytest.raises(TypeError, match="on the scores of the other estimators, not on rows"):
        estimator.fit(Rows(np.zeros((1, 1), np.float32), np.zeros(1, np.int8)), {}, INPUTS, 0, parts=Unkept())


@pytest.mark.parametrize(
    ("name", "module"), [("logistic_regression", logistic_regression), ("random_forest", random_forest)]
)
def test_declared_parameters_are_the_librarys_with_its_defaults(name, module):
    estimator, core = estimators.known()[name], module.core({}, 0)
    assert estimator.parameters.model_fields.keys() <= core.get_params().keys()
    expected = {key: type(core)().get_params()[key] for key in estimator.parameters.model_fields}
    assert _declared(estimator) == expected | OWN_DEFAULTS.get(name, {})
    assert {key: core.get_params()[key] for key in expected} == _declared(estimator), "core() has other defaults"


def test_declared_parameters_of_lightgbm_are_those_of_the_library_with_its_defaults():
    """LGBMClassifier names the most; what a model writes of its parameters has all of them, by other names."""
    from lightgbm import LGBMClassifier

    declared = _declared(estimators.known()["lightgbm"])
    model = LGBMClassifier(n_jobs=1, verbosity=-1, min_child_samples=1).fit(np.arange(8.0)[:, None], [0, 1] * 4)
    told = dict(re.findall(r"^\[(\w+): (.*)\]$", model.booster_.model_to_string(), re.MULTILINE))
    named = LGBMClassifier().get_params()
    for key, value in declared.items():
        assert named[key] == value if key in named else float(told[key]) == float(value), key
    assert lightgbm.core({})["objective"] == told["objective"] == "binary"


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
    assert xgboost.core({})["tree_method"] == declared["tree_method"]


def _same(declared: Any, told: Any) -> bool:
    return str(told) == declared if isinstance(declared, str) else float(told) == pytest.approx(declared)


def _declared(estimator: Estimator) -> dict[str, Any]:
    return estimator.parameters().model_dump()


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("xgbost", {}, r"training\.estimators\.xgbost: no such estimator; allowed: lightgbm, logistic_regression, r"),
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


def test_weights_by_class_survive_the_way_through_a_pipeline():
    """JSON has no whole numbers as keys, and scikit-learn knows no class '1'."""
    case = case_of(logistic_regression={"class_weight": {0: 1.0, 1: 50.0}})
    given = use_case.loads(use_case.dumps(case)).training.estimators["logistic_regression"]
    estimator = estimators.known()["logistic_regression"]
    x = np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32)
    rows = Rows(x, (x[:, 0] > 0.5).astype(np.int8))
    weighted, plain = (
        estimator.fit(rows, estimator.settings(each), INPUTS, 0, parts=Unkept()).predict_proba(x)[:, 1].mean()
        for each in (given, {})
    )
    assert weighted > plain + 0.1


def test_reading_a_use_case_imports_no_library_of_an_estimator():
    program = (
        "import sys; from serin import use_case, workspace; "
        "use_case.load('card_fraud', workspace.Workspace.from_variables({}).use_cases); "
        "heavy = {'sklearn', 'xgboost', 'lightgbm', 'onnxruntime', 'skops', 'scipy', 'pandas'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
