"""Real servers for integration tests, each on a loopback port of its own and gone at the end of its block."""

import contextlib
import json
import os
import pwd
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from serin.adapters.local import loopback
from serin.scaffold.workspace import make

_HOLDER = """
import pathlib, sys, time
from serin.adapters.local.lease import FileLease
with FileLease(pathlib.Path(sys.argv[1])).hold(sys.argv[2], wait=True):
    print("held", flush=True)
    time.sleep(600)
"""

CHECKOUT = Path(__file__).resolve().parents[1]
_S3: dict[int, Any] = {}  # the server at a port


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on just now."""
    return loopback.free_ports(1)[0]


def workspace_copy(root: Path) -> Path:
    """A workspace with the shipped declarations and no state."""
    make(root)
    return root


@contextlib.contextmanager
def lease_holder(locks: Path, name: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds a lease of `locks` until it is killed; it says `held` once it does."""
    line = [sys.executable, "-c", _HOLDER, str(locks), name]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def left_over(root: Path) -> list[psutil.Process]:
    """Processes that were started in the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SERIN_ROOT") == str(root):
                found.append(process)
        except psutil.Error:
            continue
    return found


def step(root: Path) -> bool:
    """Whether Python runs in a step: its shell is there before it."""
    commands = [" ".join(process.cmdline()) for process in left_over(root)]
    return any("executor_main" in command and "python" in command.partition(" ")[0] for command in commands)


@contextlib.contextmanager
def redis(address: str = "127.0.0.1", *options: str, port: int | None = None, tls: Path | None = None) -> Iterator[str]:
    """A Redis server without persistence, for whoever reaches the address; gives HOST:PORT.

    `tls` is a folder with `redis.crt` and `redis.key` (see `certificate`): it speaks TLS alone then.
    """
    port = port or free_port()
    ports = ["--port", str(port)]
    if tls:
        ports = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        ports += ["--tls-cert-file", str(tls / "redis.crt"), "--tls-key-file", str(tls / "redis.key")]
        ports += ["--tls-ca-cert-file", str(tls / "redis.crt")]
    command = ["redis-server", *ports, "--bind", address, "--save", "", "--appendonly", "no"]
    command += ["--protected-mode", "no", *options]
    with tempfile.TemporaryDirectory() as folder, _running(command, cwd=folder) as process:
        _await_port(port, process, address)
        yield f"{address}:{port}"


@contextlib.contextmanager
def relay(server: tuple[str, int]) -> Iterator[tuple[str, list[str]]]:
    """A server that passes all on to another, and back; gives HOST:PORT, and a list that grows by one whenever a client
    speaks that was silent, or listened, before."""
    turns: list[str] = []
    spoke: dict[socket.socket, str] = {}
    pairs: dict[socket.socket, tuple[socket.socket, str]] = {}
    with selectors.DefaultSelector() as selector, socket.create_server(("127.0.0.1", 0)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        ended = threading.Event()

        def pass_on() -> None:
            while not ended.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is listener:
                        client, there = listener.accept()[0], socket.create_connection(server)
                        pairs.update({client: (there, "client"), there: (client, "server")})
                        for one in (client, there):
                            selector.register(one, selectors.EVENT_READ)
                        continue
                    other, who = pairs[key.fileobj]  # type: ignore[index]
                    text = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    client = other if who == "server" else key.fileobj
                    if who == "client" and text and spoke.get(client) != "client":
                        turns.append(who)
                    spoke[client] = who
                    if text:
                        other.sendall(text)
                    else:
                        selector.unregister(key.fileobj)
                        with contextlib.suppress(OSError):
                            other.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=pass_on)
        thread.start()
        try:
            yield "{}:{}".format(*listener.getsockname()), turns
        finally:
            ended.set()
            thread.join()
            for one in pairs:
                one.close()


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 in `folder`, as `redis.crt` and `redis.key`; gives the first."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "redis.key"), "-out", str(folder / "redis.crt")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return folder / "redis.crt"


@contextlib.contextmanager
def postgres(address: str = "127.0.0.1") -> Iterator[str]:
    """A PostgreSQL server with an empty database, for whoever reaches the address; gives its SQLAlchemy URI."""
    port, owner = free_port(), "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    binaries = _postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="serin-postgres-"))
    try:
        # PostgreSQL refuses to run as root.
        as_owner = {"user": owner} if os.getuid() == 0 else {}
        if as_owner:
            shutil.chown(folder, owner)
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "serin", "--auth=trust", "--no-sync"],
            check=True, capture_output=True, cwd=folder, **as_owner,
        )  # fmt: skip
        command = [binaries / "postgres", "-D", folder / "data", "-p", str(port), "-h", address, "-k", folder, "-F"]
        with (folder / "data" / "pg_hba.conf").open("a") as access:
            access.write("host all all all trust\n")
        with _running(command, cwd=folder, **as_owner) as process:
            _await_port(port, process, address)
            yield f"postgresql+psycopg2://serin@{address}:{port}/postgres"
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def prometheus(folder: Path, targets: Path) -> Iterator[str]:
    """A Prometheus server that scrapes what the file `targets` names every second; gives its URL.

    `targets` (JSON) is a list of groups with `targets` and `labels`, and is read anew when it changes.
    """
    port = free_port()
    discovered = {"files": [str(targets)], "refresh_interval": "1s"}
    job = {"job_name": "predictors", "file_sd_configs": [discovered]}
    configuration = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with _running(command, cwd=folder) as process:
        _await_port(port, process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def mlflow(database: Path, artifacts: Path) -> Iterator[str]:
    """MLflow's tracking server over an SQLite file and a folder of artifacts; gives its URI."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", artifacts,
    ]  # fmt: skip
    artifacts.mkdir(exist_ok=True)
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with _running([str(part) for part in command], cwd=artifacts, env=variables) as process:
        # It imports half of MLflow, twice.
        _await_port(port, process, seconds=180)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def s3(bucket: str, address: str = "127.0.0.1", port: int = 0) -> Iterator[dict[str, str]]:
    """An S3 server (moto's, over HTTP) with an empty bucket; gives the variables that lead AWS clients to it.

    One with a `port` may be away for a while, see `s3_away`.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=address, port=port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    _S3[port] = server
    credentials = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", **{key.lower(): value for key, value in credentials.items()}
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    try:
        yield {
            **credentials,
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            # Feast and MLflow have names of their own for it.
            "FEAST_S3_ENDPOINT_URL": url,
            "MLFLOW_S3_ENDPOINT_URL": url,
        }
    finally:
        # What it holds is this process', and would be there for the next test's server.
        httpx.post(f"{url}/moto-api/reset").raise_for_status()
        _S3.pop(port).stop()


@contextlib.contextmanager
def s3_away(port: int) -> Iterator[None]:
    """Nobody answers at the port of an S3 server until the block ends; then it is back, with what it held."""
    from moto.server import ThreadedMotoServer

    _S3[port].stop()
    try:
        yield
    finally:
        _S3[port] = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        _S3[port].start()


@contextlib.contextmanager
def _running(command: list[object], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        # To PostgreSQL this is a fast shutdown: it does not wait for clients to leave.
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _await_port(port: int, process: subprocess.Popen[bytes], address: str = "127.0.0.1", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no server on port {port} (exit code {process.poll()})")


def _postgres_binaries() -> Path:
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return Path(found).parent if found else installed[-1].parent
