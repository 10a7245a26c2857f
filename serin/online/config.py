"""Which online store a `feature_store.yaml` names, read as Feast reads it, without Feast."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from serin import environment
from serin.errors import UnavailableError, first_line

SQLITE = ("feast.infra.online_stores.sqlite.SqliteOnlineStore", "sqlite")
REDIS = ("redis", "feast.infra.online_stores.redis.RedisOnlineStore")
_KEY_VERSION = 3
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\w+))")


@dataclass(frozen=True)
class SqliteConfig:
    """A SQLite file."""

    where: str
    path: Path


@dataclass(frozen=True)
class RedisConfig:
    """A Redis server. `options` are those of the client, with passwords: they belong in no message, so they have no
    part in the text of this."""

    where: str
    host: str
    port: int
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_config(feature_store_yaml: Path) -> SqliteConfig | RedisConfig:
    """The store that the file names.

    Raises UnavailableError: the file can't be read, names a variable that is not set, or a store that is neither Redis
    nor SQLite, or one as Serin does not use it.
    """
    content = _content(feature_store_yaml)
    where = f"the online store of {feature_store_yaml}"
    version = content.get("entity_key_serialization_version", _KEY_VERSION)
    if version != _KEY_VERSION:
        raise UnavailableError(f"{where}: entity_key_serialization_version is {version!r}; allowed: {_KEY_VERSION}")
    store = content.get("online_store") or {}
    kind = store if isinstance(store, str) else store.get("type", "sqlite")
    options = {} if isinstance(store, str) else store
    if kind in SQLITE:
        return SqliteConfig(where, feature_store_yaml.parent / str(options.get("path", "data/online.db")))
    if kind in REDIS:
        return _redis(where, options)
    raise UnavailableError(f"{where}: its type is {kind!r}; allowed: {', '.join((SQLITE[0], REDIS[0]))}")


def read_project(feature_store_yaml: Path) -> str:
    """The Feast project of the definitions. Raises UnavailableError where the file can't be read or names none."""
    project = _content(feature_store_yaml).get("project")
    if not isinstance(project, str) or not project:
        raise UnavailableError(f"{feature_store_yaml} names no project")
    return project


def _content(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_unset(path, yaml.safe_load(text))
        content = yaml.safe_load(os.path.expandvars(text))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        # Of YAML's errors the first line alone: the others quote the file, which may hold a password by now.
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        if isinstance(error, FileNotFoundError):
            reason = f"{reason}; SERIN_ROOT and SERIN_PROFILE, or SERIN_FEATURE_STORE, say which file it is"
        raise UnavailableError(f"{path} can't be read: {reason}") from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{path} can't be read: it holds no mapping")
    return content


def _refuse_unset(path: Path, content: Any) -> None:
    """Feast would take a variable that is not set for a host of that name. Only what is read here needs its variables:
    a predictor has no use for the feature registry's."""
    if not isinstance(content, dict):
        return
    store = content.get("online_store")
    texts = [content.get("project"), store, *(store.values() if isinstance(store, dict) else ())]
    for text in texts:
        for braced, bare in _VARIABLE.findall(text) if isinstance(text, str) else ():
            if (name := braced or bare) not in environment.variables():
                raise UnavailableError(f"{path}: ${{{name}}} is not set")


def _redis(where: str, options: Mapping[str, Any]) -> RedisConfig:
    if (kind := options.get("redis_type", "redis")) != "redis":
        raise UnavailableError(f"{where}: redis_type is {kind!r}; allowed: redis")
    if options.get("key_ttl_seconds"):
        raise UnavailableError(
            f"{where}: key_ttl_seconds would let rows go that are still served; allowed: none, for a view's ttl is "
            "what makes a value too old"
        )
    host, port, given = _connection(str(options.get("connection_string", "localhost:6379")))
    if not host or not port.isdigit():
        raise UnavailableError(f"{where}: connection_string has no host and port; write HOST:PORT,db=0,ssl=true")
    return RedisConfig(where, host, int(port), given)


def _connection(text: str) -> tuple[str, str, dict[str, Any]]:
    """Host, port and client options of `HOST:PORT,name=value,...`; values are JSON where they can be read as that."""
    address, options = "", {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            options[name.strip()] = _value(name.strip(), value)
        elif not address:
            address = part.strip()
    host, _, port = address.rpartition(":")
    return host, port, options


def _value(name: str, text: str) -> Any:
    if name in ("password", "username"):
        # As JSON a password of digits would be a number, which the client writes another way ("007").
        return text.strip('"')
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
