"""Leases between pods and machines: coordination.k8s.io/v1 Leases, taken and renewed under their resource version.

As client-go's leader election has it, no two clocks are compared: whoever wants a lease watches it, and takes it over
once nothing was written to it for as long as it lasts. Its holder renews it in a thread; where that fails for too long,
its work is interrupted before anybody else may begin.
"""

import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from serin.adapters.cluster.api import ABSENT, LEASE, Api
from serin.adapters.cluster.api_errors import RefusedError
from serin.adapters.cluster.ownership import listed
from serin.adapters.cluster.renewal import Renewal, Times, interruptible
from serin.errors import ConflictError, NotFoundError, SerinError
from serin.ports import Document, digest, unheard

_LONGEST = 63
_NAME = "serin/lease"  # The annotation with the name as it was asked for.
_TIMES = Times()


@dataclass(frozen=True)
class Record:
    """A Lease as it was read: its holder ("" is nobody), for how many seconds it lasts, and its object's version."""

    name: str
    holder: str
    duration: float
    renewed: str
    transitions: int
    uid: str
    version: str


class KubernetesLease:
    """Leases of a namespace. For the main thread the work is interrupted when its lease is lost; in any other thread
    the loss is raised at the end of the block."""

    def __init__(self, api: Api, times: Times = _TIMES) -> None:
        self._api, self._brisk, self._times = api, api.brisk(), times

    @contextmanager
    def hold(self, name: str, *, wait: bool = False, waits_for: Callable[[str], None] = unheard) -> Iterator[None]:
        """See Lease. After a holder that was killed it takes as long as the lease lasts.

        Raises UnavailableError: the API server does not answer, or the lease was lost meanwhile.
        """
        me = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        record = self._acquire(name, me, waits_for if wait else None)
        with interruptible() as target:
            renewal = Renewal(lambda held: self._renewed(held, me), record, self._times, target)
            try:
                with renewal:
                    yield
            finally:
                if not renewal.lost:
                    self._release(renewal.record)

    def holder(self, name: str) -> str | None:
        """See Lease. A lease that was not renewed for as long as it lasts, by this machine's clock, has none."""
        found = self._read(name)
        if found is None or not found.holder:
            return None
        age = datetime.now(UTC) - datetime.fromisoformat(found.renewed) if found.renewed else None
        return found.holder if age and age.total_seconds() < found.duration else None

    def _acquire(self, name: str, me: str, waits_for: Callable[[str], None] | None) -> Record:
        """Take the lease; another holder is waited for where there is a `waits_for`, which is told of the first."""
        watched: Record | None = None
        since = time.monotonic()
        while True:
            found = self._read(name)
            lapsed = watched == found and time.monotonic() - since > (found.duration if found else 0)
            if found is None or not found.holder or lapsed:
                with suppress(RefusedError):  # Somebody else was quicker.
                    return self._write(_taken(name, found, me, self._times.duration))
            elif watched != found:
                if watched is None and waits_for:
                    waits_for(found.holder)
                if watched and not waits_for:
                    raise ConflictError(f"{name}: {found.holder} is at it already; let it end or stop it")
                watched, since = found, time.monotonic()
            time.sleep(self._times.poll)

    def _renewed(self, held: Record, me: str) -> Record:
        """The lease after one more renewal. Raises ConflictError: somebody else has it."""
        with suppress(RefusedError):
            return self._write(_document(held, me, held.duration, held.transitions), self._brisk)
        found = self._read(held.name, self._brisk)
        if found is None or found.holder != me:
            raise ConflictError(f"{(found and found.holder) or 'nobody'} has it now")
        return self._write(_document(found, me, held.duration, held.transitions), self._brisk)

    def _release(self, held: Record) -> None:
        # Where this fails, the lease lapses by itself.
        with suppress(SerinError):
            self._write(_document(held, "", held.duration, held.transitions), self._brisk)

    def _read(self, name: str, api: Api | None = None) -> Record | None:
        try:
            return _record(name, (api or self._api).get(LEASE, object_name(name)))
        except NotFoundError:
            return None

    def _write(self, document: Document, api: Api | None = None) -> Record:
        name = document["metadata"]["annotations"][_NAME]
        try:
            return _record(name, (api or self._api).apply(LEASE, document))
        except RefusedError as refused:
            if refused.held:
                raise ConflictError(
                    f"the lease {name} was written by somebody else: {listed(refused.held)}. Where nothing runs under "
                    f"it: kubectl -n {self._api.namespace} delete lease {object_name(name)}"
                ) from None
            raise


def object_name(name: str) -> str:
    """The name of the Lease object: `name`, where that is a DNS label, else one made of it."""
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain if plain == name and len(name) <= _LONGEST else f"{plain[: _LONGEST - 9].rstrip('-')}-{digest(name)}"


def _taken(name: str, found: Record | None, me: str, duration: float) -> Document:
    if found is None:
        found = Record(name, "", duration, "", -1, "", ABSENT)
    return _document(found, me, duration, found.transitions + 1)


def _document(record: Record, holder: str, duration: float, transitions: int) -> Document:
    metadata: dict[str, Any] = {
        "name": object_name(record.name),
        "labels": {"app.kubernetes.io/part-of": "serin"},
        "annotations": {_NAME: record.name},
        "resourceVersion": record.version,
        **({"uid": record.uid} if record.uid else {}),
    }
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    held = {"holderIdentity": holder, "renewTime": now} if holder else {}
    spec = {"leaseDurationSeconds": round(duration), "leaseTransitions": transitions, **held}
    return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata, "spec": spec}


def _record(name: str, document: Document) -> Record:
    spec, metadata = document.get("spec") or {}, document["metadata"]
    return Record(
        name=name,
        holder=str(spec.get("holderIdentity") or ""),
        duration=float(spec.get("leaseDurationSeconds") or 0),
        renewed=str(spec.get("renewTime") or ""),
        transitions=int(spec.get("leaseTransitions") or 0),
        uid=str(metadata["uid"]),
        version=str(metadata["resourceVersion"]),
    )
