"""Which version holds which alias of a model.

    candidate    the version that was trained last
    challenger   passed the gate, and waits for its rollout
    champion     serves by default
    previous     was champion before

Every move is decided and made under one lease, so two trainings or rollouts may end in any order.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from serin.errors import ConflictError, NotFoundError
from serin.ports import Lease, ModelRegistry, RegisteredVersion

CANDIDATE, CHALLENGER, CHAMPION, PREVIOUS = "candidate", "challenger", "champion", "previous"


@dataclass(frozen=True)
class Standing:
    """What decides between two versions that both passed the gate."""

    version: int
    as_of: str
    score: float


def supersedes(new: Standing, current: Standing | None) -> bool:
    """Whether `new` takes the challenger's place from `current`: the later data win, then the better score.

    Versions of the same `as_of` were scored on the same test rows. Two trainings may end in any order; what they leave
    behind is the same.
    """
    if current is None:
        return True
    return (new.as_of, new.score) >= (current.as_of, current.score)


def beats(new: Standing, champion: Standing) -> bool:
    """Whether `new` may challenge a champion that it was not held against: as `supersedes`, but a tie keeps it."""
    return (new.as_of, new.score) > (champion.as_of, champion.score)


@dataclass(frozen=True)
class Aliases:
    """The aliases of one model, moved under its lease."""

    registry: ModelRegistry
    lease: Lease
    model: str

    def enter(self, version: RegisteredVersion, metric: str | None, against: int | None = None) -> tuple[str, ...]:
        """Give a new version the aliases that it may take; returns those that it has then.

        It becomes `candidate`. With `metric`, the one that decides, it passed the gate: it becomes `challenger`
        unless the one there supersedes it, and `champion` where there is none yet, or none but a lost one. `against` is
        the version that was champion when the gate was asked (0: none was; None: it is not known): where another one
        is by now, which nobody held it against, it becomes challenger only where it beats that one too.
        """
        with self._held():
            self.registry.set_alias(self.model, CANDIDATE, version.version)
            if metric is not None:
                own = _standing(version, metric)
                holder = self.registry.by_alias(self.model, CHALLENGER)
                champion = self.registry.by_alias(self.model, CHAMPION)
                served = champion if champion and not loss(self.registry, champion) else None
                stranger = served if served and against not in (None, served.version) else None
                weaker = (
                    stranger and stranger.version != version.version and not beats(own, _standing(stranger, metric))
                )
                if not weaker and supersedes(own, _standing(holder, metric) if holder else None):
                    self.registry.set_alias(self.model, CHALLENGER, version.version)
                if not served:
                    self.registry.set_alias(self.model, CHAMPION, version.version)
            return self.registry.version(self.model, version.version).aliases

    def promote(self, version: int, served_before: int | None) -> None:
        """Make `version` the champion, and the champion before it `previous`. Can be run twice.

        `served_before` is the version whose traffic it took; a run that was killed in between knows by it which
        version was champion. Where that was the challenger too, it was replaced by hand and waits for no rollout.
        Raises ConflictError where a third version is champion: nothing is moved then.
        """
        with self._held():
            holder = self.registry.by_alias(self.model, CHAMPION)
            if holder and served_before and holder.version not in (version, served_before):
                raise ConflictError(
                    f"{self.model}: version {holder.version} was made champion meanwhile; allowed: {served_before}, "
                    f"which served before, or {version}, which took its traffic. Move the alias {CHAMPION} and run "
                    "the rollout again"
                )
            before = holder.version if holder and holder.version != version else served_before
            self.registry.set_alias(self.model, CHAMPION, version)
            if before is not None and before != version:
                self.registry.set_alias(self.model, PREVIOUS, before)
                self._withdraw(before)

    def give_up(self, version: int) -> None:
        """Take `version` off the alias challenger, where it holds it: it failed in serving. Can be run twice."""
        with self._held():
            self._withdraw(version)

    def _withdraw(self, version: int) -> None:
        holder = self.registry.by_alias(self.model, CHALLENGER)
        if holder and holder.version == version:
            self.registry.delete_alias(self.model, CHALLENGER)

    def _held(self) -> AbstractContextManager[None]:
        return self.lease.hold(f"aliases-{self.model}", wait=True)


def loss(registry: ModelRegistry, version: RegisteredVersion) -> str:
    """Why the artifact of `version` can't be served any more; "" while it is there."""
    try:
        registry.storage_uri(version)
    except NotFoundError as error:
        return str(error)
    return ""


def lost(registry: ModelRegistry, model: str) -> dict[int, str]:
    """The versions that hold an alias and whose artifact is lost, each with what is missing."""
    causes = {version.version: loss(registry, version) for version in registry.versions(model) if version.aliases}
    return {number: cause for number, cause in causes.items() if cause}


def _standing(version: RegisteredVersion, metric: str) -> Standing:
    return Standing(version.version, version.as_of, version.metrics.get(metric, 0.0))
