"""The command line of a predictor."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path

from predictors.log.options import add_options

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
