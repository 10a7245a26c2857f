"""What reading a table gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


def no_lines() -> pd.DataFrame:
    """No line of a text file that could not be read."""
    return pd.DataFrame(
        {"line": pd.Series(dtype="int64"), "text": pd.Series(dtype=object), "reason": pd.Series(dtype=object)}
    )


@dataclass(frozen=True)
class Table:
    """A user's table as it was read.

    `notes` say in whole sentences what was detected, left out and replaced, with counts. `bad_lines` are the rows of
    a text file that could not be read: the line where each begins (from 1), its text and the reason. `unread` are the
    columns that `frame` lacks because their values can't be read, each with the reason and the way out.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    bad_lines: pd.DataFrame = field(default_factory=no_lines)
    unread: Mapping[str, str] = field(default_factory=dict)


def quoted(text: str) -> str:
    """A text in a message, in quotes and cut to 60 characters."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def counted(count: int, one: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
