"""What the serving process does without: imports of others that cost it time and memory and give it nothing.

Only `__main__` asks for this, before anything else: a process that also trains, or asks Kubernetes, needs what is left
out here. The figures are those of Python 3.11, warm.

- `kserve/__init__.py` imports KServe's Kubernetes client and the thousand modules of Kubernetes' own (53 MB, 0.6 s),
  which a server never asks. So the package stands there without its `__init__`; the server's modules are imported from
  where they are defined.
- `xgboost.compat` and `lightgbm.compat` import scikit-learn, where it is installed, as the base of their estimators
  (59 MB, 0.8 s). A served model is a Booster. So they find none while they are imported; the engine that needs
  scikit-learn finds it afterwards.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_COMPATIBLE = ("xgboost.compat", "lightgbm.compat")


def lean(*, boosters: bool = True) -> None:
    """Leave out what this process won't need; `boosters` says whether those are served as Boosters only.

    What is imported already stays.
    """
    if "kserve" not in sys.modules and (kserve := importlib.util.find_spec("kserve")):
        sys.modules["kserve"] = importlib.util.module_from_spec(kserve)
    if boosters:
        sys.meta_path.insert(0, _WithoutScikitLearn())


class _WithoutScikitLearn(MetaPathFinder):
    """Finds the modules that take scikit-learn where there is any, and lets them find none."""

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """See MetaPathFinder; None leaves a module to the next finder."""
        spec = PathFinder.find_spec(name, path) if name in _COMPATIBLE else None
        if spec and spec.loader:
            spec.loader = _Alone(spec.loader)
        return spec


class _Alone(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        hidden = "sklearn" not in sys.modules
        if hidden:
            sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's way to say: there is none
        try:
            self._loader.exec_module(module)
        finally:
            if hidden:
                del sys.modules["sklearn"]
