"""`serin serve` and `serin rollout` against the control plane, with real requests through the gateway meanwhile."""

from collections.abc import Iterator

import pytest

from tests.cluster.client import Load
from tests.cluster.commands import Commands, commands
from tests.cluster.prometheus import prometheus
from tests.cluster.world import World
from tests.factories import make_artifact
from tests.integration.serving_world import CASE

pytestmark = [
    # MLflow uses interfaces of SQLAlchemy, Pydantic and others that are on their way out.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def serin(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with prometheus(world.plane) as url:
        made = commands(world, tmp_path_factory.mktemp("workspace"), url)
        for seed in (1, 2):
            make_artifact(made.root / f"v{seed}", seed=seed)
            made.register(made.root / f"v{seed}")
        code, output = made.run("serve", CASE.name)
        assert code == 0, output
        print(output)
        yield made
        world.remove(*[f"{CASE.model_name}-v{version}" for version in range(1, 9)])


def test_promoted(world: World, serin: Commands) -> None:
    with Load(world) as load:
        code, output = serin.run("rollout", CASE.name)
        print(output)
        assert code == 0, output
        load.more(20)
    assert load.failed == []
