"""What the serving process does without: imports of others that cost it time and memory and give it nothing.

Only `__main__` asks for this, before anything else: a process that also trains, or asks Kubernetes, needs what is left
out here. The figures are those of Python 3.11, warm.

- `kserve/__init__.py` imports KServe's Kubernetes client and the thousand modules of Kubernetes' own (53 MB, 0.6 s),
  which a server never asks. So the package stands there without its `__init__`; the server's modules are imported from
  where they are defined.
- pyarrow, KServe and LightGBM import pandas (39 MB, 0.3 s) to know a data frame when they see one, and here nobody ever
  sees one. XGBoost and LightGBM import scikit-learn (59 MB, 0.8 s), where it is installed, as the base of their
  estimators, and a served model is a Booster. So they find none while they are imported; whoever needs the two finds
  them afterwards.
"""

import importlib.util
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def lean(*, own_code: bool = False) -> None:
    """Leave out what this process won't need; `own_code` says that it will run code that may need pandas, or what
    boosters are with scikit-learn.

    What is imported already stays.
    """
    if "kserve" not in sys.modules and (kserve := importlib.util.find_spec("kserve")):
        sys.modules["kserve"] = importlib.util.module_from_spec(kserve)
    if not own_code:
        sys.meta_path.insert(0, _Without())
        with _hidden({"pandas": None}):
            import pyarrow as pa

            # pyarrow looks for pandas once, the first time that it could be one of its values.
            pa.array([])


class _NoFrames(ModuleType):
    """In the place of pandas, for who names the type of a data frame and is never given one."""

    class DataFrame:
        """None is ever made."""


# What these modules do not find while they are imported, or what they find in its place.
_HIDDEN: Mapping[str, Mapping[str, ModuleType | None]] = {
    "xgboost.compat": {"sklearn": None},
    "lightgbm.compat": {"sklearn": None, "pandas": None},
    "kserve.protocol.infer_type": {"pandas": _NoFrames("pandas")},
    "kserve.utils.utils": {"pandas": _NoFrames("pandas")},
}


class _Without(MetaPathFinder):
    """Finds the modules of _HIDDEN where there are any, and lets them not find what they do without."""

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """See MetaPathFinder; None leaves a module to the next finder."""
        spec = PathFinder.find_spec(name, path) if name in _HIDDEN else None
        if spec and spec.loader:
            spec.loader = _Alone(spec.loader, _HIDDEN[name])
        return spec


class _Alone(Loader):
    def __init__(self, loader: Loader, hidden: Mapping[str, ModuleType | None]) -> None:
        self._loader, self._away = loader, hidden

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _hidden(self._away):
            self._loader.exec_module(module)


class _Nowhere(MetaPathFinder):
    """Says of some modules that there are none. (None in their places in sys.modules says so, too, but not to modules
    in Cython, such as pyarrow's.)"""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        """See MetaPathFinder. Raises ModuleNotFoundError for those, and leaves the others to the next finder."""
        if name in self._names:
            raise ModuleNotFoundError(f"this process does without {name}", name=name)


@contextmanager
def _hidden(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Have others in the places of modules that are not imported yet, or none."""
    places = {name: module for name, module in modules.items() if module and name not in sys.modules}
    nowhere = _Nowhere([name for name, module in modules.items() if not module])
    sys.modules.update(places)
    sys.meta_path.insert(0, nowhere)
    try:
        yield
    finally:
        sys.meta_path.remove(nowhere)
        for name in places:
            del sys.modules[name]
