"""Gradient boosted trees that grow leaf by leaf: lightgbm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from serin.errors import UnavailableError, first_line
from serin.estimators.base import Estimator, Parameters, Parts, Rows, Trial
from serin.estimators.chunks import boosted
from serin.schema import InputSchema


class LightgbmParameters(Parameters):
    """See lightgbm.LGBMClassifier, and LightGBM's parameters."""

    cat_l2: NonNegativeFloat = 10.0
    cat_smooth: NonNegativeFloat = 10.0
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    extra_trees: bool = False
    learning_rate: PositiveFloat = 0.1
    max_bin: int = Field(default=255, ge=2)
    max_cat_threshold: PositiveInt = 32
    max_cat_to_onehot: PositiveInt = 4
    max_depth: int = -1
    min_child_samples: NonNegativeInt = 20
    min_child_weight: NonNegativeFloat = 1e-3
    min_split_gain: NonNegativeFloat = 0.0
    n_estimators: PositiveInt = 100
    n_jobs: int | None = None
    num_leaves: int = Field(default=31, ge=2, le=131072)
    path_smooth: NonNegativeFloat = 0.0
    reg_alpha: NonNegativeFloat = 0.0
    reg_lambda: NonNegativeFloat = 0.0
    scale_pos_weight: PositiveFloat = 1.0
    subsample: float = Field(default=1.0, gt=0, le=1)
    subsample_freq: NonNegativeInt = 0


_ROUNDS: int = LightgbmParameters.model_fields["n_estimators"].default


@dataclass(frozen=True)
class Boosted:
    """A fitted Booster."""

    booster: Any

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """See Model."""
        positive = np.asarray(self.booster.predict(X, num_threads=1), dtype=np.float64)
        return np.stack([1 - positive, positive], axis=1)


class Lightgbm(Estimator):
    """Takes missing numbers and categories as they are."""

    name = "lightgbm"
    engine = "lightgbm"
    parameters = LightgbmParameters
    # With rare labels: small steps, and leaves that hold some of the label's variance (min_child_weight), without
    # which a leaf of negatives alone gets any value.
    first: ClassVar[Mapping[str, Any]] = {
        "n_estimators": 300,
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_child_samples": 20,
        "min_child_weight": 1.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 1.0,
        "max_bin": 1023,
        "scale_pos_weight": 1.0,
    }

    def missing(self) -> str:
        """See Estimator."""
        try:
            library()
        except UnavailableError as error:
            return str(error)
        return ""

    def space(self, trial: Trial) -> dict[str, Any]:
        """See Estimator."""
        return {
            "n_estimators": trial.suggest_int("n_estimators", 100, 500, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 7, 127, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 200, log=True),
            "min_child_weight": trial.suggest_float("min_child_weight", 1e-2, 20.0, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "subsample_freq": 1,
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30.0, log=True),
            "max_bin": trial.suggest_categorical("max_bin", [255, 1023]),
            "scale_pos_weight": trial.suggest_float("scale_pos_weight", 1.0, 20.0, log=True),
        }

    def fit(
        self,
        rows: Rows,
        parameters: dict[str, Any],
        inputs: InputSchema,
        seed: int,
        *,
        parts: Parts,
        device: Literal["cpu", "cuda"] = "cpu",  # noqa: ARG002
        threads: int = 1,
    ) -> Boosted:
        """See Estimator. Raises UnavailableError where LightGBM can't be loaded."""
        lightgbm = library()
        own = core(parameters) | {"num_threads": parameters.get("n_jobs") or threads, "data_random_seed": seed}
        categories = [place for place, column in enumerate(inputs.columns) if column.kind == "category"]
        data = lightgbm.Dataset(
            rows.X,
            rows.y,
            weight=rows.weight,
            categorical_feature=categories,
            free_raw_data=False,
            params={**own, "seed": seed},
        )

        def train(kept: bytes | None, rounds: int, chunk_seed: int) -> bytes:
            before = _Kept.read(kept) if kept else None
            if before:
                data.set_init_score(before.margins)
            grown = lightgbm.train({**own, "seed": chunk_seed}, data, rounds, keep_training_booster=True)
            text = grown.model_to_string()
            return _Kept(_joined(before.text, text) if before else text, _margins(grown)).write()

        kept = boosted(parameters.get("n_estimators", _ROUNDS), rows.X.shape, seed, parts, train=train)
        return Boosted(lightgbm.Booster(model_str=_Kept.read(kept).text))


def core(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as lightgbm.train takes them; the same for any number of threads."""
    given = {name: value for name, value in parameters.items() if name not in ("n_estimators", "n_jobs")}
    own = {"objective": "binary", "verbosity": -1, "deterministic": True, "force_row_wise": True}
    return {**own, **given}


def library() -> Any:
    """The module lightgbm. Raises UnavailableError, with what to do: it, or the OpenMP library it needs, is missing."""
    try:
        import lightgbm
    except ImportError:
        raise UnavailableError("LightGBM is not installed here; pip install lightgbm") from None
    except OSError as error:
        if "libgomp" in str(error):
            raise UnavailableError(
                "LightGBM needs the system's libgomp.so.1, which this machine lacks; apt-get install libgomp1"
            ) from None
        raise UnavailableError(f"LightGBM can't be loaded: {first_line(error)}") from None
    return lightgbm


@dataclass(frozen=True)
class _Kept:
    """What a chunk leaves to the next: the model, and the margins (log odds) that it gives the rows.

    LightGBM would score all rows anew with all trees, which takes longer than growing the next ones.
    """

    text: str
    margins: NDArray[np.float64]

    @classmethod
    def read(cls, kept: bytes) -> "_Kept":
        text, _, margins = kept.partition(b"\0")
        return cls(text.decode(), np.frombuffer(margins, np.float64))

    def write(self) -> bytes:
        return self.text.encode() + b"\0" + self.margins.tobytes()


# exp(30) is as sure as a float64 can say of the difference to 1.
_MOST = 30.0


def _margins(booster: Any) -> NDArray[np.float64]:
    """The log odds of the rows that a booster was grown on, which it knows as probabilities."""
    found: list[NDArray[np.float64]] = []

    def look(scores: NDArray[np.float64], _: Any) -> tuple[str, float, bool]:
        found.append(np.array(scores))
        return "", 0.0, True

    booster.eval_train(look)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(found[0] / (1 - found[0])), -_MOST, _MOST)


def _joined(before: str, after: str) -> str:
    """One model of the trees of two, in LightGBM's text."""
    (head, trees, _), (_, added, tail) = _cut(before), _cut(after)
    numbers = count(len(re.findall(_TREE, trees)))
    renumbered = re.sub(_TREE, lambda _: f"Tree={next(numbers)}", added)
    # The sizes of the trees' texts are LightGBM's to tell, and so are the importances behind them.
    joined = re.sub(r"^tree_sizes=.*\n", "", head, flags=re.MULTILINE) + trees + renumbered + tail
    text: str = library().Booster(model_str=joined).model_to_string()
    return text


_TREE = re.compile(r"^Tree=\d+$", re.MULTILINE)


def _cut(text: str) -> tuple[str, str, str]:
    start, end = text.index("Tree=0"), text.index("end of trees")
    return text[:start], text[start:end], text[end:]
