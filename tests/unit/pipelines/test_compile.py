"""Every pipeline compiles to IR YAML that a backend can take."""

import pytest
import yaml

from pipelines import catalogue

PIPELINES = ("training", "retraining", "refresh", "rollout")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    paths = catalogue.compile_all(tmp_path_factory.mktemp("ir"))
    return {path.stem: next(yaml.safe_load_all(path.read_text())) for path in paths}


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_runs_serins_image_and_installs_nothing(compiled, name):
    executors = compiled[name]["deploymentSpec"]["executors"]
    for executor in executors.values():
        container = executor["container"]
        assert container["image"].startswith("serin-pipeline:")
        assert not any("pip install" in part for part in container["command"])


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_takes_the_use_case_as_text(compiled, name):
    parameters = compiled[name]["root"]["inputDefinitions"]["parameters"]
    assert parameters["use_case"]["parameterType"] == "STRING"


def test_training_has_a_task_a_step_and_loops_over_estimators(compiled):
    tasks = compiled["training"]["root"]["dag"]["tasks"]
    assert {"ingest", "features", "estimator-names", "evaluate", "register"} < set(tasks)
    assert any("parameterIterator" in task for task in tasks.values())


def test_retraining_trains_only_where_drift_says_so(compiled):
    tasks = compiled["retraining"]["root"]["dag"]["tasks"]
    conditions = [task["triggerPolicy"]["condition"] for task in tasks.values() if "triggerPolicy" in task]
    assert len(conditions) == 1
    assert "== 'retrain'" in conditions[0]


def test_steps_that_read_outside_state_are_not_cached(compiled):
    for task in compiled["training"]["root"]["dag"]["tasks"].values():
        if task["componentRef"]["name"] in ("comp-ingest", "comp-features", "comp-evaluate", "comp-register"):
            assert not task["cachingOptions"].get("enableCache", False)


def test_same_code_compiles_to_the_same_bytes(tmp_path):
    first, second = (catalogue.compile_all(tmp_path / name) for name in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
