"""What moved the scores of a tabular model: its SHAP values, from the artifact."""

import threading
from itertools import repeat
from typing import Any

import numpy as np

from predictors.load import LoadedModel
from predictors.scoring.kind import Answered
from serin.artifact import BACKGROUND, verify
from serin.errors import ArtifactError, RequestError, UnavailableError
from serin.explain import Explainer
from serin.storage import read_file

MAX_EXPLAINED = 64


class Explanations:
    """Explains rows that were answered. Any thread may call it.

    What explains a model is read when it is asked for the first time: most servers are never asked.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._folder, self._manifest = model.folder, model.manifest
        self._lock = threading.Lock()
        self._explainer: Explainer | None = None

    def check(self, rows: int) -> None:
        """Raises RequestError for more rows than can be explained in one request, UnavailableError as `of`."""
        most = min(MAX_EXPLAINED, self._ready().most or MAX_EXPLAINED)
        if rows > most:
            raise RequestError(f"the request has {rows} rows to explain; allowed: 1 to {most}")

    def of(self, answered: Answered) -> list[dict[str, Any]]:
        """Of each row: its `score`, the `base` and the `values` of the inputs by name, which add up to `output` on
        `scale` (log-odds, or probability), `method`, which says in words how they were had, and `inputs`, the values
        that the model was given: null where it was given none, as of a category that training did not know.

        `output` is what the model gives before calibration, where the artifact has one. Where asked for,
        `unknown_categories` has the values that training did not know, by column.
        Raises UnavailableError where the artifact holds nothing to explain by, or was changed since it was loaded.
        """
        explainer, schema = self._ready(), self._manifest.inputs
        found = explainer.explain(np.asarray(answered.logged[schema.names], dtype=np.float32))
        method = found.method + ("; of the score before its calibration" if self._manifest.calibration else "")
        explained = []
        for place, score in enumerate(answered.outputs["score"]):
            inputs = dict(zip(schema.names, found.inputs[place].tolist(), strict=True))
            values = found.values[place].tolist()
            explained.append(
                {
                    "score": score,
                    "base": found.base,
                    "output": found.base + sum(values),
                    "scale": found.scale,
                    "method": method,
                    "values": dict(zip(schema.names, values, strict=True)),
                    "inputs": {
                        column.name: _input(column.categories, inputs[column.name]) for column in schema.columns
                    },
                }
            )
        if answered.rows.options.explain_unknown:
            for each, unknown in zip(explained, answered.unknown or repeat({}), strict=False):
                each["unknown_categories"] = unknown
        return explained

    def _ready(self) -> Explainer:
        with self._lock:
            if self._explainer is None:
                self._explainer = self._read()
            return self._explainer

    def _read(self) -> Explainer:
        folder, manifest = self._folder, self._manifest
        if folder is None or BACKGROUND not in manifest.files:
            raise UnavailableError(
                f"{manifest.model_name} can't be explained: its artifact holds no {BACKGROUND}, which explanations are "
                f"measured against. Train again: `serin train {manifest.use_case}`"
            )
        try:
            # The files may have been changed since the model was loaded.
            verify(folder)
        except ArtifactError as error:
            raise UnavailableError(f"{manifest.model_name} can't be explained any more: {error}") from None
        background = read_file(str(folder / BACKGROUND), list(manifest.inputs.names)).to_pydict()
        return Explainer(folder, manifest, manifest.inputs.encode(background))


def _input(categories: tuple[str, ...], value: float) -> float | str | None:
    if value != value:
        return None
    return categories[int(value)] if categories else value
