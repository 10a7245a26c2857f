"""What stands at MLFLOW_TRACKING_URI: which addresses can work, and whether somebody answers there.

MLflow takes seconds to import, so it is imported where it is used.
"""

import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serin import environment
from serin.errors import UnavailableError

_SERVERS, _DATABASES = ("http", "https"), ("postgresql", "mysql")
_ALLOWED = "http://HOST, https://HOST, postgresql://..., mysql://..., sqlite:///FILE"
# MLflow's own defaults, 7 retries of 120 s, let a command hang for minutes when its server goes away.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # A bar for three small files, in the middle of a command's own progress.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_CONNECT_SECONDS = 5


def check(uri: str) -> None:
    """Look at a tracking URI without asking anybody.

    Raises UnavailableError where it can't work: of a scheme that is not allowed, or without host or file.
    """
    try:
        problem = _problem(uri)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise UnavailableError(f"MLFLOW_TRACKING_URI is {shown(uri)!r} ({problem}); allowed: {_ALLOWED}")


def _problem(uri: str) -> str:
    """What is wrong with it, or nothing. Raises ValueError for a port that is no number."""
    parts = urlsplit(uri)
    scheme, _ = parts.scheme, parts.port
    if not scheme:
        return "no scheme"
    if scheme in _SERVERS:
        return "" if parts.hostname else "no host"
    if scheme.partition("+")[0] in _DATABASES:
        return ""
    if scheme == "sqlite":
        file = sqlite_file(uri)
        return "" if file and file.name and file.name != ":memory:" else "no file that every process could open"
    return "MLflow's file store, which is no database" if scheme == "file" else f"scheme {scheme}"


def has_server(uri: str) -> bool:
    """Whether an MLflow server stands there, which says where artifacts lie; else it is a database."""
    return urlsplit(uri).scheme in _SERVERS


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def shown(uri: str) -> str:
    """The URI without a password."""
    return uri if sqlite_file(uri) else re.sub("//.*@", "//", uri).partition("?")[0]


def unavailable(uri: str, reason: str) -> UnavailableError:
    """The error for a tracking URI where nobody answers."""
    return UnavailableError(
        f"the model registry at {shown(uri)} does not answer ({reason}); start it, or set MLFLOW_TRACKING_URI"
    )


def connect(uri: str) -> Any:
    """MLflow's client, once somebody answered; an SQLite file's folder is made.

    Raises UnavailableError within 10 s where nobody does.
    """
    for noisy in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    environment.set_defaults(_DEFAULTS)
    file = sqlite_file(uri)
    if file is not None:
        _make_folder(file.parent)
    elif has_server(uri):
        _try_server(uri)
    else:
        _try_database(uri)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"the model registry's folder {folder} can't be made: {error}") from None


def _try_server(uri: str) -> None:
    """Ask once, with MLflow's own credentials and certificates; its retries would take a minute."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        http_request(
            get_default_host_creds(uri),
            "/health",
            "GET",
            max_retries=0,
            timeout=_CONNECT_SECONDS,
            raise_on_status=False,
        )
    except MlflowException:
        raise unavailable(uri, f"nobody there within {_CONNECT_SECONDS} s") from None


def _try_database(uri: str) -> None:
    """Connect once: MLflow itself tries for minutes, and no setting bounds it."""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": _CONNECT_SECONDS})
    except (ImportError, sqlalchemy.exc.ArgumentError) as error:
        raise unavailable(uri, str(error)) from None
    try:
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        raise unavailable(uri, str(error.orig).strip().partition("\n")[0]) from None
    finally:
        engine.dispose()
