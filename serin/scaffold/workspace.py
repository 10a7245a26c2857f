"""`serin init`: a workspace of one's own, which needs no checkout.

feature_repo/           Feast's settings and definitions
pipelines/use_cases/    one YAML file a use case
manifests/, istio/      the documents that versions are served from
"""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from serin.atomic import replaced
from serin.errors import UnavailableError

FOLDERS = ("feature_repo", "pipelines/use_cases", "manifests", "istio")
_SETTINGS = ("feature_store.yaml", "feature_store.cluster.yaml")


@dataclass(frozen=True)
class Made:
    """Files that were written, and files that were there already and stayed as they are; relative to the workspace."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def make(folder: Path, use_cases: tuple[str, ...] | None = None) -> Made:
    """Make `folder` a workspace, or complete one; a file that is there already is never replaced.

    `use_cases` names the shipped ones to bring along; None brings all.
    Raises UnavailableError: this installation lacks the files, a use case is not among them, or `folder` can't be
    written.
    """
    chosen = shipped_use_cases() if use_cases is None else use_cases
    unknown = sorted(set(chosen) - set(shipped_use_cases()))
    if unknown:
        raise UnavailableError(
            f"no use case {', '.join(unknown)} ships with Serin; there are {', '.join(shipped_use_cases())}"
        )
    written, kept = [], []
    for part in FOLDERS:
        source = shipped(part)
        try:
            (folder / part).mkdir(parents=True, exist_ok=True)
            for path in sorted(source.rglob("*")):
                name = f"{part}/{path.relative_to(source)}"
                if not path.is_file() or not _belongs(path, part, chosen):
                    continue
                if (folder / name).exists():
                    kept.append(name)
                    continue
                with replaced(folder / name) as temporary:
                    temporary.write_bytes(path.read_bytes())
                written.append(name)
        except OSError as error:
            raise UnavailableError(f"{folder} can't be made a workspace: {error}") from None
    return Made(tuple(written), tuple(kept))


def shipped(part: str) -> Path:
    """Where this installation keeps one of FOLDERS: the checkout, or the data of an installed wheel.

    Raises UnavailableError where it has none.
    """
    checkout = Path(__file__).resolve().parents[2]
    for base in (checkout, Path(sysconfig.get_path("data"), "share", "serin")):
        if (base / part).is_dir():
            return base / part
    raise UnavailableError(f"this installation of Serin lacks {part}; install it from its wheel or a checkout")


def shipped_use_cases() -> tuple[str, ...]:
    """The use cases that ship with Serin."""
    return tuple(sorted(path.stem for path in shipped("pipelines/use_cases").glob("*.yaml")))


def _belongs(path: Path, part: str, use_cases: tuple[str, ...]) -> bool:
    if part in ("manifests", "istio"):
        return path.suffix == ".yaml"
    return path.name in _SETTINGS or (path.stem in use_cases and path.suffix in (".yaml", ".py"))
