"""The MLflow server as the overlay deploys it: the pipeline's image as a pod, on PostgreSQL."""

import httpx

from tests.cluster.api import Document
from tests.cluster.world import World
from tests.integration.serving_world import until


def test_the_server_is_ready(world: World) -> None:
    def deployment() -> Document:
        return world.plane.api.get("apps/v1", "Deployment", "mlflow")

    until(lambda: deployment().get("status", {}).get("readyReplicas") == 1, "MLflow", 240)
    address = world.plane.api.get("v1", "Service", "mlflow")["spec"]["clusterIP"]
    url = f"http://{address}:5000/api/2.0/mlflow/registered-models/search"
    assert httpx.get(url, headers={"Host": "mlflow.serin:5000"}, params={"max_results": 1}).json() == {}
