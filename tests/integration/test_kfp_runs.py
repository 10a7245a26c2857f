"""Runs on Kubeflow, submitted and followed to their end, against a stand-in of its API server over HTTP."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipelines import catalogue
from pipelines.rollout import rollout
from pipelines.training import training
from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.following import Pace
from serin.adapters.cluster.kfp import Kubeflow
from serin.adapters.cluster.package import compiled
from serin.adapters.cluster.pipelines import KubeflowPipelines
from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError
from serin.progress import Progress
from serin.workspace import Workspace
from tests import services
from tests.kfp_server import Fault, Frame, KfpServer, kfp_server

QUICK = Pace(first=0.01, growth=1.1, longest=0.05, patience=0.3)
ARGUMENTS = {"use_case": "card_fraud-0123456789ab"}
RUNS = "/apis/v2beta1/runs/"


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with kfp_server() as server:
        yield server


@pytest.fixture
def workspace(tmp_path) -> Workspace:  # type: ignore[no-untyped-def]
    root = services.workspace_copy(tmp_path / "workspace")
    variables = {
        "SERIN_ROOT": str(root),
        "SERIN_PROFILE": "cluster",
        "SERIN_STORAGE": "s3://serin/data",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    }
    return Workspace.from_variables(variables)


@pytest.fixture
def backend(kfp: KfpServer, workspace: Workspace) -> KubeflowPipelines:
    return KubeflowPipelines(
        Kubeflow(Endpoints(None, "", "", "serin", kfp.url, "", None)), workspace, lambda: None, QUICK
    )


def ran(backend: KubeflowPipelines, pipeline: Any = training) -> list[Progress]:
    heard: list[Progress] = []
    backend.run(pipeline, ARGUMENTS, heard.append)
    return heard


def test_a_run_is_told_by_the_display_names_of_its_steps(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(
        Frame("PENDING"),
        Frame("RUNNING", {"root-driver": "SUCCEEDED", "ingest-driver": "SUCCEEDED", "ingest": "RUNNING"}),
        Frame("RUNNING", {"ingest": "SUCCEEDED", "each-estimator": "RUNNING", "features": "RUNNING"}),
        Frame("SUCCEEDED", {"ingest": "SUCCEEDED", "features": "SUCCEEDED", "register": "SUCCEEDED"}),
    )
    link, *events = ran(backend)
    (run,) = kfp.runs.values()
    assert link.text == f"run {run.display_name}: {kfp.url}/#/runs/details/{run.run_id}"
    assert [(event.task, event.event) for event in events] == [
        ("ingest and check", "started"),
        ("ingest and check", "finished"),
        ("features and training set", "started"),
        ("features and training set", "finished"),
        ("register", "started"),
        ("register", "finished"),
    ]


def test_a_failed_run_is_an_error_with_the_step_and_what_it_said(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    said = "Error (exit code 1): ingest failed: 900 of 1,000 rows are bad"
    kfp.play(
        Frame("RUNNING", {"ingest": "RUNNING"}),
        Frame("FAILED", {"ingest": "FAILED", "executor": "FAILED", "features": "SKIPPED"}, {"executor": said}),
    )
    with pytest.raises(SerinError, match=re.escape(f"the run failed: step ingest and check: {said}")) as error:
        ran(backend)
    assert str(error.value).endswith(f"/#/runs/details/{next(iter(kfp.runs))}")


def test_a_failed_run_without_a_failed_step_is_told_with_its_own_error(
    kfp: KfpServer, backend: KubeflowPipelines
) -> None:
    kfp.play(Frame("FAILED", {}, {"": "the workflow's pod quota is used up"}))
    with pytest.raises(SerinError, match="the run failed: the workflow's pod quota is used up"):
        ran(backend)


def test_a_run_that_failed_without_a_word_says_so(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(Frame("FAILED", {"features": "FAILED"}, pods={"features": "serin-training-x1"}))
    told = (
        "step features and training set: Kubeflow gives no reason\n  its log: kubectl logs serin-training-x1 -c main\n"
    )
    with pytest.raises(SerinError, match=told):
        ran(backend)


def test_a_task_may_be_called_by_its_display_name(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(Frame("SUCCEEDED", {"ingest and check": "SUCCEEDED"}))
    assert [event.task for event in ran(backend)[1:]] == ["ingest and check"] * 2


def test_a_run_whose_pipeline_version_was_deleted_is_followed_by_kfp_s_names(
    kfp: KfpServer, backend: KubeflowPipelines
) -> None:
    run = backend.submit(compiled(training), ARGUMENTS)
    kfp.versions.clear()
    kfp.play(
        Frame("RUNNING", {"root": "RUNNING", "root-driver": "SUCCEEDED", "ingest-driver": "SUCCEEDED"}),
        Frame("FAILED", {"ingest": "FAILED", "executor": "FAILED"}, {"ingest": "900 of 1,000 rows are bad"}),
    )
    heard: list[Progress] = []
    with pytest.raises(SerinError, match="the run failed: step ingest: 900 of 1,000 rows are bad"):
        backend.follow(run.run_id, heard.append)
    assert heard[0].text == "the run's pipeline version was deleted; its steps go by KFP's names for them"
    assert [(event.task, event.event) for event in heard[1:]] == [("ingest", "started"), ("ingest", "failed")]


def test_a_run_that_is_not_there_can_not_be_followed(backend: KubeflowPipelines) -> None:
    with pytest.raises(NotFoundError, match=r"tell of the run r1, found nothing \(404\): .*Run r1 not found"):
        backend.follow("r1", print)


def test_an_archived_experiment_takes_no_run_and_no_version(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    experiment = backend.kubeflow.experiment("card_fraud")
    kfp.experiments[experiment].storage_state = "ARCHIVED"
    told = (
        f"the experiment card_fraud .* is archived, .*; restore it first: {kfp.url}/#/experiments/details/{experiment}"
    )
    with pytest.raises(ConflictError, match=told):
        backend.submit(compiled(rollout), ARGUMENTS)
    assert (kfp.runs, kfp.versions) == ({}, {})


def test_a_cancelled_run_is_an_error(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(Frame("RUNNING", {"ingest": "RUNNING"}), Frame("CANCELED", {"ingest": "CANCELED"}))
    with pytest.raises(SerinError, match="the run was cancelled"):
        ran(backend)


RESTARTING = Fault("GET", RUNS, status=500, body='{"message": "restarting"}')


def test_a_host_that_is_away_for_a_moment_is_asked_again(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(Frame("RUNNING", {"ingest": "RUNNING"}), Frame("SUCCEEDED", {"ingest": "SUCCEEDED"}))
    heard: list[Progress] = []

    def listen(event: Progress) -> None:
        heard.append(event)
        kfp.faults += [RESTARTING] * (event.event == "started")

    backend.run(training, ARGUMENTS, listen)
    _, started, said, finished = heard
    assert (started.event, finished.event) == ("started", "finished")
    assert said.text.endswith("failed (500): restarting; asking again")


def test_a_host_that_stays_away_is_given_up(kfp: KfpServer, backend: KubeflowPipelines) -> None:
    kfp.play(Frame("RUNNING", {"ingest": "RUNNING"}))
    with pytest.raises(UnavailableError, match=r"failed \(500\): restarting"):
        backend.run(training, ARGUMENTS, lambda _: kfp.faults.extend([RESTARTING] * 100))


def test_a_right_that_is_lost_on_the_way_ends_the_following(workspace: Workspace, tmp_path) -> None:  # type: ignore[no-untyped-def]
    token = tmp_path / "token"
    token.write_text("t")
    with kfp_server(multi_user=True, tokens={"t": "ann"}, rights={"ann": {"serin"}}) as kfp:
        kfp.play(Frame("RUNNING", {"ingest": "RUNNING"}))
        endpoints = Endpoints(None, "", "", "serin", kfp.url, "serin", token)
        backend = KubeflowPipelines(Kubeflow(endpoints), workspace, lambda: None, QUICK)
        run = backend.submit(compiled(training), ARGUMENTS)
        with pytest.raises(UnavailableError, match=r"ann may not get runs.pipelines.kubeflow.org in namespace serin"):
            backend.follow(run.run_id, lambda _: kfp.rights.clear())


def test_a_run_is_of_its_use_case_s_experiment_and_has_the_account_of_its_pipeline(
    kfp: KfpServer, backend: KubeflowPipelines
) -> None:
    for pipeline in catalogue.pipelines().values():
        package = compiled(pipeline)
        backend.submit(package, ARGUMENTS | ({"data": "s3://rows"} if "data" in package.parameters else {}))
    assert [experiment.display_name for experiment in kfp.experiments.values()] == ["card_fraud"]
    accounts = {run.display_name.partition("-card")[0]: run.service_account for run in kfp.runs.values()}
    assert accounts.items() >= {
        ("serin-training", "serin-pipeline"),
        ("serin-retraining", "serin-drift"),
        ("serin-rollout", "serin-rollout"),
    }


def test_definitions_are_applied_before_a_run_is_started(
    kfp: KfpServer, backend: KubeflowPipelines, workspace: Workspace
) -> None:
    seen: list[int] = []
    KubeflowPipelines(backend.kubeflow, workspace, lambda: seen.append(len(kfp.runs))).submit(
        compiled(training), ARGUMENTS
    )
    assert seen == [0]


def test_a_parameter_that_the_pipeline_does_not_take_is_named_before_anything_is_asked(
    kfp: KfpServer, backend: KubeflowPipelines
) -> None:
    told = r"data: no parameter of the pipeline; it takes .*use_case, version"
    with pytest.raises(SerinError, match=told):
        backend.submit(compiled(rollout), {**ARGUMENTS, "data": "s3://b/t.csv"})
    with pytest.raises(SerinError, match="use_case: missing"):
        backend.submit(compiled(rollout), {})
    with pytest.raises(SerinError, match="version: found '3', allowed is a NUMBER_INTEGER"):
        backend.submit(compiled(rollout), {**ARGUMENTS, "version": "3"})
    with pytest.raises(SerinError, match="use_case: 10,001 characters, allowed are 10,000"):
        backend.submit(compiled(rollout), {"use_case": "x" * 10_001})
    assert not kfp.requests


def test_a_storage_on_this_machine_is_refused(kfp: KfpServer, backend: KubeflowPipelines, workspace: Workspace) -> None:
    backend = KubeflowPipelines(backend.kubeflow, replace(workspace, storage="/data"), lambda: None)
    with pytest.raises(UnavailableError, match="SERIN_STORAGE is /data, a folder of this machine, which no pod can"):
        backend.submit(compiled(rollout), ARGUMENTS)
    assert not kfp.requests
