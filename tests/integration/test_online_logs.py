"""Event logs in the online store: what is published, pushed and read, by many at once and whoever is killed."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from serin.errors import UnavailableError
from serin.online.config import RedisConfig, read_config
from serin.online.opening import open_store
from serin.online.store import EntityEvents, Found, LogMeta, OnlineStore, PushedEvent
from tests import services
from tests.feast_repo import NOON, log, plan, rows, write_yaml
from tests.integration.online_stores import PASSWORD, Opened, online, opened

__all__ = ["online"]
NOTHING = EntityEvents(None, {}, {})
OLD, NEW = LogMeta(0, 100, "old"), LogMeta(0, 200, "new")

PUBLISH = """
import sys, time
from pathlib import Path
from serin.online.opening import open_store
from serin.online.store import LogMeta
from tests.feast_repo import log

def tails():
    for number in range(5_000):
        if number == 3_500:
            print("half", flush=True)
            time.sleep(60)
        yield number, b"new"

open_store(Path(sys.argv[1])).publish(log(), tails(), LogMeta(0, 200, "new"))
"""
PUSH = """
import sys
from pathlib import Path
from serin.online.opening import open_store
from serin.online.store import PushedEvent
from tests.feast_repo import log

store, first = open_store(Path(sys.argv[1])), int(sys.argv[2])
new = 0
for start in range(first, first + 200, 5):
    events = [PushedEvent(b"%d" % number, number % 2, number, b"{}") for number in range(start, start + 5)]
    new += store.push(log(), events)
print(new)
"""


def events_of(store: OnlineStore, keys: Sequence[Any], **options: Any) -> Sequence[EntityEvents]:
    return read(store, keys, **options).events[0]


def read(store: OnlineStore, keys: Sequence[Any], **options: Any) -> Found:
    return asyncio.run(store.read([], [(log(**options), keys)]))


def event(name: bytes, entity: Any = 1, time: int = 50, row: bytes = b"{}") -> PushedEvent:
    return PushedEvent(name, entity, time, row)


def test_log_that_was_never_filled_has_nothing(online: Opened) -> None:
    (online.folder / "online.db").unlink(missing_ok=True)
    for _ in range(2):
        assert online.store.meta(log()) is None
        assert online.store.pushed(log()) == {}
        # On SQLite there is a file from here on.
        online.store.write_rows(plan(), rows())
    found = read(online.store, [1, None, 1])
    assert found.events[0] == [NOTHING] * 3
    assert found.meta == [None]


def test_published_tails_are_read_and_take_the_place_of_all_earlier_ones(online: Opened) -> None:
    assert online.store.publish(log(), [(1, b"one"), (-2, b"")], OLD) == 2
    assert online.store.publish(log("other"), [(1, b"other")], OLD) == 1
    assert [each.tail for each in events_of(online.store, [-2, 1, 3, 1])] == [b"", b"one", None, b"one"]
    assert online.store.publish(log(), iter([(3, b"three")]), NEW) == 1
    assert [each.tail for each in events_of(online.store, [-2, 1, 3])] == [None, None, b"three"]
    assert online.store.meta(log()) == read(online.store, []).meta[0] == NEW
    assert [each.tail for each in events_of(online.store, [1], use_case="other")] == [b"other"]


def test_entities_may_be_texts(online: Opened) -> None:
    online.store.publish(log(key_type="text"), [("0417", b"a"), ("Æ:鳥", b"b")], OLD)
    online.store.push(log(key_type="text"), [event(b"e", "Æ:鳥")])
    found = events_of(online.store, ["Æ:鳥", "0417", "417"], key_type="text")
    assert [each.tail for each in found] == [b"b", b"a", None]
    assert list(online.store.pushed(log(key_type="text"))) == ["Æ:鳥"]


def test_log_without_events_is_one_that_was_filled(online: Opened) -> None:
    assert online.store.publish(log(), [], NEW) == 0
    assert online.store.meta(log()) == NEW


def test_many_tails_large_and_small(online: Opened) -> None:
    tails = {number: bytes([number % 251]) * (number % 3000) for number in range(3_000)}
    assert online.store.publish(log(), tails.items(), OLD) == len(tails)
    assert [each.tail for each in events_of(online.store, list(tails))] == list(tails.values())


def test_pushed_event_is_read_beside_the_tail_and_counted_once(online: Opened) -> None:
    assert online.store.push(log(), [event(b"a"), event(b"b", 2, time=70)]) == 2
    assert online.store.push(log(), [event(b"a", row=b"corrected"), event(b"c")]) == 1
    online.store.publish(log(), [(1, b"tail")], OLD)
    one, two = events_of(online.store, [1, 2])
    assert one == EntityEvents(b"tail", {b"a": b"corrected", b"c": b"{}"}, {})
    assert two == EntityEvents(None, {b"b": b"{}"}, {})
    assert online.store.meta(log()) == LogMeta(0, 100, "old", pushed=70)
    assert read(online.store, [1]).meta[0] == LogMeta(0, 100, "old", pushed=70)


def test_event_that_is_twice_in_a_push_counts_as_it_comes_last(online: Opened) -> None:
    assert online.store.push(log(), [event(b"a", row=b"1"), event(b"a", row=b"2")]) == 1
    assert online.store.pushed(log())[1].pushed == {b"a": b"2"}


def test_labels_are_apart_and_no_event_wipes_them(online: Opened) -> None:
    assert online.store.push_labels(log(), [event(b"a", row=b"1", time=500)]) == 1
    online.store.push(log(), [event(b"a", row=b'{"label": null}')])
    assert online.store.pushed(log()) == {1: EntityEvents(None, {b"a": b'{"label": null}'}, {b"a": b"1"})}
    online.store.publish(log(), [], OLD)
    assert online.store.meta(log()) == LogMeta(0, 100, "old", pushed=50)


def test_nothing_that_is_pushed_is_no_error(online: Opened) -> None:
    assert online.store.push(log(), []) == online.store.push_labels(log(), []) == online.store.forget(log(), {}) == 0


def test_pushed_events_stay_through_a_publish_until_they_are_forgotten(online: Opened) -> None:
    online.store.push(log(), [event(b"a"), event(b"b"), event(b"c", 2)])
    online.store.push_labels(log(), [event(b"a", row=b"1")])
    online.store.publish(log(), [(1, b"tail")], NEW)
    assert set(online.store.pushed(log())) == {1, 2}
    assert online.store.forget(log(), {1: {b"a": b"{}", b"none": b"{}"}, 3: {b"a": b"{}"}}) == 1
    assert online.store.pushed(log())[1] == EntityEvents(None, {b"b": b"{}"}, {b"a": b"1"})
    assert online.store.forget_labels(log(), {1: {b"a": b"1", b"b": b"1"}}) == 1
    assert online.store.forget(log(), {1: {b"b": b"{}"}, 2: {b"c": b"{}"}}) == 2
    assert online.store.pushed(log()) == {}


def test_event_that_was_corrected_meanwhile_is_not_forgotten(online: Opened) -> None:
    online.store.push(log(), [event(b"a", row=b"as it was")])
    seen = {key: each.pushed for key, each in online.store.pushed(log()).items()}
    online.store.push(log(), [event(b"a", row=b"corrected")])
    assert online.store.forget(log(), seen) == 0
    assert online.store.pushed(log())[1].pushed == {b"a": b"corrected"}


def test_publish_that_is_killed_leaves_the_old_tails_whole_and_the_next_one_clears_up(online: Opened) -> None:
    old = [(number, b"old") for number in range(2_000)]
    online.store.publish(log(), old, OLD)
    with subprocess.Popen([sys.executable, "-c", PUBLISH, str(online.yaml)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert [each.tail for each in events_of(online.store, range(4_000))] == [b"old"] * 2_000 + [None] * 2_000
    assert online.store.meta(log()) == OLD
    if online.kind == "redis":
        with client(online.yaml) as server:
            (left,) = [key for key in server.scan_iter() if b":new:" in key]
            assert 0 < server.ttl(left) <= 3_600
    online.store.publish(log(), [(1, b"new")], NEW)
    assert [each.tail for each in events_of(online.store, [0, 1])] == [None, b"new"]
    if online.kind == "sqlite":
        with sqlite3.connect(online.folder / "online.db") as connection:
            assert connection.execute("SELECT count(*) FROM serin_tails").fetchone() == (1,)
        connection.close()
    else:
        with client(online.yaml) as server:
            assert server.ttl(f"serin:log:{log().name}:tails") == -1


def test_publish_whose_events_can_not_be_read_changes_nothing(online: Opened) -> None:
    online.store.publish(log(), [(1, b"old")], OLD)

    def damaged() -> Iterator[tuple[int, bytes]]:
        yield 1, b"new"
        raise ValueError("a damaged file")

    with pytest.raises(ValueError, match="a damaged file"):
        online.store.publish(log(), damaged(), NEW)
    assert [each.tail for each in events_of(online.store, [1])] == [b"old"]


def test_publish_that_lost_tails_on_its_way_is_refused(online: Opened) -> None:
    online.store.publish(log(), [(1, b"old")], OLD)

    def lost() -> Iterator[tuple[int, bytes]]:
        yield from ((number, b"new") for number in range(2_500))
        if online.kind == "redis":
            with client(online.yaml) as server:
                server.delete(*[key for key in server.scan_iter() if b":new:" in key])
        else:
            with sqlite3.connect(online.folder / "online.db") as connection:
                connection.execute("DELETE FROM serin_tails WHERE tail = ?", (b"new",))
            connection.close()
        yield 2_500, b"new"

    with pytest.raises(UnavailableError, match=r"are there, so they are not put in place"):
        online.store.publish(log(), lost(), NEW)
    assert [each.tail for each in events_of(online.store, [1])] == [b"old"]
    assert online.store.meta(log()) == OLD


def test_whoever_reads_while_tails_are_replaced_sees_those_of_one_publish(online: Opened) -> None:
    keys = list(range(300))

    def publish(number: int) -> None:
        online.store.publish(log(), [(key, b"%d" % number) for key in keys], LogMeta(0, number, ""))

    publish(0)
    ended = threading.Event()

    def publish_some() -> None:
        writer = open_store(online.yaml)
        try:
            for number in range(1, 25):
                writer.publish(log(), [(key, b"%d" % number) for key in keys], LogMeta(0, number, ""))
        finally:
            writer.close()
            ended.set()

    thread = threading.Thread(target=publish_some)
    thread.start()
    seen = set()
    while not ended.is_set():
        found = read(online.store, keys)
        tails = {each.tail for each in found.events[0]}
        assert tails == {b"%d" % found.meta[0].end}
        seen |= tails
    thread.join()
    assert read(online.store, [1]).meta[0].end == 24
    assert seen


def test_processes_that_push_at_once_lose_nothing_and_each_event_is_new_once(online: Opened) -> None:
    # Their events overlap by half.
    commands = [[sys.executable, "-c", PUSH, str(online.yaml), str(start)] for start in (0, 100, 200)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    new = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(new) == 400
    pushed = online.store.pushed(log())
    for entity in (0, 1):
        assert set(pushed[entity].pushed) == {b"%d" % number for number in range(entity, 400, 2)}
    online.store.publish(log(), [], OLD)
    assert online.store.meta(log()).pushed == 399


def test_threads_share_a_store(online: Opened) -> None:
    online.store.publish(log(), [(1, b"tail")], OLD)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                online.store.push(log(), [event(b"%d-%d" % (number, turn))])
                assert events_of(online.store, [1])[0].tail == b"tail"
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(online.store.pushed(log())[1].pushed) == 80


def test_requests_at_once_get_their_own_answers(online: Opened) -> None:
    online.store.publish(log(), [(key, b"%d" % key) for key in range(100)], OLD)

    async def ask() -> list[Found]:
        return await asyncio.gather(*(online.store.read([], [(log(), [key, key + 1])]) for key in range(99)))

    for key, found in enumerate(asyncio.run(ask())):
        assert [each.tail for each in found.events[0]] == [b"%d" % key, b"%d" % (key + 1)]


def test_redis_that_is_restarted_is_told_and_then_works_again(tmp_path: Path) -> None:
    port = services.free_port()
    options = ("127.0.0.1", "--requirepass", PASSWORD)
    store = None

    async def through_a_restart() -> None:
        nonlocal store
        with services.redis(*options, port=port) as address:
            yaml = write_yaml(tmp_path, f'{{type: redis, connection_string: "{address},password={PASSWORD}"}}')
            store = open_store(yaml)
            store.write_rows(plan(), rows())
            store.push(log(), [event(b"a")])
            assert (await store.read([(plan(), [1])], [])).rows[0][0]
        told = rf"feature_store\.yaml at 127\.0\.0\.1:{port} does not answer: ConnectionError"
        for _ in range(2):
            with pytest.raises(UnavailableError, match=told) as error:
                await store.read([(plan(), [1])], [(log(), [1])])
            assert PASSWORD not in str(error.value)
            with pytest.raises(UnavailableError, match=told):
                store.push(log(), [event(b"b")])
            with pytest.raises(UnavailableError, match=told):
                store.write_rows(plan(), rows())
            with pytest.raises(UnavailableError, match=told):
                store.publish(log(), [(1, b"")], OLD)
        with services.redis(*options, port=port):
            found = await store.read([(plan(), [1])], [(log(), [1])])
            assert found == Found([[None]], [[NOTHING]], [None])
            store.write_rows(plan(), rows())
            assert store.push(log(), [event(b"a")]) == 1
            assert (await store.read([(plan(), [1])], [])).rows[0][0].time == NOON.timestamp() * 1_000_000

    asyncio.run(through_a_restart())
    store.close()


def test_restart_between_two_requests_fails_neither(tmp_path: Path) -> None:
    port = services.free_port()

    async def ask() -> None:
        with services.redis(port=port) as address:
            store = open_store(write_yaml(tmp_path, f'{{type: redis, connection_string: "{address}"}}'))
            await store.read([], [(log(), [1])])
            store.push(log(), [event(b"a")])
            store.write_rows(plan(), rows())
        with services.redis(port=port):
            await store.read([], [(log(), [1])])
            store.write_rows(plan(), rows())
            assert store.push(log(), [event(b"a")]) == 1
            assert (await store.read([(plan(), [1])], [])).rows[0][0]
        store.close()

    asyncio.run(ask())


def test_redis_that_hangs_is_given_up_and_works_again_once_it_answers(tmp_path: Path) -> None:
    async def ask() -> None:
        with services.redis() as address:
            options = f"{address},socket_timeout=0.3"
            store = open_store(write_yaml(tmp_path, f'{{type: redis, connection_string: "{options}"}}'))
            store.push(log(), [event(b"a")])
            server = server_of(address)
            await store.read([], [(log(), [1])])
            server.suspend()
            try:
                with pytest.raises(UnavailableError, match=r"does not answer: TimeoutError: no answer within 0\.3 s"):
                    await store.read([], [(log(), [1])])
                with pytest.raises(UnavailableError, match="does not answer: TimeoutError"):
                    store.push(log(), [event(b"b")])
            finally:
                server.resume()
            found = await store.read([], [(log(), [1])])
            assert b"a" in found.events[0][0].pushed
            store.close()

    asyncio.run(ask())


def test_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    with services.redis("127.0.0.1", "--requirepass", "right") as address:
        store = open_store(write_yaml(tmp_path, f'{{type: redis, connection_string: "{address},password={PASSWORD}"}}'))
        with pytest.raises(UnavailableError, match="does not answer: AuthenticationError") as error:
            read(store, [1])
        assert PASSWORD not in str(error.value)
        with pytest.raises(UnavailableError, match="does not answer: AuthenticationError"):
            store.meta(log())
        store.close()


def test_server_whose_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    services.certificate(tmp_path)
    with services.redis(tls=tmp_path) as address:
        store = open_store(write_yaml(tmp_path, f'{{type: redis, connection_string: "{address},ssl=true"}}'))
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            read(store, [1])
        store.close()


def test_unknown_option_of_the_client_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"its connection_string has an unknown option: .*'tls'"):
        open_store(write_yaml(tmp_path, '{type: redis, connection_string: "127.0.0.1:1,tls=true"}'))


def test_read_of_all_rows_and_views_is_one_round_trip(tmp_path: Path) -> None:
    with opened("redis", tmp_path) as found, services.relay(address_of(found.yaml)) as (address, turns):
        yaml = write_yaml(tmp_path, f'{{type: redis, connection_string: "{address}"}}')
        store = open_store(yaml)
        tables = [plan().model_copy(update={"view": f"view_{number}"}) for number in range(3)]
        for table in tables:
            found.store.write_rows(table, rows())
        for case in ("one", "two"):
            found.store.publish(log(case), [(number, b"tail" * 500) for number in range(100)], OLD)
        # Few enough for the relay to take the request at once.
        asked = [(table, range(20)) for table in tables], [(log(case), range(20)) for case in ("one", "two")]

        async def ask() -> None:
            await store.read(*asked)
            turns.clear()
            answer = await store.read(*asked)
            assert len(turns) == 1
            assert [[row is not None for row in rows[:3]] for rows in answer.rows] == [[True, True, False]] * 3
            assert {each.tail for events in answer.events for each in events} == {b"tail" * 500}
            await store.read(*asked)
            assert len(turns) == 2

        asyncio.run(ask())
        store.close()


def server_of(address: str) -> psutil.Process:
    port = address.partition(":")[2]
    (found,) = [each for each in psutil.Process().children() if f":{port}" in " ".join(each.cmdline())]
    return found


def address_of(yaml: Path) -> tuple[str, int]:
    config = read_config(yaml)
    assert isinstance(config, RedisConfig)
    return config.host, config.port


def client(yaml: Path) -> Any:
    import redis

    host, port = address_of(yaml)
    return redis.Redis(host=host, port=port)


def test_push_makes_no_new_file_where_the_store_was_taken_away(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as online:
        online.store.push(log(), [event(b"a")])
        (tmp_path / "online.db").rename(tmp_path / "away.db")
        with pytest.raises(UnavailableError, match="there is no file"):
            online.store.push(log(), [event(b"b")])
        (tmp_path / "away.db").rename(tmp_path / "online.db")
        assert online.store.push(log(), [event(b"b")]) == 1
        assert set(online.store.pushed(log())[1].pushed) == {b"a", b"b"}
