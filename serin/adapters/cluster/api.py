"""The API server of a cluster: the one place that talks to it.

Every write is server-side apply under Serin's own field manager, with strict field validation and never by force. So
the server itself refuses what another manager holds, and its managedFields tell who wrote what.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from yaml import YAMLError

from serin.adapters.cluster.api_errors import failure, refusal, unknown
from serin.errors import NotFoundError, UnavailableError, first_line
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE, Document

MANAGER = "serin"
# Applied with this version a document is made, and never changed: no object of etcd has one so low. The server
# compares it with what is there, and refuses (409); where nothing is, there is nothing to compare.
ABSENT = "1"
_APPLY = "application/apply-patch+yaml"
_RETRIED = (429, 502, 503, 504)


@dataclass(frozen=True)
class Kind:
    """A namespaced kind of the Kubernetes API."""

    name: str
    group: str
    version: str
    plural: str

    @property
    def root(self) -> str:
        """The path of its API group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def api_version(self) -> str:
        """What a document has as `apiVersion`."""
        return f"{self.group}/{self.version}".lstrip("/")


POD = Kind("Pod", "", "v1", "pods")
DEPLOYMENT = Kind("Deployment", "apps", "v1", "deployments")
LEASE = Kind("Lease", "coordination.k8s.io", "v1", "leases")
# What stands beside an InferenceService.
COMPANIONS = {
    "HorizontalPodAutoscaler": Kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
}
SERVED = {
    INFERENCE_SERVICE: Kind(INFERENCE_SERVICE, "serving.kserve.io", "v1beta1", "inferenceservices"),
    VIRTUAL_SERVICE: Kind(VIRTUAL_SERVICE, "networking.istio.io", "v1", "virtualservices"),
}


class Api:
    """One namespace of a cluster. Nothing is read or connected before the first request.

    `namespace` None: that of the kubeconfig's context. `kubeconfig` None: the file that `KUBECONFIG` names or
    ~/.kube/config, else a pod's own account. `connect` and `read` are the time limits of an attempt in seconds.

    Every method raises UnavailableError: no cluster is configured, it does not answer in time, or does not let us;
    SerinError where it refuses a document; each with the object and what the server said.
    """

    def __init__(
        self,
        namespace: str | None = None,
        kubeconfig: Path | None = None,
        *,
        attempts: int = 4,
        connect: float = 5.0,
        read: float = 15.0,
    ) -> None:
        self._namespace, self._kubeconfig = namespace, kubeconfig
        self._attempts, self._timeout = attempts, (connect, read)

    def brisk(self) -> "Api":
        """The same with one short attempt a request, for whoever counts the seconds itself."""
        return Api(self._namespace, self._kubeconfig, attempts=1, connect=3.0, read=5.0)

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return str(self._client.configuration.host)

    @cached_property
    def namespace(self) -> str:
        """The namespace that all requests are about. Raises UnavailableError where nothing names one."""
        found = self._namespace or self._context_namespace()
        if not found:
            _ = self.host  # Where no cluster is configured at all, that is what is amiss.
            raise UnavailableError(
                "no namespace is named; set SERIN_NAMESPACE, or `kubectl config set-context --current --namespace ...`"
            )
        return found

    def get(self, kind: Kind, name: str) -> Document:
        """An object. Raises NotFoundError where there is none."""
        return self._request("GET", kind, name)

    def list(self, kind: Kind, labels: Mapping[str, str]) -> list[Document]:
        """The objects with these labels, by name."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self._request("GET", kind, "", query={"labelSelector": selector})
        items: list[Document] = found.get("items") or []
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def apply(self, kind: Kind, document: Mapping[str, Any]) -> Document:
        """Apply a document; its `metadata.resourceVersion` and `uid` must fit what is there, `ABSENT` nothing.

        Raises RefusedError: they do not fit, or another manager holds one of its fields.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "false"}
        return self._request("PATCH", kind, str(document["metadata"]["name"]), query, document, _APPLY)

    def delete(self, kind: Kind, name: str, propagation: str = "Background") -> None:
        """Remove an object; one that is not there is no error.

        `propagation` "Foreground": it stays, marked, until everything that belongs to it is gone.
        """
        try:
            self._request("DELETE", kind, name, query={"propagationPolicy": propagation})
        except NotFoundError:
            return

    def served(self, kind: Kind) -> None:
        """Raises UnavailableError where the cluster does not know a kind. Every account may ask that."""
        from kubernetes.client import ApiException

        try:
            found = self._call("GET", kind.root, f"read {kind.root}")
        except ApiException:
            found = {}
        if kind.plural not in {resource["name"] for resource in found.get("resources", ())}:
            raise UnavailableError(unknown(kind, self.host))

    def may(self, verb: str, kind: Kind) -> bool:
        """Whether this account has the right to `verb` objects of a kind in the namespace."""
        attributes = {"namespace": self.namespace, "verb": verb, "group": kind.group, "resource": kind.plural}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        found = self._call("POST", path, "review rights", {}, review, "application/json")
        return bool(found.get("status", {}).get("allowed"))

    def _request(
        self,
        verb: str,
        kind: Kind,
        name: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        media: str = "",
    ) -> Document:
        from kubernetes.client import ApiException

        path = f"{kind.root}/namespaces/{self.namespace}/{kind.plural}" + (f"/{name}" if name else "")
        subject = f"{kind.name} {name}" if name else f"{kind.name}s"
        what = f"{_VERBS[verb]} {subject} in namespace {self.namespace}"
        try:
            return self._call(verb, path, what, query, body, media)
        except ApiException as error:
            raise refusal(error, kind, name, what, self.host) from None

    def _call(
        self,
        verb: str,
        path: str,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        media: str = "",
    ) -> Document:
        """The answer to a request; 404 and 409 come as the client's own error."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", **({"Content-Type": media} if media else {})}
        try:
            answer = self._client.call_api(
                path,
                verb,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=dict(body) if body else None,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=self._timeout,
            )
        except ApiException as error:
            if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                raise
            raise failure(error, what, self.host) from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise UnavailableError(f"{what}: the API server {self.host} does not answer: {cause}") from None
        if not isinstance(answer, dict):
            raise UnavailableError(f"{what}: {self.host} answers, but not as an API server: {str(answer)[:80]!r}")
        return answer

    @cached_property
    def _client(self) -> Any:
        from kubernetes import client
        from urllib3 import Retry

        configuration = client.Configuration()
        self._configure(configuration)
        # Every request may be repeated: an apply names the version that it changes. (urllib3: None is every method.)
        configuration.retries = Retry(
            self._attempts - 1,
            backoff_factor=0.3,
            status_forcelist=_RETRIED,
            allowed_methods=None,
            raise_on_status=False,
        )
        return client.ApiClient(configuration)

    def _configure(self, configuration: Any) -> None:
        from kubernetes import config

        try:
            with self._readable():
                config.load_kube_config(self._file, client_configuration=configuration)
        except config.ConfigException as unconfigured:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                raise UnavailableError(
                    f"no cluster is configured: {first_line(unconfigured)} Set KUBECONFIG, or run in a pod"
                ) from None

    def _context_namespace(self) -> str | None:
        from kubernetes import config

        try:
            with self._readable():
                _, active = config.list_kube_config_contexts(self._file)
        except config.ConfigException:
            return None
        found: str | None = active["context"].get("namespace")
        return found

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """The client takes a kubeconfig that is there for a sound one. Raises UnavailableError where it is not."""
        try:
            yield
        except (OSError, YAMLError, TypeError, AttributeError) as error:
            named = self._file or "(KUBECONFIG, or ~/.kube/config)"
            raise UnavailableError(f"the kubeconfig {named} can't be read: {' '.join(str(error).split())}") from None

    @property
    def _file(self) -> str | None:
        return str(self._kubeconfig) if self._kubeconfig else None


_VERBS = {"GET": "read", "PATCH": "apply", "DELETE": "delete"}
