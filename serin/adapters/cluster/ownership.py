"""Whose a document is, and whether it still says what was applied. Pure functions.

The server fills in defaults, and webhooks may change a document on its way in, so what is stored never equals what was
sent. A hash of what was sent is kept with it, and the server's managedFields tell what others changed after.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from serin.adapters.cluster.api import MANAGER
from serin.ports import Document

CONTENT = "serin/content"
_NOT_CONTENT = ("resourceVersion", "uid", "managedFields", "creationTimestamp", "generation")


def sealed(document: Mapping[str, Any]) -> Document:
    """The document with the hash of its content as an annotation."""
    metadata = {key: value for key, value in document["metadata"].items() if key not in _NOT_CONTENT}
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != CONTENT}
    plain = {**document, "metadata": {**metadata, "annotations": annotations}}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {**plain, "metadata": {**metadata, "annotations": {**annotations, CONTENT: found}}}


def difference(wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """Why `stored` is not what `wanted`, a sealed document, says; "" where it is."""
    managed = stored["metadata"].get("managedFields") or []
    if not any(entry.get("manager") == MANAGER and entry.get("operation") == "Apply" for entry in managed):
        others = sorted({str(entry.get("manager")) for entry in managed}) or ["somebody"]
        return f"was not made by Serin, but by {', '.join(others)}"
    annotations = stored["metadata"].get("annotations") or {}
    changed = taken(wanted, managed)
    if changed:
        return f"was changed: {listed(changed)}"
    if annotations.get(CONTENT) != wanted["metadata"]["annotations"][CONTENT]:
        return "has other content"
    return ""


def taken(document: Mapping[str, Any], managed: list[Document]) -> dict[str, str]:
    """The fields of a document that Serin's manager does not hold any more, each with who does."""
    own = [entry.get("fieldsV1") or {} for entry in managed if entry.get("manager") == MANAGER]
    found = {}
    for path in _leaves(document):
        if not any(_holds(fields, path) for fields in own):
            holders = [str(e.get("manager")) for e in managed if _holds(e.get("fieldsV1") or {}, path)]
            found[".".join(("", *path))] = holders[0] if holders else "nobody: removed"
    return found


def last_writer(stored: Mapping[str, Any]) -> str:
    """Who wrote a document last, status aside, and when."""
    entries = [e for e in stored["metadata"].get("managedFields") or [] if not e.get("subresource")]
    # Their times are whole seconds; who applies comes first.
    latest = sorted(entries, key=lambda entry: str(entry.get("time", "")))[-1:]
    return " and ".join(f"{entry.get('manager')} at {entry.get('time')}" for entry in latest) or "somebody"


def without_others(managed: list[Document]) -> list[Document]:
    """The JSON patch that takes what other managers hold of a document away from them; refused where it has changed."""
    steps: list[Document] = []
    for place in reversed(range(len(managed))):
        manager = managed[place].get("manager")
        if manager != MANAGER and not managed[place].get("subresource"):
            path = f"/metadata/managedFields/{place}"
            steps += [{"op": "test", "path": f"{path}/manager", "value": manager}, {"op": "remove", "path": path}]
    return steps


def listed(held: Mapping[str, str]) -> str:
    """Fields and who holds each, as a text."""
    return ", ".join(f"{field} ({holder})" for field, holder in held.items())


def _leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of what a document says; a list counts as a whole."""
    for key, value in node.items():
        here = (*path, key)
        if not path and key not in ("metadata", "spec"):
            continue
        if path == ("metadata",) and key not in ("labels", "annotations"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        elif value is not None and not isinstance(value, Mapping):
            yield here


def _holds(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for key in path:
        found = fields.get(f"f:{key}")
        if found is None:
            return False
        if not found:
            return True
        fields = found
    return True
