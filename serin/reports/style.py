"""The one look of all figures, and how a figure becomes text that stands inside an HTML page."""

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe and Ito's colours, told apart by people with any of the usual kinds of colour blindness
# (M. Okabe, K. Ito, "Color Universal Design", 2008), in the order in which series take them.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
BLUE, ORANGE, RED, GREY, INK = COLOURS[0], COLOURS[1], COLOURS[5], "#8a8f98", "#22262e"

_STYLE: dict[Any, Any] = {
    # Text stays text: it can be searched and read aloud, and a figure has a tenth of the size.
    "svg.fonttype": "none",
    # Equal input gives equal text.
    "svg.hashsalt": "serin",
    # A column's name may hold a dollar sign.
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b9bec7",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8ec",
    "xtick.color": "#555b66",
    "ytick.color": "#555b66",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
}


def styled(draw: Callable[P, str]) -> Callable[P, str]:
    """Give what `draw` makes the house style; matplotlib reads its settings whenever a part is made."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return inside


def canvas(width: float, height: float, **subplots: Any) -> tuple["Figure", Any]:
    """A figure of width x height inches and its axes, without pyplot's global list of figures."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(**subplots)


def svg(figure: "Figure", description: str) -> str:
    """The figure as one `<svg>` element for an HTML page; `description` is read to those who can't see it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    # Names such as axes_1 would be given again by every figure of a page, and nothing refers to them.
    text = re.sub(r' id="[a-z0-9A-Z.]+_[0-9]+"', "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1).strip()


def shorten(text: str, length: int) -> str:
    """`text`, or its beginning and an ellipsis, in at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _attribute(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;")
