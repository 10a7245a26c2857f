"""Who is told of a signal, and when."""

import signal
from collections.abc import Iterator

import pytest

from predictors.signals import Signals, ToldToEnd

TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in TAKEN}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", TAKEN)
def test_process_that_has_nothing_to_finish_leaves(number: signal.Signals) -> None:
    signals = Signals()
    signals.take()
    with pytest.raises(ToldToEnd) as caught:
        signal.raise_signal(number)
    assert caught.value.code == 0
    assert signals.came


def test_listener_is_told_in_its_place() -> None:
    signals, told = Signals(), list[str]()
    signals.take()
    signals.tell(lambda: told.append("first"))
    assert not signals.came
    signal.raise_signal(signal.SIGTERM)
    signals.tell(lambda: told.append("second"))
    signal.raise_signal(signal.SIGINT)
    assert told == ["first", "second"]


def test_what_nohup_started_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = Signals()
    signals.take()
    signal.raise_signal(signal.SIGHUP)
    assert not signals.came
