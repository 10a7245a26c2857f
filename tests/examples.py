"""How many examples a hypothesis test makes up.

`make test` makes up the same ones in every run (the profile `ci`, in setup.cfg): what a commit's tests say does not
depend on luck. `make fuzz` makes up new ones, and SERIN_FUZZ times as many.
"""

import os

from hypothesis import settings

TIMES = int(os.environ.get("SERIN_FUZZ", "1"))


def examples(count: int) -> settings:
    """Make up so many; keep no file beside the tests, and have no opinion on a busy machine."""
    return settings(max_examples=count * TIMES, deadline=None, database=None, print_blob=True)
