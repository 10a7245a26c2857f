"""Bodies whose meaning is beyond doubt, straight into rows: decoders that are built from a RequestSchema.

RequestSchema stays the only definition of a request. What a decoder here takes, the schema takes with equal rows
(tests/unit/predictors/requests/test_fast.py holds it); what it does not take (None) says nothing of the request: the
schema then reads the body, and tells what is wrong with it. So a decoder refuses whatever it need not understand: a
whole number that is written as a float, parameters, base64, a tensor as lists of one.
"""

from collections.abc import Sequence

import msgspec

from predictors.requests import typed
from predictors.requests.rows import Rows
from predictors.requests.schema import MAX_ROWS, RequestSchema, Tensor, check_count
from predictors.requests.shapes import Shape

# The only way to spell NUL in JSON, which no text may hold.
_NUL = b"\\u0000"
_REFUSED = (msgspec.DecodeError, RecursionError, ValueError, OverflowError, LookupError)


class FastDecoder:
    """Decodes what it can of the requests of one schema; any thread may use it."""

    def __init__(self, schema: RequestSchema) -> None:
        self._raw = Shape.of(schema, schema.raw, True)
        # Rows are raw where they give one feature, and then have to give all of them.
        self._name = schema.features[0] if schema.features else None
        self._feature = typed.key(self._name) if self._name is not None else None
        self._keyed = Shape.of(schema, schema.keyed, False) if schema.features else None

    def v1(self, body: bytes) -> Rows | None:
        """The rows of a V1 body without parameters, or None. Raises RequestError for a number of rows that is not
        allowed."""
        shape = self._shape(body)
        if shape is None or _NUL in body:
            return None
        try:
            return shape.of_objects(shape.v1.decode(body).instances)
        except _REFUSED:
            return None

    def v2(self, body: bytes) -> tuple[str | None, Rows] | None:
        """The id (None without one) and the rows of a V2 body in JSON that has no parameters and requests no outputs,
        or None. Raises as `v1`."""
        shape = self._shape(body)
        if shape is None or _NUL in body:
            return None
        try:
            request = shape.v2.decode(body)
            rows = shape.of_tensors(request.inputs)
        except _REFUSED:
            return None
        return None if rows is None else (request.id, rows)

    def tensors(self, tensors: Sequence[Tensor]) -> Rows | None:
        """The rows of a V2 request without parameters, or None. Raises as `v1`."""
        keyed = self._name is not None and all(tensor.name != self._name for tensor in tensors)
        shape = self._keyed if keyed else self._raw
        try:
            return None if shape is None else shape.of_values(tensors)
        except (*_REFUSED, AttributeError, TypeError):
            return None

    def _shape(self, body: bytes) -> Shape | None:
        """The shape that the body's rows seem to have: a wrong guess is only slower, for that shape refuses them."""
        return self._raw if self._feature is None or self._feature in body else self._keyed


class _Anything(msgspec.Struct, gc=False):
    """An object, whatever it holds: nothing of it is kept."""


class _Counted(msgspec.Struct, gc=False):
    instances: list[_Anything]


_COUNTED = msgspec.json.Decoder(_Counted)


def check_objects(body: bytes) -> None:
    """Raises RequestError for a V1 body of more rows than allowed, before anybody builds them all: a body of some
    megabytes may hold a million."""
    if body.count(b"{") <= MAX_ROWS + 1:
        return
    try:
        count = len(_COUNTED.decode(body).instances)
    except _REFUSED:
        return  # not as expected, which whoever reads it tells
    check_count(count)
