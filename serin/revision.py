"""Git: the revision of the running code."""

import subprocess
from importlib.metadata import version
from pathlib import Path


def code_revision() -> str:
    """The checkout's commit (with `+` where files were changed since), else the installed version of Serin."""
    checkout = Path(__file__).resolve().parent.parent
    # An installed Serin may lie inside somebody else's repository, whose revision says nothing of it.
    if not (checkout / ".git").exists():
        return f"serin {version('serin')}"
    try:
        described = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return f"serin {version('serin')}"
    return described.stdout.strip()
