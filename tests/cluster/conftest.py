"""One control plane for all tests here; `make cluster-test` builds it and runs them in a network namespace."""

from collections.abc import Iterator

import pytest

from tests.cluster.plane import UnavailableError
from tests.cluster.world import World
from tests.cluster.world import world as made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serin's overlay on a control plane, with no model served."""
    try:
        with made(tmp_path_factory.mktemp("plane")) as world:
            yield world
    except UnavailableError as error:
        pytest.exit(str(error), returncode=1)
