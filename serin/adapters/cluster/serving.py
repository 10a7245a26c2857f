"""The serving target of a cluster: InferenceServices that KServe acts on, and a VirtualService for Istio."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from serin.adapters.cluster.api import ABSENT, COMPANIONS, DEPLOYMENT, POD, SERVED, Api, Kind
from serin.adapters.cluster.api_errors import RefusedError
from serin.adapters.cluster.ownership import difference, last_writer, listed, sealed, without_others
from serin.adapters.cluster.readiness import readiness
from serin.errors import ConflictError, NotFoundError, UnavailableError
from serin.ports import INFERENCE_SERVICE, Document, Status

# What the storage initializer of manifests/cluster-wide is for.
_READABLE = "s3://"
_LEAVING = 120.0


class KubernetesServing:
    """Documents of one model in a namespace.

    `companions` gives what a stored InferenceService has beside it, which goes with it. `patience` is how long a name
    that is being deleted is waited for, in seconds.
    """

    def __init__(
        self,
        api: Api,
        model: str,
        companions: Callable[[Document], Iterable[Document]] = lambda _: (),
        patience: float = _LEAVING,
    ) -> None:
        self._api, self._model, self._companions, self._patience = api, model, companions, patience

    def create(self, document: Mapping[str, Any]) -> Document:
        """See ServingTarget. Of two who create the same at once, both get what one of them made."""
        stored = self._created(document)
        if document["kind"] == INFERENCE_SERVICE:
            for one in self._companions(stored):
                self._api.apply(COMPANIONS[one["kind"]], one)
        return stored

    def _created(self, document: Mapping[str, Any]) -> Document:
        kind, name = _kind(document["kind"]), document["metadata"]["name"]
        _check_storage(document)
        wanted = sealed(document)
        try:
            return self._api.apply(kind, _at(wanted, resourceVersion=ABSENT))
        except RefusedError:
            if not self._gone(kind, name):
                return self._same(wanted, self._api.get(kind, name))
        return self._created(document)

    def replace(self, document: Mapping[str, Any]) -> Document:
        """See ServingTarget."""
        kind, name = _kind(document["kind"]), document["metadata"]["name"]
        given, wanted = document["metadata"].get("resourceVersion"), sealed(document)
        if kind.name == INFERENCE_SERVICE:
            raise ConflictError(f"{kind.name} {name} is never edited; create one of another version")
        stored = self._found(kind, name, given)
        if stored["metadata"]["resourceVersion"] == given:
            try:
                # With the uid, an object that was deleted meanwhile is not made anew.
                return self._api.apply(kind, _at(wanted, resourceVersion=given, uid=stored["metadata"]["uid"]))
            except RefusedError as refused:
                if refused.held:
                    raise ConflictError(_taken_over(kind, stored, refused, self._api.namespace)) from None
                stored = self._found(kind, name, given)
        if not difference(wanted, stored):
            return stored  # An answer of the server that was lost: it is written.
        raise ConflictError(
            f"{kind.name} {name} was changed since it was read: it is at version "
            f"{stored['metadata']['resourceVersion']}, not {given}; last by {last_writer(stored)}"
        )

    def get(self, kind: str, name: str) -> Document:
        """See ServingTarget. What is being deleted is there no more."""
        found = self._api.get(_kind(kind), name)
        if found["metadata"].get("deletionTimestamp"):
            raise NotFoundError(f"there is no {kind} {name}: it is being deleted")
        return found

    def list(self, kind: str) -> tuple[Document, ...]:
        """See ServingTarget."""
        labels = {"app.kubernetes.io/part-of": "serin", "serin/model": self._model}
        found = self._api.list(_kind(kind), labels)
        return tuple(document for document in found if not document["metadata"].get("deletionTimestamp"))

    def delete(self, kind: str, name: str) -> None:
        """See ServingTarget. The name is free again once everything that belongs to it is gone."""
        self._api.delete(_kind(kind), name, "Foreground" if kind == INFERENCE_SERVICE else "Background")

    def status(self, name: str) -> Status:
        """See ServingTarget."""
        try:
            service = self._api.get(SERVED[INFERENCE_SERVICE], name)
        except NotFoundError as error:
            return Status(ready=False, message=str(error), failed=True)
        found = pods(self._api, name)
        status = readiness(service, None, found)
        return status if status.ready else readiness(service, self._deployment(name), found)

    def check(self) -> str:
        """See ServingTarget. On a cluster predictors outlive the controllers, so the answer is always the same.

        Whether those run is not for an account of one namespace to see; a version that nobody acts on says so in its
        status.
        """
        for kind in SERVED.values():
            self._api.served(kind)
        return f"KServe and Istio of {self._api.host}"

    def _deployment(self, name: str) -> Document | None:
        try:
            return self._api.get(DEPLOYMENT, f"{name}-predictor")
        except NotFoundError:
            return None

    def _found(self, kind: Kind, name: str, given: str | None) -> Document:
        try:
            return self.get(kind.name, name)
        except NotFoundError:
            raise NotFoundError(f"{kind.name} {name} was deleted since version {given} was read") from None

    def _same(self, wanted: Document, stored: Document) -> Document:
        if problem := difference(wanted, stored):
            raise ConflictError(
                f"{wanted['kind']} {wanted['metadata']['name']} exists already, at version "
                f"{stored['metadata']['resourceVersion']}: it {problem}; allowed: what Serin makes of that name, or "
                "nothing"
            )
        return stored

    def _gone(self, kind: Kind, name: str) -> bool:
        """Whether nothing has the name any more; what is just being deleted is waited for."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                if not self._api.get(kind, name)["metadata"].get("deletionTimestamp"):
                    return False
            except NotFoundError:
                return True
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{kind.name} {name} is being deleted and not gone after {self._patience:.0f} s: "
                    f"kubectl -n {self._api.namespace} describe {kind.plural} {name}"
                )
            time.sleep(min(1.0, self._patience / 10))


def pods(api: Api, deployment: str) -> list[Document]:
    """The predictor pods of an InferenceService."""
    return api.list(POD, {"serving.kserve.io/inferenceservice": deployment})


def _kind(name: str) -> Kind:
    if name not in SERVED:
        raise ConflictError(f"{name} is no kind of a serving document; allowed: {' and '.join(SERVED)}")
    return SERVED[name]


def _at(document: Document, **metadata: Any) -> Document:
    return {**document, "metadata": {**document["metadata"], **metadata}}


def _check_storage(document: Mapping[str, Any]) -> None:
    """A cluster accepts any storageUri, and says nothing of one that its storage initializer can't read."""
    if document["kind"] != INFERENCE_SERVICE:
        return
    uri = str(document["spec"]["predictor"]["model"]["storageUri"])
    if uri.startswith(_READABLE):
        return
    advice = "an artifact that only this machine has can't be served there"
    if uri.startswith("mlflow-artifacts:"):
        advice = (
            "MLflow hands its artifacts out itself; start its server with --no-serve-artifacts and "
            "--default-artifact-root s3://BUCKET/PREFIX, and train again"
        )
    raise UnavailableError(
        f"{document['kind']} {document['metadata']['name']}: storageUri is {uri!r}; allowed: "
        f"{_READABLE}BUCKET/PREFIX. {advice}"
    )


def _taken_over(kind: Kind, stored: Document, refused: RefusedError, namespace: str) -> str:
    """Only a change of managedFields gives a field back: applied by force, it would have two managers."""
    name, steps = stored["metadata"]["name"], json.dumps(without_others(stored["metadata"].get("managedFields") or []))
    return (
        f"{kind.name} {name} was changed by somebody else: {listed(refused.held)}. Put it right, then give it back to "
        f"Serin: kubectl -n {namespace} patch {kind.plural} {name} --type=json -p '{steps}'"
    )
