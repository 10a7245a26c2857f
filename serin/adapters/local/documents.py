"""What this machine reads of the documents and status files that it acts on.

Of an InferenceService and the ServingRuntime the rest is for a cluster. Of a VirtualService nothing may be left out in
silence: traffic would go another way than it says.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serin.errors import UnavailableError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Whole(_Part):
    @model_validator(mode="before")
    @classmethod
    def _nothing_else(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and (beyond := [key for key in given if key not in cls.model_fields]):
            known = ", ".join(sorted(cls.model_fields))
            raise ValueError(f"{', '.join(map(str, beyond))} is beyond the local gateway; it knows {known} there")
        return given


class Metadata(_Part):
    """A document's name, and its version as this machine counts them."""

    name: str
    resourceVersion: Annotated[str, Field(pattern=r"^\d+$")] = "0"  # noqa: N815
    annotations: dict[str, str] | None = None


class Model(_Part):
    """Where the artifact lies, and the arguments that come after the runtime's."""

    storageUri: str  # noqa: N815
    args: list[str] = []


class PredictorSpec(_Part):
    """An InferenceService's predictor."""

    model: Model


class ServiceSpec(_Part):
    """An InferenceService's spec."""

    predictor: PredictorSpec


class InferenceService(_Part):
    """One version of a model."""

    metadata: Metadata
    spec: ServiceSpec


class HttpGet(_Part):
    """The path that a probe asks for."""

    path: str


class Probe(_Part):
    """How readiness is looked for."""

    httpGet: HttpGet  # noqa: N815
    periodSeconds: Annotated[int, Field(ge=1)]  # noqa: N815
    failureThreshold: Annotated[int, Field(ge=1)]  # noqa: N815


class Container(_Part):
    """The predictor's command line and its probe."""

    command: Annotated[list[str], Field(min_length=1)]
    args: list[str] = []
    readinessProbe: Probe  # noqa: N815


class RuntimeSpec(_Part):
    """A ServingRuntime's spec; the first container is the predictor's."""

    containers: Annotated[list[Container], Field(min_length=1)]


class ServingRuntime(_Part):
    """What every predictor is started with."""

    metadata: Metadata
    spec: RuntimeSpec


class Port(_Whole):
    """A port of a Service."""

    number: int


class Destination(_Whole):
    """A Service and its port."""

    host: str
    port: Port


class Share(_Whole):
    """A destination and its percent of the requests."""

    destination: Destination
    weight: Annotated[int, Field(ge=0, le=100)] = 100


_Text = Annotated[dict[Literal["exact", "prefix"], str], Field(min_length=1, max_length=1)]


class Match(_Whole):
    """Which requests a route is for: those whose path and headers fit, and that lack the headers `withoutHeaders`."""

    uri: _Text | None = None
    headers: dict[str, _Text] = {}
    withoutHeaders: dict[str, Annotated[dict[str, str], Field(max_length=0)]] = {}  # noqa: N815


class Retries(_Whole):
    """When a request is sent again."""

    attempts: Annotated[int, Field(ge=0)]
    retryOn: str  # noqa: N815


class Route(_Whole):
    """Where the requests that match go. `timeout` is in seconds, as Envoy reads them: "30s"."""

    name: str | None = None
    match: list[Match] = [Match()]
    route: Annotated[list[Share], Field(min_length=1)]
    timeout: Annotated[str, Field(pattern=r"^\d+(\.\d+)?s$")] | None = None
    retries: Retries | None = None

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not any(share.weight for share in self.route):
            raise ValueError("route: every weight is 0; one must be more")
        return self


class TrafficSpec(_Whole):
    """A VirtualService's spec."""

    hosts: list[str] = []
    gateways: list[str] = []
    http: Annotated[list[Route], Field(min_length=1)]


class VirtualService(_Part):
    """Which versions get which requests."""

    metadata: Metadata
    spec: TrafficSpec


class StatusFile(_Part):
    """What a deployment, or the gateway, does; `pid` with `identity` is its process, `place` the folder it serves."""

    ready: bool
    message: str
    restarts: Annotated[int, Field(ge=0)] = 0
    pid: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    identity: str | None = None
    http_port: int | None = None
    grpc_port: int | None = None
    place: str = ""


_Read = TypeVar("_Read", bound=_Part)


def read(model: type[_Read], document: Any, where: str) -> _Read:
    """A document as `model`. Raises UnavailableError: it has another shape; `where` names it, and every key is."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(_described(problem) for problem in error.errors())
        raise UnavailableError(f"{where}: {problems}") from None


def _described(problem: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    text = str(problem["msg"]).removeprefix("Value error, ")
    found = "" if problem["type"] in ("missing", "value_error") else f" (found {problem['input']!r})"
    return f"{place}: {text}{found}" if place else f"{text}{found}"
