"""What a trained model depends on, as one digest: the key of its checkpoint."""

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import serin
from serin.content import digest
from serin.use_case import UseCase

# What a fit or a search is made of; another version may give another model.
_LIBRARIES = ("lightgbm", "numpy", "optuna", "scikit-learn", "xgboost", "xgboost-cpu")
_LENGTH = 16
# Where and with how much care a training runs changes nothing of the model; other estimators do not either.
_WITHOUT_EFFECT = {"checkpoint", "estimators", "pool", "pools"}


def training_key(case: UseCase, estimator: str, frame: pd.DataFrame, snapshot: str, as_of: str, device: str) -> str:
    """The digest of a training: of its rows, of the use case as far as it counts, and of the code."""
    training = case.training.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    facts: dict[str, Any] = {
        "as_of": as_of,
        "code": code_digest(),
        "device": device,
        "estimator": [estimator, case.training.estimators[estimator]],
        "features": list(case.feature_names),
        "label": case.label.model_dump(mode="json"),
        "libraries": {name: version(name) for name in _installed()},
        "rows": digest(pa.Table.from_pandas(frame, preserve_index=False)),
        "snapshot": snapshot,
        "training": training,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def code_digest() -> str:
    """A digest of the modules that make a model: an edit of one makes older checkpoints another training's."""
    sha = hashlib.sha256()
    for path in _sources():
        sha.update(path.name.encode() + b"\n" + path.read_bytes())
    return sha.hexdigest()


def _sources() -> Iterator[Path]:
    ground = Path(serin.__file__).parent
    for folder in (ground / "engines", ground / "estimators", ground / "learning", Path(__file__).parent):
        yield from sorted(folder.glob("*.py"))
    yield from (ground / "calibration.py", ground / "logistic.py", ground / "schema.py")


def _installed() -> Iterator[str]:
    for name in _LIBRARIES:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        yield name
