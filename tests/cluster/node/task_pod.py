"""What KFP makes of a task: the pod of a component with the settings of Serin's pipelines.

A stand-in, since KFP's driver and Argo can't be built here. KFP adds its launcher to the pod, which copies artifacts
and is left out; of its own defaults these are here: the scratch volume /s3, and no privileges.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from pipelines import settings
from tests.cluster.api import Document
from tests.images.kubeflow import BUCKET, Artifact, executor_input


def pod(component: Any, parameters: Mapping[str, Any], account: str, image: str, folder: Path) -> Document:
    """The pod of a task that takes parameters and no artifact."""
    name = component.name
    document, platform = _compiled(component, parameters, folder / f"{name}.yaml")
    container = document["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    outputs = document["components"][f"comp-{name}"].get("outputDefinitions", {})
    made = {key: Artifact(key, kind["artifactType"], {}) for key, kind in outputs.get("artifacts", {}).items()}
    given = executor_input(parameters, {}, outputs.get("parameters", {}), made, f"{BUCKET}/output.json")
    mounts = [{"volumeName": "s3-scratch", "mountPath": "/s3"}, *platform["emptyDirMounts"]]
    limits = container["resources"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "serin", "labels": platform["podMetadata"]["labels"]},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": account,
            "volumes": [{"name": mount["volumeName"], "emptyDir": _limit(mount)} for mount in mounts],
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": platform["imagePullPolicy"],
                    "command": container["command"],
                    "args": [part.replace("{{$}}", json.dumps(given)) for part in container["args"]],
                    "env": _variables(platform),
                    "resources": {
                        "requests": {
                            "cpu": limits["resourceCpuRequest"],
                            "memory": limits["resourceMemoryRequest"],
                        },
                        "limits": {"cpu": limits["resourceCpuLimit"], "memory": limits["resourceMemoryLimit"]},
                    },
                    "securityContext": _security(platform["securityContext"]),
                    "volumeMounts": [{"name": m["volumeName"], "mountPath": m["mountPath"]} for m in mounts],
                }
            ],
        },
    }


def _compiled(component: Any, parameters: Mapping[str, Any], path: Path) -> tuple[Document, Document]:
    """The pipeline of the one task, and what its platform is told of it."""

    @dsl.pipeline(name="one-task")
    def one_task() -> None:
        settings.applied(component(**parameters))

    compiler.Compiler().compile(one_task, str(path))
    document, platform = yaml.safe_load_all(path.read_text())
    return document, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{component.name}"]


def _variables(platform: Document) -> list[Document]:
    found: list[Document] = [
        {"name": field["name"], "valueFrom": {"fieldRef": {"fieldPath": field["fieldPath"]}}}
        for field in platform["fieldPathAsEnv"]
    ]
    for source in platform["configMapAsEnv"]:
        found += _references(source, "configMapKeyRef", source["configMapName"], "configMapKey")
    for source in platform["secretAsEnv"]:
        found += _references(source, "secretKeyRef", source["secretName"], "secretKey")
    return found


def _references(source: Document, kind: str, name: str, key: str) -> list[Document]:
    optional = source["optional"]
    return [
        {"name": pair["envVar"], "valueFrom": {kind: {"name": name, "key": pair[key], "optional": optional}}}
        for pair in source["keyToEnv"]
    ]


def _security(asked: Document) -> Document:
    return {
        "runAsUser": int(asked["runAsUser"]),
        "runAsGroup": int(asked["runAsGroup"]),
        "runAsNonRoot": asked["runAsNonRoot"],
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _limit(mount: Document) -> Document:
    return {"sizeLimit": mount["sizeLimit"]} if "sizeLimit" in mount else {}
