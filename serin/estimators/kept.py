"""scikit-learn models as bytes, in skops' format (no pickle)."""

import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np

# The only types beyond skops' own list that a file may hold. A decision tree's node array is one: skops can't tell
# a crafted one from a grown one, but the hash has shown that this file is the one that training wrote.
TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")
_SCHEMA = "schema.json"


def dumps(model: Any) -> bytes:
    """A fitted estimator or pipeline as bytes: the same for the same model."""
    from skops import io as skops

    return _numbered(skops.dumps(model))


def _numbered(kept: bytes) -> bytes:
    """skops' file without what differs from save to save: it names objects, and the files of their arrays, by their
    address in memory, each file has the time of its writing, and a tree's nodes have gaps that nobody fills."""
    numbers: dict[int, int] = {}

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(each) for each in node]
        if not isinstance(node, dict):
            return node
        found = dict(node)
        # A dictionary of the model's own may have these keys, too: there they hold nodes.
        if isinstance(address := node.get("__id__"), int):
            found["__id__"] = numbers.setdefault(address, len(numbers))
        if isinstance(name := node.get("file"), str):
            found["file"] = _array(numbers, name)
        return {key: renamed(value) for key, value in found.items()}

    with ZipFile(io.BytesIO(kept)) as file:
        schema = renamed(json.loads(file.read(_SCHEMA)))
        arrays = {_array(numbers, name): _padded(file.read(name)) for name in file.namelist() if name != _SCHEMA}
    written = io.BytesIO()
    with ZipFile(written, "w") as file:
        for name, content in (*sorted(arrays.items()), (_SCHEMA, json.dumps(schema, indent=2).encode())):
            file.writestr(ZipInfo(name), content)
    return written.getvalue()


def _array(numbers: dict[int, int], name: str) -> str:
    """The new name of an array's file: its object's number in place of the address, and the same suffix."""
    address, _, suffix = name.partition(".")
    return f"{numbers[int(address)]:06d}.{suffix}"


def _padded(content: bytes) -> bytes:
    """An array's file with zeros in the gaps between the fields of its rows, where it has fields."""
    if not content.startswith(b"\x93NUMPY"):
        return content
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    filled = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        filled[name] = array[name]
    written = io.BytesIO()
    np.save(written, filled, allow_pickle=False)
    return written.getvalue()


def loads(kept: bytes) -> Any:
    """The model of `dumps`. Raises skops' UntrustedTypesFoundException for any type that is not allowed."""
    from skops import io as skops

    return skops.loads(kept, trusted=list(TRUSTED_TYPES))


def odd_types(path: Path) -> list[str]:
    """The types that a file holds and that are not allowed."""
    from skops import io as skops

    return sorted(set(skops.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
