"""`serin doctor`."""

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from pipelines.console import Console
from predictors.log.spool import left_over
from serin import aliases, environment, partitions, platform, use_case
from serin.errors import SerinError
from serin.ports import Check
from serin.workspace import Workspace

_PACKAGES = ("kfp", "kserve", "feast", "mlflow", "evidently", "scikit-learn", "xgboost-cpu", "duckdb")
_NEED_GIB = 2.0


def run(console: Console) -> None:
    """Print every check. Exit code 1 when one failed."""
    checks = list(_checks())
    for check in checks:
        (console.good if check.ok else console.bad)(f"{check.what}: {check.found}")
        if not check.ok and check.advice:
            console.say(f"    {check.advice}")
    failed = [check.what for check in checks if not check.ok]
    console.result({"ok": not failed, "checks": [check.__dict__ for check in checks]})
    if failed:
        raise SerinError(f"not in order: {', '.join(failed)}")


def _checks() -> Iterator[Check]:
    python = sys.version_info[:2]
    yield Check((3, 11) <= python <= (3, 13), "Python", f"{python[0]}.{python[1]}", "use Python 3.11 to 3.13")
    for package in _PACKAGES:
        yield _package(package)
    try:
        workspace = Workspace.from_variables(environment.variables())
    except SerinError as error:
        yield Check(False, "workspace", str(error))
        return
    yield Check(True, "workspace", f"{workspace.root}, profile {workspace.profile}")
    yield from _workspace_checks(workspace)
    try:
        yield from platform.build(workspace).checks()
    except SerinError as error:
        yield Check(False, f"profile {workspace.profile}", str(error))


def _package(name: str) -> Check:
    try:
        return Check(True, name, version(name))
    except PackageNotFoundError:
        return Check(False, name, "not installed", "make setup")


def _workspace_checks(workspace: Workspace) -> Iterator[Check]:
    free = shutil.disk_usage(workspace.root).free / 2**30
    yield Check(free >= _NEED_GIB, "disk", f"{free:.0f} GiB free", f"keep {_NEED_GIB:g} GiB free")
    state = workspace.state if workspace.state.exists() else workspace.root
    writable = state.is_dir() and os.access(state, os.W_OK)
    yield Check(writable, "state folder", str(workspace.state), f"{state} must be a folder that can be written")
    for name in use_case.names(workspace.use_cases):
        try:
            case = use_case.load(name, workspace.use_cases)
        except SerinError as error:
            yield Check(False, f"use case {name}", str(error))
        else:
            yield Check(True, f"use case {name}", "valid")
            yield from stored(workspace, case)
            yield registered(workspace, case)


def stored(workspace: Workspace, case: use_case.UseCase) -> Iterator[Check]:
    """Files of the store that are passed over, and how to mend each."""
    again = f"ingest the table that it came from again (serin train {case.name} --data TABLE), or remove it"
    try:
        yield from _files("events", case, workspace.events(case.name), again, case.timestamp)
        yield from _files("predictions", case, workspace.predictions(case.name), "its rows are lost; remove it")
        yield from _spooled(workspace, case)
        for location in partitions.files(f"{workspace.quarantine(case.name)}/damaged"):
            advice = f"ingest the table that its rows came from again, then remove it: {location}"
            yield Check(False, f"events of {case.name}", f"a damaged file was set aside as {location}", advice)
    except SerinError as error:
        yield Check(False, f"stored rows of {case.name}", str(error))


def _spooled(workspace: Workspace, case: use_case.UseCase) -> Iterator[Check]:
    """What of the prediction log no process brings to the store."""
    folder = workspace.spool / case.name
    for path in left_over(folder):
        what, where = f"spool of {case.name}", f"{path} ({path.stat().st_size:,} bytes)"
        if path.suffix == ".damaged":
            yield Check(
                False, what, f"a damaged file was set aside as {where}", f"its rows are lost; remove it: {path}"
            )
        else:
            advice = f"`serin serve {case.name}` stores them"
            yield Check(False, what, f"a predictor that is gone left rows of the prediction log in {where}", advice)


def registered(workspace: Workspace, case: use_case.UseCase) -> Check:
    """Whether every version that an alias names can be served still."""
    what = f"model {case.model_name}"
    try:
        lost = aliases.lost(platform.build(workspace).registry, case.model_name)
    except SerinError as error:
        return Check(False, what, str(error))
    advice = f"`serin train {case.name}` and `serin rollout {case.name}` replace it"
    return Check(not lost, what, "; ".join(lost.values()) or "every version that an alias names is there", advice)


def _files(
    what: str, case: use_case.UseCase, folder: str, advice: str, timestamp: str | None = None
) -> Iterator[Check]:
    broken = partitions.damaged(folder, timestamp)
    for one in broken:
        yield Check(False, f"{what} of {case.name}", one.cause, f"{advice}: {one.location}")
    if not broken:
        yield Check(True, f"{what} of {case.name}", f"{len(partitions.files(folder)):,} files")
