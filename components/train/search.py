"""The search for an estimator's parameters: Optuna's TPE, with a budget, and a memory."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from components.train.memory import Memory
from serin.errors import SerinError, first_line
from serin.estimators.base import Estimator, Parts
from serin.estimators.base import Trial as Asked
from serin.learning.record import Trial
from serin.progress import say
from serin.use_case import Search

# The value of parameters on one fold, from 0: the primary metric, higher is better.
Assess = Callable[[dict[str, Any], int, Parts], float]
_TRIALS, _RUNNING = "trials.json", "trial.json"
# Trials that are drawn at random before the sampler learns from them, and that nothing is cut short against.
_AT_RANDOM = 5


@dataclass(frozen=True)
class Found:
    """The parameters to go on with (the use case's own among them), every trial, and why there were no more of them.

    There are two where the best trial's are not the first one's: a search sees samples, and may have been led astray.
    """

    finalists: tuple[dict[str, Any], ...]
    trials: tuple[Trial, ...] = ()
    note: str = ""


@dataclass
class _Done:
    """A trial as it is kept: enough to lead the sampler to where it was."""

    number: int
    parameters: dict[str, Any]
    values: list[float]
    state: str
    seconds: float

    @property
    def value(self) -> float | None:
        """The mean over the folds that it came to."""
        return float(np.mean(self.values)) if self.values else None


class _Given:
    """Optuna's trial, that does not look for what the use case gives."""

    def __init__(self, trial: Any, given: Mapping[str, Any]) -> None:
        self._trial = trial
        self._given = given

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        given = self._given.get(name)
        return int(self._trial.suggest_int(name, low, high, log=log)) if given is None else given

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        given = self._given.get(name)
        return float(self._trial.suggest_float(name, low, high, log=log)) if given is None else given

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._given[name] if name in self._given else self._trial.suggest_categorical(name, choices)


def search(
    estimator: Estimator,
    given: Mapping[str, Any],
    budget: Search,
    folds: int,
    assess: Assess,
    memory: Memory,
    *,
    seed: int,
    metric: str,
) -> Found:
    """The parameters with the highest mean of `assess` over the folds, within a budget of trials and seconds.

    The first trial takes the estimator's `first`; its parameters stay in the race (see Found). From the sixth on, a
    trial that is worse on the first folds than the median of those before it is cut short (Optuna's MedianPruner).
    Each trial's sampler has a seed of its own, so a search that was ended goes on with the very trials that it would
    have had; the seconds of all attempts count.

    Raises what `assess` raises in the first trial; a later one that fails is told, and not counted.
    """
    own = estimator.settings(given)
    if not budget.trials:
        return Found((own,), note="nothing was searched for: training.search.trials is 0")
    hunt = _Hunt(estimator, own, folds, assess, memory, seed, metric, budget.trials)
    hunt.replay()
    limit = budget.seconds.total_seconds()
    note = ""
    while len(hunt.done) < budget.trials and not note:
        if hunt.done and sum(each.seconds for each in hunt.done) >= limit:
            note = f"ended after {len(hunt.done)} of {budget.trials} trials: training.search.seconds is {limit:.0f}"
        elif not hunt.next():
            note = "nothing is left to search for: the use case gives all parameters"
    if note:
        say(f"{estimator.name}: {note}")
    best, first = hunt.best().parameters, hunt.done[0].parameters
    return Found((first,) if best == first else (first, best), tuple(_told(each) for each in hunt.done), note)


class _Hunt:
    """A search that is under way."""

    def __init__(
        self,
        estimator: Estimator,
        own: dict[str, Any],
        folds: int,
        assess: Assess,
        memory: Memory,
        seed: int,
        metric: str,
        of: int,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._estimator, self._own, self._folds, self._assess = estimator, own, folds, assess
        self._memory, self._seed, self._metric, self._of = memory, seed, metric, of
        self.done: list[_Done] = []
        self._new_study()

    def _new_study(self) -> None:
        pruner = self._optuna.pruners.MedianPruner(n_startup_trials=_AT_RANDOM)
        self._study = self._optuna.create_study(direction="maximize", pruner=pruner)
        first = {name: value for name, value in self._estimator.first.items() if name not in self._own}
        self._study.enqueue_trial(first)

    def replay(self) -> None:
        """Ask for the trials that were kept once more, and answer with what they gave."""
        found = self._memory.recall(_TRIALS)
        kept = [_Done(**each) for each in json.loads(found)] if found else []
        for each in kept:
            trial, parameters = self._ask(each.number)
            if _plain(parameters) != each.parameters:
                say(f"{self._estimator.name}: the kept trials are another search's; it begins anew")
                self.done = []
                self._new_study()
                return
            for fold, value in enumerate(each.values):
                trial.report(value, fold)
            self._tell(trial, each)
        if self.done:
            say(f"{self._estimator.name}: goes on after trial {len(self.done)} of {self._of}")

    def next(self) -> bool:
        """One more trial; False where it could only be the same again."""
        start = time.monotonic()
        trial, parameters = self._ask(len(self.done))
        if self.done and not trial.distributions:
            return False
        each = _Done(trial.number, parameters, [], "complete", 0.0)
        before = self._goes_on(each)
        try:
            self._folds_of(trial, each, start - before)
        except SerinError:
            raise
        except Exception as error:
            # The first one's is a bug; later ones may have met with parameters that do not go together.
            if not self.done:
                raise
            each.state, each.values = "failed", []
            say(f"{self._estimator.name}: trial {each.number + 1} failed, with {parameters}: {first_line(error)}")
        each.seconds = time.monotonic() - start + before
        self._tell(trial, each)
        self._memory.keep(_TRIALS, json.dumps([asdict(one) for one in self.done]).encode())
        self._memory.forget(_RUNNING)
        best = self.best().value
        say(f"{self._estimator.name}: trial {len(self.done)} of {self._of}, best {self._metric} {best:.4f}")
        self._memory.stop_if_told()
        return True

    def best(self) -> _Done:
        """The complete trial with the highest value, the first of equals."""
        return max((each for each in self.done if each.state == "complete"), key=lambda each: each.value or 0.0)

    def _ask(self, number: int) -> tuple[Any, dict[str, Any]]:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_RANDOM)
        trial = self._study.ask()
        asked: Asked = _Given(trial, self._own)
        return trial, self._estimator.space(asked) | self._own

    def _goes_on(self, each: _Done) -> float:
        """Take over the folds of a trial that was ended half-way; the seconds that they took."""
        found = self._memory.recall(_RUNNING)
        kept = _Done(**json.loads(found)) if found else None
        if kept is None or (kept.number, kept.parameters) != (each.number, _plain(each.parameters)):
            return 0.0
        each.values = kept.values
        return kept.seconds

    def _folds_of(self, trial: Any, each: _Done, start: float) -> None:
        for fold, value in enumerate(each.values):
            trial.report(value, fold)
        for fold in range(len(each.values), self._folds):
            name = f"trial-{each.number + 1}-fold-{fold + 1}"
            each.values.append(self._assess(each.parameters, fold, self._memory.parts(name)))
            trial.report(each.values[-1], fold)
            each.seconds = time.monotonic() - start
            if self._memory.due():
                self._memory.keep(_RUNNING, json.dumps(asdict(each)).encode())
                self._memory.stop_if_told()
            self._memory.forget(f"fit-{name}")
            if fold + 1 < self._folds and trial.should_prune():
                each.state = "pruned"
                return

    def _tell(self, trial: Any, each: _Done) -> None:
        states = self._optuna.trial.TrialState
        if each.state == "complete":
            self._study.tell(trial, each.value)
        else:
            self._study.tell(trial, state=states.PRUNED if each.state == "pruned" else states.FAIL)
        self.done.append(each)


def _plain(parameters: dict[str, Any]) -> Any:
    """Parameters as JSON gives them back."""
    return json.loads(json.dumps(parameters))


def _told(each: _Done) -> Trial:
    return Trial(
        number=each.number,
        parameters=each.parameters,
        value=each.value,
        state=each.state,
        seconds=round(each.seconds, 3),
    )
