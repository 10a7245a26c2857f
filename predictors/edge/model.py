"""The model as KServe's own routes see it: its metadata, and whether it is ready."""

from typing import Any, NoReturn

from kserve.model import Model

from predictors.edge.answers import VERSION
from predictors.identity import Identity
from predictors.scoring.kind import Kind
from serin.errors import NotFoundError


class PredictorModel(Model):
    """One loaded model version; it is `ready` while requests are to come.

    They reach the data plane through our own edge. KServe's routes match a few other spellings of their paths (one with
    a line's end behind it), which are not found.
    """

    def __init__(self, identity: Identity, kind: Kind) -> None:
        super().__init__(identity.model)
        self._kind = kind

    def get_input_types(self) -> list[dict[str, Any]]:
        """The columns of a keyed request, for the V2 metadata."""
        return [_described(name, datatype) for name, datatype in self._kind.schema.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The answer's tensors, for the V2 metadata."""
        return [_described(output.name, output.datatype) for output in (*self._kind.outputs, VERSION)]

    def validate(self, payload: Any) -> Any:
        """Leave a request to what it is told of its path."""
        return payload

    async def predict(self, *_: Any, **__: Any) -> NoReturn:
        """Raises NotFoundError: predictions have paths of our own."""
        raise NotFoundError(f"there is no such path; {self.name} is asked as /openapi.json says")

    async def explain(self, *_: Any, **__: Any) -> NoReturn:
        """Raises as `predict`."""
        await self.predict()


def _described(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
