"""What Kubeflow Pipelines, or the network before it, answers in place of a result, as one of Serin's errors."""

import json
import re

import urllib3
from kfp_server_api import ApiException

from serin.errors import ConflictError, NotFoundError, SerinError, UnavailableError, first_line

_DENIED = re.compile(
    r"User '(?P<user>[^']*)' is not authorized.*?Namespace:(?P<namespace>[^,]*),Verb:(?P<verb>[^,]*),.*?"
    r"Resource:(?P<resource>[^,]*)",
    re.DOTALL,
)
# The upload endpoints answer 400 also where the right is missing.
_RIGHT = re.compile(r"not authorized|PermissionDenied|permission to|authoriz?ation|authentication failed", re.I)
_LONGEST = 600  # characters of a message


class DeniedError(UnavailableError):
    """Who asks is not known, or lacks the right: asking again changes nothing."""


def explained(error: Exception, host: str, doing: str) -> SerinError:
    """The error of a call that was `doing` something ("start the run"), or of its way there."""
    if isinstance(error, ApiException) and error.status:
        return _refused(error, host, doing)
    return UnavailableError(f"Kubeflow Pipelines at {host} can't be asked to {doing}: {_cause(error)}")


def _refused(error: ApiException, host: str, doing: str) -> SerinError:
    said = _message(error)
    asked = f"Kubeflow Pipelines at {host}, asked to {doing}"
    if error.status == 401:
        return DeniedError(
            f"{asked}, does not know who asks (401): {said}. SERIN_KFP_TOKEN_FILE names a file with a token, such as "
            "a service account's projected one"
        )
    if error.status == 403 or (error.status == 400 and _RIGHT.search(said)):
        return DeniedError(f"{asked}, does not allow it ({error.status}): {_denied(said)}")
    if error.status == 404:
        return NotFoundError(f"{asked}, found nothing (404): {said}")
    if error.status == 409:
        return ConflictError(f"{asked}, says that it is there already (409): {said}")
    if error.status >= 500:
        return UnavailableError(f"{asked}, failed ({error.status}): {said}")
    return SerinError(f"{asked}, refused ({error.status}): {said}")


def _denied(said: str) -> str:
    found = _DENIED.search(said)
    if not found:
        return said
    where = f" in namespace {found['namespace']}" if found["namespace"] else ""
    return f"{found['user']} may not {found['verb']} {found['resource']}.pipelines.kubeflow.org{where}"


def _message(error: ApiException) -> str:
    """What the body says: a grpc-gateway status, the upload server's own error, or any text."""
    body = error.body.decode() if isinstance(error.body, bytes) else str(error.body or "")
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    if isinstance(document, dict):
        keys = ("message", "error", "error_message", "errorMessage", "error_details")
        body = next((str(document[key]) for key in keys if document.get(key)), body)
    text = " ".join(re.sub(r"<[^>]*>", " ", body).split()) or str(error.reason)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _cause(error: Exception) -> str:
    """Why there was no answer at all."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, Exception) else error
    text = f"{reason or error}"
    if isinstance(inner, urllib3.exceptions.SSLError) or text.startswith("SSLError"):
        return (
            f"its certificate is not accepted ({first_line(Exception(text.removeprefix('SSLError')))}). "
            "SERIN_KFP_CA_FILE names the certificate of the authority that issued it"
        )
    if isinstance(inner, urllib3.exceptions.NameResolutionError):
        return "there is no host of that name; SERIN_KFP_HOST (or --host) names the one to ask"
    if isinstance(inner, urllib3.exceptions.NewConnectionError):  # a TimeoutError, too, by urllib3's tree
        return (
            f"nobody answers there ({first_line(inner).rpartition(': ')[2]}); SERIN_KFP_HOST (or --host) names the "
            "host to ask, `kubectl -n kubeflow port-forward svc/ml-pipeline-ui 8888:80` makes it http://localhost:8888"
        )
    if isinstance(inner, urllib3.exceptions.TimeoutError):
        return f"no answer in time ({first_line(inner)})"
    return first_line(inner)
