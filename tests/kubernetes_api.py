"""A stand-in for a Kubernetes API server: real HTTP, and of its behaviour what Serin's adapters rely on.

Server-side apply with field managers, conflicts by resource version, uid and field, merge patches, lists by label,
deletion in the foreground, discovery and access reviews. Lists are atomic; there is no schema, no defaulting, no
admission and no watch. `make cluster-test` runs the same scenarios against the real one.
"""

import copy
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Document = dict[str, Any]
Answer = tuple[int, Document]
Fields = dict[tuple[str, ...], Any]
TOKEN = "stand-in"  # noqa: S105
NAMESPACE = "serin"
_SERVED = {
    "/apis/serving.kserve.io/v1beta1": ["inferenceservices"],
    "/apis/networking.istio.io/v1": ["virtualservices"],
    "/apis/coordination.k8s.io/v1": ["leases"],
    "/apis/apps/v1": ["deployments"],
    "/api/v1": ["pods"],
}
_APPLY = "application/apply-patch+yaml"


class KubernetesApi:
    """The objects, by the path of their URL, and what went wrong on purpose.

    `refused` holds "VERB plural" that nobody has the right to; `unknown` API groups that are not installed; `lingers`:
    what is deleted in the foreground stays until `collect`; `outages` what the next requests meet; `down`: all of them
    end without an answer.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.lingers = False
        self.requests: list[tuple[str, str]] = []
        self.outages: list[Outage] = []
        self.down = False
        self._version = 100
        self._lock = threading.RLock()

    def answer(self, method: str, target: str, media: str, body: Any) -> Answer:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        self.requests.append((method, url.path))
        with self._lock:
            return self._answer(method, url.path, query, media, body)

    def outage(self, method: str) -> "Outage | None":
        """What a request meets, instead of or after what it asks for."""
        if self.down:
            return Outage(method)
        found = next((outage for outage in self.outages if outage.method == method), None)
        if found:
            self.outages.remove(found)
        return found

    def _answer(self, method: str, path: str, query: Mapping[str, str], media: str, body: Any) -> Answer:
        if path.endswith("selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            return 201, {**body, "status": {"allowed": f"{asked['verb']} {asked['resource']}" not in self.refused}}
        root, namespaced, rest = path.partition("/namespaces/")
        if root in self.unknown or root not in _SERVED:
            return 404, {}
        if not namespaced:
            return 200, {"resources": [{"name": plural} for plural in _SERVED[root]]}
        namespace, plural, *named = rest.split("/")
        name = named[0] if named else ""
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "DELETE": "delete"}[method]
        if f"{verb} {plural}" in self.refused:
            return _status(403, "Forbidden", f'{plural} "{name}" is forbidden: User "x" cannot {verb} it')
        if verb == "list":
            return 200, {"items": self._list(path, query.get("labelSelector", ""))}
        if verb == "patch" and namespace != NAMESPACE:
            return _status(404, "NotFound", f'namespaces "{namespace}" not found', {"kind": "namespaces"})
        key = f"{root}/namespaces/{namespace}/{plural}/{name}"
        if media == _APPLY:
            return self._apply(key, query["fieldManager"], body)
        if key not in self.objects:
            return _status(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural})
        if verb == "patch":
            return 200, self.edit(key, body, query.get("fieldManager", "kubectl-patch"), "/".join(named[1:]))
        return 200, self.objects[key] if verb == "get" else self._delete(key, query)

    def _list(self, path: str, selector: str) -> list[Document]:
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        found = [one for key, one in self.objects.items() if key.startswith(f"{path}/")]
        return [one for one in found if wanted.items() <= (one["metadata"].get("labels") or {}).items()]

    def _delete(self, key: str, query: Mapping[str, str]) -> Document:
        if self.lingers and query.get("propagationPolicy") == "Foreground":
            self.objects[key]["metadata"]["deletionTimestamp"] = _now()
            return self.objects[key]
        return self.objects.pop(key)

    def collect(self) -> None:
        """What the garbage collector does: what is being deleted is gone."""
        with self._lock:
            for key in [k for k, one in self.objects.items() if one["metadata"].get("deletionTimestamp")]:
                del self.objects[key]

    def _apply(self, key: str, manager: str, body: Document) -> Answer:
        given, stored = body["metadata"], self.objects.get(key)
        plural, name = key.split("/")[-2:]
        if stored is None:
            if given.get("uid"):
                return _status(409, "Conflict", f"uid mismatch: the provided object specified uid {given['uid']}")
            stored = {"apiVersion": body["apiVersion"], "kind": body["kind"]}
            stored["metadata"] = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": _now(), "generation": 0}
            stored["metadata"]["managedFields"] = []
        elif (
            given.get("resourceVersion", stored["metadata"]["resourceVersion"]) != stored["metadata"]["resourceVersion"]
        ):
            text = f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified'
            return _status(409, "Conflict", text)
        elif given.get("uid", stored["metadata"]["uid"]) != stored["metadata"]["uid"]:
            return _status(409, "Conflict", "uid mismatch")
        wanted, now = _fields(body), _fields(stored)
        held = {path: entry["manager"] for entry in stored["metadata"]["managedFields"]
                if (entry["manager"], entry["operation"]) != (manager, "Apply")
                for path in wanted if _holds(entry["fieldsV1"], path) and now.get(path) != wanted[path]}  # fmt: skip
        if held:
            causes = [{"reason": "FieldManagerConflict", "field": "." + ".".join(path),
                       "message": f'conflict with "{other}"'} for path, other in held.items()]  # fmt: skip
            return _status(409, "Conflict", f"Apply failed with {len(held)} conflict", {"causes": causes})
        own = next((e for e in stored["metadata"]["managedFields"] if e["manager"] == manager), {"fieldsV1": {}})
        dropped = {path for path in now if _holds(own["fieldsV1"], path) and path not in wanted}
        return 200, self._write(key, stored, wanted, dropped, manager, "Apply")

    def edit(self, key: str, patch: Document, manager: str, part: str = "") -> Document:
        """A merge patch by another manager; `part` is `status` for that subresource."""
        with self._lock:
            stored, changed = self.objects[key], _fields(patch)
            if part == "status":
                self._version += 1
                stored["status"] = patch["status"]
                stored["metadata"]["resourceVersion"] = str(self._version)
                return stored
            return self._write(key, stored, changed, set(), manager, "Update")

    def _write(
        self, key: str, stored: Document, values: Fields, dropped: set[tuple[str, ...]], manager: str, operation: str
    ) -> Document:
        new = copy.deepcopy(stored)
        for path in dropped:
            _set(new, path, None)
        for path, value in values.items():
            _set(new, path, value)
        managed = [
            e for e in new["metadata"]["managedFields"] if (e["manager"], e["operation"]) != (manager, operation)
        ]
        if operation == "Update":
            changed = [path for path, value in values.items() if _fields(stored).get(path) != value]
            for entry in managed:
                for path in changed:
                    _drop(entry["fieldsV1"], path)
        entry = {"manager": manager, "operation": operation, "fieldsV1": _tree(values), "time": _now()}
        same = _fields(new) == _fields(stored) and key in self.objects
        before = [e["fieldsV1"] for e in stored["metadata"]["managedFields"] if e["manager"] == manager]
        if same and before == [entry["fieldsV1"]]:
            return stored
        self._version += 1
        metadata = new["metadata"]
        metadata["managedFields"] = [entry, *managed] if operation == "Apply" else [*managed, entry]
        metadata["generation"] += new.get("spec") != stored.get("spec")
        metadata["resourceVersion"] = str(self._version)
        self.objects[key] = new
        return new


@dataclass(frozen=True)
class Outage:
    """A request that is answered with `status`, or (None) whose connection ends without an answer.

    `done`: after it took effect.
    """

    method: str
    status: int | None = None
    done: bool = False


@contextmanager
def running(folder: Path) -> Iterator[tuple[KubernetesApi, Path]]:
    """The stand-in on a loopback port, and a kubeconfig in `folder` that leads to it."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            media = self.headers.get("Content-Type", "")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(*_status(401, "Unauthorized", "Unauthorized"))
                return
            outage = api.outage(self.command)
            status, answer = (0, {}) if outage and not outage.done else api.answer(self.command, self.path, media, body)
            if outage and outage.status is None:
                self.close_connection = True
                return
            self._send(*(_status(outage.status, "Outage", "etcdserver: timed out") if outage else (status, answer)))

        do_GET = do_PATCH = do_POST = do_DELETE = _serve  # noqa: N815

        def _send(self, status: int, answer: Document) -> None:
            data = json.dumps(answer).encode() if answer else b"404 page not found\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api, kubeconfig(folder, f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def kubeconfig(folder: Path, server: str, token: str = TOKEN, namespace: str | None = NAMESPACE) -> Path:
    """A kubeconfig with one cluster, user and context."""
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "x", "context": context}],
                "current-context": "x",
            }
        )
    )
    return path


def path_of(group: str, plural: str, name: str) -> str:
    """The key of an object of `KubernetesApi.objects`."""
    return f"{group}/namespaces/{NAMESPACE}/{plural}/{name}"


def _status(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> Answer:
    return code, {"kind": "Status", "reason": reason, "message": message, "code": code, "details": dict(details or {})}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _fields(document: Mapping[str, Any]) -> Fields:
    kept = {"spec": document.get("spec") or {}}
    for key in ("labels", "annotations"):
        kept.setdefault("metadata", {})[key] = (document.get("metadata") or {}).get(key) or {}
    return dict(_walk(kept, ()))


def _walk(node: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _walk(value, (*path, key))
        else:
            yield (*path, key), value


def _tree(fields: Fields) -> Document:
    made: Document = {}
    for path in fields:
        node = made
        for key in path:
            node = node.setdefault(f"f:{key}", {})
    return made


def _holds(tree: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for key in path:
        if f"f:{key}" not in tree:
            return False
        tree = tree[f"f:{key}"]
    return True


def _drop(tree: Document, path: tuple[str, ...]) -> None:
    *inner, last = path
    for key in inner:
        tree = tree.get(f"f:{key}", {})
    tree.pop(f"f:{last}", None)


def _set(document: Document, path: tuple[str, ...], value: Any) -> None:
    *inner, last = path
    for key in inner:
        document = document.setdefault(key, {})
    if value is None:
        document.pop(last, None)
    else:
        document[last] = value
