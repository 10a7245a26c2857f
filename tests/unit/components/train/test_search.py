"""The search: its budget, what it keeps, and that it goes on as if nobody had ended it."""

from collections.abc import Callable
from typing import Any

import pytest

from components.train.memory import Nothing
from components.train.search import Found, search
from serin import estimators
from serin.errors import InterruptedStepError
from serin.estimators.base import Parts
from serin.use_case import Search

XGBOOST = estimators.known()["xgboost"]


class Kept(Nothing):
    """A memory that keeps everything at once, and ends the search at its `last` boundary."""

    def __init__(self, last: int = 10**6) -> None:
        self.content: dict[str, bytes] = {}
        self.left = last

    def recall(self, name: str) -> Any:
        return self.content.get(name)

    def keep(self, name: str, content: bytes) -> None:
        self.content[name] = content

    def forget(self, name: str) -> None:
        self.content.pop(name, None)

    def due(self) -> bool:
        return True

    def stop_if_told(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise InterruptedStepError("told to end")


def value(parameters: dict[str, Any], fold: int, parts: Parts) -> float:
    """Best at a depth of 6 and small steps."""
    return 1 - abs(parameters["max_depth"] - 6) / 10 - parameters["learning_rate"] - fold / 100


def found(
    memory: Any = None, trials: int = 8, assess: Callable[..., float] = value, seconds: str = "10m", **given: Any
) -> Found:
    budget = Search.model_validate({"trials": trials, "seconds": seconds})
    return search(XGBOOST, given, budget, 3, assess, memory or Nothing(), seed=1, metric="roc_auc")


def facts(search: Found) -> Any:
    trials = [(trial.number, trial.parameters, trial.value, trial.state) for trial in search.trials]
    return search.finalists, trials, search.note


def test_first_trial_takes_the_estimators_own_parameters_and_stays_in_the_race() -> None:
    result = found()
    assert result.trials[0].parameters == {**XGBOOST.first}
    assert result.finalists[0] == result.trials[0].parameters
    best = max((trial for trial in result.trials if trial.state == "complete"), key=lambda trial: trial.value or 0)
    assert result.finalists[-1] == best.parameters


def test_what_the_use_case_gives_is_not_searched_for() -> None:
    assert {trial.parameters["max_depth"] for trial in found(max_depth=4).trials} == {4}


def test_no_trials_take_what_the_use_case_gives_alone() -> None:
    assert facts(found(trials=0, max_depth=4)) == (
        ({"max_depth": 4},), [], "nothing was searched for: training.search.trials is 0"
    )  # fmt: skip


def test_where_everything_is_given_one_trial_is_enough() -> None:
    result = found(**XGBOOST.first)
    assert len(result.trials) == 1
    assert result.note == "nothing is left to search for: the use case gives all parameters"


def test_seconds_end_a_search_after_the_trial_that_runs_and_that_is_told() -> None:
    clock = Kept()
    first = found(clock, trials=1)
    assert len(first.trials) == 1
    clock.content["trials.json"] = clock.content["trials.json"].replace(b'"seconds": 0.', b'"seconds": 99.')
    result = found(clock, seconds="30s")
    assert (len(result.trials), result.note) == (1, "ended after 1 of 8 trials: training.search.seconds is 30")


def test_same_seed_gives_the_same_search() -> None:
    assert facts(found()) == facts(found())


@pytest.mark.parametrize("last", [1, 2, 5, 11, 17])
def test_search_that_was_ended_goes_on_as_if_it_had_not_been(last: int) -> None:
    memory = Kept(last)
    with pytest.raises(InterruptedStepError):
        found(memory)
    memory.left = 10**6
    assert facts(found(memory)) == facts(found())


def test_no_fold_is_assessed_twice() -> None:
    seen: list[tuple[float, int]] = []

    def assess(parameters: dict[str, Any], fold: int, parts: Parts) -> float:
        seen.append((parameters["learning_rate"], fold))
        return value(parameters, fold, parts)

    memory = Kept(7)
    with pytest.raises(InterruptedStepError):
        found(memory, assess=assess)
    memory.left = 10**6
    found(memory, assess=assess)
    assert len(seen) == len(set(seen))


def test_trials_of_another_search_are_told_and_not_counted(capsys: Any) -> None:
    memory = Kept()
    found(memory, trials=3)
    memory.content["trials.json"] = memory.content["trials.json"].replace(b'"max_depth": 5', b'"max_depth": 8')
    assert facts(found(memory)) == facts(found())
    assert "the kept trials are another search's; it begins anew" in capsys.readouterr().out


def test_bug_in_the_first_trial_ends_the_search_and_a_failure_later_is_told(capsys: Any) -> None:
    def never(parameters: dict[str, Any], fold: int, parts: Parts) -> float:
        raise ValueError("no such tree")

    def sometimes(parameters: dict[str, Any], fold: int, parts: Parts) -> float:
        if parameters["learning_rate"] != XGBOOST.first["learning_rate"]:
            raise ValueError("no such tree")
        return value(parameters, fold, parts)

    with pytest.raises(ValueError, match="no such tree"):
        found(assess=never)
    result = found(assess=sometimes, trials=3)
    assert [trial.state for trial in result.trials] == ["complete", "failed", "failed"]
    assert result.finalists == (result.trials[0].parameters,)
    assert "trial 2 failed, with" in capsys.readouterr().out


def test_progress_tells_the_trial_and_the_best_value(capsys: Any) -> None:
    found(trials=2)
    assert "xgboost: trial 2 of 2, best roc_auc 0." in capsys.readouterr().out
