"""containerd of this machine, with a bridge network of its own, in the mount namespace of the tests."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster.node.images import PAUSE
from tests.cluster.plane import running
from tests.integration.serving_world import until

SOCKET = Path("/run/containerd/containerd.sock")
_CTR = ("ctr", "--address", str(SOCKET), "--namespace", "k8s.io")
_PLUGINS = Path("/usr/lib/cni")
_CONFIG = """
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A child of a process whose score may not be lowered can't get a lower one either.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{plugins}"
  conf_dir = "{folder}/net.d"
"""


class Runtime:
    """A running containerd."""

    def load(self, archive: Path) -> None:
        """Import an archive of `docker save` with the name that stands in it; the archive goes."""
        self._ctr("images", "import", archive)
        archive.unlink()

    def end(self) -> None:
        """Kill what still runs, and remove the cgroups of it."""
        until(self._killed, "the end of all containers", 30)
        for folder in sorted(Path("/sys/fs/cgroup").glob("**/k8s.io/**/"), reverse=True):
            # Another node of this machine may have containers of its own there.
            with suppress(OSError):
                folder.rmdir()

    def _killed(self) -> bool:
        """Kill every container; whether there was none."""
        tasks = self._ctr("tasks", "list", "--quiet").split()
        for task in tasks:
            # It may have gone meanwhile, with the last of its pod.
            subprocess.run([*_CTR, "tasks", "delete", "--force", task], check=False, capture_output=True)
        return not tasks

    def _ctr(self, *arguments: object) -> str:
        command = [*_CTR, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr[-1000:]}"
        return done.stdout


@contextmanager
def containerd(folder: Path) -> Iterator[Runtime]:
    """containerd until the end of the block."""
    _hide()
    (folder / "net.d").mkdir(parents=True)
    (folder / "net.d" / "10-serin.conflist").write_text(json.dumps(_network()))
    config = folder / "config.toml"
    config.write_text(_CONFIG.format(folder=folder, socket=SOCKET, pause=PAUSE, plugins=_PLUGINS))
    with running(["containerd", "--config", config], folder / "containerd.log") as process:
        until(lambda: process.poll() is not None or SOCKET.exists(), "containerd", 30)
        assert process.poll() is None, (folder / "containerd.log").read_text()[-2000:]
        runtime = Runtime()
        try:
            yield runtime
        finally:
            runtime.end()


def _hide() -> None:
    """Put empty file systems over what containerd, its plugins and the kubelet write to wherever they are told to work.

    They are in the mount namespace of the tests alone and go with it, and so do the unpacked images, some 4 GB of
    memory, and all that pods mount.
    """
    for folder in ("/run", "/var/lib", "/var/log"):
        subprocess.run(["mount", "-t", "tmpfs", "serin-tests", folder], check=True)


def _network() -> dict[str, object]:
    """Pods are on a bridge, from which this namespace's own addresses can be reached, and nothing else."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": "10.202.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "serin", "plugins": [bridge]}
