"""The predictor against other servers of the same ONNX file: one core for the server, the clients on another.

References: a bare ASGI callable under uvicorn (the least that Python needs), a stock custom model of KServe, MLServer
and BentoML (each in an environment of its own, left out where that can't be had). Servers take turns on each load.
Beside requests/s stands the CPU time a request of the server, which also tells them apart where the client is the
slower one (gRPC) or the machine has other work. Figures are medians of the rounds, and a ratio is the median of the
ratios in each round: a machine that is shared changes its speed from one second to the next, for all in a round alike.
"""

import contextlib
import json
import logging
import subprocess
import sys
import tempfile
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tests import services
from tests.bench import serving_clients as clients
from tests.bench import serving_servers as servers
from tests.bench import serving_world as world
from tests.bench.checks import accept
from tests.bench.serving_clients import Load
from tests.bench.serving_servers import Server
from tests.bench.serving_world import World

ROUNDS, SECONDS, WARM_UP = 9, 1, 1  # whole seconds, for wrk takes no others
PACED_ROUNDS, PACED_SECONDS = 2, 4.0
BATCH = 4096
BUSY = 0.85  # of its core, that a server has under a load which it can't keep up with
V1, V2, BENTOML = f"/v1/models/{world.NAME}:predict", f"/v2/models/{world.NAME}/infer", "/predict"
MIB = 2**20

Loads = Mapping[str, Callable[[int], Load]]


@dataclass(frozen=True)
class Figures:
    """Requests/s, and the server's microseconds of CPU a request."""

    rate: float
    cpu: float

    @property
    def share(self) -> float:
        """How much of its core the server had."""
        return self.rate * self.cpu / 1e6


class Rounds(list[Figures]):
    """One server's figures, round by round."""

    @property
    def median(self) -> Figures:
        """The median of either figure."""
        return Figures(median(each.rate for each in self), median(each.cpu for each in self))

    def by_rate(self, other: "Rounds") -> float:
        """How many times the requests/s of another."""
        return median(ours.rate / theirs.rate for ours, theirs in zip(self, other, strict=True))

    def by_cpu(self, other: "Rounds") -> float:
        """How many times the requests of another for the same CPU time."""
        return median(theirs.cpu / ours.cpu for ours, theirs in zip(self, other, strict=True))


def run() -> None:
    """Measure and print all."""
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    servers.bind_client()
    where = (
        "one core for the server, the clients on another" if servers.CORES else "servers and clients on the same cores"
    )
    print(f"serving: {world.TREES} trees of depth {world.DEPTH}, {len(world.COLUMNS)} columns, {where}")
    with tempfile.TemporaryDirectory() as folder, services.redis() as redis:
        _compare(world.make(Path(folder) / "root", redis))


def _compare(made: World) -> None:
    with contextlib.ExitStack() as ends:
        running = {server.name: server for server in _start(made, ends)}
        _check_answers(made, running)
        rates = _one_row(made, running)
        _grpc(made, running)
        _entities(made, running)
        _latency(made, running, rates)
        _batch(made, running["serin"])
        _footprint(running)


def _start(made: World, ends: contextlib.ExitStack) -> Iterator[Server]:
    makers: list[Callable[[], Server]] = [
        lambda: servers.serin(made),
        lambda: servers.bare(made),
        lambda: servers.bare_grpc(made),
        lambda: servers.stock(made),
        lambda: servers.stock_with_feast(made),
    ]
    if place := servers.environment("mlserver"):
        makers.append(lambda: servers.mlserver(made, place))
    if other := servers.environment("bentoml"):
        makers.append(lambda: servers.bentoml(made, other))
    for make in makers:
        server = make()
        ends.callback(server.stop)
        yield server


def _check_answers(made: World, running: Mapping[str, Server]) -> None:
    """Raises AssertionError where the servers' scores differ: then they would not do the same work."""
    asked = {"serin": (V1, made.rows), "bare": (V1, made.rows), "kserve": (V1, made.rows)}
    asked |= {"kserve + feast": (V1, made.keyed), "bentoml": (BENTOML, made.rows)}
    expected = [row["score"] for row in _answer(running["serin"], V1, world.v1(made.keyed))["predictions"]]
    for name, (path, rows) in asked.items():
        if name in running:
            scores = [row["score"] for row in _answer(running[name], path, world.v1(rows))["predictions"]]
            assert _near(scores, expected), f"{name} gives other scores: {scores[:3]}, not {expected[:3]}"
    for name in {"serin", "bare", "kserve", "mlserver"} & set(running):
        outputs = _answer(running[name], V2, world.v2(made.rows))["outputs"]
        (scores,) = (output["data"] for output in outputs if output["name"] == "score")
        assert _near(scores, expected), f"{name} gives other scores by V2: {scores[:3]}, not {expected[:3]}"


def _near(found: Sequence[float], expected: Sequence[float]) -> bool:
    return all(abs(one - other) < 1e-5 for one, other in zip(found, expected, strict=True))


def _answer(server: Server, path: str, body: bytes) -> dict[str, list[dict[str, object]]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http}{path}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, list[dict[str, object]]] = json.loads(answer.read())
    return found


def _one_row(made: World, running: Mapping[str, Server]) -> dict[str, Rounds]:
    """V1 and V2 in JSON; gives the figures of V1."""
    bodies = {"v1": [world.v1([row]) for row in made.rows], "v2": [world.v2([row]) for row in made.rows]}
    folders = {
        name: clients.write_requests(made.root / "requests" / name, [world.http(path, body) for body in bodies[kind]])
        for name, path, kind in (("v1", V1, "v1"), ("v2", V2, "v2"), ("bentoml", BENTOML, "v1"))
    }
    first = _wrk(running, {"serin": "v1", "bare": "v1", "kserve": "v1", "bentoml": "bentoml"}, folders)
    found = _measured(running, first)
    _tell("V1, one complete row", found)
    _accept_ratio("V1", found, "kserve", 6)
    _accept_ratio("V1", found, "bare", 0.7)
    second = _measured(running, _wrk(running, dict.fromkeys(("serin", "bare", "kserve", "mlserver"), "v2"), folders))
    _tell("V2 in JSON, one complete row", second)
    _accept_ratio("V2", second, "kserve", 6)
    _accept_ratio("V2", second, "bare", 0.7)
    return found


def _grpc(made: World, running: Mapping[str, Server]) -> None:
    messages = [world.grpc([row]) for row in made.rows]
    loads = {
        name: lambda seconds, port=running[name].grpc: clients.grpc(port, messages, seconds)
        for name in ("serin", "bare grpc.aio", "kserve", "mlserver")
        if name in running
    }
    found = _measured(running, loads)
    _tell("V2 by gRPC, one complete row (a client in Python)", found)
    ratio = found["serin"].by_cpu(found["kserve"])
    accept(f"gRPC: {ratio:.2f} x by CPU of kserve, at least 1", ratio >= 1)


def _entities(made: World, running: Mapping[str, Server]) -> None:
    requests = [world.http(V1, world.v1([row])) for row in made.keyed]
    folders = {"keyed": clients.write_requests(made.root / "requests" / "keyed", requests)}
    found = _measured(running, _wrk(running, dict.fromkeys(("serin", "kserve + feast"), "keyed"), folders))
    _tell("V1, one row with two keys, 14 features of two views in Redis", found)
    _accept_ratio("entity rows", found, "kserve + feast", 3)


def _latency(made: World, running: Mapping[str, Server], rates: Mapping[str, Rounds]) -> None:
    """Of each at half of its own highest rate."""
    requests = [world.http(V1, world.v1([row])) for row in made.rows]
    taken: dict[str, list[float]] = {"serin": [], "kserve": []}
    half = {name: rates[name].median.rate / 2 for name in taken}
    for _ in range(PACED_ROUNDS):
        for name, seconds in taken.items():
            seconds += clients.paced(running[name].http, requests, half[name], PACED_SECONDS)
    print("V1, one complete row, at half of the highest rate (times at random, none is left out)")
    shown = {}
    for name, seconds in taken.items():
        shown[name] = quantiles(seconds, n=1000, method="inclusive")
        p50, p99, p999 = (shown[name][place] * 1000 for place in (499, 989, 998))
        print(f"  {name} at {half[name]:,.0f}/s: p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99.9 {p999:.2f} ms")
    serin, kserve = (shown[name][989] * 1000 for name in ("serin", "kserve"))
    accept(f"p99 {serin:.2f} ms, below 5 ms", serin < 5)
    accept(f"p99 {serin:.2f} ms, below stock KServe's {kserve:.2f} ms", serin < kserve)


def _batch(made: World, serin: Server) -> None:
    """Requests of BATCH rows, two at a time, against XGBoost itself."""
    values = world.matrix(BATCH)
    rows = [dict(zip(world.COLUMNS, row, strict=True)) for row in values.astype(float).tolist()]
    body, headers = world.v2_binary(values)
    sent = {"v1": world.http(V1, world.v1(rows)), "v2": world.http(V2, body, headers)}
    folders = {
        kind: clients.write_requests(made.root / "requests" / f"batch-{kind}", [request])
        for kind, request in sent.items()
    }
    rounds = {"XGBoost itself": Rounds(), "V1": Rounds(), "V2 binary": Rounds()}
    for _ in range(ROUNDS):
        rounds["XGBoost itself"].append(_native(made.model / "model.ubj"))
        for name, kind in (("V1", "v1"), ("V2 binary", "v2")):
            rounds[name].append(
                _seen(serin, lambda kind=kind: clients.wrk(serin.http, folders[kind], SECONDS, 2), BATCH)
            )
    print(f"{BATCH:,} rows a request")
    for name, each in rounds.items():
        print(f"  {name}: {each.median.rate:,.0f} rows/s, {each.median.cpu:.2f} us of CPU each")
    ratio = rounds["V2 binary"].by_cpu(rounds["XGBoost itself"])
    print(
        f"  V2 binary has {ratio:.2f} of XGBoost's own rows by CPU, with HTTP, checks and log (files: part `scoring`)"
    )


def _native(model: Path) -> Figures:
    line = [sys.executable, "-m", "tests.bench.serving_native", str(model), str(BATCH), "1"]
    with servers.on_server_core():
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    rows, seconds, cpu = json.loads(said)
    return Figures(rows / seconds, cpu / rows * 1e6)


def _footprint(running: Mapping[str, Server]) -> None:
    print("start to ready, and resident memory after the loads")
    for server in running.values():
        print(f"  {server.name}: {server.start_seconds:.1f} s, {server.resident() / MIB:.0f} MiB")
    if place := servers.environment_of_serin():
        print(f"  what the predictor needs, installed: {servers.size(place) / MIB:.0f} MiB (extra `serving`, locked)")
    serin = running["serin"]
    memory = serin.resident() / MIB
    accept(f"ready after {serin.start_seconds:.1f} s, under 6 s", serin.start_seconds < 6)
    accept(f"{memory:.0f} MiB resident, under 300 MiB", memory < 300)


def _wrk(running: Mapping[str, Server], kinds: Mapping[str, str], folders: Mapping[str, Path]) -> Loads:
    """A load by wrk for each of `kinds` that runs, a kind of request by server."""
    return {
        name: lambda seconds, port=running[name].http, kind=kind: clients.wrk(port, folders[kind], seconds)
        for name, kind in kinds.items()
        if name in running
    }


def _measured(running: Mapping[str, Server], loads: Loads) -> dict[str, Rounds]:
    """Each load in turn, ROUNDS times."""
    found = {name: Rounds() for name in loads}
    for load in loads.values():
        load(WARM_UP)
    for _ in range(ROUNDS):
        for name, load in loads.items():
            found[name].append(_seen(running[name], lambda load=load: load(SECONDS)))
    return found


def _seen(server: Server, load: Callable[[], Load], rows: int = 1) -> Figures:
    """One round, by requests or by the rows of each."""
    before = server.cpu_seconds()
    seen = load()
    used = server.cpu_seconds() - before
    return Figures(seen.rate * rows, used / (seen.requests * rows) * 1e6)


def _tell(what: str, found: Mapping[str, Rounds]) -> None:
    print(what)
    ours = found["serin"]
    print(f"  serin {ours.median.rate:,.0f} requests/s, {ours.median.cpu:.0f} us of CPU each")
    for name, theirs in found.items():
        if name != "serin":
            ratios = f"{ours.by_rate(theirs):.2f} x the requests/s, {ours.by_cpu(theirs):.2f} x by CPU"
            print(
                f"  {name} {theirs.median.rate:,.0f} requests/s, {theirs.median.cpu:.0f} us: serin has {ratios}",
                flush=True,
            )


def _accept_ratio(what: str, found: Mapping[str, Rounds], other: str, least: float) -> None:
    """By requests/s; by CPU where the machine had so much other work that servers did not get their core."""
    serin, theirs = found["serin"], found[other]
    shares = serin.median.share, theirs.median.share
    if min(shares) >= BUSY:
        ratio = serin.by_rate(theirs)
        accept(f"{what}: {ratio:.2f} x the requests/s of {other}, at least {least}", ratio >= least)
    else:
        ratio = serin.by_cpu(theirs)
        told = f"by CPU, for the servers had {shares[0]:.0%} and {shares[1]:.0%} of their core"
        accept(f"{what}: {ratio:.2f} x {other}, at least {least} ({told})", ratio >= least)
