"""Ports: what a step needs of the world outside, each as small as its callers allow.

    Lease           one at a time, between processes and between pods
    ModelRegistry   versions of models, and the aliases that name them
    FeatureStore    feature definitions, and the online store that they fill
    ServingTarget   documents of what should run, and the state of what does
    MetricsSource   the counters of a deployment
    PipelineBackend where a pipeline runs
    RecurringRuns   what a pipeline backend runs by itself

Their adapters stand in `serin.adapters`; `serin.platform` is the one place that chooses among them. The object store
has no port of its own: it is pyarrow's FileSystem, which `serin.storage` opens for a path or an s3:// URI alike.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from serin.artifact import Manifest
from serin.columns import TypeName
from serin.online.plan import TablePlan
from serin.online.store import OnlineStore
from serin.progress import Listener
from serin.use_case import TableView, UseCase, WindowView

Document = dict[str, Any]


def unheard(_: str) -> None:
    """Of a wait that nobody needs to hear of: it is short."""


INFERENCE_SERVICE = "InferenceService"
VIRTUAL_SERVICE = "VirtualService"


class Lease(Protocol):
    """The right to be the only one at something; it ends with its holder, however that ends."""

    def hold(
        self, name: str, *, wait: bool = False, waits_for: Callable[[str], None] = unheard
    ) -> AbstractContextManager[None]:
        """Hold the lease `name` until the block ends; with `wait`, once whoever has it is done.

        `waits_for` is told who that is, once, where it has to be waited for. Raises ConflictError naming the holder,
        where `wait` is not asked for.
        """

    def holder(self, name: str) -> str | None:
        """Who holds the lease just now; None where nobody does. Looking does not take it."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model; `source` is where the registry says that its artifact lies.

    What `components.register` says of it stands in `tags`; of a version that somebody else registered they are empty.
    """

    name: str
    version: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    source: str = ""

    @property
    def gate(self) -> str:
        """The gate's answer: passed, failed or undecided; empty where no gate was asked."""
        return self.tags.get("serin.gate", "")

    @property
    def estimator(self) -> str:
        """The estimator that won on validation."""
        return self.tags.get("serin.estimator", "")

    @property
    def as_of(self) -> str:
        """The time that it was trained as of (ISO 8601, UTC)."""
        return self.tags.get("serin.as_of", "")

    @property
    def feature_service(self) -> str:
        """The feature service that it is served with."""
        return self.tags.get("serin.feature_service", "")

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its metrics on the held-back rows, and those on validation as `validation_...`."""
        found: dict[str, float] = json.loads(self.tags.get("serin.metrics", "{}"))
        return found


class ModelRegistry(Protocol):
    """Versions of models with their artifacts and reports, and the aliases that name them.

    Every method raises UnavailableError where the registry can't be reached. Who reads an alias and moves it after
    holds the lease of `serin.aliases` meanwhile.
    """

    def register(
        self,
        folder: Path,
        manifest: Manifest,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        reports: Mapping[str, str],
        facts: Mapping[str, float] | None = None,
    ) -> RegisteredVersion:
        """Keep the sealed artifact in `folder` and make it a version; `reports` are texts by file name, and `facts`
        metrics of the run beside those of the manifest.

        An artifact that is registered already keeps its version, so a repeated step changes nothing but `tags`.
        """

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, newest first; none where there is no such model."""

    def version(self, name: str, number: int) -> RegisteredVersion:
        """One version. Raises NotFoundError where there is none; the message lists those there are."""

    def by_alias(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that `alias` names, or None."""

    def by_tag(self, name: str, tag: str, value: str) -> RegisteredVersion | None:
        """The newest version with a tag of that value, or None."""

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` name `version`, whatever it named before."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Let `alias` name nothing; that it names nothing already, or that there is no such model, is no error."""

    def storage_uri(self, version: RegisteredVersion) -> str:
        """Where the version's artifact lies, for whoever serves it. Raises NotFoundError where it is lost."""

    def fetch(self, version: RegisteredVersion, folder: Path) -> Path:
        """Download the version's artifact to `folder`; the caller verifies it.

        Raises NotFoundError where it is lost.
        """

    def report(self, version: RegisteredVersion, name: str) -> str:
        """The text of a report that was kept with the version."""


@dataclass(frozen=True)
class ViewSource:
    """What the point-in-time join must know of a feature view, as its definition states it."""

    name: str
    join_keys: tuple[str, ...]
    timestamp_field: str
    ttl: timedelta | None
    features: tuple[str, ...]


class ServedView(BaseModel):
    """A feature view as a model version was trained with it, under a name of its own.

    The use case and the definitions may say something else of the view later; that makes another served view, and
    changes nothing of this one. `types` are those of the entity's column `key` and of the features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    use_case: str
    view: str
    key: str
    timestamp: str | None
    definition: WindowView | TableView
    ttl: timedelta | None
    types: dict[str, TypeName]

    @property
    def name(self) -> str:
        """The view's name and a digest of all that is said of it here."""
        return f"{self.view}__{digest(self.model_dump_json())}"

    @property
    def features(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(name for name in self.types if name != self.key)

    def plan(self, project: str) -> TablePlan:
        """How its rows are written and read in the online store."""
        return TablePlan(
            project=project,
            view=self.name,
            key=self.key,
            key_type=self.types[self.key],
            features={name: self.types[name] for name in self.features},
            ttl=self.ttl.total_seconds() if self.ttl else None,
        )


def digest(text: str) -> str:
    """What tells two contents apart in a name."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class FeatureStore(Protocol):
    """Feature definitions, what model versions are served with, and the online store that is filled for these.

    Every method raises UnavailableError where the feature registry or the online store can't be reached or read.
    """

    @property
    def online(self) -> OnlineStore:
        """The online store, for whoever reads or fills it without Feast."""

    @property
    def project(self) -> str:
        """The Feast project of what model versions are served with, which the online store is filled for."""

    def apply(self, case: UseCase | None = None) -> None:
        """Bring the feature registry up to the definitions. Raises UseCaseError where they can't be applied.

        In a pod of a pipeline the definitions are the image's: there, those that the registry has already count, as
        whoever submitted the run applied them, and nothing is done where it has those of `case`.
        """

    def sources(self, case: UseCase) -> tuple[ViewSource, ...]:
        """The feature views of the use case's feature service. Raises UseCaseError where the two differ."""

    def keep(self, use_case: str, service: str, views: Sequence[ServedView]) -> None:
        """Declare what versions that name `service` are served with; mends a lost online table. Can be run twice."""

    def kept(self, use_case: str) -> Mapping[str, tuple[ServedView, ...]]:
        """What was declared by `keep` for a use case: the views of each service.

        A view that can't be read any more, as an earlier Serin declared it, is left out, which is told once.
        """

    def published(self, view: ServedView) -> datetime | None:
        """The latest time as of which a kept view was materialised; None where it never was."""

    def materialise(self, view: ServedView, rows: pa.Table, as_of: datetime) -> None:
        """Write one row an entity of a kept view to the online store, and note that it was done as of a time.

        A row whose features are all null takes back what was known of its entity.
        """


@dataclass(frozen=True)
class Status:
    """What a deployment does just now; `url` is where its own HTTP port answers, once it was started.

    `failed`: waiting will not make it ready, for the reason that `message` gives.
    """

    ready: bool
    message: str = ""
    restarts: int = 0
    url: str = ""
    failed: bool = False


class ServingTarget(Protocol):
    """The documents of one model, with the optimistic concurrency of the Kubernetes API."""

    def create(self, document: Mapping[str, Any]) -> Document:
        """Store a new document and return it with its `metadata.resourceVersion`.

        One that is there already with the same content is returned as it is.
        Raises ConflictError where another document has its name.
        """

    def replace(self, document: Mapping[str, Any]) -> Document:
        """Store a document in place of the version that its `metadata.resourceVersion` names.

        Raises ConflictError: it was changed since it was read, or is an InferenceService, which is never edited.
        NotFoundError: it was deleted since.
        """

    def get(self, kind: str, name: str) -> Document:
        """A document. Raises NotFoundError where there is none."""

    def list(self, kind: str) -> tuple[Document, ...]:
        """All documents of a kind, by name; one that can't be read is left out, and whoever acts on them names it."""

    def delete(self, kind: str, name: str) -> None:
        """Remove a document; one that is not there is no error."""

    def status(self, name: str) -> Status:
        """The state of an InferenceService. Raises UnavailableError where it can't be told."""

    def check(self) -> str:
        """Who acts on the documents; when that changes, every deployment may be starting anew.

        Raises UnavailableError where nobody does, so that no state can be believed.
        """


@dataclass(frozen=True)
class Sample:
    """The counters of a deployment at one moment, since its predictors started.

    `ok` and `errors` are answered prediction requests; requests that were the caller's fault count as neither.
    `buckets` is the latency histogram: upper bound in seconds, as Prometheus writes it ("0.05", "+Inf"), to the
    number of requests at or below it.
    """

    ok: float
    errors: float
    buckets: Mapping[str, float] = field(default_factory=dict)


class MetricsSource(Protocol):
    """The counters of deployments."""

    def sample(self, deployment: str) -> Sample | None:
        """The counters just now; None where they can't be had."""


@dataclass(frozen=True)
class Check:
    """Something that was looked at: whether it is in order, what was found, and what to do if it is not."""

    ok: bool
    what: str
    found: str
    advice: str = ""


class PipelineBackend(Protocol):
    """Where pipelines run."""

    def run(self, pipeline: Any, arguments: Mapping[str, Any], listener: Listener) -> None:
        """Run a KFP pipeline to its end. What came of it is asked of the registry, by the run's id in `arguments`.

        Raises SerinError with what the failing step said.
        """

    def table(self, data: str, listener: Listener) -> str:
        """Where the steps of a run find the table at `data`: a path of this machine, or a URI; "" for none.

        Raises UnavailableError where it can't be brought there.
        """

    @property
    def recurring(self) -> "RecurringRuns | None":
        """What it runs by itself; None where it does not."""


@dataclass(frozen=True)
class Recurrence:
    """A schedule of a use case with all that it runs: two that are equal need no change.

    `cron` has five fields, in UTC; `version` names the pipeline and its version by its content. What others changed may
    have more runs at a time, or catch up on times that it missed; what Serin asks for never does.
    """

    use_case: str
    schedule: str
    cron: str
    version: str
    parameters: Mapping[str, Any]
    account: str
    at_a_time: int = 1
    catches_up: bool = False


@dataclass(frozen=True)
class RecurringRun:
    """What a backend runs by itself; `recurrence` is None where it was not made by Serin, and is left alone."""

    id: str
    name: str
    enabled: bool
    created: datetime
    recurrence: Recurrence | None


class RecurringRuns(Protocol):
    """What a pipeline backend runs by itself. A recurring run is never changed, but for being disabled.

    Every method raises UnavailableError where the backend can't be reached or does not allow it.
    """

    def recurrence(
        self, use_case: str, schedule: str, cron: str, pipeline: Any, parameters: Mapping[str, Any]
    ) -> Recurrence:
        """What a schedule comes to here: the name that the pipeline's content makes, and who runs it. Asks nobody."""

    def found(self) -> tuple[RecurringRun, ...]:
        """All recurring runs, whoever made them, oldest first."""

    def create(self, wanted: Recurrence, pipeline: Any) -> str:
        """Make an enabled recurring run of the version of `pipeline`, and upload that where it is new; its name."""

    def disable(self, run: RecurringRun) -> None:
        """Start no more runs; those in flight go on. One that is gone, or disabled already, is no error."""

    def in_flight(self, run: RecurringRun) -> tuple[str, ...]:
        """The names of its runs that have not ended."""

    def delete(self, run: RecurringRun) -> None:
        """Remove a recurring run; its runs in flight would end with it. One that is gone is no error."""
