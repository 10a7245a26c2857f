"""One self-contained HTML page from plain data: tiles, and sections of text, tables, figures, timelines, links.

The page loads nothing from elsewhere and runs no script, so it can be mailed, kept with a run and opened anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad"]


@dataclass(frozen=True)
class Tile:
    """One number or word that sums something up."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Text:
    """A paragraph; a tone sets it off as a notice."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Table:
    """Rows of cells; a column with numbers stands to the right. Where the digits matter, give text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds a number."""
        places = range(len(self.columns))
        return tuple(any(isinstance(row[place], int | float) for row in self.rows) for place in places)


@dataclass(frozen=True)
class Figure:
    """A drawing of serin.reports.plots or .timelines; its markup enters the page as it stands."""

    svg: str
    caption: str = ""
    narrow: bool = False

    def __post_init__(self) -> None:
        if not self.svg.startswith("<svg"):
            raise ValueError(f"a figure is one <svg> element; found {self.svg[:40]!r}")


@dataclass(frozen=True)
class Moment:
    """An entry of a timeline: when (as it is to be read), what, and more about it."""

    when: str
    what: str
    detail: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Timeline:
    """What happened, in order."""

    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Link:
    """A link to another page; `href` is relative to this one."""

    text: str
    href: str
    note: str = ""


@dataclass(frozen=True)
class Links:
    """Where to read on."""

    links: tuple[Link, ...]


Part = Text | Table | Figure | Timeline | Links


@dataclass(frozen=True)
class Section:
    """A heading, which the table of contents lists, and what stands under it."""

    title: str
    parts: tuple[Part, ...]


def render(title: str, sections: Sequence[Section], *, subtitle: str = "", tiles: Sequence[Tile] = ()) -> str:
    """The page as HTML text. Everything but the figures is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["kind"] = lambda part: type(part).__name__
    template = environment.get_template("page.html.j2")
    return template.render(title=title, subtitle=subtitle, tiles=tiles, sections=sections)


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
