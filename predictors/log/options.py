"""The prediction log's part of the command line."""

import argparse
from pathlib import Path

from predictors.log.limits import Limits

_DEFAULT = Limits()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the log waits for the store, how long, and how much of it."""
    parser.add_argument(
        "--log_spool",
        type=Path,
        help="local folder where the prediction log waits for the store (default: .serin/spool of the workspace)",
    )
    parser.add_argument(
        "--log_seconds",
        default=_DEFAULT.file_seconds,
        type=_positive(float),
        help="after how long the prediction log's rows go to the store (default: %(default)g)",
    )
    parser.add_argument(
        "--log_spool_bytes",
        default=_DEFAULT.spool_bytes,
        type=_positive(int),
        help="how much of the prediction log may wait while the store is away (default: %(default)d)",
    )
    parser.add_argument(
        "--log_close_seconds",
        default=_DEFAULT.close_seconds,
        type=_positive(float),
        help="how long the end of the process may take to store what is left, within the pod's grace period "
        "(default: %(default)g)",
    )


def _positive(kind: type[int] | type[float]) -> "argparse._ActionType":
    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
        return value

    return number
