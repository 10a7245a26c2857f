"""Values with their intervals, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serin.errors import DataError
from serin.reports.style import COLOURS, GREY, INK, canvas, shorten, styled, svg

# A column, and both ends of a part of its values.
MOST_LETTERS = 56

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Range:
    """A value and the interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.shown()

    def shown(self, form: str = ".4f") -> str:
        """`0.7130 [0.6900, 0.7350]`, in which no line is broken."""
        spaced = f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"
        return spaced.replace(" ", "\N{NO-BREAK SPACE}")


@dataclass(frozen=True)
class Line:
    """What is drawn in one line of a figure: ranges by series; a line without any says why in `note`."""

    label: str
    ranges: Mapping[str, Range]
    note: str = ""


@styled
def estimates(lines: Sequence[Line], measure: str, title: str, *, at: float | None = None) -> str:
    """One line a thing, each series as a point with its interval; `measure` names the axis, `at` draws a limit.

    Raises DataError where there is no line.
    """
    if not lines:
        raise DataError("a figure of estimates needs at least one line; found none")
    series = list(dict.fromkeys(name for line in lines for name in line.ranges))
    figure, axes = canvas(9.6, 1.4 + 0.36 * len(lines) * (1 + 0.35 * (len(series) > 1)))
    for number, (name, colour) in enumerate(zip(series, COLOURS * len(series), strict=False)):
        shift = 0.0 if len(series) == 1 else (number - (len(series) - 1) / 2) * 0.3
        for place, line in enumerate(lines):
            if name not in line.ranges:
                continue
            found, height = line.ranges[name], place + shift
            label = shorten(name, 28) if not any(name in earlier.ranges for earlier in lines[:place]) else None
            axes.plot([found.low, found.high], [height, height], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(found.value, height, "o", color=colour, markersize=6, label=label)
    _notes(axes, lines)
    if at is not None:
        axes.axvline(at, color=INK if at == 0 else GREY, linewidth=1, linestyle=":")
    axes.set(ylim=(len(lines) - 0.4, -0.6), xlabel=measure)
    axes.set_yticks(range(len(lines)), [shorten(line.label, MOST_LETTERS) for line in lines])
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
    if len(series) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1))
    return svg(figure, f"{title}: {measure} of {', '.join(line.label for line in lines)}")


def _notes(axes: "Axes", lines: Sequence[Line]) -> None:
    """What stands in place of a point, at the left end of its line."""
    for place, line in enumerate(lines):
        if not line.ranges and line.note:
            where = axes.get_yaxis_transform()
            axes.text(0.01, place, shorten(line.note, 60), transform=where, color=GREY, fontsize=9, va="center")
