"""Documents against the schemas of the API server: Kubernetes' own kinds, and the CRDs that upstream publishes.

A field that the schema does not know is an error, as for `kubectl apply --validate=strict`. Rules in CEL
(x-kubernetes-validations) and what webhooks check are not evaluated here; a real API server does (tests/cluster).
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.manifests.index import namespace_of
from tests.manifests.rendering import CACHE, ROOT, Document

KUBERNETES = "1.34"
_CUSTOM = (".kserve.io", ".istio.io", ".coreos.com", "kubeflow.org", "argoproj.io")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")


class NoSchemaError(Exception):
    """There is no schema of a kind here."""


def folder() -> Path:
    """Where the CRDs are: SERIN_CRDS, else shared/ beside the checkout, else what `make crds` has downloaded."""
    if named := os.environ.get("SERIN_CRDS"):
        return Path(named)
    beside = ROOT.parent / "shared" / "crds"
    return beside if beside.is_dir() else CACHE / "crds"


def is_custom(document: Document) -> bool:
    """Whether the kind is one of a CRD."""
    group = document["apiVersion"].partition("/")[0]
    return group.endswith(_CUSTOM)


def problems(document: Document) -> list[str]:
    """What is wrong with a document, with the place; empty where nothing is.

    Raises NoSchemaError: the CRD is not here.
    """
    title = f"{document['kind']} {document['metadata'].get('name')}"
    found = _custom(document) if is_custom(document) else _builtin(document)
    return [f"{title}: {problem}" for problem in (*found, *_metadata(document["metadata"]))]


def _builtin(document: Document) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield _told(error)
    except kubernetes_validate.SchemaNotFoundError:
        yield f"Kubernetes {KUBERNETES} has no {document['kind']} in {document['apiVersion']}"


def _custom(document: Document) -> Iterator[str]:
    validator = _validator(document["apiVersion"], document["kind"], folder())
    yield from map(_told, validator.iter_errors(document))
    if _crd(document["apiVersion"], document["kind"], folder()).scope == "Cluster" and namespace_of(document):
        yield "metadata.namespace: the kind belongs to no namespace"


def _metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    """A CRD says nothing of it, and the published schemas say not what a name may be."""
    yield from _builtin({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    if not _NAME.fullmatch(metadata.get("name", "")):
        yield f"metadata.name: {metadata.get('name')!r} is no DNS name"
    for key, value in metadata.get("labels", {}).items():
        if not _LABEL.fullmatch(value):
            yield f"metadata.labels.{key}: {value!r} is no label"


def _told(error: Any) -> str:
    place = ".".join(map(str, error.absolute_path))
    return f"{place or 'document'}: {error.message[:300]}"


@cache
def _validator(api_version: str, kind: str, where: Path) -> jsonschema.Draft202012Validator:
    checked = {**_strict(_crd(api_version, kind, where).schema), "required": ["apiVersion", "kind", "metadata", "spec"]}
    checked["properties"] = {**checked["properties"], "apiVersion": True, "kind": True, "metadata": True}
    return jsonschema.Draft202012Validator(checked)


def _crd(api_version: str, kind: str, where: Path) -> "_Version":
    try:
        return _published(where)[api_version, kind]
    except KeyError:
        raise NoSchemaError(f"no CRD of {kind} {api_version} in {where}; `make crds` downloads them") from None


@dataclass(frozen=True)
class _Version:
    scope: str
    schema: Document


@cache
def _published(where: Path) -> dict[tuple[str, str], _Version]:
    found = {}
    for path in sorted(where.glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if crd and crd["kind"] == "CustomResourceDefinition":
                spec = crd["spec"]
                for version in spec["versions"]:
                    key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    found[key] = _Version(spec["scope"], version["schema"]["openAPIV3Schema"])
    return found


def _strict(schema: Document) -> Document:
    """A structural schema as JSON Schema that knows no other fields.

    Fields are declared by `properties`, `items` and `additionalProperties` alone; what stands below allOf, anyOf, oneOf
    and not only narrows values, and must stay as it is.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return schema
    made = dict(schema)
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema:
        made["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
    if schema.get("x-kubernetes-embedded-resource"):
        made["properties"] = {"apiVersion": True, "kind": True, "metadata": True, **made.get("properties", {})}
    if schema.get("type") == "object" and not open_ended:
        made["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(schema["additionalProperties"])
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made
