"""scikit-learn models as bytes, in skops' format (no pickle)."""

from pathlib import Path
from typing import Any

# The only types beyond skops' own list that a file may hold. A decision tree's node array is one: skops can't tell
# a crafted one from a grown one, but the hash has shown that this file is the one that training wrote.
TRUSTED_TYPES = ("numpy.dtype", "sklearn.tree._tree.Tree")


def dumps(model: Any) -> bytes:
    """A fitted estimator or pipeline as bytes; two of one model may differ, for skops writes memory addresses."""
    from skops import io

    kept: bytes = io.dumps(model)
    return kept


def loads(kept: bytes) -> Any:
    """The model of `dumps`. Raises skops' UntrustedTypesFoundException for any type that is not allowed."""
    from skops import io

    return io.loads(kept, trusted=list(TRUSTED_TYPES))


def odd_types(path: Path) -> list[str]:
    """The types that a file holds and that are not allowed."""
    from skops import io

    return sorted(set(io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
