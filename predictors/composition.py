"""The one place where a predictor is put together. What it imports is costly: `__main__` checks the artifact first."""

import argparse
import asyncio
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass

from uvicorn import Config

from predictors.dataplane import DataPlane
from predictors.edge.app import RestEdge
from predictors.edge.grpc import GrpcServer, Inference
from predictors.edge.kserve import GRACE_SECONDS, KServeParts
from predictors.edge.model import PredictorModel
from predictors.edge.openapi import describe
from predictors.edge.server import HttpServer, Ports, listen
from predictors.faults import FaultLog
from predictors.identity import Identity
from predictors.load import LoadedModel
from predictors.log.columns import logged_of, schema
from predictors.log.opening import log_of
from predictors.log.writer import PredictionLog
from predictors.metrics import Metrics
from predictors.online.enrich import OnlineFeatures
from predictors.online.events import EventSink
from predictors.scoring.kind import Kind
from predictors.scoring.tabular import TabularKind
from predictors.signals import Signals
from predictors.tracing import tracer
from serin import environment
from serin.online.opening import open_store
from serin.workspace import Workspace

logger = logging.getLogger("kserve")


@dataclass(frozen=True)
class Parts:
    """What a predictor consists of, but for its ports."""

    identity: Identity
    kind: Kind
    plane: DataPlane
    log: PredictionLog
    metrics: Metrics
    events: EventSink | None
    faults: FaultLog


def serve(options: argparse.Namespace, served: LoadedModel | Kind, signals: Signals) -> str:
    """Serve a loaded model, or another kind, until a signal; why requests in flight were not answered, if so.

    Raises UnavailableError (online store, spool), ConflictError (a port is taken) or, while it starts, ToldToEnd.
    """
    with ExitStack() as stack:
        parts = _parts(options, served, stack)
        how = served.engines if isinstance(served, LoadedModel) else type(served).__name__
        model = PredictorModel(parts.identity, parts.kind)
        kserve = KServeParts(parts.identity, model, parts.faults)
        # Not before: it is KServe that sets up logging.
        logger.info("%s scores with %s; its prediction log goes to %s", parts.identity, how, parts.log.folder)
        stack.callback(parts.faults.close)
        parts.log.start()
        stack.callback(parts.log.close)
        application = kserve.application()
        describe(application, parts.identity, parts.kind, parts.events)
        edge = RestEdge(application, parts.identity, parts.kind, parts.plane, parts.faults, parts.events)
        config = kserve.uvicorn(edge, edge.handlers)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            return runner.run(_serve(options, parts, model, kserve, config, signals))


async def _serve(
    options: argparse.Namespace,
    parts: Parts,
    model: PredictorModel,
    kserve: KServeParts,
    config: Config,
    signals: Signals,
) -> str:
    await parts.plane.start()
    http = HttpServer(config, listen(options.host, options.http_port))
    infer = Inference(parts.identity, parts.kind, parts.plane, parts.faults)
    grpc = GrpcServer(kserve.servicer(), infer, parts.faults, options.host, options.grpc_port)

    def ready(yes: bool) -> None:
        model.ready = yes
        if yes:
            parts.metrics.loaded(time.time())
            logger.info("%s, HTTP port %d, gRPC port %d", parts.identity, http.port, grpc.port)

    try:
        at_once = await Ports(http, grpc, GRACE_SECONDS).serve(ready, signals)
    finally:
        signals.tell(parts.log.hurry)
    if at_once:
        return "told to end at once"
    return "" if await parts.plane.close() else "it took too long"


def _parts(options: argparse.Namespace, served: LoadedModel | Kind, stack: ExitStack) -> Parts:
    name, version = options.model_name, options.model_version
    identity = Identity(name, version, options.deployment or f"{name}-v{version}".lower())
    workspace = Workspace.from_variables(environment.variables())
    events = None
    if isinstance(served, LoadedModel):
        manifest = served.manifest
        kind, metrics, events = _tabular(identity, served, workspace, stack)
        log = log_of(options, workspace, manifest.use_case, identity, schema(logged_of(manifest)), metrics)
    else:
        kind, metrics = served, Metrics(identity.model, identity.version, identity.deployment)
        # It has no use case; its log lies under the name that it is served by.
        log = log_of(options, workspace, name, identity, schema(kind.logged), metrics)
    traces = tracer(identity.deployment, {"serin.model": identity.model, "serin.version": identity.version})
    if traces:
        stack.callback(traces.close)
    plane = DataPlane(
        identity,
        kind,
        log,
        metrics,
        max_threads=options.max_threads,
        max_concurrency=options.max_concurrency,
        tracer=traces,
    )
    return Parts(identity, kind, plane, log, metrics, events, FaultLog(identity))


def _tabular(
    identity: Identity, loaded: LoadedModel, workspace: Workspace, stack: ExitStack
) -> tuple[Kind, Metrics, EventSink | None]:
    manifest = loaded.manifest
    online = open_store(workspace.feature_store_yaml) if manifest.store_features else None
    if online:
        stack.callback(online.close)
    store = OnlineFeatures(online, manifest) if online else None
    categories = [column.name for column in manifest.inputs.columns if column.kind == "category"]
    metrics = Metrics(
        identity.model,
        identity.version,
        identity.deployment,
        categories=categories,
        views=store.views if store else (),
    )
    events = EventSink.of(online, manifest, metrics)
    own_events = events if manifest.online.requests_are_events else None
    return TabularKind(loaded, store, metrics, own_events), metrics, events
