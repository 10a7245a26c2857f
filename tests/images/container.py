"""Containers of built images as a cluster runs them: runc, the image's own user, no capability, a read-only root."""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Mount:
    """A folder of this machine in a container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Image:
    """A built image whose root file system is mounted; `settings` is what the image says of how to run it."""

    name: str
    root: Path
    settings: Mapping[str, Any]

    def container(
        self,
        folder: Path,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> "Container":
        """A container that is not started yet; its bundle is written into `folder`."""
        number = next(_NUMBERS)
        bundle = folder / f"bundle-{number}"
        bundle.mkdir()
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
        settings = bundle / "config.json"
        specification = self._specified(json.loads(settings.read_text()), arguments, variables or {}, mounts)
        settings.write_text(json.dumps(specification))
        return Container(f"serin-test-{folder.name}-{number}", bundle, folder / "runc")

    def _specified(
        self, usual: dict[str, Any], arguments: Sequence[str], variables: Mapping[str, str], mounts: Sequence[Mount]
    ) -> dict[str, Any]:
        uid, gid = (int(number) for number in self.settings["User"].split(":"))
        usual["root"] = {"path": str(self.root), "readonly": True}
        usual["process"] |= {
            "terminal": False,
            "args": list(arguments),
            "user": {"uid": uid, "gid": gid},
            "env": [*self.settings["Env"], *(f"{name}={value}" for name, value in variables.items())],
            "cwd": self.settings["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {},
        }
        # Servers of the tests listen on this machine's loopback.
        kept = [space for space in usual["linux"]["namespaces"] if space["type"] != "network"]
        usual["linux"]["namespaces"] = kept
        options = ["nosuid", "nodev", "mode=1777"]
        usual["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options})
        for mount in mounts:
            bound = ["rbind", "rw" if mount.writable else "ro"]
            usual["mounts"].append(
                {"destination": mount.target, "type": "bind", "source": str(mount.source), "options": bound}
            )
        return usual


@dataclass(frozen=True)
class Container:
    """One container of an image; it runs once."""

    name: str
    bundle: Path
    state: Path

    def run(self, seconds: float = 300) -> "subprocess.CompletedProcess[str]":
        """Run to the end, whatever its exit code."""
        with self.started() as process:
            output, errors = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    @contextlib.contextmanager
    def started(self) -> Iterator["subprocess.Popen[str]"]:
        """Run in the background until the end of the block; runc hands signals on."""
        command = [*self._runc("run"), "--bundle", str(self.bundle), self.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    subprocess.run([*self._runc("delete"), "--force", self.name], check=False, capture_output=True)

    def execute(self, arguments: Sequence[str]) -> int:
        """Run another process in the running container, such as its health check; gives the exit code."""
        command = [*self._runc("exec"), self.name, *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode

    def _runc(self, action: str) -> list[str]:
        return ["runc", "--root", str(self.state), action]


@contextlib.contextmanager
def mounted(name: str) -> Iterator[Image]:
    """An image of Buildah's storage with its root file system mounted for the block."""
    container = _buildah("from", "--pull-never", name)
    try:
        settings = json.loads(_buildah("inspect", "--type", "image", name))["Docker"]["config"]
        yield Image(name, Path(_buildah("mount", container)), settings)
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()
