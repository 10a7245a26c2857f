"""What a stock Envoy, configured by istiod from Serin's documents, does with real requests to real predictors."""
from tests.cluster.world import World, Client
from tests.cluster import istio
from tests.integration.serving_world import until
from tests.factories import make_artifact


def test_smoke(world: World, tmp_path):
    make_artifact(tmp_path / "v1")
    name = world.deploy(1, world.store(tmp_path / "v1", 1))
    world.share({name: 100})
    with Client(world) as client:
        try:
            until(lambda: client.reaches("1"), "route", 20)
        except Exception as e:
            r = client.predict()
            print(r, r.text, r.headers)
            open("/tmp/plane-dump.json", "w").write(istio.gateway_config())
            print(open(world.plane.folder / "gateway.log").read()[-3000:])
            print(open(world.plane.folder / "istiod/istiod.log").read()[-3000:])
            raise
        print(client.predict(Authorization=None), client.request("GET", "/metrics"))
    world.remove(name)
