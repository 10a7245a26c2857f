"""A custom runtime of MLServer, which answers V2 and gRPC."""

import session
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse, ResponseOutput


class CardFraud(MLModel):
    """Takes complete rows, one input a column."""

    async def load(self):
        """MLServer's method: get ready."""
        self._model = session.Model()
        return True

    async def predict(self, payload):
        """MLServer's method: scores for the rows of one request."""
        scores = self._model.of_columns({item.name: NumpyCodec.decode_input(item) for item in payload.inputs})
        outputs = [
            StringCodec.encode_output(name, data)
            if datatype == "BYTES"
            else ResponseOutput(name=name, datatype=datatype, shape=[len(data)], data=data)
            for name, datatype, data in session.outputs(scores)
        ]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version=session.VERSION, outputs=outputs)
