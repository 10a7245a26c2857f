"""The servers of the comparison as processes, all on one core: starting them, what they use, and their end."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.serving_world import NAME, VERSION, World
from tests.services import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
REFERENCES = Path(__file__).parent / "references"
# They are pinned, and made anew when the file changes.
ENVIRONMENTS = {name: REFERENCES / f"requirements-{name}.txt" for name in ("mlserver", "bentoml")}
_START_SECONDS = 120
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass
class Server:
    """A running server. `start_seconds` is from its start to the first ready answer."""

    name: str
    process: "subprocess.Popen[bytes]"
    http: int
    grpc: int
    start_seconds: float = 0.0

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children."""
        return sum(sum(each.cpu_times()[:2]) for each in self._tree())

    def resident(self) -> int:
        """Resident memory of the process and its children, in bytes."""
        return sum(each.memory_info().rss for each in self._tree())

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left of the tree after ten seconds."""
        tree = self._tree()
        self.process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(tree, timeout=10)
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(10)

    def _tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


def cores() -> tuple[set[int], set[int]] | None:
    """One core for the servers and another for the clients; None where processes can't be bound to two."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return ({allowed[0]}, {allowed[1]}) if len(allowed) > 1 else None


# Found once, for afterwards this process itself is bound to the clients' core.
CORES = cores()


def bind_client() -> None:
    """Leave the servers' core to them."""
    if CORES:
        os.sched_setaffinity(0, CORES[1])


@contextlib.contextmanager
def on_server_core() -> Iterator[None]:
    """What is started in the block runs where the servers do."""
    if CORES:
        os.sched_setaffinity(0, CORES[0])
    try:
        yield
    finally:
        bind_client()


def serin(world: World) -> Server:
    """The predictor, with the artifact's two engines."""
    http, grpc = free_port(), free_port()
    line = [sys.executable, "-m", "predictors", "--host", "127.0.0.1", "--model_dir", str(world.model)]
    line += ["--model_name", NAME, "--model_version", VERSION, "--http_port", str(http), "--grpc_port", str(grpc)]
    variables = {"SERIN_ROOT": str(world.root)}
    return _started("serin", line, world, http, grpc, "/v2/health/ready", variables, CHECKOUT)


def bare(world: World) -> Server:
    """uvicorn and orjson alone."""
    http = free_port()
    return _started("bare", [sys.executable, str(REFERENCES / "bare.py"), str(http)], world, http, 0, "/ready")


def bare_grpc(world: World) -> Server:
    """grpc.aio alone."""
    port = free_port()
    line = [sys.executable, str(REFERENCES / "bare_grpc.py"), str(port)]
    return _started("bare grpc.aio", line, world, 0, port, None)


def stock(world: World) -> Server:
    """KServe's custom model."""
    return _stock("kserve", world, {})


def stock_with_feast(world: World) -> Server:
    """KServe's custom model that asks Feast."""
    asked = {"BENCH_FEAST": str(world.root / "feature_repo"), "BENCH_FEATURES": json.dumps(world.features)}
    return _stock("kserve + feast", world, {**asked, "FEAST_USAGE": "False"})


def mlserver(world: World, environment: Path) -> Server:
    """MLServer without its worker process, which is quicker for a model as small as this."""
    http, grpc, metrics = free_port(), free_port(), free_port()
    folder = world.root / "mlserver"
    folder.mkdir()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    settings = {**ports, "host": "127.0.0.1", "debug": False, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(
        json.dumps({"name": NAME, "implementation": "mlserver_model.CardFraud"})
    )
    line = [str(environment / "bin" / "mlserver"), "start", str(folder)]
    return _started("mlserver", line, world, http, grpc, "/v2/health/ready", {}, folder)


def bentoml(world: World, environment: Path) -> Server:
    """BentoML with one worker."""
    http, folder = free_port(), world.root / "bentoml"
    folder.mkdir()
    line = [str(environment / "bin" / "bentoml"), "serve", "bentoml_service:CardFraud", "--port", str(http)]
    line += ["--host", "127.0.0.1", "--working-dir", str(REFERENCES)]
    variables = {"BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    return _started("bentoml", line, world, http, 0, "/readyz", variables, folder)


def environment(name: str) -> Path | None:
    """The environment of a reference, with its pinned requirements; None where it can't be had, and that is said."""
    return _environment(name, ["-r", str(ENVIRONMENTS[name])], ENVIRONMENTS[name].read_bytes())


def environment_of_serin() -> Path | None:
    """An environment with what the predictor needs, the extra `serving`, as it is locked; None as `environment`."""
    lock, extras = CHECKOUT / "requirements.lock", CHECKOUT / "setup.cfg"
    wanted = ["-c", str(lock), "-r", str(extras), "--extra", "serving"]
    return _environment("serving", wanted, lock.read_bytes() + extras.read_bytes())


def _environment(name: str, wanted: list[str], pinned: bytes) -> Path | None:
    """The environment .venv-bench-NAME, made by uv where it is not there with what is pinned."""
    folder = CHECKOUT / f".venv-bench-{name}"
    mark, digest = folder / ".pinned", hashlib.sha256(pinned).hexdigest()
    if mark.is_file() and mark.read_text() == digest:
        return folder
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"setting up {folder.name} (once)", flush=True)
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *wanted])
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode().strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        told = said.splitlines()[-1] if said else "no reason is told"
        print(f"  {name}: left out, for its environment can't be had: {told}", flush=True)
        return None
    mark.write_text(digest)
    return folder


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _run(line: list[str]) -> None:
    subprocess.run(line, check=True, capture_output=True)


def _stock(name: str, world: World, variables: Mapping[str, str]) -> Server:
    http, grpc = free_port(), free_port()
    line = [sys.executable, str(REFERENCES / "stock_kserve.py"), "--http_port", str(http), "--grpc_port", str(grpc)]
    return _started(name, line, world, http, grpc, "/v2/health/ready", variables)


def _started(
    name: str,
    line: list[str],
    world: World,
    http: int,
    grpc: int,
    ready: str | None,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Server:
    """A server that is ready: whose path `ready` answers 200, or whose gRPC port is open where it has no such path.

    Raises AssertionError, with what the server said, where it does not get ready.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERIN_")}
    own = {} if name == "serin" else {"BENCH_FOLDER": str(world.root / "reference"), "PYTHONPATH": str(REFERENCES)}
    output = world.root / f"{name}.txt"
    start = time.perf_counter()
    with output.open("wb") as file, on_server_core():
        process = subprocess.Popen(
            line, env={**kept, **_ONE_THREAD, **own, **(variables or {})}, cwd=folder or world.root,
            stdout=file, stderr=file,
        )  # fmt: skip
    server = Server(name, process, http, grpc)
    while time.perf_counter() - start < _START_SECONDS and process.poll() is None:
        if _is_ready(f"http://127.0.0.1:{http}{ready}") if ready else _is_open(grpc):
            server.start_seconds = time.perf_counter() - start
            return server
        time.sleep(0.02)
    if process.poll() is None:
        server.stop()
    raise AssertionError(f"{name} did not get ready:\n{output.read_text()[-3000:]}")


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
