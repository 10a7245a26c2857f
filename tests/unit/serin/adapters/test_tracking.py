"""Which tracking URIs can work."""

import re

import pytest

from serin.adapters.local.lease import FileLease
from serin.adapters.mlflow import MlflowRegistry
from serin.adapters.tracking import check
from serin.errors import UnavailableError
from serin.platform import build
from serin.workspace import Workspace

WORKS = [
    "http://127.0.0.1:5000",
    "https://mlflow.example.com/path",
    "postgresql://me:secret@db/mlflow",
    "postgresql+psycopg2://me@db:5432/mlflow",
    "postgresql:///mlflow?host=/var/run/postgresql",
    "mysql+pymysql://db/mlflow",
    "sqlite:////srv/mlflow.db",
    "sqlite:///mlflow.db",
]
FAILS = {
    "mlruns": "no scheme",
    "/srv/mlruns": "no scheme",
    "localhost:5000": "scheme localhost",
    "file:///srv/mlruns": "MLflow's file store, which is no database",
    "databricks": "no scheme",
    "databricks://profile": "scheme databricks",
    "htp://127.0.0.1": "scheme htp",
    "http://": "no host",
    "http:///mlflow": "no host",
    "http://127.0.0.1:port": "Port could not be cast to integer value as 'port'",
    "sqlite://": "no file that every process could open",
    "sqlite:///": "no file that every process could open",
    "sqlite:///:memory:": "no file that every process could open",
}


@pytest.mark.parametrize("uri", WORKS)
def test_uri_that_can_work_passes(uri):
    check(uri)


@pytest.mark.parametrize("uri", FAILS)
def test_uri_that_can_not_work_is_refused_with_what_is_allowed(uri):
    told = rf"^MLFLOW_TRACKING_URI is '{re.escape(uri)}' \({re.escape(FAILS[uri])}\); allowed: http://HOST, .*sqlite"
    with pytest.raises(UnavailableError, match=told):
        check(uri)


def test_password_of_a_refused_uri_is_not_told():
    with pytest.raises(UnavailableError, match=r"is 'oracle://db/mlflow' \(scheme oracle\)") as told:
        check("oracle://me:secret@db/mlflow")
    assert "secret" not in str(told.value)


def test_platform_is_not_built_with_a_uri_that_can_not_work():
    with pytest.raises(UnavailableError, match="MLFLOW_TRACKING_URI is 'mlruns'"):
        build(Workspace.from_variables({"MLFLOW_TRACKING_URI": "mlruns"}))


def test_database_whose_driver_is_not_installed_is_told_by_name(tmp_path):
    workspace = Workspace.from_variables({"MLFLOW_TRACKING_URI": "mysql+pymysql://127.0.0.1/mlflow"})
    with pytest.raises(UnavailableError, match=r"mysql.* does not answer .*pymysql"):
        MlflowRegistry(workspace, FileLease(tmp_path)).versions("m")
