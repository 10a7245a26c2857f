"""What an engine declares, in a file of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

# From inputs of shape (n, columns) to n probabilities of the positive class; any thread may call it.
Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]


class Engine(ABC):
    """A format in which a model is kept, and how it scores from there.

    A subclass in a module of `serin.engines` is found by its `name`. `file` is what it is called in an artifact.
    Two saves of one model have the same bytes.
    """

    name: ClassVar[str]
    file: ClassVar[str]

    @abstractmethod
    def save(self, model: Any, path: Path) -> None:
        """Write a fitted model."""

    @abstractmethod
    def load(self, path: Path) -> Scorer:
        """Read a model whose hash was checked. Raises ArtifactError: it can't be read or holds what is not allowed."""
