"""How the model of a use case is trained, and what it must reach."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from serin.times import format_duration, parse_duration
from serin.use_case.section import Metric, PositiveDuration, Section, some_time


class PrecisionAt(Section):
    """Precision among the `k` entities a day with the highest scores (card precision@100 in the Handbook)."""

    k: Annotated[int, Field(gt=0)] = 100
    entity: str


Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi)$")]


class Pool(Section):
    """The machines of a cluster on which estimators are trained, and what each training gets of its machine.

    `spot` machines are cheaper, and may be taken away at any time: the training is started again then.
    """

    kind: Literal["cpu", "gpu"] = "cpu"
    spot: bool = False
    cpu: Annotated[int, Field(ge=1, le=256)] = 2
    memory: Memory = "4Gi"

    @property
    def name(self) -> str:
        """What nodes of the pool are labelled with (`serin/pool`); empty where any node of the cluster will do."""
        name = f"{self.kind}-spot" if self.spot else self.kind
        return "" if name == "cpu" else name


class Search(Section):
    """How long parameters are searched for, of each estimator; those that the use case gives stay as they are.

    `trials` 0 searches nothing. A search that `seconds` ends before its trials are done may come out otherwise when
    it is repeated. A trial sees `rows` rows of each part of a fold at most: all positives, and of the others as many as
    there is room for, each with the weight of those that it stands for.
    """

    trials: Annotated[int, Field(ge=0, le=10_000)] = 20
    seconds: PositiveDuration = timedelta(minutes=10)
    rows: Annotated[int, Field(ge=1000)] = 20_000


class Cost(Section):
    """What a wrong decision costs, in any one unit: an alarm for nothing, and a positive that was missed."""

    false_positive: Annotated[float, Field(gt=0)] = 1.0
    false_negative: Annotated[float, Field(gt=0)] = 1.0


class Threshold(Section):
    """Which scores count as positive; at most one of these is named, and without any it is where F1 is highest.

    `cost`: where wrong decisions cost least. `precision`: the lowest score from which on this share of the alarms is
    right. `alerts_a_day`: as many rows a day as somebody can look at.
    """

    cost: Cost | None = None
    precision: Annotated[float, Field(gt=0, le=1)] | None = None
    alerts_a_day: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if len(named := sorted(name for name, rule in self if rule is not None)) > 1:
            raise ValueError(f"a threshold has one rule; found {', '.join(named)}")
        return self


def _period(value: Any) -> timedelta | str:
    """A length, or `auto`: a period that is chosen by the number of positives in it."""
    if value == "auto":
        return "auto"
    try:
        duration = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}; or auto") from None
    return some_time(duration)


def _format_period(value: timedelta | str) -> str:
    return value if isinstance(value, str) else format_duration(value)


Period = Annotated[
    timedelta | Literal["auto"], BeforeValidator(_period), PlainSerializer(_format_period, return_type=str)
]


class Training(Section):
    """Which estimators are trained, on which parts, and how they are compared.

    With event times: the last `test` before the labels end is the test part; before it lie `folds` periods of
    `validation` each, every one assessed by a model of what was known when it began (see serin.learning.split), from
    `history` before on. "auto" takes the shortest whole number of days that holds `positives` positives, no fewer than
    7 and no more than leave enough for training (see serin.use_case.periods). Without event times: `test_share` of the
    rows, and `folds` stratified folds of the others; rows of the same `group` stay together.

    `pool` is where estimators are trained, `pools` where those are that need another. With `engine` "spark", XGBoost is
    fitted on the cluster that SERIN_SPARK names; its search, on samples, stays in the step. `checkpoint` is how much
    work may be lost when a training is killed.
    """

    estimators: dict[str, dict[str, Any]]
    primary_metric: Metric = "average_precision"
    search: Search = Search()
    test: Period = "auto"
    validation: Period = "auto"
    positives: Annotated[int, Field(ge=10)] = 100
    folds: Annotated[int, Field(ge=1, le=20)] = 3
    history: PositiveDuration | None = None
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    group: str | None = None
    precision_at: PrecisionAt | None = None
    threshold: Threshold = Threshold()
    calibration: Literal["auto", "none", "platt", "isotonic"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    engine: Literal["local", "spark"] = "local"
    pool: Pool = Pool()
    pools: dict[str, Pool] = Field(default_factory=dict)
    checkpoint: PositiveDuration = timedelta(seconds=30)

    def pool_of(self, estimator: str) -> Pool:
        """Where an estimator is trained."""
        return self.pools.get(estimator, self.pool)


class SliceRule(Section):
    """The gate's look at parts of the test rows: no value of `columns` may lose more than `max_loss` of the primary
    metric against the champion. Numbers are cut at their quartiles; parts with fewer than `positives` are told and
    not judged."""

    columns: tuple[str, ...]
    max_loss: Annotated[float, Field(ge=0)] = 0.05
    positives: Annotated[int, Field(ge=5)] = 30


class Gates(Section):
    """What a candidate must reach to become the challenger.

    It passes where its primary metric, less the champion's on the same rows, is above -`max_loss` with `confidence`:
    the whole bootstrap interval of the difference. Where the interval has -`max_loss` inside, the rows can't tell, and
    the candidate is undecided, which is no pass. `minimum` holds for the metric itself; that its interval reaches below
    is told. Too few positives for any interval, or a ROC AUC whose interval holds 0.5, and the candidate is undecided
    too.
    """

    minimum: dict[Metric, float] = Field(default_factory=dict)
    max_loss: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    slices: SliceRule | None = None
