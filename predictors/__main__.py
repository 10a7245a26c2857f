"""Serve one model version: python -m predictors --model_name NAME --model_dir DIR --model_version VERSION."""

import os
import sys
from typing import TYPE_CHECKING, NoReturn

# All else is imported where it is used: a signal that comes before `Signals.take` is not ours to answer.
from predictors.signals import Signals, ToldToEnd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from predictors.load import LoadedModel
    from predictors.scoring.kind import Kind


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Load, serve until a signal, flush the prediction log.

    Returns the exit code: 0, or 1 where it can't serve or has not answered what was in flight.
    """
    signals = Signals()
    signals.take()
    try:
        return _run(arguments, signals)
    except ToldToEnd:
        return 0


def _run(arguments: "Sequence[str] | None", signals: Signals) -> int:
    from predictors.command_line import parser
    from serin.errors import SerinError

    options = parser().parse_args(arguments)
    who = f"predictor {options.model_name} version {options.model_version}"
    try:
        unanswered = serve(options, signals)
    except SerinError as error:
        print(f"{who}: {error}", file=sys.stderr)
        return 1
    if unanswered:
        print(f"{who}: {unanswered}; requests in flight were not answered", file=sys.stderr)
    return int(bool(unanswered))


def serve(options: "argparse.Namespace", signals: Signals) -> str:
    """Load the model and serve it until a signal; why requests in flight were not answered, if so.

    Raises ArtifactError, NotFoundError (no such kind), UnavailableError (online store, spool), ConflictError (a port
    is taken) or, while it starts, ToldToEnd.
    """
    from predictors.lean import lean

    lean(own_code=bool(options.kind))

    # Before the costly imports: a changed artifact is refused at once.
    served = _loaded(options)

    from predictors import composition
    from predictors.memory import give_back

    give_back()

    return composition.serve(options, served, signals)


def _loaded(options: "argparse.Namespace") -> "LoadedModel | Kind":
    if options.kind:
        from predictors.template import load_kind

        return load_kind(options.kind, options.model_dir)
    from predictors.load import load

    return load(options.model_dir)


def _stand_in() -> None:
    """Have the standard streams open, whatever our parent did: a file of ours that took the number of one would be
    written to by whoever means the stream."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _end(code: int) -> NoReturn:
    """End the process. A usual end would wait for a thread that hangs, crash in one that is still at an upload (its
    rows are in the spool), and be killed by a signal that comes when Python has put its own handlers away."""
    import logging
    from contextlib import suppress

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _stand_in()
    _end(main())
