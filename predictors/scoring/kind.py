"""What a kind of model declares, so that the data plane can serve it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from numpy.typing import NDArray

from predictors.requests.rows import Rows
from predictors.requests.schema import RequestSchema
from serin.columns import TypeName
from serin.errors import RequestError

Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Output:
    """What an answer holds of each row: a name, and its datatype in V2."""

    name: str
    datatype: str


@dataclass(frozen=True)
class Answered:
    """What a kind says of n rows: its outputs by name, n values each, in the order of `Kind.outputs`. They are plain,
    or NumPy's, which become plain (`predictors.scoring.plain`).

    `rows` are those that were answered. `logged` are the kind's columns of the prediction log, n values each: a list,
    or an array in which NaN and NaT are null. Several may come as one array of shape (n, columns) under the tuple of
    their names; one that comes by itself as well goes before. `unknown` has, of each row, the values of categories that
    training did not know, by column, and `missing` how many of its features the online store did not have (see
    `predictors.online.enrich.Fetched`); each may be empty where there are none. `context` is the kind's own, for its
    `answered`.
    """

    rows: Rows
    outputs: Mapping[str, Sequence[Any]]
    logged: Mapping[Any, Values] = field(default_factory=dict)
    unknown: Sequence[Mapping[str, str]] = ()
    missing: Sequence[int] = ()
    context: Any = None

    def part(self, rows: Rows, start: int, end: int) -> "Answered":
        """What one request of several is told, of `rows` from `start` to `end`."""
        outputs = {name: values[start:end] for name, values in self.outputs.items()}
        unknown, missing = self.unknown[start:end], self.missing[start:end]
        # At a third of what a frozen dataclass takes to set its fields one by one.
        answered = Answered.__new__(Answered)
        answered.__dict__.update(rows=rows, outputs=outputs, logged={}, unknown=unknown, missing=missing, context=None)
        return answered


class Kind(ABC):
    """One model, as the data plane serves it: it checks requests by `schema`, merges those in flight into batches,
    reads and answers them, and logs, counts and traces each.

    `read` runs on the event loop and may wait for the network; `answer` runs on the event loop for few rows of a quick
    model and in a thread otherwise, and may be called by several threads at once.
    """

    outputs: ClassVar[tuple[Output, ...]]
    # Whether `answer` gives plain values as `outputs` declares for sure, so that nobody looks at each answer.
    plain: ClassVar[bool] = False

    @property
    @abstractmethod
    def schema(self) -> RequestSchema:
        """What a request may hold."""

    @property
    def logged(self) -> Mapping[str, TypeName]:
        """The columns of the prediction log beyond the fixed ones, and their types."""
        return {}

    async def ready(self) -> None:  # noqa: B027
        """Make sure that a request can be answered, once, before the first. Raises UnavailableError where it can't."""

    def sample(self) -> Rows | None:
        """Rows to warm up with, that need no `read`; the first of them, and all, are timed before the first request.
        None where there are none: then the model counts as slow until its requests say otherwise."""
        return None

    def reads(self, rows: Rows) -> bool:  # noqa: ARG002
        """Whether `read` has to be asked for such rows; it is the same for all with these names, raw or not."""
        return type(self).read is not Kind.read

    async def read(self, rows: Rows) -> Any:  # noqa: ARG002
        """What is needed of elsewhere to answer the rows. Raises UnavailableError."""
        return None

    @abstractmethod
    def answer(self, rows: Rows, found: Any, now: datetime) -> Answered:
        """Answer rows with what `read` gave for them. Nothing outside is changed: it may be called again for some of
        them.

        Raises RequestError for rows that can't be answered, UnavailableError where what was read does not allow it.
        """

    def answered(self, answered: Answered, now: datetime) -> Callable[[], None] | None:  # noqa: ARG002
        """Count what was answered, on the event loop, once for each batch. What is given back has still to be done, in
        a thread, before the answers leave."""
        return None

    def failed(self, error: Exception) -> None:  # noqa: B027
        """Count an error of `answer` that a request is told, on the event loop."""

    def explain(self, rows: Rows, found: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002
        """Of each row what moved its answer; `error` alone of one that only a partial answer may leave out.

        Raises RequestError where the kind explains nothing.
        """
        raise RequestError(f"{type(self).__name__} explains nothing; allowed: predict and infer")
