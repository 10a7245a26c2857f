"""Serve one model version: python -m predictors --model_name NAME --model_dir DIR --model_version VERSION."""

import argparse
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from predictors.log.options import add_options
from serin.errors import SerinError

MAX_THREADS = 4
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,63}")


def parser() -> argparse.ArgumentParser:
    """The command line; its names are KServe's where KServe has one."""
    options = argparse.ArgumentParser(prog="python -m predictors", description="Serve one model version.")
    options.add_argument("--model_name", required=True, type=_matching(_NAME), help="name in the request path")
    options.add_argument("--model_dir", required=True, type=Path, help="folder of the model artifact")
    options.add_argument("--model_version", required=True, type=_matching(_VERSION), help="version that answers carry")
    options.add_argument(
        "--deployment", type=_matching(_NAME), help="name in metrics and prediction log (default: NAME-vVERSION)"
    )
    options.add_argument("--host", default="0.0.0.0", help="address to listen on (default: all)")  # noqa: S104
    options.add_argument("--http_port", default=8080, type=int, help="V1 and V2 REST and /metrics (default: 8080)")
    options.add_argument("--grpc_port", default=8081, type=int, help="V2 gRPC (default: 8081)")
    options.add_argument(
        "--max_threads",
        default=min(MAX_THREADS, os.cpu_count() or 1),
        type=int,
        help="threads that score and look up features (default: cores, at most 4)",
    )
    add_options(options)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, serve until a signal, flush the prediction log. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    options = parser().parse_args(arguments)
    try:
        serve(options)
    except SerinError as error:
        print(f"predictor {options.model_name} version {options.model_version}: {error}", file=sys.stderr)
        return 1
    return 0


def serve(options: argparse.Namespace) -> None:
    """Build the predictor from its parts and run it.

    Raises ArtifactError, UnavailableError (online store) or ConflictError (a port is taken).
    """
    from predictors.load import load

    # Before the costly imports: a changed artifact is refused at once.
    loaded = load(options.model_dir)

    from predictors.edge.kserve import PredictorServer
    from predictors.edge.model import PredictorModel
    from predictors.identity import Identity
    from predictors.log.columns import logged_of, schema
    from predictors.log.opening import log_of
    from predictors.metrics import Metrics
    from predictors.online.enrich import OnlineFeatures
    from predictors.online.events import EventSink
    from predictors.requests.schema import RequestSchema
    from predictors.scoring.tabular import RowScorer
    from serin import environment
    from serin.online.opening import open_store
    from serin.workspace import Workspace

    manifest = loaded.manifest
    name, version = options.model_name, options.model_version
    identity = Identity(name, version, options.deployment or f"{name}-v{version}".lower())
    categories = [column.name for column in manifest.inputs.columns if column.kind == "category"]
    workspace = Workspace.from_variables(environment.variables())
    online = open_store(workspace.feature_store_yaml) if manifest.store_features else None
    store = OnlineFeatures(online, manifest) if online else None
    metrics = Metrics(
        identity.model,
        identity.version,
        identity.deployment,
        categories=categories,
        views=store.views if store else (),
    )
    events = EventSink.of(online, manifest, metrics)
    log = log_of(options, workspace, manifest.use_case, identity, schema(logged_of(manifest)), metrics)
    own_events = events if manifest.online.requests_are_events else None
    scorer = RowScorer(identity, loaded, store, log, metrics, own_events)
    model = PredictorModel(identity, RequestSchema(manifest), scorer, options.max_threads, events)
    server = PredictorServer(identity, metrics, options.host, options.http_port, options.grpc_port)
    logging.getLogger("kserve").info("%s scores with %s", identity, loaded.engines)
    log.start()
    metrics.loaded(time.time())
    try:
        server.start([model], scorer.try_store)
    finally:
        model.close()
        log.close()
        if online:
            online.close()


def _matching(pattern: re.Pattern[str]) -> "argparse._ActionType":
    def text(value: str) -> str:
        if not pattern.fullmatch(value):
            raise argparse.ArgumentTypeError(f"{value!r} does not match {pattern.pattern}")
        return value

    return text


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Stop at once while nothing is served yet; the server replaces this."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
