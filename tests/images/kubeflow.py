"""Tasks of a pipeline in its image: the command of the compiled component, on inputs as Kubeflow's driver fills them.

The launcher, which copies artifacts between object store and pod around that command, is a binary that can't be had
here; a folder that is mounted as the pod's scratch volume /s3 stands in for what it copies.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from tests.images.container import Image, Mount

BUCKET = "/s3/serin/run"


@dataclass(frozen=True)
class Artifact:
    """An artifact as one task hands it to another."""

    name: str
    type: Mapping[str, str]
    metadata: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """As the executor's input has it."""
        uri = f"s3://{BUCKET.removeprefix('/s3/')}/{self.name}"
        return {"name": self.name, "type": dict(self.type), "uri": uri, "metadata": dict(self.metadata)}


@dataclass(frozen=True)
class Done:
    """What a task left: output parameters and artifacts by name."""

    parameters: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]


class Run:
    """Tasks of one run, in containers of one image, with a scratch volume and the folder of leases between them."""

    def __init__(self, image: Image, folder: Path, variables: Mapping[str, str]) -> None:
        self._image, self._folder, self._variables = image, folder, variables
        self._scratch = folder / "s3"
        (self._scratch / "serin/run").mkdir(parents=True)
        self._state = folder / "state"
        self._state.mkdir()
        # An emptyDir belongs to whoever runs in the pod.
        for path in (self._scratch, self._scratch / "serin", self._scratch / "serin/run", self._state):
            path.chmod(0o777)

    def task(
        self, component: Any, parameters: Mapping[str, Any], artifacts: Mapping[str, Sequence[Artifact]] | None = None
    ) -> Done:
        """Run a component to its end and give what it left. A task that fails is an AssertionError with its output."""
        compiled = self._folder / f"{component.name}.yaml"
        compiler.Compiler().compile(component, str(compiled))
        document = yaml.safe_load(compiled.read_text())
        (executor,) = document["deploymentSpec"]["executors"].values()
        (declared,) = document["components"].values()
        outputs = declared.get("outputDefinitions", {})
        made = {
            name: Artifact(f"{component.name}-{name}", kind["artifactType"], {})
            for name, kind in outputs.get("artifacts", {}).items()
        }
        outputs_file = f"{BUCKET}/{component.name}.json"
        given = json.dumps(
            executor_input(parameters, artifacts or {}, outputs.get("parameters", {}), made, outputs_file)
        )
        container = executor["container"]
        arguments = [part.replace("{{$}}", given) for part in (*container["command"], *container["args"])]
        mounts = [Mount(self._scratch, "/s3", writable=True), Mount(self._state, "/app/.serin", writable=True)]
        done = self._image.container(self._folder, arguments, self._variables, mounts).run()
        assert done.returncode == 0, f"{component.name}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return self._left(component.name, made)

    def _left(self, name: str, made: Mapping[str, Artifact]) -> Done:
        told = json.loads((self._scratch / f"serin/run/{name}.json").read_text())
        kept = {
            key: Artifact(made[key].name, made[key].type, value["artifacts"][0].get("metadata", {}))
            for key, value in told.get("artifacts", {}).items()
        }
        return Done(told.get("parameterValues", {}), kept)


def executor_input(
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Sequence[Artifact]],
    results: Mapping[str, Any],
    made: Mapping[str, Artifact],
    outputs_file: str,
) -> dict[str, Any]:
    """The document that a driver fills for KFP's executor: `results` and `made` are what the task declares."""
    return {
        "inputs": {
            "parameterValues": dict(parameters),
            "artifacts": {
                name: {"artifacts": [artifact.document for artifact in given]} for name, given in artifacts.items()
            },
        },
        "outputs": {
            "parameters": {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in results},
            "artifacts": {name: {"artifacts": [artifact.document]} for name, artifact in made.items()},
            "outputFile": outputs_file,
        },
    }
