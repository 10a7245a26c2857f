"""Recurring runs of Kubeflow Pipelines: those that Serin makes carry a mark in their description.

KFP reads a schedule with seconds before the minute (robfig/cron 1.2), in the time zone of its scheduled workflow
controller: CRON_SCHEDULE_TIMEZONE, which is UTC where nobody changed it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from json import dumps
from typing import Any

import kfp_server_api as api

from serin.adapters.cluster.kfp import Kubeflow
from serin.adapters.cluster.package import Package, compiled
from serin.errors import NotFoundError
from serin.ports import Recurrence, RecurringRun, digest

_MARK = re.compile(r"^serin/schedule=(?P<use_case>[a-z][a-z0-9_]*)/(?P<schedule>[a-z]+)$", re.MULTILINE)
_package = cache(compiled)
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


class KubeflowRecurringRuns:
    """See RecurringRuns."""

    def __init__(self, kubeflow: Kubeflow, accounts: Mapping[str, str], prepare: Callable[[], None]) -> None:
        """`accounts` are service accounts by the pipeline's name; `prepare` is called once, before anything is made."""
        self._kubeflow, self._accounts, self._prepare = kubeflow, accounts, cache(prepare)
        self._api = kubeflow.recurring_runs
        self._version_name = cache(self._ask_version_name)

    def recurrence(
        self, use_case: str, schedule: str, cron: str, pipeline: Any, parameters: Mapping[str, Any]
    ) -> Recurrence:
        """See RecurringRuns."""
        package: Package = _package(pipeline)
        return Recurrence(use_case, schedule, cron, package.version, parameters, self._accounts[package.name])

    def found(self) -> tuple[RecurringRun, ...]:
        """See RecurringRuns."""
        method = self._api.recurring_run_service_list_recurring_runs
        every = self._kubeflow.listed("list the recurring runs", method, "recurring_runs", **self._scope())
        return tuple(sorted((self._read(one) for one in every), key=lambda run: (run.created, run.id)))

    def create(self, wanted: Recurrence, pipeline: Any) -> str:
        """See RecurringRuns."""
        package: Package = _package(pipeline)
        package.check(wanted.parameters)
        self._prepare()
        new = api.V2beta1RecurringRun(
            display_name=_name(wanted),
            description=_description(wanted),
            experiment_id=self._kubeflow.experiment(wanted.use_case),
            pipeline_version_reference=self._kubeflow.version(package).reference,
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(wanted.parameters)),
            service_account=wanted.account,
            trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=with_seconds(wanted.cron))),
            mode=api.RecurringRunMode.ENABLE,
            max_concurrency=str(wanted.at_a_time),
            no_catchup=not wanted.catches_up,
        )
        doing = f"create the recurring run {new.display_name}"
        self._kubeflow.call(doing, self._api.recurring_run_service_create_recurring_run, new)
        return str(new.display_name)

    def disable(self, run: RecurringRun) -> None:
        """See RecurringRuns."""
        self._unless_gone("disable", self._api.recurring_run_service_disable_recurring_run, run)

    def in_flight(self, run: RecurringRun) -> tuple[str, ...]:
        """See RecurringRuns."""
        predicates = [{"operation": "EQUALS", "key": "recurring_run_id", "stringValue": run.id}]
        predicates += [{"operation": "NOT_EQUALS", "key": "state", "stringValue": state} for state in _ENDED]
        options = {"filter": dumps({"predicates": predicates}), **self._scope()}
        method = self._kubeflow.runs.run_service_list_runs
        found = self._kubeflow.listed(f"list the runs of {run.name}", method, "runs", **options)
        return tuple(str(one.display_name) for one in found)

    def delete(self, run: RecurringRun) -> None:
        """See RecurringRuns."""
        self._unless_gone("delete", self._api.recurring_run_service_delete_recurring_run, run)

    def _unless_gone(self, verb: str, method: Any, run: RecurringRun) -> None:
        try:
            self._kubeflow.call(f"{verb} the recurring run {run.name}", method, run.id)
        except NotFoundError:
            return

    def _scope(self) -> dict[str, str]:
        return {"namespace": self._kubeflow.namespace} if self._kubeflow.namespace else {}

    def _read(self, one: api.V2beta1RecurringRun) -> RecurringRun:
        # The status lags behind: it is what the controller reported last.
        enabled = one.mode == api.RecurringRunMode.ENABLE
        created = one.created_at or datetime.min.replace(tzinfo=UTC)
        return RecurringRun(one.recurring_run_id, one.display_name, enabled, created, self._recurrence(one))

    def _recurrence(self, one: api.V2beta1RecurringRun) -> Recurrence | None:
        """What a recurring run does, as KFP has it, not as its description says: people clone and change them."""
        mark = _MARK.search(one.description or "")
        if not mark:
            return None
        reference = one.pipeline_version_reference
        version = self._version_name(reference.pipeline_id, reference.pipeline_version_id) if reference else ""
        return Recurrence(
            use_case=mark["use_case"],
            schedule=mark["schedule"],
            cron=without_seconds(one.trigger),
            version=version,
            parameters=(one.runtime_config and one.runtime_config.parameters) or {},
            account=one.service_account or "",
            at_a_time=int(one.max_concurrency or 1),
            catches_up=not one.no_catchup,
        )

    def _ask_version_name(self, pipeline_id: str, version_id: str) -> str:
        """The name of a pipeline's version; empty where it was deleted, so that nothing can run it."""
        method = self._kubeflow.pipelines.pipeline_service_get_pipeline_version
        try:
            doing = f"tell of the pipeline version {version_id}"
            version = self._kubeflow.call(doing, method, pipeline_id, version_id)
        except NotFoundError:
            return ""
        return str(version.name or version.display_name)


def with_seconds(cron: str) -> str:
    """A schedule of five fields as KFP reads it: at second 0."""
    return f"0 {cron}"


def without_seconds(trigger: api.V2beta1Trigger | None) -> str:
    """The five fields of a trigger; what Serin does not make of it is told in words that equal no schedule."""
    schedule = trigger.cron_schedule if trigger else None
    if schedule is None:
        return "at an interval"
    first, _, rest = str(schedule.cron).partition(" ")
    text = rest if first == "0" and rest.count(" ") == 4 else f"{schedule.cron}, with seconds"
    bounds = {"from": schedule.start_time, "to": schedule.end_time}
    return " ".join([text, *(f"{word} {time}" for word, time in bounds.items() if time)])


def _name(wanted: Recurrence) -> str:
    """Unlike the name of any other content, so that people can tell them apart."""
    content = dumps([wanted.cron, wanted.version, wanted.account, dict(wanted.parameters)], sort_keys=True)
    return f"{wanted.use_case.replace('_', '-')}-{wanted.schedule}-{digest(content)}"


def _description(wanted: Recurrence) -> str:
    return (
        f"The {wanted.schedule} of {wanted.use_case}, {wanted.cron} UTC, as its use case has it in Git. Made by "
        "`serin schedule apply`, which makes another where it was changed.\n"
        f"serin/schedule={wanted.use_case}/{wanted.schedule}"
    )
