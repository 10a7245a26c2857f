"""What a container is given before it starts: variables out of the API server, and a model out of the object store."""

import base64
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyarrow import fs

from tests.cluster.api import Api, Document, RefusedError

CHECKOUT = Path(__file__).resolve().parents[2]


class FailedError(Exception):
    """A container can't start, or has ended: a kubelet's word for it as `reason`, its exit code, and the message."""

    def __init__(self, container: str, reason: str, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.container, self.reason, self.code = container, reason, code


def named(containers: list[Document], name: str) -> Document:
    """The container of a name."""
    return next(container for container in containers if container["name"] == name)


def variables(api: Api, pod: Mapping[str, Any], container: Mapping[str, Any], address: str) -> dict[str, str]:
    """The environment of a container. Raises FailedError as a kubelet does, where what it refers to is not there."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        kind, key = ("ConfigMap", "configMapRef") if "configMapRef" in source else ("Secret", "secretRef")
        found |= _data(api, container, kind, source[key])
    fields = {"status.podIP": address, "metadata.name": pod["metadata"]["name"], "metadata.namespace": "serin"}
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            found[variable["name"]] = fields[source["fieldRef"]["fieldPath"]]
        elif source:
            found |= _referred(api, container, variable["name"], source)
        else:
            found[variable["name"]] = str(variable.get("value", ""))
    return found


def copied(uri: str, folder: Path, given: Mapping[str, str]) -> None:
    """Fetch a model as the storage initializer does, with the variables of its container and no other.

    Raises FailedError with what KServe's initializer says in the like case.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _copy(uri, folder, given)
    except (OSError, ValueError) as error:
        raise FailedError("storage-initializer", "Error", f"{uri}: {error}") from None


def _copy(uri: str, folder: Path, given: Mapping[str, str]) -> None:
    if uri.startswith("file://"):
        shutil.copytree(uri.removeprefix("file://"), folder, dirs_exist_ok=True)
        return
    if not uri.startswith("s3://"):
        raise ValueError("Cannot recognize storage type")
    if "AWS_ACCESS_KEY_ID" not in given:
        raise ValueError("Unable to locate credentials")
    system = fs.S3FileSystem(
        access_key=given["AWS_ACCESS_KEY_ID"],
        secret_key=given["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=given.get("AWS_ENDPOINT_URL"),
        region=given.get("AWS_DEFAULT_REGION", "us-east-1"),
    )
    source = uri.removeprefix("s3://").rstrip("/")
    if not system.get_file_info(fs.FileSelector(source, recursive=True, allow_not_found=True)):
        raise ValueError("Failed to fetch model. No model found")
    fs.copy_files(source, str(folder), source_filesystem=system)


def _referred(api: Api, container: Mapping[str, Any], name: str, source: Mapping[str, Any]) -> dict[str, str]:
    kind, key = ("ConfigMap", "configMapKeyRef") if "configMapKeyRef" in source else ("Secret", "secretKeyRef")
    reference = source[key]
    data = _data(api, container, kind, reference)
    if reference["key"] in data:
        return {name: data[reference["key"]]}
    if reference.get("optional"):
        return {}
    message = f"couldn't find key {reference['key']} in {kind} serin/{reference['name']}"
    raise FailedError(container["name"], "CreateContainerConfigError", message)


def _data(api: Api, container: Mapping[str, Any], kind: str, reference: Mapping[str, Any]) -> dict[str, str]:
    try:
        data = api.get("v1", kind, reference["name"]).get("data", {})
    except RefusedError as refused:
        if refused.status == 404 and reference.get("optional"):
            return {}
        raise FailedError(container["name"], "CreateContainerConfigError", str(refused)) from None
    return data if kind == "ConfigMap" else {key: base64.b64decode(text).decode() for key, text in data.items()}
