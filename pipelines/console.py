"""What commands print: for people on the terminal, or one JSON document for programs."""

import io
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console as Rich
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from pipelines.titles import TITLES
from serin.progress import Progress, heard

_WORTH_A_LINE = 0.1  # seconds


class Console:
    """Prints to people; with `as_json` it keeps quiet until `result`."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        # Progress belongs on stderr when stdout carries JSON. The stream is held, since a pipeline run redirects
        # sys.stdout to its log.
        self._out = sys.stdout
        self._rich = Rich(file=sys.stderr if as_json else self._out, highlight=False, soft_wrap=True)
        self._spinner: Status | None = None

    def say(self, text: str = "") -> None:
        """A line; square brackets in it are text."""
        self._rich.print(escape(text))

    def title(self, text: str) -> None:
        """A line that starts a part."""
        self._rich.print(f"[bold]{escape(text)}[/bold]")

    def good(self, text: str) -> None:
        """A line that says that something went well."""
        self._rich.print(f"[green]✓[/green] {escape(text)}")

    def bad(self, text: str) -> None:
        """A line that says that something did not."""
        self._rich.print(f"[red]✗[/red] {escape(text)}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
        """A small table."""
        table = Table(*map(escape, columns), title=escape(title) or None, title_justify="left")
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self._rich.print(table)

    def next(self, *commands: str) -> None:
        """What to do now."""
        for command in commands:
            self._rich.print(f"[dim]next:[/dim] {escape(command)}")

    def result(self, data: Mapping[str, Any]) -> None:
        """The command's result for programs; printed only with --json."""
        if self.as_json:
            json.dump(data, self._out, indent=2, default=str)
            self._out.write("\n")

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """What steps say in the block is printed after it; standard output belongs to the result."""
        with redirect_stdout(io.StringIO()) as said:
            yield
        for line in said.getvalue().splitlines():
            if progress := heard(line):
                self.progress(progress)

    def progress(self, event: Progress) -> None:
        """A pipeline run's progress."""
        name = escape(TITLES.get(event.task, event.task))
        if event.event == "started":
            self._spin(name)
        elif event.event == "said":
            self._rich.print(f"    [dim]{escape(event.text)}[/dim]")
        elif event.seconds < _WORTH_A_LINE and event.event == "finished":
            self._spin(None)
        elif event.event == "finished":
            self._spin(None)
            self._rich.print(f"  [green]✓[/green] {name} [dim]{event.seconds:.1f} s[/dim]")
        elif event.event == "failed":
            self._spin(None)
            self._rich.print(f"  [red]✗[/red] {name} [dim]{event.seconds:.1f} s[/dim]")

    def _spin(self, text: str | None) -> None:
        """On a terminal: show that something is going on, or (None) that it is not."""
        if self._spinner:
            self._spinner.stop()
        self._spinner = self._rich.status(escape(text)) if text and self._rich.is_terminal else None
        if self._spinner:
            self._spinner.start()

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """A spinner on a terminal while the block runs, and a line with the seconds after it."""
        start = time.monotonic()
        if self._rich.is_terminal:
            with self._rich.status(escape(text)):
                yield
        else:
            yield
        self._rich.print(f"  [green]✓[/green] {escape(text)} [dim]{time.monotonic() - start:.1f} s[/dim]")
