"""An edge for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge import Edge


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.close()
