"""Where model versions are served: documents in, status out.

`local_serving.LocalServing` keeps the documents in a folder. A cluster's target will be a sibling of it that
talks to the Kubernetes API; nothing above this module knows which one it has.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Document = dict[str, Any]
INFERENCE_SERVICE = "InferenceService"
VIRTUAL_SERVICE = "VirtualService"


@dataclass(frozen=True)
class Status:
    """What a deployment does just now; `url` is where its own HTTP port answers, once it was started."""

    ready: bool
    message: str = ""
    restarts: int = 0
    url: str = ""


class ServingTarget(Protocol):
    """The documents of one model, with the optimistic concurrency of the Kubernetes API."""

    def apply(self, document: Mapping[str, Any]) -> Document:
        """Store a document and return it with its new `metadata.resourceVersion`.

        A document without a resourceVersion is created, one that carries it replaces the version it names;
        storing what is already there changes nothing.
        Raises ConflictError: it exists already, was changed or deleted since it was read, or is an
        InferenceService, which is never edited.
        """

    def get(self, kind: str, name: str) -> Document | None:
        """A document, or None where there is none."""

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of all documents of a kind, sorted."""

    def delete(self, kind: str, name: str) -> None:
        """Remove a document; one that is not there is no error."""

    def status(self, name: str) -> Status:
        """The state of an InferenceService."""

    def exclusive(self, purpose: str) -> AbstractContextManager[None]:
        """Hold `purpose` for this process until the block ends or the process dies.

        Raises ConflictError naming the process that holds it.
        """
