"""Which store `feature_store.yaml` names."""

from pathlib import Path

from serin.online.config import SqliteConfig, read_config
from serin.online.store import OnlineStore


def open_store(feature_store_yaml: Path) -> OnlineStore:
    """The store that the file's `online_store` names, with `${NAME}` of the environment filled in. Feast is not
    imported.

    Raises UnavailableError: no such file, a variable that is not set, or a type that is neither Redis nor SQLite.
    """
    config = read_config(feature_store_yaml)
    if isinstance(config, SqliteConfig):
        from serin.online.sqlite import SqliteStore

        return SqliteStore(config)
    # It imports the client of Redis.
    from serin.online.redis import RedisStore

    return RedisStore(config)
