"""What an API server of Kubernetes answers in place of a result, as one of Serin's errors."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError

if TYPE_CHECKING:
    from serin.adapters.cluster.api import Kind


class RefusedError(ConflictError):
    """The API server answered 409; `held` gives each field that another manager holds, and who that is."""

    def __init__(self, text: str, held: Mapping[str, str]) -> None:
        super().__init__(text)
        self.held = dict(held)


def refusal(error: Any, kind: "Kind", name: str, what: str, host: str) -> SerinError:
    """The error of a 404 or a 409: RefusedError, NotFoundError; UnavailableError where namespace or kind is missing."""
    status = _status(error)
    details = status.get("details") or {}
    if error.status == HTTPStatus.CONFLICT:
        causes = [cause for cause in details.get("causes") or () if cause.get("reason") == "FieldManagerConflict"]
        held = {str(cause.get("field")): str(cause.get("message")) for cause in causes}
        return RefusedError(f"{what}: {status['message']}", held)
    if details.get("kind") == "namespaces":
        return UnavailableError(f"{what}: {status['message']}; `kubectl apply -k manifests/...` makes it")
    if not details.get("name"):
        return UnavailableError(unknown(kind, host))
    return NotFoundError(f"there is no {kind.name} {name}")


def failure(error: Any, what: str, host: str) -> SerinError:
    """The error of any other answer; `what` was asked ("apply Lease x")."""
    said = _status(error)["message"]
    if error.status == HTTPStatus.UNAUTHORIZED:
        return UnavailableError(
            f"{what}: the API server {host} does not know who asks ({said}): the credentials are wrong or have "
            "expired; log in again"
        )
    if error.status == HTTPStatus.FORBIDDEN:
        return UnavailableError(f"{what}: the API server does not allow it: {said}")
    if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY) or "typed patch object" in said:
        return SerinError(f"{what}: the API server refused the document: {said}")
    return UnavailableError(f"{what}: the API server {host} failed ({error.status}): {said}")


def _status(error: Any) -> dict[str, Any]:
    """The Status object that an API server answers with, or one made of what else has answered."""
    try:
        found = json.loads(error.body)
    except (TypeError, ValueError):
        found = None
    if isinstance(found, dict) and found.get("message"):
        return found
    return {"message": str(error.body or error.reason or error.status).strip()[:300]}


def unknown(kind: "Kind", host: str) -> str:
    """What to say where the cluster does not serve a kind."""
    project = {"serving.kserve.io": "KServe", "networking.istio.io": "Istio"}.get(kind.group, "it")
    return f"the cluster at {host} does not serve {kind.name} ({kind.api_version}); install {project} there"
