"""Another kind of model, served by the same server: python -m predictors --kind package.module:Class --model_dir ...

The class is a `predictors.scoring.kind.Kind` that is made of the folder of its model: `Class(folder)`. It declares what
a request may hold (`RequestSchema.of_columns`), what an answer holds, and `answer`; batches, limits, metrics, the
prediction log, traces, V1, V2 and gRPC come with the server. README.md has one of twenty lines.

The folder is sealed where it is made (`serin.artifact.seal_files`), and every file is checked before the class is
imported.
"""

import importlib
import sys
from pathlib import Path

from predictors.declared import check_class, check_kind
from predictors.scoring.kind import Kind
from serin.artifact import verify_files
from serin.errors import NotFoundError


def load_kind(name: str, folder: Path) -> Kind:
    """The kind `package.module:Class` of the model in `folder`.

    Raises NotFoundError where there is no such class, ArtifactError where the folder is not as it was sealed or the
    class does not declare what it has to, and what the class itself raises.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise NotFoundError(f"--kind {name}: allowed is package.module:Class")
    # Before anything is imported: the class may lie in the folder itself, and its bytecode must not come to lie there.
    verify_files(folder)
    sys.dont_write_bytecode = True
    found = _class(name, module, attribute)
    check_class(name, found)
    kind = found(folder)  # type: ignore[call-arg]
    check_kind(name, kind)
    return kind


def _class(name: str, module: str, attribute: str) -> type[Kind]:
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        # One that the kind's own module lacks is told as it is.
        raise NotFoundError(f"--kind {name}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Kind)):
        raise NotFoundError(f"--kind {name}: {module} has no class {attribute} that is a predictors.scoring.kind.Kind")
    return found
