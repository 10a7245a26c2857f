"""Where things lie: endpoints and folders of one installation, which a profile decides and nothing else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serin import environment
from serin.errors import UnavailableError

_MARK = Path("feature_repo", "feature_store.yaml")
PROFILES = ("local", "cluster")


@dataclass(frozen=True)
class Workspace:
    """Endpoints and folders; built once, by the composition root.

    `pod` is the name of the pipeline's pod that this is, in which the workspace is that of the image; "" elsewhere.
    """

    root: Path
    profile: str
    storage: str
    tracking_uri: str
    feature_store_yaml: Path
    pod: str = ""

    @classmethod
    def from_variables(cls, env: Mapping[str, str]) -> "Workspace":
        """Read the variables that `serin.environment` lists.

        Raises UnavailableError: an unknown profile, a root without a feature repository, or a cluster
        profile that lacks an endpoint.
        """
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
            pod=env.get("SERIN_POD", ""),
        )

    @property
    def state(self) -> Path:
        """The local state folder: runs, reports, processes. Always on this machine."""
        return self.root / ".serin"

    @property
    def spool(self) -> Path:
        """Where predictors keep what the prediction log lacks yet, a folder a use case. Always on this machine."""
        return self.state / "spool"

    @property
    def use_cases(self) -> Path:
        """The folder of use case files."""
        return self.root / "pipelines" / "use_cases"

    @property
    def feature_repo(self) -> Path:
        """The folder of Feast definitions."""
        return self.root / "feature_repo"

    @property
    def shares_features(self) -> bool:
        """Whether other workspaces declare features in the same feature registry."""
        return self.profile == "cluster"

    def variables(self) -> dict[str, str]:
        """What a child process needs to find the same workspace, whatever it inherits."""
        return {
            "SERIN_ROOT": str(self.root),
            "SERIN_PROFILE": self.profile,
            "SERIN_STORAGE": self.storage,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "SERIN_FEATURE_STORE": str(self.feature_store_yaml),
        }

    def published(self, reference: str) -> str:
        """A use case as a pipeline run was given it."""
        return f"{self.storage}/use_cases/{reference}.json"

    def checkpoint(self, use_case: str, key: str) -> str:
        """The checkpoint of a training, by the digest of all that its model depends on."""
        return f"{self.storage}/checkpoints/{use_case}/{key}"

    def failure(self, run: str, task: str) -> str:
        """Why a task of a run of Kubeflow's failed for good."""
        return f"{self.storage}/failures/{run}/{task}.json"

    def events(self, use_case: str) -> str:
        """Ingested rows of a use case: `date=YYYY-MM-DD/` folders of Parquet."""
        return f"{self.storage}/events/{use_case}"

    def quarantine(self, use_case: str) -> str:
        """Rows that broke a rule, with the reason, one Parquet file an ingested source."""
        return f"{self.storage}/quarantine/{use_case}"

    def feature_file(self, use_case: str, view: str) -> str:
        """The Parquet file behind a feature view."""
        return f"{self.storage}/features/{use_case}/{view}.parquet"

    def declared_source(self, use_case: str, view: str) -> str:
        """`feature_file` as Feast is told it: relative to feature_repo/ where the file lies in the workspace, so that
        the workspace can be copied and moved."""
        location = self.feature_file(use_case, view)
        if "://" in location or not Path(location).is_relative_to(self.root):
            return location
        return os.path.relpath(location, self.feature_repo)

    def predictions(self, use_case: str) -> str:
        """The prediction log of a use case: `date=YYYY-MM-DD/` folders of Parquet."""
        return f"{self.storage}/predictions/{use_case}"


def feature_source(use_case: str, view: str) -> str:
    """`Workspace.declared_source` of the environment, for the declarations in feature_repo/."""
    return Workspace.from_variables(environment.variables()).declared_source(use_case, view)


def served_project(project: str) -> str:
    """The Feast project of what model versions are served with, beside `project`, which has the definitions."""
    return f"{project}_served"


def _find_root(named: str | None) -> Path:
    if named:
        root = Path(named).resolve()
        if (root / _MARK).is_file():
            return root
        raise UnavailableError(
            f"SERIN_ROOT is {root}, which is no workspace: it holds no {_MARK}. Set SERIN_ROOT to a workspace; "
            "`serin init FOLDER` makes one"
        )
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / _MARK).is_file():
            return folder
    raise UnavailableError(
        f"{here} is no workspace, nor does it lie in one: no {_MARK} was found, and SERIN_ROOT is not set. Run this in "
        "a workspace, or set SERIN_ROOT to it; `serin init FOLDER` makes one"
    )
