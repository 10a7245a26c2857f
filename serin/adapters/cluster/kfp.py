"""Kubeflow Pipelines' v2beta1 API, as far as Serin asks for it.

The generated client is used rather than `kfp.Client`, which takes a namespace from a file in the home folder that any
other tool may have left, asks without a time limit and prints as it goes.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from json import dumps
from pathlib import Path
from typing import Any

import kfp_server_api as api
import urllib3

from serin.adapters.cluster.endpoints import Endpoints
from serin.adapters.cluster.kfp_errors import explained
from serin.adapters.cluster.package import Package
from serin.errors import ConflictError, NotFoundError, UnavailableError

_SECONDS = (10, 60)  # to connect, and to answer
_PAGE = 100
# Only what can be asked twice: a run that was started and whose answer was lost must not be started again.
_RETRIES = urllib3.Retry(3, backoff_factor=0.3, status_forcelist=(502, 503, 504), raise_on_status=False)


@dataclass(frozen=True)
class Version:
    """A version of a pipeline as KFP knows it; `uploaded` says whether it is new there."""

    pipeline_id: str
    version_id: str
    name: str
    uploaded: bool

    @property
    def reference(self) -> api.V2beta1PipelineVersionReference:
        """What runs and recurring runs name it by."""
        return api.V2beta1PipelineVersionReference(pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id)


class Kubeflow:
    """A Kubeflow Pipelines host. Every method raises as `call` does."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Asks nothing yet. Raises UnavailableError where `endpoints` names no host."""
        if not endpoints.kfp_host:
            raise UnavailableError("no Kubeflow Pipelines is named: set SERIN_KFP_HOST to its URL, or give --host URL")
        self.host = endpoints.kfp_host
        self._asked_namespace = endpoints.kfp_namespace or None
        self._client = api.ApiClient(_configuration(endpoints))
        self.pipelines = api.PipelineServiceApi(self._client)
        self.experiments = api.ExperimentServiceApi(self._client)
        self.runs = api.RunServiceApi(self._client)
        self.recurring_runs = api.RecurringRunServiceApi(self._client)

    def call(self, doing: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One request; `doing` completes "asked to ..." in what an error says.

        Raises UnavailableError (nobody answers, no right, a failure there), NotFoundError (404), ConflictError (409),
        SerinError (400).
        """
        try:
            answer = method(*args, _request_timeout=_SECONDS, **kwargs)
        except (api.ApiException, urllib3.exceptions.HTTPError) as error:
            raise explained(error, self.host, doing) from None
        kind = str(self._client.last_response.getheader("content-type"))
        if "json" not in kind:
            raise UnavailableError(
                f"{self.host} is not Kubeflow Pipelines' API, or wants a login first: asked to {doing}, it answers "
                f"with {kind}. SERIN_KFP_TOKEN_FILE names a file with a token"
            )
        return answer

    def listed(self, doing: str, method: Callable[..., Any], items: str, *args: Any, **kwargs: Any) -> list[Any]:
        """All items of a list, over all of its pages; `items` is the answer's field that has them."""
        found: list[Any] = []
        token = ""
        while True:
            page = self.call(doing, method, *args, page_size=_PAGE, page_token=token, **kwargs)
            found += getattr(page, items) or []
            token = page.next_page_token or ""
            if not token:
                return found

    @cached_property
    def namespace(self) -> str | None:
        """The profile's namespace of a multi-user Kubeflow; None of a single-user one.

        Raises UnavailableError where what is set does not fit what is there.
        """
        health = self.call("say how it is", api.HealthzServiceApi(self._client).healthz_service_get_healthz)
        if health.multi_user and not self._asked_namespace:
            raise UnavailableError(
                f"Kubeflow Pipelines at {self.host} has many users: "
                "SERIN_KFP_NAMESPACE must name the namespace to run in"
            )
        if not health.multi_user and self._asked_namespace:
            raise UnavailableError(
                f"SERIN_KFP_NAMESPACE is {self._asked_namespace}, but Kubeflow Pipelines at {self.host} has a single "
                "user: it runs everything in its own namespace; unset the variable"
            )
        return self._asked_namespace

    def experiment(self, name: str) -> str:
        """The id of the experiment `name`, which is made where it is not there yet.

        Raises ConflictError where it is archived: KFP would start runs in it all the same, where nobody looks for them.
        """
        found = self._experiment(name)
        if found is None:
            new = api.V2beta1Experiment(display_name=name, namespace=self.namespace)
            doing = f"create the experiment {name}"
            try:
                found = self.call(doing, self.experiments.experiment_service_create_experiment, new)
            except ConflictError:  # somebody else was quicker
                found = self._experiment(name)
                if found is None:
                    raise
        if found.storage_state == api.V2beta1ExperimentStorageState.ARCHIVED:
            raise ConflictError(
                f"the experiment {name} of Kubeflow Pipelines is archived, so a run in it would not be seen; restore "
                f"it first: {self._page(f'experiments/details/{found.experiment_id}')}"
            )
        return str(found.experiment_id)

    def _experiment(self, name: str) -> Any:
        method = self.experiments.experiment_service_list_experiments
        options = {"filter": _equals("display_name", name), **self._in_namespace()}
        return next(iter(self.listed(f"look for the experiment {name}", method, "experiments", **options)), None)

    def version(self, package: Package) -> Version:
        """The version that a package is; it is uploaded where KFP does not have it yet.

        Its name is made of its content, so the same content is the same version, whoever uploads it.
        """
        pipeline_id = self._pipeline(package)
        found = self._version(pipeline_id, package)
        if found:
            return Version(pipeline_id, found.pipeline_version_id, package.version, uploaded=False)
        doing = f"take the pipeline version {package.version}"
        upload = api.PipelineUploadServiceApi(self._client).upload_pipeline_version
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{package.name}.yaml")
            path.write_text(package.text, encoding="utf-8")
            try:
                made = self.call(doing, upload, str(path), name=package.version, pipelineid=pipeline_id)
            except ConflictError:  # somebody else was quicker
                made = self._version(pipeline_id, package)
                if made is None:
                    raise
        return Version(pipeline_id, made.pipeline_version_id, package.version, uploaded=True)

    def _pipeline(self, package: Package) -> str:
        find = self.pipelines.pipeline_service_get_pipeline_by_name
        look = f"look for the pipeline {package.name}"
        try:
            return str(self.call(look, find, package.name, **self._in_namespace()).pipeline_id)
        except NotFoundError:
            new = api.V2beta1Pipeline(
                name=package.name,
                display_name=package.name,
                description=package.description,
                namespace=self.namespace,
            )
        try:
            doing = f"create the pipeline {package.name}"
            return str(self.call(doing, self.pipelines.pipeline_service_create_pipeline, new).pipeline_id)
        except ConflictError:
            return str(self.call(look, find, package.name, **self._in_namespace()).pipeline_id)

    def _version(self, pipeline_id: str, package: Package) -> Any:
        method = self.pipelines.pipeline_service_list_pipeline_versions
        doing = f"look for the pipeline version {package.version}"
        found = self.listed(
            doing, method, "pipeline_versions", pipeline_id, filter=_equals("display_name", package.version)
        )
        return next(iter(found), None)

    def start(
        self, version: Version, experiment_id: str, name: str, parameters: Mapping[str, Any], account: str
    ) -> api.V2beta1Run:
        """Start a run. `name` is unlike any other run's: where the answer is lost, the run is looked for by it."""
        new = api.V2beta1Run(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=version.reference,
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(parameters)),
            service_account=account,
        )
        try:
            return self.call(f"start the run {name}", self.runs.run_service_create_run, new)
        except UnavailableError:
            options = {"experiment_id": experiment_id, "filter": _equals("display_name", name)}
            method = self.runs.run_service_list_runs
            try:
                found = self.listed(f"look for the run {name}", method, "runs", **options, **self._in_namespace())
            except UnavailableError:
                found = []
            if found:
                return found[0]
            raise

    def run(self, run_id: str) -> api.V2beta1Run:
        """A run as it stands. Raises NotFoundError where there is none of that id."""
        return self.call(f"tell of the run {run_id}", self.runs.run_service_get_run, run_id)

    def link(self, run_id: str) -> str:
        """Where Kubeflow's pages show a run."""
        return self._page(f"runs/details/{run_id}")

    def _page(self, path: str) -> str:
        namespace = f"?ns={self.namespace}" if self.namespace else ""
        return f"{self.host}/{namespace}#/{path}"

    def _in_namespace(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}


def _equals(key: str, value: str) -> str:
    return dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})


def _configuration(endpoints: Endpoints) -> api.Configuration:
    configuration = api.Configuration(host=endpoints.kfp_host)
    configuration.retries = _RETRIES
    if endpoints.kfp_ca_file:
        configuration.ssl_ca_cert = str(endpoints.kfp_ca_file)
    if (file := endpoints.kfp_token_file) is None:
        return configuration

    def read_token(one: api.Configuration) -> None:
        # Before each request: the kubelet renews a projected token while a run is followed.
        try:
            one.api_key["authorization"] = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnavailableError(f"SERIN_KFP_TOKEN_FILE {file} can't be read: {error.strerror}") from None

    configuration.api_key["authorization"] = ""
    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.refresh_api_key_hook = read_token
    return configuration
