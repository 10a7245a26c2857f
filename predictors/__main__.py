"""Serve one model version: python -m predictors --model_name NAME --model_dir DIR --model_version VERSION."""

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from predictors.log.options import add_options
from serin.errors import SerinError

if TYPE_CHECKING:
    from predictors.load import LoadedModel
    from predictors.scoring.kind import Kind

MAX_THREADS = 4
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,63}")
_MAX_PORT = 65535


def parser() -> argparse.ArgumentParser:
    """The command line; its names are KServe's where KServe has one."""
    options = argparse.ArgumentParser(prog="python -m predictors", description="Serve one model version.")
    options.add_argument("--model_name", required=True, type=_matching(_NAME), help="name in the request path")
    options.add_argument("--model_dir", required=True, type=Path, help="folder of the model artifact")
    options.add_argument("--kind", help="package.module:Class of another kind of model (see predictors.template)")
    options.add_argument("--model_version", required=True, type=_matching(_VERSION), help="version that answers carry")
    options.add_argument(
        "--deployment", type=_matching(_NAME), help="name in metrics and prediction log (default: NAME-vVERSION)"
    )
    options.add_argument("--host", default="0.0.0.0", help="address to listen on (default: all)")  # noqa: S104
    for name, default, what in (("http", 8080, "V1 and V2 REST and /metrics"), ("grpc", 8081, "V2 gRPC")):
        options.add_argument(
            f"--{name}_port",
            default=default,
            type=_whole(0, _MAX_PORT),
            help=f"{what} (default: %(default)d; 0: any that is free, told when the predictor is ready)",
        )
    options.add_argument(
        "--max_threads",
        default=min(MAX_THREADS, os.cpu_count() or 1),
        type=_whole(1),
        help="threads that score and look up features (default: cores, at most 4)",
    )
    options.add_argument(
        "--max_concurrency",
        type=_whole(1),
        help="requests in flight before others are refused with 503 (default: measured at the start)",
    )
    add_options(options)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, serve until a signal, flush the prediction log.

    Returns the exit code: 0, or 1 where it can't serve or has not answered what was in flight.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    options = parser().parse_args(arguments)
    who = f"predictor {options.model_name} version {options.model_version}"
    try:
        unanswered = serve(options)
    except SerinError as error:
        print(f"{who}: {error}", file=sys.stderr)
        return 1
    if unanswered:
        print(f"{who}: {unanswered}; requests in flight were not answered", file=sys.stderr)
    return int(bool(unanswered))


def serve(options: argparse.Namespace) -> str:
    """Load the model and serve it until a signal; why requests in flight were not answered, if so.

    Raises ArtifactError, NotFoundError (no such kind), UnavailableError (online store, spool) or ConflictError (a port
    is taken).
    """
    from predictors.lean import lean

    lean(own_code=bool(options.kind))

    # Before the costly imports: a changed artifact is refused at once.
    served = _loaded(options)

    from predictors import composition
    from predictors.memory import give_back

    give_back()

    return composition.serve(options, served)


def _loaded(options: argparse.Namespace) -> "LoadedModel | Kind":
    if options.kind:
        from predictors.template import load_kind

        return load_kind(options.kind, options.model_dir)
    from predictors.load import load

    return load(options.model_dir)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def text(value: str) -> str:
        if not pattern.fullmatch(value):
            raise argparse.ArgumentTypeError(f"{value!r} does not match {pattern.pattern}")
        return value

    return text


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    allowed = f"{least} or more" if most is None else f"{least} to {most}"

    def number(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not least <= (found := int(value)) <= (most or found):
            raise argparse.ArgumentTypeError(f"found {value!r}, allowed: a whole number, {allowed}")
        return found

    return number


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Stop at once while nothing is served yet; the server replaces this."""
    sys.exit(0)


def _end(code: int) -> None:
    """End the process. A usual end would wait for a thread that hangs, and crash in one that is still at an upload (its
    rows are in the spool)."""
    if code or threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _end(main())
