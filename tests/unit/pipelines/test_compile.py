"""Every pipeline compiles to IR YAML that a backend can take, with all that a cluster must know of its tasks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import catalogue, settings
from serin.adapters.cluster.package import Package, titles
from serin.adapters.cluster.pipelines import ACCOUNTS
from serin.use_case import Pool
from tests.factories import make_case

PIPELINES = tuple(catalogue.pipelines())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {path.stem: path.read_text() for path in catalogue.compile_all(tmp_path_factory.mktemp("ir"))}


@pytest.fixture(scope="module")
def compiled(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {name: next(yaml.safe_load_all(text)) for name, text in texts.items()}


@pytest.fixture(scope="module")
def platforms(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {name: executors(text) for name, text in texts.items()}


def executors(text: str) -> dict[str, Any]:
    _, platform = yaml.safe_load_all(text)
    found: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return found


def tasks(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tasks that run a container, over all levels."""
    dags = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    for dag in dags:
        for name, task in dag["tasks"].items():
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]:
                yield name, task


@pytest.mark.parametrize("name", PIPELINES)
def test_both_documents_are_what_kfp_s_own_schemas_say(texts, name):
    spec, platform = yaml.safe_load_all(texts[name])
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    for executor in executors(texts[name]).values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_runs_serins_image_and_installs_nothing(compiled, name):
    for executor in compiled[name]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].startswith("serin-pipeline:")
        assert not any("pip install" in part for part in container["command"])


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_takes_the_use_case_as_text(compiled, name):
    parameters = compiled[name]["root"]["inputDefinitions"]["parameters"]
    assert parameters["use_case"]["parameterType"] == "STRING"


def test_training_has_a_task_a_step_and_loops_over_estimators(compiled):
    found = compiled["training"]["root"]["dag"]["tasks"]
    assert {"ingest", "features", "estimators", "stack", "evaluate", "register"} < set(found)
    assert any("parameterIterator" in task for task in found.values())


def test_retraining_trains_only_where_drift_says_so(compiled):
    found = compiled["retraining"]["root"]["dag"]["tasks"]
    conditions = [task["triggerPolicy"]["condition"] for task in found.values() if "triggerPolicy" in task]
    assert len(conditions) == 1
    assert "== 'retrain'" in conditions[0]


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_is_tried_again_after_a_growing_while_and_never_taken_from_a_cache(compiled, name):
    for _, task in tasks(compiled[name]):
        policy = task["retryPolicy"]
        assert (policy["maxRetryCount"], policy["backoffDuration"], policy["backoffFactor"]) == (3, "30s", 2.0)
        assert not task["cachingOptions"].get("enableCache", False)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_has_a_display_name(compiled, name):
    for task, title in titles(compiled[name]).items():
        assert title != task or title in {step.title for step in settings.STEPS.values()}


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_has_settings(compiled, platforms, name):
    assert platforms[name].keys() == compiled[name]["deploymentSpec"]["executors"].keys()


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_finds_the_endpoints_and_no_secret_is_written_down(platforms, texts, name):
    for executor in platforms[name].values():
        variables = {
            (source.get("configMapName") or source["secretName"], key["envVar"]): source["optional"]
            for source in (*executor["configMapAsEnv"], *executor["secretAsEnv"])
            for key in source["keyToEnv"]
        }
        assert variables == {
            ("serin-endpoints", "SERIN_PROFILE"): False,
            ("serin-endpoints", "SERIN_STORAGE"): False,
            ("serin-endpoints", "MLFLOW_TRACKING_URI"): False,
            ("serin-endpoints", "SERIN_NAMESPACE"): True,
            ("serin-endpoints", "AWS_ENDPOINT_URL"): True,
            ("serin-endpoints", "FEAST_S3_ENDPOINT_URL"): True,
            ("serin-endpoints", "AWS_DEFAULT_REGION"): True,
            ("serin-endpoints", "SERIN_PROMETHEUS"): True,
            ("serin-endpoints", "SERIN_PROMETHEUS_QUERIES"): True,
            ("serin-endpoints", "SERIN_GATEWAY"): True,
            ("serin-endpoints", "SERIN_SPARK"): True,
            ("serin-redis", "SERIN_REDIS"): False,
            ("serin-s3", "AWS_ACCESS_KEY_ID"): True,
            ("serin-s3", "AWS_SECRET_ACCESS_KEY"): True,
        }
        assert executor["fieldPathAsEnv"] == [
            {"name": "SERIN_POD", "fieldPath": "metadata.name"},
            {"name": "SERIN_RUN", "fieldPath": "metadata.labels['pipeline/runid']"},
        ]
    assert "env:" not in texts[name].replace("Env:", "")


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_is_somebody_without_rights_and_ends_one_day(platforms, name):
    for executor in platforms[name].values():
        user = {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert executor["securityContext"] == user
        assert 0 < int(executor["activeDeadlineSeconds"]) <= 7 * 86400
        assert executor["imagePullPolicy"] == "IfNotPresent"
        assert executor["podMetadata"]["labels"]["app.kubernetes.io/part-of"] == "serin"
        assert executor["podMetadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert {mount["mountPath"] for mount in executor["emptyDirMounts"]} == {"/tmp", "/app/.serin"}  # noqa: S108


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_asks_for_its_share_and_has_a_limit(compiled, name):
    for executor in compiled[name]["deploymentSpec"]["executors"].values():
        resources = executor["container"]["resources"]
        assert resources["memoryRequest"] == resources["memoryLimit"] > 0
        assert 0 < resources["cpuRequest"] <= resources["cpuLimit"]


@pytest.mark.parametrize("name", PIPELINES)
def test_an_account_is_known_for_every_pipeline(texts, name):
    assert Package(texts[name]).name in ACCOUNTS


def test_ordinary_nodes_are_chosen_by_no_label(platforms):
    assert not any({"nodeSelector", "tolerations"} & set(e) for e in platforms["training"].values())


@pytest.mark.parametrize("name", ["training", "retraining"])
def test_estimators_alone_are_trained_on_the_machines_of_the_pool(tmp_path, name):
    pool = Pool(kind="gpu", spot=True, cpu=8, memory="16Gi")
    text = {path.stem: path.read_text() for path in catalogue.compile_all(tmp_path, (pool,))}[name]
    trains, others = executors(text)["exec-train"], {k: v for k, v in executors(text).items() if k != "exec-train"}
    toleration = {"key": "serin/pool", "operator": "Equal", "value": "gpu-spot", "effect": "NoSchedule"}
    assert trains["nodeSelector"] == {"labels": {"serin/pool": "gpu-spot"}}
    assert trains["tolerations"] == [toleration]
    assert not any({"nodeSelector", "tolerations"} & set(executor) for executor in others.values())
    spec = next(yaml.safe_load_all(text))
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceMemoryRequest"]) == ("8", "16Gi")
    assert resources["accelerator"] == {
        "count": "1", "resourceCount": "1", "type": "nvidia.com/gpu", "resourceType": "nvidia.com/gpu"
    }  # fmt: skip


CPU, GPU = Pool(), Pool(kind="gpu", spot=True, cpu=8, memory="16Gi")


@pytest.mark.parametrize("name", ["training", "retraining"])
def test_where_pools_differ_each_training_asks_for_its_own_as_it_runs(tmp_path, name):
    text = {path.stem: path.read_text() for path in catalogue.compile_all(tmp_path, (CPU, GPU))}[name]
    spec, platform = yaml.safe_load_all(text)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    trains = executors(text)["exec-train"]
    json_format.ParseDict(trains, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    assert trains["nodeSelector"] == {"nodeSelectorJson": {"componentInputParameter": "selector"}}
    assert trains["tolerations"] == [{"tolerationJson": {"componentInputParameter": "tolerations"}}]
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert resources["resourceCpuLimit"] == "{{$.inputs.parameters['pipelinechannel--cpu']}}"
    assert resources["resourceMemoryRequest"] == "{{$.inputs.parameters['pipelinechannel--memory']}}"
    assert resources["accelerator"]["resourceCount"] == "{{$.inputs.parameters['pipelinechannel--gpus']}}"
    assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"


def test_pools_without_gpus_ask_for_none(tmp_path):
    pools = (CPU, Pool(cpu=8))
    text = {path.stem: path.read_text() for path in catalogue.compile_all(tmp_path, pools)}["training"]
    resources = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert "accelerator" not in resources


def test_ir_does_not_grow_with_the_number_of_pools(tmp_path):
    two, three = (
        catalogue.compile_all(tmp_path / str(len(pools)), pools) for pools in ((CPU, GPU), (CPU, GPU, Pool(cpu=64)))
    )
    assert [path.read_bytes() for path in two] == [path.read_bytes() for path in three]


def test_pools_of_a_use_case_are_those_of_the_estimators_that_are_fitted_on_rows():
    training = {
        "estimators": {"xgboost": {}, "logistic_regression": {}, "stacking": {}},
        "pools": {"xgboost": {"kind": "gpu"}},
    }
    case = make_case({"id": "integer", "x": "number", "y": "integer"}, request=["x"], training=training)
    assert catalogue.pools_of(case) == (Pool(kind="gpu"), Pool())


def test_same_code_compiles_to_the_same_bytes(tmp_path):
    first, second = (catalogue.compile_all(tmp_path / name) for name in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_another_image_is_another_version_of_every_pipeline(texts):
    code = (
        "from pipelines import catalogue; from serin.adapters.cluster.package import compiled;"
        "[print(compiled(one).version) for one in catalogue.pipelines().values()]"
    )
    # In a process of its own: the image is read as the components are imported.
    variables = {**os.environ, "SERIN_IMAGE": "registry.example/serin-pipeline:2"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    others = done.stdout.split()
    own = [Package(texts[name]).version for name in PIPELINES]
    assert [name.rpartition("-")[0] for name in others] == [name.rpartition("-")[0] for name in own]
    assert not set(others) & set(own)
