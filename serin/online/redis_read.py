"""What a read asks of Redis, and what it makes of the replies."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from serin.online import codec
from serin.online.codec import command
from serin.online.plan import LogPlan, TablePlan
from serin.online.rows import distinct
from serin.online.store import EntityEvents, LogMeta, Row

META, ENTITY = b"meta", b"e:"  # fields of the tails
EVENT, LABEL = b"e:", b"l:"  # how the fields of what was pushed begin

Reply = Any
Pushed = tuple[dict[bytes, bytes], dict[bytes, bytes]]  # events and labels, by event id


def log_key(log: LogPlan, part: str) -> bytes:
    """The key of a part of an event log; see serin.online.redis."""
    return f"serin:log:{log.name}:{part}".encode()


def pushed_key(log: LogPlan, entity: bytes) -> bytes:
    """The key of what was pushed of an entity."""
    return log_key(log, "pushed:") + entity


class Rows:
    """The rows of n entities in a view, by one command an entity."""

    def __init__(self, table: TablePlan, keys: Sequence[Any]) -> None:
        self._table, self._keys, self._distinct = table, keys, distinct(keys)

    def commands(self) -> list[bytes]:
        """What is asked."""
        table = self._table
        start, project, fields = _hmget(table.project, table.view, tuple(table.features))
        if table.key_type == "integer":
            # All keys are as long, so that nothing but the entity differs.
            before = start + _key_start(table.key, len(project))
            after = b"".join((project, b"\r\n", fields))
            return [b"".join((before, codec.entity_value("integer", key), after)) for key in self._distinct]
        places = (codec.entity_key(table.key, table.key_type, key) + project for key in self._distinct)
        return [b"".join((start, codec.bulk_string(place), fields)) for place in places]

    def rows(self, replies: Sequence[Reply]) -> list[Row | None]:
        """The rows in the order of the keys."""
        found = {key: _row(reply) for key, reply in zip(self._distinct, replies, strict=True)}
        return [found.get(key) for key in self._keys]


class Log:
    """What a log has of n entities.

    What was pushed is asked for by one command an entity, and the tails, with what they hold, by one for all: they are
    of one refresh.
    """

    def __init__(self, log: LogPlan, keys: Sequence[Any]) -> None:
        self._log, self._keys = log, keys
        self._entities = {key: codec.entity_value(log.key_type, key) for key in distinct(keys)}

    def commands(self) -> list[bytes]:
        """What is asked, what was pushed before the tails: an event that a refresh moves from there to here meanwhile
        is found twice, and never missed."""
        latest = command(b"GET", log_key(self._log, "latest"))
        pushed = [command(b"HGETALL", pushed_key(self._log, entity)) for entity in self._entities.values()]
        fields = (ENTITY + entity for entity in self._entities.values())
        return [latest, *pushed, command(b"HMGET", log_key(self._log, "tails"), META, *fields)]

    def events(self, replies: Sequence[Reply]) -> tuple[list[EntityEvents], LogMeta | None]:
        """The entities' events in the order of the keys, and what the log holds."""
        latest, *pushed, (facts, *tails) = replies
        found = {
            key: EntityEvents(tail, *apart(_pairs(reply)))
            for key, reply, tail in zip(self._entities, pushed, tails, strict=True)
        }
        nothing = EntityEvents(None, {}, {})
        return [found.get(key, nothing) for key in self._keys], meta_of(facts, latest)


def apart(pairs: Iterable[tuple[bytes, bytes]]) -> Pushed:
    """The fields of what was pushed, as events and labels."""
    events: dict[bytes, bytes] = {}
    labels: dict[bytes, bytes] = {}
    for name, row in pairs:
        (events if name.startswith(EVENT) else labels)[name[len(EVENT) :]] = row
    return events, labels


def meta_of(facts: bytes | None, latest: bytes | None) -> LogMeta | None:
    """What a log holds, of the tails' own field and the time of the latest pushed event."""
    return None if facts is None else replace(_facts(facts), pushed=None if latest is None else int(latest))


def _row(reply: Sequence[bytes | None]) -> Row | None:
    """A row of a hash's fields, the last of which is the time; None where nothing is known."""
    stamp = reply[-1]
    if stamp is None:
        return None
    values = tuple(map(codec.value_of, reply[:-1]))
    return Row(values, codec.time_of(stamp)) if values.count(None) < len(values) else None


def _pairs(reply: Mapping[bytes, bytes] | Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """A hash: an array of names and values in the protocol's version 2, a map in 3."""
    return reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)


@lru_cache(maxsize=64)
def _facts(written: bytes) -> LogMeta:
    """What a refresh wrote of its tails: it stays the same until the next one."""
    return LogMeta(**json.loads(written))


@lru_cache(maxsize=256)
def _key_start(column: str, more: int) -> bytes:
    """How the bulk string begins that is the key of an entity by an integer, with `more` bytes after the integer."""
    key = codec.entity_key(column, "integer", 0)
    return b"$%d\r\n" % (len(key) + more) + key.removesuffix(codec.entity_value("integer", 0))


@lru_cache(maxsize=256)
def _hmget(project: str, view: str, features: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
    """How a command begins that reads a row, what ends the key, and the fields."""
    names = [*(codec.field(view, name) for name in features), codec.time_field(view)]
    start = b"*%d\r\n" % (len(names) + 2) + codec.bulk_string(b"HMGET")
    return start, project.encode(), b"".join(map(codec.bulk_string, names))
