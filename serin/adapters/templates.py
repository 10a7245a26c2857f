"""The YAML documents that ship with Serin: what a cluster gets, and what the local profile is driven by."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serin.errors import UnavailableError


@dataclass(frozen=True)
class Templates:
    """Parsed documents of one workspace."""

    inference_service: dict[str, Any]
    autoscaler: dict[str, Any]
    disruption_budget: dict[str, Any]
    virtual_service: dict[str, Any]
    serving_runtime: dict[str, Any]


def load(root: Path) -> Templates:
    """Read the templates below the workspace root.

    Raises UnavailableError: a file is missing or is no YAML.
    """
    return Templates(
        inference_service=_read(root / "manifests" / "inferenceservice.yaml"),
        autoscaler=_read(root / "manifests" / "autoscaler.yaml"),
        disruption_budget=_read(root / "manifests" / "disruptionbudget.yaml"),
        virtual_service=_read(root / "istio" / "virtualservice.yaml"),
        serving_runtime=_read(root / "manifests" / "base" / "servingruntime.yaml"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UnavailableError(f"the template {path} can't be read: {error}") from None
    return document
