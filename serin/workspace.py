"""Where things lie: the one place that reads Serin's environment variables.

    SERIN_ROOT            the folder with feature_repo/ and pipelines/use_cases/ (default: the one you stand
                          in or above, else the checkout that Serin was installed from)
    SERIN_PROFILE         local (default) or cluster
    SERIN_STORAGE         folder or s3:// URI for events, features and predictions   (local: <root>/.serin)
    MLFLOW_TRACKING_URI   tracking server and model registry                         (local: SQLite in .serin)
    SERIN_FEATURE_STORE   Feast's feature_store.yaml                  (local: feature_repo/feature_store.yaml)

A profile decides these endpoints and nothing else.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serin.errors import UnavailableError

_MARK = Path("feature_repo", "feature_store.yaml")
PROFILES = ("local", "cluster")


@dataclass(frozen=True)
class Workspace:
    """Endpoints and folders of one installation; build it with `from_environment` at the entry point."""

    root: Path
    profile: str
    storage: str
    tracking_uri: str
    feature_store_yaml: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Workspace":
        """Read the variables above.

        Raises UnavailableError: an unknown profile, a root without a feature repository, or a cluster
        profile that lacks an endpoint.
        """
        env = os.environ if environment is None else environment
        profile = env.get("SERIN_PROFILE", "local")
        if profile not in PROFILES:
            raise UnavailableError(f"SERIN_PROFILE is {profile!r}; allowed: {', '.join(PROFILES)}")
        root = _find_root(env.get("SERIN_ROOT"))
        state = root / ".serin"
        if profile == "cluster":
            missing = [name for name in ("SERIN_STORAGE", "MLFLOW_TRACKING_URI") if not env.get(name)]
            if missing:
                raise UnavailableError(f"SERIN_PROFILE=cluster needs {' and '.join(missing)} to be set")
        store = "feature_store.yaml" if profile == "local" else "feature_store.cluster.yaml"
        return cls(
            root=root,
            profile=profile,
            storage=env.get("SERIN_STORAGE") or str(state),
            tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state / 'mlflow' / 'mlflow.db'}",
            feature_store_yaml=Path(env.get("SERIN_FEATURE_STORE") or root / "feature_repo" / store),
        )

    @property
    def state(self) -> Path:
        """The local state folder: runs, reports, processes. Always on this machine."""
        return self.root / ".serin"

    @property
    def use_cases(self) -> Path:
        """The folder of use case files."""
        return self.root / "pipelines" / "use_cases"

    @property
    def feature_repo(self) -> Path:
        """The folder of Feast definitions."""
        return self.root / "feature_repo"

    def events(self, use_case: str) -> str:
        """Ingested rows of a use case: `date=YYYY-MM-DD/` folders of Parquet."""
        return f"{self.storage}/events/{use_case}"

    def quarantine(self, use_case: str) -> str:
        """Rows that broke a rule, with the reason, one Parquet file an ingested source."""
        return f"{self.storage}/quarantine/{use_case}"

    def feature_source(self, use_case: str, view: str) -> str:
        """The Parquet file behind a feature view."""
        return f"{self.storage}/features/{use_case}/{view}.parquet"

    def predictions(self, use_case: str) -> str:
        """The prediction log of a use case: `date=YYYY-MM-DD/` folders of Parquet."""
        return f"{self.storage}/predictions/{use_case}"


def feature_source(use_case: str, view: str) -> str:
    """`Workspace.feature_source` of the environment, for the declarations in feature_repo/."""
    return Workspace.from_environment().feature_source(use_case, view)


def _find_root(named: str | None) -> Path:
    if named:
        candidates = [Path(named).resolve()]
    else:
        here = Path.cwd()
        candidates = [here, *here.parents, Path(__file__).resolve().parent.parent]
    for folder in candidates:
        if (folder / _MARK).is_file():
            return folder
    raise UnavailableError(
        f"{candidates[0]} holds no {_MARK}; run serin in its checkout, or set SERIN_ROOT to that folder"
    )
