"""Tables that are folders: each module of a package declares its own kinds, so adding one is adding a file."""

import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TypeVar

Kind = TypeVar("Kind")


def kinds(package: str, folders: Iterable[str], base: type[Kind]) -> Iterator[type[Kind]]:
    """The concrete subclasses of `base` that the modules of `package` define, in the order of the modules' names."""
    for found in pkgutil.iter_modules(folders):
        module = import_module(f"{package}.{found.name}")
        for kind in vars(module).values():
            is_own = inspect.isclass(kind) and kind.__module__ == module.__name__
            if is_own and issubclass(kind, base) and not inspect.isabstract(kind):
                yield kind
