"""The online stores that the tests run on: a SQLite file, and Redis servers of three kinds."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serin.online.opening import open_store
from serin.online.store import OnlineStore
from tests import feast_repo, services

KINDS = ("sqlite", "redis", "redis with a password", "redis over TLS")
PASSWORD = "hush"  # noqa: S105


@dataclass(frozen=True)
class Opened:
    """An online store, empty, and the feature_store.yaml that names it."""

    kind: str
    yaml: Path
    store: OnlineStore

    @property
    def folder(self) -> Path:
        """The Feast repository."""
        return self.yaml.parent


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[Opened]:
    """A store of the kind, with a Feast repository in `folder`."""
    with _named(kind, folder) as online_store:
        yaml = feast_repo.write_yaml(folder, online_store)
        store = open_store(yaml)
        try:
            yield Opened(kind, yaml, store)
        finally:
            store.close()


@contextlib.contextmanager
def _named(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        (folder / "online.db").touch()
        yield feast_repo.SQLITE
        return
    options: tuple[str, ...] = ()
    more, tls = "", None
    if kind == "redis with a password":
        options, more = ("--requirepass", PASSWORD), f",db=3,password={PASSWORD}"
    if kind == "redis over TLS":
        tls = folder
        more = f",ssl=true,ssl_ca_certs={services.certificate(folder)}"
    with services.redis("127.0.0.1", *options, tls=tls) as address:
        yield f'{{type: redis, connection_string: "{address}{more}", skip_dedup: true}}'


@pytest.fixture(params=("sqlite", "redis"))
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Each of the two kinds of store."""
    with opened(request.param, tmp_path) as found:
        yield found
