"""Which online store a feature_store.yaml names."""

from pathlib import Path

import pytest

from serin.errors import UnavailableError
from serin.online.config import RedisConfig, SqliteConfig, read_config, read_project

ROOT = Path(__file__).parents[4]


def written(folder: Path, online_store: str, more: str = "") -> Path:
    path = folder / "feature_store.yaml"
    path.write_text(f"project: shop\nregistry: ${{NOWHERE}}/registry.db\nonline_store: {online_store}\n{more}")
    return path


def test_shipped_files_name_sqlite_and_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERIN_REDIS", "cache:6380,password=hush,db=2,ssl=true,ssl_ca_certs=/ca.pem")
    local = read_config(ROOT / "feature_repo" / "feature_store.yaml")
    assert isinstance(local, SqliteConfig)
    assert local.path.resolve() == ROOT / ".serin" / "feast-online.db"
    cluster = read_config(ROOT / "feature_repo" / "feature_store.cluster.yaml")
    assert isinstance(cluster, RedisConfig)
    assert (cluster.host, cluster.port) == ("cache", 6380)
    assert cluster.options == {"password": "hush", "db": 2, "ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert "hush" not in repr(cluster)
    assert read_project(ROOT / "feature_repo" / "feature_store.yaml") == "serin"


def test_path_is_relative_to_the_files_folder(tmp_path: Path) -> None:
    found = read_config(written(tmp_path, "{type: sqlite, path: data/o.db}"))
    assert isinstance(found, SqliteConfig)
    assert found.path == tmp_path / "data" / "o.db"


def test_password_of_digits_stays_a_text(tmp_path: Path) -> None:
    found = read_config(written(tmp_path, '{type: redis, connection_string: "cache:6379,password=007"}'))
    assert isinstance(found, RedisConfig)
    assert found.options == {"password": "007"}


def test_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERIN_REDIS", raising=False)
    path = written(tmp_path, '{type: redis, connection_string: "${SERIN_REDIS}"}')
    with pytest.raises(UnavailableError, match=r"feature_store\.yaml: \$\{SERIN_REDIS\} is not set"):
        read_config(path)


@pytest.mark.parametrize(
    ("online_store", "told"),
    [
        ("{type: dynamodb}", "its type is 'dynamodb'; allowed: .*SqliteOnlineStore, redis"),
        ("{type: redis, redis_type: redis_cluster}", "redis_type is 'redis_cluster'; allowed: redis"),
        ("{type: redis, key_ttl_seconds: 60}", "key_ttl_seconds would let rows go that are still served"),
        ("{type: redis, connection_string: 'password=hush'}", "connection_string has no host and port"),
    ],
)
def test_store_that_is_not_used_so_is_refused(tmp_path: Path, online_store: str, told: str) -> None:
    with pytest.raises(UnavailableError, match=told) as error:
        read_config(written(tmp_path, online_store))
    assert "hush" not in str(error.value)


def test_keys_of_another_version_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "{type: sqlite}", "entity_key_serialization_version: 2\n")
    with pytest.raises(UnavailableError, match="entity_key_serialization_version is 2; allowed: 3"):
        read_config(path)


def test_file_that_can_not_be_read_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"none\.yaml can't be read: No such file.*; SERIN_ROOT and"):
        read_config(tmp_path / "none.yaml")
    path = written(tmp_path, '{type: redis, connection_string: "a:1,password=hush}')
    with pytest.raises(UnavailableError, match="can't be read") as error:
        read_config(path)
    assert "hush" not in str(error.value)
