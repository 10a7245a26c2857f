"""The online store on a Redis server, beside the hashes that Feast keeps there.

Rows of views lie in Feast's own hashes, one an entity. An event log has, under `serin:log:NAME`,

    :tails          a hash: the tail of each entity, and what they hold ("meta")
    :new:ID         the tails of a publish that goes on; it goes away by itself where that was killed
    :pushed:ENTITY  a hash: what was pushed of an entity, events and labels apart
    :pushed         the set of entities of which something was
    :latest         the time of the latest pushed event

All that changes more than one of them at once is a script, which Redis runs as one.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
import redis

from serin.columns import TypeName
from serin.errors import UnavailableError
from serin.online import codec
from serin.online.config import RedisConfig
from serin.online.plan import LogPlan, TablePlan
from serin.online.redis_connections import Readers, client
from serin.online.redis_read import ENTITY, EVENT, LABEL, META, Log, Rows, apart, log_key, meta_of, pushed_key
from serin.online.rows import Batch, batches, encoded, parted
from serin.online.store import EntityEvents, Found, LogMeta, PushedEvent

_ROWS = 4_096  # encoded and sent at a time
_TAILS, _TAIL_BYTES = 1_000, 1 << 20  # of one command
_EVENTS = 5_000  # of one script call
_LEFT_OVER_SECONDS = 3_600

_PUSH = """
local new = 0
for i = 3, #ARGV, 3 do
  new = new + redis.call('HSET', KEYS[1] .. ':' .. ARGV[i], ARGV[1] .. ARGV[i + 1], ARGV[i + 2])
  redis.call('SADD', KEYS[1], ARGV[i])
end
if ARGV[2] ~= '' then
  local before = redis.call('GET', KEYS[2])
  if not before or tonumber(before) < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2]) end
end
return new
"""
_FORGET = """
local gone = 0
for i = 2, #ARGV, 3 do
  local entity = KEYS[1] .. ':' .. ARGV[i]
  if redis.call('HGET', entity, ARGV[1] .. ARGV[i + 1]) == ARGV[i + 2] then
    gone = gone + redis.call('HDEL', entity, ARGV[1] .. ARGV[i + 1])
    if redis.call('EXISTS', entity) == 0 then redis.call('SREM', KEYS[1], ARGV[i]) end
  end
end
return gone
"""
# What a restart or an eviction took while the tails were written must not be put in place of the whole ones.
_PUT_IN_PLACE = """
local there = redis.call('HLEN', KEYS[1])
if there ~= tonumber(ARGV[1]) then return there end
redis.call('PERSIST', KEYS[1])
redis.call('UNLINK', KEYS[2])
redis.call('RENAME', KEYS[1], KEYS[2])
return there
"""


class RedisStore:
    """See serin.online.store.OnlineStore. Any thread and any event loop may use it."""

    def __init__(self, config: RedisConfig) -> None:
        """Nothing is opened yet. Raises UnavailableError where the client has no such option."""
        self._where = f"{config.where} at {config.host}:{config.port}"
        self._readers: WeakKeyDictionary[asyncio.AbstractEventLoop, Readers] = WeakKeyDictionary()
        self._config = config
        try:
            self._client: Any = client(config)
        except TypeError as error:
            raise UnavailableError(f"{self._where}: its connection_string has an unknown option: {error}") from None

    async def read(
        self,
        tables: Sequence[tuple[TablePlan, Sequence[Any]]],
        logs: Sequence[tuple[LogPlan, Sequence[Any]]],
    ) -> Found:
        """All rows and all views in one round trip."""
        rows = [Rows(table, keys) for table, keys in tables]
        held = [Log(log, keys) for log, keys in logs]
        asked = [each.commands() for each in rows] + [each.commands() for each in held]
        with self._told():
            replies = iter(await self._ask([line for lines in asked for line in lines]))
        answers = [[next(replies) for _ in lines] for lines in asked]
        found = [each.rows(answer) for each, answer in zip(rows, answers, strict=False)]
        events = [each.events(answer) for each, answer in zip(held, answers[len(rows) :], strict=True)]
        return Found(found, [each for each, _ in events], [meta for _, meta in events])

    async def _ask(self, lines: list[bytes]) -> list[Any]:
        """The replies to commands that are sent at once."""
        if not lines:
            return []
        loop = asyncio.get_running_loop()
        if loop not in self._readers:
            self._readers[loop] = Readers(self._config)
            await self._readers[loop].open()
        return await self._readers[loop].ask(lines)

    def write_rows(self, table: TablePlan, rows: pa.Table) -> None:
        """Write one row an entity; a row of nulls deletes the entity's fields of the view."""
        kept, gone = parted(table, rows)
        with self._told(), self._sending() as send:
            for batch in encoded(table, gone, _ROWS):
                send(_deletes(table, batch), len(batch))
            for batch in encoded(table, kept, _ROWS):
                send(_writes(table, batch), len(batch))

    def publish(self, log: LogPlan, tails: Iterable[tuple[Any, bytes]], meta: LogMeta) -> int:
        """Write the tails beside those that are there, and rename them once all are written."""
        new = log_key(log, f"new:{uuid.uuid4().hex}")
        facts = json.dumps({"start": meta.start, "end": meta.end, "schema": meta.schema}).encode()
        count = 0
        try:
            with self._told():
                count += self._put(new, [(META, facts)])
            for part in _parts(log.key_type, tails):
                with self._told():
                    count += self._put(new, part)
            with self._told():
                there = int(self._run(_PUT_IN_PLACE, [new, log_key(log, "tails")], [b"%d" % count]))
        except BaseException:
            with suppress(redis.RedisError, OSError):
                self._client.unlink(new)
            raise
        if there != count:
            raise UnavailableError(
                f"{self._where}: {count:,} fields of {log.name} were written and {there:,} are there, so they are not "
                "put in place: Redis was away meanwhile"
            )
        return count - 1

    def _put(self, key: bytes, part: Sequence[tuple[bytes, bytes]]) -> int:
        """Put fields into a hash that goes away when nobody adds to it; how many are new."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.execute_command("HSET", key, *(text for pair in part for text in pair))
        pipeline.expire(key, _LEFT_OVER_SECONDS)
        return int(pipeline.execute()[0])

    def forget(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """Delete pushed events that are still as given."""
        return self._forget(log, known, EVENT)

    def forget_labels(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]]) -> int:
        """Delete pushed labels that are still as given."""
        return self._forget(log, known, LABEL)

    def _forget(self, log: LogPlan, known: Mapping[Any, Mapping[bytes, bytes]], kind: bytes) -> int:
        lines = (
            (codec.entity_value(log.key_type, key), event, row)
            for key, events in known.items()
            for event, row in events.items()
        )
        gone = 0
        for some in batches(lines, _EVENTS):
            with self._told():
                gone += int(
                    self._run(_FORGET, [log_key(log, "pushed")], [kind, *(text for line in some for text in line)])
                )
        return gone

    def pushed(self, log: LogPlan) -> Mapping[Any, EntityEvents]:
        """All that was pushed, by entity."""
        found: dict[Any, EntityEvents] = {}
        with self._told():
            for some in batches(sorted(self._client.smembers(log_key(log, "pushed"))), _EVENTS):
                pipeline = self._client.pipeline(transaction=False)
                for entity in some:
                    pipeline.hgetall(pushed_key(log, entity))
                for entity, stored in zip(some, pipeline.execute(), strict=True):
                    if stored:
                        key = codec.entity_of(log.key_type, entity)
                        found[key] = EntityEvents(None, *apart(stored.items()))
        return found

    def push(self, log: LogPlan, events: Sequence[PushedEvent]) -> int:
        """Add events, by one script a few thousand."""
        return self._push(log, events, EVENT)

    def push_labels(self, log: LogPlan, labels: Sequence[PushedEvent]) -> int:
        """Say the label of events, by one script a few thousand."""
        return self._push(log, labels, LABEL)

    def _push(self, log: LogPlan, events: Sequence[PushedEvent], kind: bytes) -> int:
        new = 0
        for some in batches(events, _EVENTS):
            latest = b"%d" % max(each.time for each in some) if kind == EVENT else b""
            lines = ((codec.entity_value(log.key_type, each.entity), each.id, each.row) for each in some)
            arguments = [kind, latest, *(text for line in lines for text in line)]
            with self._told():
                new += int(self._run(_PUSH, [log_key(log, "pushed"), log_key(log, "latest")], arguments))
        return new

    def meta(self, log: LogPlan) -> LogMeta | None:
        """What the log holds; None where it was never filled."""
        with self._told():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.get(log_key(log, "latest"))
            pipeline.hget(log_key(log, "tails"), META)
            latest, facts = pipeline.execute()
        return meta_of(facts, latest)

    def close(self) -> None:
        """Let go of all connections; those of an event loop close in it."""
        self._client.close()
        for loop, readers in list(self._readers.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(readers.close)
        self._readers = WeakKeyDictionary()

    def _run(self, script: str, keys: list[bytes], arguments: list[bytes]) -> Any:
        return self._client.register_script(script)(keys=keys, args=arguments)

    @contextmanager
    def _sending(self) -> Iterator[Callable[[bytes, int], None]]:
        """What sends so many packed commands over one connection; all replies have come when it ends.

        While the server works on the commands of one call, the caller prepares those of the next.
        """
        pool = self._client.connection_pool
        connection = pool.get_connection()
        waiting = 0

        def send(packed: bytes, count: int) -> None:
            nonlocal waiting
            connection.send_packed_command([packed])
            receive()
            waiting = count

        def receive() -> None:
            for _ in range(waiting):
                connection.read_response()

        try:
            yield send
            receive()
        except BaseException:
            # Replies may be left in it, which the next one to use it would take for its own.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise UnavailableError(f"{self._where} does not answer: {type(error).__name__}: {error}") from None


def _parts(kind: TypeName, tails: Iterable[tuple[Any, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Fields of tails, some at a time."""
    part: list[tuple[bytes, bytes]] = []
    size = 0
    for key, tail in tails:
        part.append((ENTITY + codec.entity_value(kind, key), tail))
        size += len(tail)
        if len(part) == _TAILS or size > _TAIL_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _writes(table: TablePlan, batch: Batch) -> bytes:
    """Commands that write rows as Feast does."""
    values: list[codec.Ragged | bytes] = [
        part for name, cells in batch.values.items() for part in (codec.field(table.view, name), cells)
    ]
    key = codec.beside(batch.keys, table.project.encode())
    return codec.commands([b"HSET", key, codec.time_field(table.view), codec.times(batch.times), *values], len(batch))


def _deletes(table: TablePlan, batch: Batch) -> bytes:
    fields = [codec.field(table.view, name) for name in table.features]
    key = codec.beside(batch.keys, table.project.encode())
    return codec.commands([b"HDEL", key, codec.time_field(table.view), *fields], len(batch))
