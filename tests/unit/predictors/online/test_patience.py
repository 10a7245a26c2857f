"""A store that hangs is waited for once, not by everybody."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from predictors.online.patience import RETRY_AFTER, TRY_SECONDS, Patience
from serin.errors import UnavailableError

TEXT = "the store does not answer: TimeoutError: no answer within 5 s"
AWAY = (TEXT, RETRY_AFTER)


class Store:
    """It answers, hangs, or says that it is away."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_away = False
        self.hangs = asyncio.Event()
        self.hangs.set()
        self._patience = Patience()

    async def _read(self) -> int:
        self.asked += 1
        await self.hangs.wait()
        if self.is_away:
            raise UnavailableError(TEXT)
        return self.asked

    async def read(self) -> Any:
        try:
            return await self._patience.read(self._read)
        except UnavailableError as error:
            return error.args[0], error.retry_after


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def soon(*reads: asyncio.Future[Any]) -> list[Any]:
    await asyncio.sleep(0.01)
    return [read.result() if read.done() else "waits" for read in reads]


def test_a_store_that_answers_is_asked_by_all_at_once() -> None:
    async def all_at_once() -> None:
        store = Store()
        store.hangs.clear()
        reads = [asyncio.ensure_future(store.read()) for _ in range(3)]
        assert await soon(*reads) == ["waits"] * 3
        store.hangs.set()
        assert (await soon(*reads), store.asked) == ([3, 3, 3], 3)

    run(all_at_once())


def test_one_read_finds_out_and_the_others_are_told_at_once() -> None:
    async def one() -> None:
        store = Store()
        store.is_away = True
        assert await store.read() == AWAY
        store.is_away = False
        store.hangs.clear()
        first, *others = (asyncio.ensure_future(store.read()) for _ in range(4))
        assert await soon(first, *others) == ["waits", AWAY, AWAY, AWAY]
        assert store.asked == 2
        store.hangs.set()
        assert await soon(first) == [2]
        assert await asyncio.gather(store.read(), store.read()) == [3, 4]

    run(one())


def test_the_one_that_finds_out_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictors.online.patience.TRY_SECONDS", TRY_SECONDS / 50)

    async def again() -> None:
        store = Store()
        store.is_away = True
        await store.read()
        store.hangs.clear()
        assert [await store.read(), await store.read()] == [AWAY, AWAY]
        assert store.asked == 3

    run(again())


def test_a_reader_that_goes_away_leaves_the_next_to_find_out() -> None:
    async def cancelled() -> None:
        store = Store()
        store.is_away = True
        await store.read()
        store.hangs.clear()
        first = asyncio.ensure_future(store.read())
        await soon()
        first.cancel()
        await asyncio.wait([first])
        store.is_away = False
        store.hangs.set()
        assert await store.read() == 3

    run(cancelled())
