"""Every error that Serin raises on purpose.

    SerinError              what a command prints as one message, without a traceback
    ├── UseCaseError        the use case file is wrong or contradicts itself
    ├── DataError           the data break a rule of the use case
    ├── ArtifactError       a model artifact is incomplete or was changed
    ├── RequestError        a prediction request can't be answered as it stands
    ├── ConflictError       somebody else moved first: an alias, a rollout, a port
    ├── NotFoundError       there is no such version, document or alias
    ├── UnavailableError    something that Serin needs is missing or does not answer
    │   └── OverloadedError more requests are in flight than can be answered in time
    ├── InterruptedRunError whoever followed a run was interrupted; the run goes on
    └── InterruptedStepError the process was told to end; what it had is kept, and the step goes on from there

A message names the object, what was found and what is allowed.
"""


class SerinError(Exception):
    """Base of the tree; its text is written for the person at the prompt."""


class UseCaseError(SerinError):
    """The use case file is wrong or contradicts itself."""


class DataError(SerinError):
    """The data break a rule of the use case."""


class ArtifactError(SerinError):
    """A model artifact is incomplete or was changed after training."""


class RequestError(SerinError):
    """A prediction request can't be answered as it stands."""


class ConflictError(SerinError):
    """Somebody else moved first."""


class NotFoundError(SerinError):
    """There is no such version, document or alias."""


class UnavailableError(SerinError):
    """Something that Serin needs is missing or does not answer; `retry_after` is when to ask again, in seconds, where
    waiting helps."""

    def __init__(self, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class OverloadedError(UnavailableError):
    """More requests are in flight than can be answered in time."""


class InterruptedRunError(SerinError):
    """Whoever followed a run was interrupted; the run goes on."""


class InterruptedStepError(SerinError):
    """The process was told to end; what it had done is kept, and the same step goes on from there."""


def first_line(error: Exception) -> str:
    """The first line of another library's error, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
