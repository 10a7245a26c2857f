"""Features from the online store."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serin.artifact import Manifest
from serin.errors import UnavailableError
from serin.workspace import served_project


@dataclass(frozen=True)
class _View:
    """The inputs that one feature view supplies, and the age in seconds up to which they count."""

    names: tuple[str, ...]
    ttl: float


@dataclass(frozen=True)
class Fetched:
    """Feature values by column, None where missing, and for each of the n rows how many the store did not hold (or
    only ones that are too old) and how old the oldest one is at the event time, in seconds (NaN where none was held).
    """

    values: Mapping[str, list[Any]]
    misses: NDArray[np.int64]
    age_seconds: NDArray[np.float64]


class OnlineFeatures:
    """The features of one feature service that a model needs, looked up by entity keys. Any thread may call it."""

    def __init__(self, store_yaml: Path, manifest: Manifest) -> None:
        """Open the store and look up once, so that the first request finds everything warm.

        Raises UnavailableError: the store can't be opened or lacks the feature service or one of its features.
        """
        import feast
        from feast.errors import FeastError
        from feast.repo_config import FeastConfigError
        from google.protobuf.message import DecodeError
        from pydantic import ValidationError
        from redis.exceptions import RedisError

        self._errors = (FeastError, RedisError, sqlite3.Error, OSError)
        self._where = f"the feature store of {store_yaml}"
        self._names = manifest.store_features
        self._keys = tuple(column.name for column in manifest.entities)
        try:
            self._store = feast.FeatureStore(repo_path=str(store_yaml.parent), fs_yaml_file=store_yaml)
            self._store.config.project = served_project(self._store.config.project)
            self._service = self._store.get_feature_service(manifest.feature_service)
            views = [self._view(projection) for projection in self._service.feature_view_projections]
        except (*self._errors, DecodeError, FeastConfigError, ValidationError) as error:
            raise UnavailableError(f"{self._where} can't serve {manifest.feature_service}: {error}") from None
        self._views = [view for view in views if view.names]
        served = {feature.name for view in self._service.feature_view_projections for feature in view.features}
        missing = sorted(set(self._names) - served)
        if missing:
            raise UnavailableError(
                f"{self._where}: feature service {manifest.feature_service} lacks {', '.join(missing)}, "
                f"it has {', '.join(sorted(served))}"
            )
        blank = {"integer": 0, "number": 0.0, "text": "", "boolean": False}
        self._look_up({column.name: [blank.get(column.type)] for column in manifest.entities})

    def fetch(self, keys: Mapping[str, Sequence[Any]], times: Sequence[datetime]) -> Fetched:
        """Features of n rows, given the entity keys by column and the event times.

        A value that is older at the event time than its view's ttl is missing, as it was in training; one that is
        younger than the event, as in a replay, is not too old. An unknown key is no error: its features are missing.
        Raises UnavailableError when the store fails.
        """
        found = self._look_up({name: list(keys[name]) for name in self._keys})
        moments = np.array([time.timestamp() for time in times])
        values: dict[str, list[Any]] = {}
        misses = np.zeros(len(moments), np.int64)
        oldest = np.full(len(moments), np.inf)
        for view in self._views:
            stamps = np.array([found[f"{name}__ts"] for name in view.names], dtype=np.float64)
            # A row of nulls is how Serin takes back what was known of an entity: Feast can't delete a row.
            known = np.array([[value is not None for value in found[name]] for name in view.names]).any(axis=0)
            held = (stamps > 0) & (moments - stamps <= view.ttl) & known
            for name, holds in zip(view.names, held, strict=True):
                values[name] = [value if hold else None for value, hold in zip(found[name], holds, strict=True)]
            misses += (~held).sum(axis=0)
            oldest = np.minimum(oldest, np.min(np.where(held, stamps, np.inf), axis=0))
        age = np.where(np.isfinite(oldest), moments - oldest, np.nan)
        return Fetched(values, misses, age)

    def _view(self, projection: Any) -> _View:
        ttl = self._store.get_feature_view(projection.name).ttl
        return _View(
            names=tuple(feature.name for feature in projection.features if feature.name in self._names),
            ttl=ttl.total_seconds() if ttl else np.inf,
        )

    def _look_up(self, keys: dict[str, list[Any]]) -> dict[str, list[Any]]:
        try:
            response = self._store.get_online_features(features=self._service, entity_rows=_rows(keys))
        except self._errors as error:
            raise UnavailableError(f"{self._where} does not answer: {type(error).__name__}: {error}") from None
        found: dict[str, list[Any]] = response.to_dict(include_event_timestamps=True)
        return found


def _rows(keys: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(keys, values, strict=True)) for values in zip(*keys.values(), strict=True)]
