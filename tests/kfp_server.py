"""A stand-in for Kubeflow Pipelines' API server: the v2beta1 API over HTTP on a loopback port, with nothing behind it.

Every request body is read as the model of `kfp_server_api` that the generated client documents for it, and unknown
fields, a missing right or a parameter that the pipeline does not take are refused with the status, and as far as it
is known the words, of the real API server; every answer is written from those models. Runs go through the frames that
a test gives to `play`, one at each look at them. Nothing is executed, scheduled or persisted.

No test against it says that a real Kubeflow would do the same.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

import kfp_server_api as api
import yaml

from serin.adapters.cluster.package import Package

_CLIENT = api.ApiClient(api.Configuration())
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 501: 12, 503: 14}  # HTTP status to gRPC code


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request as it came: `body` is the model that it was read as, or the uploaded text."""

    method: str
    path: str
    query: Mapping[str, str]
    token: str | None
    body: Any = None


@dataclass(frozen=True)
class Fault:
    """What happens to the next request of a method to a path that starts so: an answer, a delay, a lost connection.

    `done`: the request is carried out all the same, and only its answer is lost.
    """

    method: str
    path: str
    status: int = 0
    seconds: float = 0.0
    drop: bool = False
    done: bool = False
    body: str = ""
    content_type: str = "application/json"


@dataclass(frozen=True)
class Frame:
    """How a run stands at one look: its state, the state of tasks by name, and errors by task ("" for the run's)."""

    state: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass
class KfpServer:
    """The server's state: tests set it up before, and read what came of it after.

    `tokens` are users by bearer token (empty: nobody has to say who they are); `rights` the namespaces in which each
    may do anything.
    """

    multi_user: bool = False
    tokens: dict[str, str] = field(default_factory=dict)
    rights: dict[str, set[str]] = field(default_factory=dict)
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    pipelines: dict[str, api.V2beta1Pipeline] = field(default_factory=dict)
    versions: dict[str, api.V2beta1PipelineVersion] = field(default_factory=dict)
    experiments: dict[str, api.V2beta1Experiment] = field(default_factory=dict)
    runs: dict[str, api.V2beta1Run] = field(default_factory=dict)
    recurring_runs: dict[str, api.V2beta1RecurringRun] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=lambda: [Frame("SUCCEEDED")])
    lock: Any = field(default_factory=threading.RLock)

    def play(self, *frames: Frame) -> None:
        """What every run goes through, a frame at each look; it stays in the last."""
        self.frames = list(frames)

    def fire(self, recurring_run_id: str, state: str = "RUNNING") -> api.V2beta1Run:
        """Start a run of a recurring run, as the scheduled workflow controller does when its time has come."""
        one = self.recurring_runs[recurring_run_id]
        run = api.V2beta1Run(
            run_id=str(uuid4()), display_name=f"{one.display_name}-{len(self.runs)}", state=state,
            experiment_id=one.experiment_id, recurring_run_id=recurring_run_id, created_at=_now(),
        )  # fmt: skip
        self.runs[run.run_id] = run
        return run

    def asked(self, method: str, pattern: str) -> list[Request]:
        """The requests of a method whose path matches wholly."""
        return [one for one in self.requests if one.method == method and re.fullmatch(pattern, one.path)]


@contextlib.contextmanager
def kfp_server(**state: Any) -> Iterator[KfpServer]:
    """A stand-in on a port of its own; the arguments are fields of `KfpServer`."""
    server = KfpServer(**state)

    class Handler(_Handler):
        kfp = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    kfp: KfpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """Answer a request."""
        self._answer()

    do_POST = do_DELETE = do_PATCH = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Request(
            self.command, unquote(parts.path), dict(parse_qsl(parts.query)), self.headers.get("Authorization")
        )
        with self.kfp.lock:
            fault = next(
                (f for f in self.kfp.faults if f.method == asked.method and asked.path.startswith(f.path)), None
            )
            if fault:
                self.kfp.faults.remove(fault)
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        if fault and (fault.status or fault.drop) and not fault.done:
            self.kfp.requests.append(asked)
            return self._drop() if fault.drop else self._send(fault.status, fault.body, fault.content_type)
        try:
            status, answer = 200, _route(self.kfp, asked, content, self.headers.get("Content-Type", ""))
        except RefusedError as refused:
            text = str(refused)
            detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": _CODES[refused.status], "message": text}
            status = refused.status
            answer = {"error": text, "code": _CODES[status], "message": text, "details": [detail]}
        if fault and fault.drop:
            return self._drop()
        return self._send(status, json.dumps(_CLIENT.sanitize_for_serialization(answer)))

    def _send(self, status: int, body: str, content_type: str = "application/json") -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def read(model: str, document: Any, where: str = "") -> Any:
    """A document as a model of `kfp_server_api`. Raises RefusedError naming a field that the model does not have."""
    kind = getattr(api, model, None)
    if kind is None or not getattr(kind, "openapi_types", None):
        return document
    if not isinstance(document, dict):
        raise RefusedError(400, f"proto: syntax error: {where or model} is no object")
    attributes = {key: name for name, key in kind.attribute_map.items()}
    if unknown := document.keys() - attributes.keys():
        raise RefusedError(400, f'proto: (line 1:1): unknown field "{sorted(unknown)[0]}" in {where or model}')
    values = {
        attributes[key]: read(kind.openapi_types[attributes[key]], value, key)
        for key, value in document.items()
        if value is not None
    }
    return kind(**values)


def _route(kfp: KfpServer, asked: Request, content: bytes, content_type: str) -> Any:
    user = _user(kfp, asked)
    fitting = [(route, found) for route in _ROUTES if (found := re.fullmatch(route[1], asked.path))]
    if asked.method not in {route[0] for route, _ in fitting}:
        kfp.requests.append(asked)
        raise RefusedError(501 if fitting else 404, "Method Not Allowed" if fitting else "Not Found")
    (_, _, model, answer), found = next(one for one in fitting if one[0][0] == asked.method)
    body = None
    if model == "file":
        body = _uploaded(content, content_type)
    elif model:
        body = read(model, json.loads(content))
    asked = Request(asked.method, asked.path, asked.query, asked.token, body)
    kfp.requests.append(asked)
    with kfp.lock:
        return answer(_Call(kfp, asked, user, found.groups()))


@dataclass(frozen=True)
class _Call:
    kfp: KfpServer
    asked: Request
    user: str
    names: tuple[str, ...]

    def allow(self, verb: str, resource: str, namespace: str | None) -> None:
        """Raise RefusedError where the user may not do that there."""
        kfp = self.kfp
        if kfp.multi_user and not namespace:
            raise RefusedError(
                400, f"Invalid input error: Namespace is required to {verb} {resource} in multi-user mode"
            )
        if not kfp.multi_user and namespace:
            raise RefusedError(400, "Invalid input error: In single-user mode, the namespace must be empty")
        if kfp.multi_user and kfp.tokens and namespace not in kfp.rights.get(self.user, set()):
            raise RefusedError(
                403,
                f"PermissionDenied: User '{self.user}' is not authorized with reason:  (request: &ResourceAttributes"
                f"{{Namespace:{namespace},Verb:{verb},Group:pipelines.kubeflow.org,Version:v1beta1,"
                f"Resource:{resource},Subresource:,Name:,}}): unauthorized access",
            )

    def found(self, kind: str, items: Mapping[str, Any], name: str) -> Any:
        """An item by its id. Raises RefusedError."""
        if name not in items:
            raise RefusedError(404, f"ResourceNotFoundError: {kind} {name} not found")
        return items[name]

    def page(self, items: list[Any], answer: type, key: str) -> Any:
        """A page of the items that pass the request's filter."""
        query = self.asked.query
        chosen = [item for item in items if _passes(item, query.get("filter"))]
        start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 10)
        more = str(start + size) if start + size < len(chosen) else None
        return answer(**{key: chosen[start : start + size], "next_page_token": more, "total_size": len(chosen)})


def _passes(item: Any, text: str | None) -> bool:
    for predicate in json.loads(text)["predicates"] if text else ():
        if predicate["operation"] not in ("EQUALS", "NOT_EQUALS", 1) or not hasattr(item, predicate["key"]):
            raise RefusedError(400, f"Invalid input error: can't filter by {predicate}")
        equal = getattr(item, predicate["key"]) == predicate["stringValue"]
        if equal is (predicate["operation"] == "NOT_EQUALS"):
            return False
    return True


def _user(kfp: KfpServer, asked: Request) -> str:
    if not kfp.tokens or asked.path.endswith("/healthz"):
        return ""
    token = (asked.token or "").removeprefix("Bearer ")
    if token not in kfp.tokens:
        kfp.requests.append(asked)
        raise RefusedError(401, "Unauthenticated: Request header error: there is no user identity header")
    return kfp.tokens[token]


def _uploaded(content: bytes, content_type: str) -> str:
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content, policy=HTTP)
    for part in message.iter_parts():  # type: ignore[attr-defined]
        if part.get_param("name", header="content-disposition") == "uploadfile":
            if not str(part.get_filename()).endswith((".yaml", ".yml")):
                raise RefusedError(400, "Failed to read a pipeline spec file")
            return str(part.get_payload(decode=True).decode())
    raise RefusedError(400, "Failed to read pipeline from file")


def _now() -> datetime:
    return datetime.now(UTC)


def _healthz(call: _Call) -> Any:
    return api.V2beta1GetHealthzResponse(multi_user=call.kfp.multi_user, pipeline_store="database")


def _create_experiment(call: _Call) -> Any:
    new: Any = call.asked.body
    call.allow("create", "experiments", new.namespace)
    if any((e.display_name, e.namespace) == (new.display_name, new.namespace) for e in call.kfp.experiments.values()):
        raise RefusedError(409, f"Already exist error: Experiment with name {new.display_name} already exists")
    new.experiment_id, new.created_at, new.storage_state = str(uuid4()), _now(), "AVAILABLE"
    call.kfp.experiments[new.experiment_id] = new
    return new


def _list_experiments(call: _Call) -> Any:
    namespace = call.asked.query.get("namespace")
    call.allow("list", "experiments", namespace)
    items = [e for e in call.kfp.experiments.values() if e.namespace == namespace]
    return call.page(items, api.V2beta1ListExperimentsResponse, "experiments")


def _get_experiment(call: _Call) -> Any:
    return call.found("Experiment", call.kfp.experiments, call.names[0])


def _create_pipeline(call: _Call) -> Any:
    new: Any = call.asked.body
    call.allow("create", "pipelines", new.namespace)
    if any((p.name, p.namespace) == (new.name, new.namespace) for p in call.kfp.pipelines.values()):
        raise RefusedError(409, f"Already exist error: The name {new.name} already exist. Please specify a new name")
    new.pipeline_id, new.created_at = str(uuid4()), _now()
    call.kfp.pipelines[new.pipeline_id] = new
    return new


def _list_pipelines(call: _Call) -> Any:
    namespace = call.asked.query.get("namespace")
    call.allow("list", "pipelines", namespace)
    items = [p for p in call.kfp.pipelines.values() if p.namespace == namespace]
    return call.page(items, api.V2beta1ListPipelinesResponse, "pipelines")


def _get_pipeline(call: _Call) -> Any:
    return call.found("Pipeline", call.kfp.pipelines, call.names[0])


def _get_pipeline_by_name(call: _Call) -> Any:
    namespace = call.asked.query.get("namespace")
    call.allow("get", "pipelines", namespace)
    named = {p.name: p for p in call.kfp.pipelines.values() if p.namespace == namespace}
    return call.found("Pipeline", named, call.names[0])


def _upload_version(call: _Call) -> Any:
    query, text = call.asked.query, call.asked.body
    pipeline = call.found("Pipeline", call.kfp.pipelines, query.get("pipelineid", ""))
    call.allow("create", "pipelines", pipeline.namespace)
    documents = list(yaml.safe_load_all(text))
    if not documents or "pipelineInfo" not in documents[0]:
        raise RefusedError(400, "Failed to create a pipeline version: the pipeline spec is invalid")
    name = query.get("name") or query.get("display_name")
    if any((v.pipeline_id, v.name) == (pipeline.pipeline_id, name) for v in call.kfp.versions.values()):
        raise RefusedError(409, "Failed to create a pipeline version")
    spec: Any = {"pipeline_spec": documents[0], "platform_spec": documents[1]} if documents[1:] else documents[0]
    new = api.V2beta1PipelineVersion(
        pipeline_id=pipeline.pipeline_id,
        pipeline_version_id=str(uuid4()),
        name=name,
        display_name=query.get("display_name") or name,
        created_at=_now(),
        pipeline_spec=spec,
    )
    call.kfp.versions[new.pipeline_version_id] = new
    return new


def _list_versions(call: _Call) -> Any:
    pipeline = call.found("Pipeline", call.kfp.pipelines, call.names[0])
    call.allow("get", "pipelines", pipeline.namespace)
    items = [v for v in call.kfp.versions.values() if v.pipeline_id == pipeline.pipeline_id]
    return call.page(items, api.V2beta1ListPipelineVersionsResponse, "pipeline_versions")


def _get_version(call: _Call) -> Any:
    return call.found("PipelineVersion", call.kfp.versions, call.names[1])


def _version_of(call: _Call, new: Any) -> Any:
    reference = new.pipeline_version_reference
    if not reference or not reference.pipeline_version_id:
        raise RefusedError(400, "Invalid input error: a run needs a pipeline version")
    return call.found("PipelineVersion", call.kfp.versions, reference.pipeline_version_id)


def _check_parameters(version: Any, parameters: Mapping[str, Any]) -> None:
    spec = version.pipeline_spec.get("pipeline_spec", version.pipeline_spec)
    taken = Package(yaml.safe_dump(spec)).parameters
    if unknown := sorted(parameters.keys() - taken.keys()):
        raise RefusedError(400, f"Invalid input error: parameter {unknown[0]} is not defined in the pipeline spec")
    for name, parameter in taken.items():
        if name not in parameters and not parameter.get("isOptional"):
            raise RefusedError(400, f"Invalid input error: parameter {name} is not optional, yet has neither value")
        if len(str(parameters.get(name, ""))) > 10_000:
            raise RefusedError(400, f"Invalid input error: parameter {name} exceeds the length of 10000")


def _create_run(call: _Call) -> Any:
    new: Any = call.asked.body
    experiment = call.found("Experiment", call.kfp.experiments, new.experiment_id or "")
    call.allow("create", "runs", experiment.namespace)
    _check_parameters(_version_of(call, new), new.runtime_config.parameters or {})
    new.run_id, new.created_at, new.state, new.storage_state = str(uuid4()), _now(), "PENDING", "AVAILABLE"
    call.kfp.runs[new.run_id] = new
    return new


def _list_runs(call: _Call) -> Any:
    wanted = call.asked.query.get("experiment_id")
    namespace = call.asked.query.get("namespace")
    call.allow("list", "runs", namespace)
    items = [
        run
        for run in call.kfp.runs.values()
        if (not wanted or run.experiment_id == wanted)
        and call.kfp.experiments[run.experiment_id].namespace == namespace
    ]
    return call.page(items, api.V2beta1ListRunsResponse, "runs")


def _get_run(call: _Call) -> Any:
    run = call.found("Run", call.kfp.runs, call.names[0])
    call.allow("get", "runs", call.kfp.experiments[run.experiment_id].namespace)
    looks = sum(one.method == "GET" and one.path == call.asked.path for one in call.kfp.requests)
    frame = call.kfp.frames[min(looks, len(call.kfp.frames)) - 1]
    if run.state not in ("SUCCEEDED", "FAILED", "CANCELED"):
        run.state = frame.state
        run.error = _status(frame.errors.get(""))
        run.run_details = api.V2beta1RunDetails(
            task_details=[
                api.V2beta1PipelineTaskDetail(
                    run_id=run.run_id,
                    task_id=f"{run.run_id}-{name}",
                    display_name=name,
                    state=state,
                    create_time=run.created_at,
                    start_time=run.created_at - timedelta(minutes=1),
                    end_time=_now() if state in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED") else None,
                    error=_status(frame.errors.get(name)),
                )
                for name, state in frame.tasks.items()
            ]
        )
    return run


def _status(message: str | None) -> Any:
    return api.GoogleRpcStatus(code=13, message=message) if message else None


def _terminate_run(call: _Call) -> Any:
    run = call.found("Run", call.kfp.runs, call.names[0])
    run.state = "CANCELED"
    return {}


def _create_recurring(call: _Call) -> Any:
    new: Any = call.asked.body
    experiment = call.found("Experiment", call.kfp.experiments, new.experiment_id or "")
    call.allow("create", "jobs", experiment.namespace)
    _check_parameters(_version_of(call, new), (new.runtime_config and new.runtime_config.parameters) or {})
    trigger = new.trigger
    if not trigger or bool(trigger.cron_schedule) == bool(trigger.periodic_schedule):
        raise RefusedError(400, "Invalid input error: a recurring run needs one trigger, cron or periodic")
    if trigger.cron_schedule and len(trigger.cron_schedule.cron.split()) not in (5, 6):
        raise RefusedError(400, f"Invalid input error: Schedule cron is invalid: {trigger.cron_schedule.cron}")
    if not 1 <= int(new.max_concurrency or 0) <= 10:
        raise RefusedError(400, "Invalid input error: The max concurrency of a recurring run must be from 1 to 10")
    if new.mode not in ("ENABLE", "DISABLE"):
        raise RefusedError(400, "Invalid input error: The mode of a recurring run must be ENABLE or DISABLE")
    new.recurring_run_id, new.created_at, new.namespace = str(uuid4()), _now(), experiment.namespace
    new.updated_at, new.status, new.max_concurrency = _now(), f"{new.mode}D", str(new.max_concurrency)
    call.kfp.recurring_runs[new.recurring_run_id] = new
    return new


def _list_recurring(call: _Call) -> Any:
    namespace, wanted = call.asked.query.get("namespace"), call.asked.query.get("experiment_id")
    call.allow("list", "jobs", namespace)
    items = [
        one
        for one in call.kfp.recurring_runs.values()
        if one.namespace == namespace and (not wanted or one.experiment_id == wanted)
    ]
    return call.page(items, api.V2beta1ListRecurringRunsResponse, "recurring_runs")


def _get_recurring(call: _Call) -> Any:
    return call.found("Job", call.kfp.recurring_runs, call.names[0])


def _delete_recurring(call: _Call) -> Any:
    one = call.found("Job", call.kfp.recurring_runs, call.names[0])
    call.allow("delete", "jobs", one.namespace)
    del call.kfp.recurring_runs[call.names[0]]
    for run in call.kfp.runs.values():
        # Their workflows belong to the scheduled workflow, and are collected with it.
        if run.recurring_run_id == one.recurring_run_id and run.state in ("PENDING", "RUNNING"):
            run.state = "FAILED"
    return {}


def _switch(mode: str) -> Callable[[_Call], Any]:
    def switch(call: _Call) -> Any:
        one = call.found("Job", call.kfp.recurring_runs, call.names[0])
        call.allow(mode.lower(), "jobs", one.namespace)
        one.mode, one.status, one.updated_at = mode, f"{mode}D", _now()
        return {}

    return switch


_API = "/apis/v2beta1"
_ONE = "([^/:]+)"
# Method, path, the model of the body ("file" for an upload), and who answers. A recurring run can't be changed.
_ROUTES: tuple[tuple[str, str, str, Callable[[_Call], Any]], ...] = (
    ("GET", f"{_API}/healthz", "", _healthz),
    ("POST", f"{_API}/experiments", "V2beta1Experiment", _create_experiment),
    ("GET", f"{_API}/experiments", "", _list_experiments),
    ("GET", f"{_API}/experiments/{_ONE}", "", _get_experiment),
    ("POST", f"{_API}/pipelines", "V2beta1Pipeline", _create_pipeline),
    ("GET", f"{_API}/pipelines", "", _list_pipelines),
    ("POST", f"{_API}/pipelines/upload_version", "file", _upload_version),
    ("GET", f"{_API}/pipelines/names/{_ONE}", "", _get_pipeline_by_name),
    ("GET", f"{_API}/pipelines/{_ONE}", "", _get_pipeline),
    ("GET", f"{_API}/pipelines/{_ONE}/versions", "", _list_versions),
    ("GET", f"{_API}/pipelines/{_ONE}/versions/{_ONE}", "", _get_version),
    ("POST", f"{_API}/runs", "V2beta1Run", _create_run),
    ("GET", f"{_API}/runs", "", _list_runs),
    ("GET", f"{_API}/runs/{_ONE}", "", _get_run),
    ("POST", f"{_API}/runs/{_ONE}:terminate", "", _terminate_run),
    ("POST", f"{_API}/recurringruns", "V2beta1RecurringRun", _create_recurring),
    ("GET", f"{_API}/recurringruns", "", _list_recurring),
    ("GET", f"{_API}/recurringruns/{_ONE}", "", _get_recurring),
    ("DELETE", f"{_API}/recurringruns/{_ONE}", "", _delete_recurring),
    ("POST", f"{_API}/recurringruns/{_ONE}:enable", "", _switch("ENABLE")),
    ("POST", f"{_API}/recurringruns/{_ONE}:disable", "", _switch("DISABLE")),
)
