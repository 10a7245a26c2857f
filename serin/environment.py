"""The environment variables that Serin reads and sets: this module is the only one that touches them.

    SERIN_ROOT              the folder with feature_repo/ and pipelines/use_cases/ (default: the one you stand in or
                            above, else the checkout that Serin was installed from)
    SERIN_PROFILE           local (default) or cluster
    SERIN_STORAGE           folder or s3:// URI for events, features and predictions     (local: <root>/.serin)
    MLFLOW_TRACKING_URI     tracking server and model registry                           (local: SQLite in .serin)
    SERIN_FEATURE_STORE     Feast's feature_store.yaml                    (local: feature_repo/feature_store.yaml)
    SERIN_NAMESPACE         cluster: the namespace of the models  (a pod: its own; else the kubeconfig context's)
    SERIN_GATEWAY           cluster: the base URL of the mesh's gateway, as clients reach it
    SERIN_PROMETHEUS        cluster: the base URL of Prometheus
    SERIN_PROMETHEUS_QUERIES  cluster: serin (the predictor's own metrics, default) or istio (the mesh's)
    SERIN_KFP_HOST          cluster: the base URL of Kubeflow Pipelines, of its pages and its API; without it pipelines
                            run on this machine
    SERIN_KFP_NAMESPACE     cluster: the profile's namespace, of a multi-user Kubeflow
    SERIN_KFP_TOKEN_FILE    cluster: a file with a bearer token, such as a service account's projected one
    SERIN_KFP_CA_FILE       cluster: the certificate of the authority behind an https:// SERIN_KFP_HOST
    SERIN_IMAGE             the image of the pipeline steps, when pipelines are compiled
    SERIN_SPARK             engine spark: the master of the Spark cluster; sc:// too, for features.engine
                                                                                      (default: within the step itself)
    SERIN_POD               the pod of the step that this is              (set for its steps by Kubeflow)
    SERIN_RUN               the run that the step is part of              (set for its steps by Kubeflow)
    SERIN_THREADS           how many threads a training may use           (set for its steps by the local runner)
    SERIN_TERMINATION_LOG   where a failing step leaves its last words    (set for its steps by the local runner)
    SERIN_RUNNER_PID        the process with which a step has to end      (set for its steps by the local runner)

Libraries read their own beside these, such as AWS_ENDPOINT_URL, and Feast's files SERIN_REDIS.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TERMINATION_LOG = "SERIN_TERMINATION_LOG"
RUNNER = "SERIN_RUNNER_PID"
THREADS = "SERIN_THREADS"


def variables() -> dict[str, str]:
    """A copy of the environment, for the composition root and for child processes."""
    return dict(os.environ)


def image() -> str:
    """The image that every pipeline step runs in on a cluster."""
    return os.environ.get("SERIN_IMAGE") or "serin-pipeline:0.1.0"


def spark() -> str:
    """The master of the Spark cluster; "" for one within the step itself."""
    return os.environ.get("SERIN_SPARK", "")


def termination_log() -> Path:
    """Where Kubernetes, or the local runner, looks for a step's last words."""
    return Path(os.environ.get(TERMINATION_LOG, "/dev/termination-log"))


def runner() -> int | None:
    """The process that runs the pipeline on this machine; None on a cluster."""
    pid = os.environ.get(RUNNER)
    return int(pid) if pid else None


def threads() -> int | None:
    """How many threads a training may use on this machine; None on a cluster, where its pool says so."""
    number = os.environ.get(THREADS)
    return int(number) if number else None


def run() -> str:
    """The run of Kubeflow's that this step is part of; "" elsewhere."""
    return os.environ.get("SERIN_RUN", "")


def set_defaults(values: Mapping[str, str]) -> None:
    """Set variables that a library reads, where nobody has set them."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextmanager
def changed(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the children that start in the block, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
