"""The API server's audit log: who wrote what, and how."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.plane import Plane

_WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True)
class Write:
    """A write that the API server did; `managers` are those of the object after it, as (manager, operation)."""

    user: str
    verb: str
    kind: str
    name: str
    manager: str
    managers: frozenset[tuple[str, str]]

    @property
    def is_server_side_apply(self) -> bool:
        """Whether it was one by the field manager that it names."""
        return self.verb == "patch" and (self.manager, "Apply") in self.managers


def writes(plane: Plane, account: str) -> list[Write]:
    """What a service account of namespace serin wrote of the kinds that are audited whole, in order."""
    user = f"system:serviceaccount:serin:{account}"
    events = [json.loads(line) for line in plane.audit_log.read_text(encoding="utf-8").splitlines()]
    return [_write(event) for event in events if event["user"]["username"] == user and _is_done(event)]


def _is_done(event: dict[str, Any]) -> bool:
    return (
        event["level"] == "RequestResponse"
        and event["verb"] in _WRITES
        and event["stage"] == "ResponseComplete"
        and event["responseStatus"]["code"] < 300
    )


def _write(event: dict[str, Any]) -> Write:
    query = parse_qs(urlsplit(event["requestURI"]).query)
    managed = event["responseObject"].get("metadata", {}).get("managedFields", [])
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        kind=event["objectRef"]["resource"],
        name=event["objectRef"].get("name", ""),
        manager=query.get("fieldManager", [""])[0],
        managers=frozenset((entry["manager"], entry["operation"]) for entry in managed),
    )
