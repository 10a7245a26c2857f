"""The API server as the tests see it: plain requests, so that every warning and every refusal is seen."""

import json
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

Document = dict[str, Any]
ADDRESS = "10.200.0.1"
SERVER = f"https://{ADDRESS}:6443"
_APPLY = {"Content-Type": "application/apply-patch+yaml"}


class RefusedError(Exception):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """One user's connection, by client certificate or by token."""

    def __init__(self, authority: Path, token: str = "", pair: tuple[Path, Path] | None = None) -> None:
        context = ssl.create_default_context(cafile=authority)
        if pair:
            context.load_cert_chain(*pair)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=SERVER, verify=context, headers=headers, timeout=30)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        """End its connections."""
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request. Raises RefusedError: an answer of 400 or above."""
        response = self._client.request(method, path, **options)
        if response.is_error:
            try:
                message = response.json()["message"]
            except (ValueError, KeyError):
                message = response.text
            raise RefusedError(response.status_code, message)
        return response

    def apply(
        self,
        document: Mapping[str, Any],
        manager: str = "tests",
        part: str = "",
        *,
        may_warn: bool = False,
        **parameters: str,
    ) -> Document:
        """Server-side apply with strict field validation; `part` names a subresource.

        Raises RefusedError. AssertionError: the server warned.
        """
        asked = {"fieldManager": manager, "fieldValidation": "Strict", "force": "true", **parameters}
        path = self.path(document) + (f"/{part}" if part else "")
        response = self.request("PATCH", path, params=asked, headers=_APPLY, content=json.dumps(document))
        assert may_warn or "Warning" not in response.headers, f"{path}: {response.headers.get_list('Warning')}"
        return response.json()

    def create(self, document: Mapping[str, Any], **parameters: str) -> Document:
        """POST an object, with strict field validation. Raises RefusedError."""
        path = self.path(document).rpartition("/")[0] if document["metadata"].get("name") else self.path(document)
        asked = {"fieldManager": "tests", "fieldValidation": "Strict", **parameters}
        return self.request("POST", path, params=asked, json=document).json()

    def get(self, api: str, kind: str, name: str, namespace: str = "serin") -> Document:
        """One object. Raises RefusedError."""
        return self.request("GET", self.path(_reference(api, kind, name, namespace))).json()

    def list(self, api: str, kind: str, namespace: str = "serin") -> list[Document]:
        """All objects of a kind in a namespace."""
        return self.request("GET", self.path(_reference(api, kind, "", namespace))).json()["items"]

    def delete(self, api: str, kind: str, name: str, namespace: str = "serin") -> None:
        """Remove an object; one that is not there is no error."""
        try:
            self.request("DELETE", self.path(_reference(api, kind, name, namespace)))
        except RefusedError as refused:
            if refused.status != 404:
                raise

    def token(self, namespace: str, account: str, *audiences: str) -> str:
        """A token of a service account, issued by the API server for an hour."""
        spec = {"expirationSeconds": 3600, **({"audiences": list(audiences)} if audiences else {})}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return self.request("POST", path, json=asked).json()["status"]["token"]

    def path(self, document: Mapping[str, Any]) -> str:
        """Where an object lies, or the collection of its kind where it has no name."""
        api, kind = document["apiVersion"], document["kind"]
        plural, namespaced = self._resource(api, kind)
        root = f"/apis/{api}" if "/" in api else f"/api/{api}"
        where = f"/namespaces/{document['metadata'].get('namespace', 'serin')}" if namespaced else ""
        name = document["metadata"].get("name", "")
        return f"{root}{where}/{plural}" + (f"/{name}" if name else "")

    def _resource(self, api: str, kind: str) -> tuple[str, bool]:
        if (api, kind) not in self._resources:
            found = self.request("GET", f"/apis/{api}" if "/" in api else f"/api/{api}").json()["resources"]
            known = {(api, r["kind"]): (r["name"], r["namespaced"]) for r in found if "/" not in r["name"]}
            self._resources.update(known)
        return self._resources[api, kind]


def kubeconfig(path: Path, authority: Path, token: str, server: str = SERVER) -> Path:
    """Write a kubeconfig file for a user with a token, and namespace serin."""
    cluster: Document = {"server": server}
    if server.startswith("https:"):
        cluster["certificate-authority"] = str(authority)
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user", "namespace": "serin"}}],
        "current-context": "tests",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(written))
    return path


def documents(text: str) -> Iterable[Document]:
    """The objects in a YAML stream; libyaml's loader, since CRDs are megabytes."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def _reference(api: str, kind: str, name: str, namespace: str) -> Document:
    named = {"name": name} if name else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, **named}}
