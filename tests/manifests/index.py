"""What a set of documents holds, to be looked up by whoever names something of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.manifests.rendering import Document

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Pod:
    """A pod as its template has it, in the namespace of whoever makes it."""

    title: str
    namespace: str
    labels: Labels
    spec: Document

    @property
    def ports(self) -> set[int | str]:
        """Its containers' ports, by number and by name."""
        found = [port for container in self.spec["containers"] for port in container.get("ports", [])]
        return {port["containerPort"] for port in found} | {port["name"] for port in found if "name" in port}


class Index:
    """The documents by kind, namespace and name, and the pods that they stand for."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.documents = tuple(documents)
        self._found = {(d["kind"], namespace_of(d), d["metadata"]["name"]): d for d in self.documents}
        self.pods = tuple(_pods(self.documents))

    def get(self, kind: str, namespace: str, name: str) -> Document | None:
        """A document; of a kind without namespaces, with "" for it."""
        return self._found.get((kind, namespace, name))

    def of(self, kind: str) -> tuple[Document, ...]:
        """All documents of a kind."""
        return tuple(document for document in self.documents if document["kind"] == kind)

    def selected(self, selector: Mapping[str, Any], namespaces: Iterable[str]) -> tuple[Pod, ...]:
        """The pods of some namespaces that a LabelSelector means."""
        wanted = set(namespaces)
        return tuple(pod for pod in self.pods if pod.namespace in wanted and matches(selector, pod.labels))

    def namespaces(self, selector: Mapping[str, Any]) -> tuple[str, ...]:
        """The namespaces that a LabelSelector means."""
        return tuple(
            space["metadata"]["name"]
            for space in self.of("Namespace")
            if matches(selector, {"kubernetes.io/metadata.name": space["metadata"]["name"], **labels_of(space)})
        )


def namespace_of(document: Document) -> str:
    """The namespace of a document; "" where its kind has none."""
    found: str = document["metadata"].get("namespace", "")
    return found


def labels_of(document: Document) -> Labels:
    """The labels of a document."""
    found: Labels = document["metadata"].get("labels", {})
    return found


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a LabelSelector means something with these labels."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(_holds(rule, labels) for rule in selector.get("matchExpressions", []))


def _holds(rule: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(rule["key"])
    match rule["operator"]:
        case "In":
            return value in rule["values"]
        case "NotIn":
            return value not in rule["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(f"unknown operator {rule['operator']}")


def _pods(documents: Iterable[Document]) -> Iterator[Pod]:
    for document in documents:
        title = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield Pod(title, namespace_of(document), labels_of(document), document["spec"])
        elif document["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = document["spec"]["template"]
            yield Pod(title, namespace_of(document), template["metadata"].get("labels", {}), template["spec"])
