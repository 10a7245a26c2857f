"""What a cluster must know of each task: data here, and one function that sets it all.

The local runner passes over everything but the titles. Names of ConfigMap, Secrets, pools and labels are those of
manifests/; see adr/0018.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kfp import kubernetes

from components.train.placement import POOL_LABEL
from pipelines.titles import TITLES
from serin.use_case import Pool

ENDPOINTS = "serin-endpoints"  # the ConfigMap
REQUIRED_ENDPOINTS = ("SERIN_PROFILE", "SERIN_STORAGE", "MLFLOW_TRACKING_URI")
OTHER_ENDPOINTS = (
    "SERIN_NAMESPACE",
    "AWS_ENDPOINT_URL",
    "FEAST_S3_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "SERIN_PROMETHEUS",
    "SERIN_PROMETHEUS_QUERIES",
    "SERIN_GATEWAY",
    "SERIN_SPARK",
)
REDIS, REDIS_KEYS = "serin-redis", ("SERIN_REDIS",)  # a Secret
# A Secret as well; where pods have rights of their own (IRSA, workload identity), there is none.
S3, S3_KEYS = "serin-s3", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
LABELS = {
    "app.kubernetes.io/part-of": "serin",
    "app.kubernetes.io/component": "pipeline",
    # A step ends, and a sidecar would not.
    "sidecar.istio.io/inject": "false",
}
GPU = "nvidia.com/gpu"
USER = GROUP = 10001  # as the images have them
# What a step may write to, whether or not its root file system is read-only.
WRITABLE = {"tmp": ("/tmp", "20Gi"), "state": ("/app/.serin", "1Gi")}  # noqa: S108
RETRIES, FIRST_WAIT, GROWTH, LONGEST_WAIT = 3, "30s", 2.0, "600s"


@dataclass(frozen=True)
class Step:
    """What the Kubeflow UI calls a step, what it may use (CPUs: asked for, at most; memory: both) and for how long."""

    title: str
    cpu: str
    most_cpu: str
    memory: str
    timeout: timedelta


_SMALL = ("100m", "1", "2Gi", timedelta(minutes=15))
_LARGE = ("1", "4", "8Gi", timedelta(hours=6))
# By the name of the component.
STEPS: Mapping[str, Step] = {
    "estimators": Step(TITLES["estimators"], *_SMALL),
    "ingest": Step(TITLES["ingest"], *_LARGE),
    "features": Step(TITLES["features"], *_LARGE),
    "refresh": Step(TITLES["refresh"], *_LARGE),
    "train": Step("train an estimator", *_LARGE),
    "stack": Step(TITLES["stack"], "1", "2", "4Gi", timedelta(hours=1)),
    "evaluate": Step(TITLES["evaluate"], "1", "2", "4Gi", timedelta(hours=1)),
    "register": Step(TITLES["register"], *_SMALL),
    "find-drift": Step(TITLES["drift"], "1", "2", "4Gi", timedelta(hours=1)),
    "find-skew": Step(TITLES["skew"], *_LARGE),
    "find-leaks": Step(TITLES["leak"], *_LARGE),
    "score-table": Step(TITLES["score"], *_LARGE),
    # It waits, as long as the plan's pauses are; killed by the clock, it goes on where it was.
    "roll-out": Step(TITLES["rollout"], "100m", "1", "2Gi", timedelta(days=7)),
}


def applied(task: Any, pool: Pool | None = None) -> Any:
    """The task with all of its settings; with `pool`, it runs on those machines and asks for their share."""
    step = _common(task)
    cpu, most_cpu, memory = (
        (str(pool.cpu), str(pool.cpu), pool.memory) if pool else (step.cpu, step.most_cpu, step.memory)
    )
    task.set_cpu_request(cpu).set_cpu_limit(most_cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
    if pool and pool.kind == "gpu":
        task.set_accelerator_type(GPU).set_accelerator_limit(1)
    if pool and pool.name:
        kubernetes.add_node_selector(task, POOL_LABEL, pool.name)
        kubernetes.add_toleration(task, key=POOL_LABEL, operator="Equal", value=pool.name, effect="NoSchedule")
    return task


def placed(task: Any, *, cpu: Any, memory: Any, gpus: Any, selector: Any, tolerations: Any) -> Any:
    """The task with all of its settings, on the machine that parameters of its pipeline name as it runs.

    `gpus` is None where no pool has any: a node without them knows no such resource.
    """
    _common(task)
    task.set_cpu_request(cpu).set_cpu_limit(cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
    if gpus is not None:
        task.set_accelerator_type(GPU).set_accelerator_limit(gpus)
    kubernetes.add_node_selector_json(task, selector)
    kubernetes.add_toleration_json(task, tolerations)
    return task


def _common(task: Any) -> Step:
    step = STEPS[task.component_spec.name]
    task.set_display_name(step.title)
    # A step reads the feature store and the model registry, which KFP's cache does not see.
    task.set_caching_options(False)
    task.set_retry(RETRIES, FIRST_WAIT, GROWTH, LONGEST_WAIT)
    kubernetes.set_timeout(task, int(step.timeout.total_seconds()))
    _environment(task)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=GROUP, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    for name, (path, size) in WRITABLE.items():
        kubernetes.empty_dir_mount(task, volume_name=f"serin-{name}", mount_path=path, size_limit=size)
    for key, value in LABELS.items():
        kubernetes.add_pod_label(task, key, value)
    return step


def _environment(task: Any) -> None:
    """Where everything is: no image has to know it, and no value of a Secret is written here."""
    kubernetes.use_config_map_as_env(task, ENDPOINTS, _same(REQUIRED_ENDPOINTS))
    kubernetes.use_config_map_as_env(task, ENDPOINTS, _same(OTHER_ENDPOINTS), optional=True)
    kubernetes.use_field_path_as_env(task, "SERIN_POD", "metadata.name")
    # Kubeflow's API server labels every pod of a run with it.
    kubernetes.use_field_path_as_env(task, "SERIN_RUN", "metadata.labels['pipeline/runid']")
    kubernetes.use_secret_as_env(task, REDIS, _same(REDIS_KEYS))
    kubernetes.use_secret_as_env(task, S3, _same(S3_KEYS), optional=True)


def _same(names: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in names}
