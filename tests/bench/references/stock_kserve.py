"""A stock custom model of KServe: `kserve.Model` and `ModelServer` as its documentation writes them, default settings.

With BENCH_FEAST (the folder of a Feast repository) its rows carry entity keys, and it asks Feast for the features that
BENCH_FEATURES lists (JSON). stock_kserve.py --http_port PORT --grpc_port PORT
"""

import json
import os

import kserve
import session
from kserve import InferOutput, InferRequest, InferResponse
from kserve.utils.utils import generate_uuid


class StockModel(kserve.Model):
    """Takes complete rows, by V1, V2 and gRPC."""

    def __init__(self):
        super().__init__(session.NAME)
        self._model = session.Model()
        self.ready = True

    def predict(self, payload, headers=None):
        """KServe's method: scores for the rows of one request."""
        if not isinstance(payload, InferRequest):
            return session.predictions(self._model.of_rows(payload["instances"]))
        scores = self._model.of_columns({item.name: item.as_numpy() for item in payload.inputs})
        outputs = [
            # By gRPC, KServe takes texts as bytes alone.
            InferOutput(name, [len(data)], kind, [text.encode() for text in data] if _as_bytes(kind, payload) else data)
            for name, kind, data in session.outputs(scores)
        ]
        return InferResponse(payload.id or generate_uuid(), self.name, outputs, model_version=session.VERSION)


def _as_bytes(kind, payload):
    return kind == "BYTES" and payload.from_grpc


class FeastModel(StockModel):
    """Takes rows with entity keys, by V1."""

    def __init__(self):
        from feast import FeatureStore

        super().__init__()
        self._store = FeatureStore(repo_path=os.environ["BENCH_FEAST"])
        self._features = json.loads(os.environ["BENCH_FEATURES"])

    def predict(self, payload, headers=None):
        """KServe's method: scores for the rows of one request."""
        rows = payload["instances"]
        keys = [{"customer_id": row["customer_id"], "terminal_id": row["terminal_id"]} for row in rows]
        read = self._store.get_online_features(self._features, keys).to_dict()
        read["amount"] = [row["amount"] for row in rows]
        return session.predictions(self._model.of_columns(read))


if __name__ == "__main__":
    kserve.ModelServer().start([FeastModel() if os.environ.get("BENCH_FEAST") else StockModel()])
