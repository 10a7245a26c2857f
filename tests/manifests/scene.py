"""An overlay as it is once two versions of a model run: rendered, filled, and with what others bring."""

import copy
import re
from functools import cache

import yaml

from serin import deployments, use_case
from serin.adapters import templates
from tests.manifests import kserve
from tests.manifests.rendering import ROOT, Document, overlay

CASE = use_case.load("card_fraud", ROOT / "pipelines" / "use_cases")
TEMPLATES = templates.load(ROOT)
VERSIONS = (1, 2)
NAMESPACE = "serin"
_ROW = re.compile(r"^\| `([\w-]+)` \| `([\w-]+)` \| (`.*`) \|", re.MULTILINE)


def filled() -> list[Document]:
    """The templates, filled for two versions, in Serin's namespace."""
    made = [deployments.virtual_service(CASE, {"card-fraud-v1": 95, "card-fraud-v2": 5}, TEMPLATES.virtual_service)]
    for version in VERSIONS:
        made += [
            deployments.inference_service(CASE, version, f"s3://serin/models/{version}", TEMPLATES.inference_service),
            deployments.autoscaler(CASE, version, TEMPLATES.autoscaler),
            deployments.disruption_budget(CASE, version, TEMPLATES.disruption_budget),
        ]
    return [{**made_, "metadata": {**made_["metadata"], "namespace": NAMESPACE}} for made_ in made]


def of(name: str) -> list[Document]:
    """All documents around an overlay; the caller's own, to be changed."""
    documents = [*overlay(name), *filled(), *_upstream(), *declared_secrets()]
    (runtime,) = (document for document in documents if document["kind"] == "ServingRuntime")
    services = [document for document in documents if document["kind"] == "InferenceService"]
    documents += [made for service in services for made in kserve.made_of(service, runtime)]
    return copy.deepcopy(documents)


def declared_secrets() -> list[Document]:
    """The Secrets of manifests/README.md's table, with their keys."""
    text = (ROOT / "manifests" / "README.md").read_text(encoding="utf-8")
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": dict.fromkeys(re.findall(r"`([^`]+)`", keys), ""),
        }
        for name, namespace, keys in _ROW.findall(text)
    ]


@cache
def _upstream() -> tuple[Document, ...]:
    text = (ROOT / "tests" / "manifests" / "upstream.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load_all(text))
