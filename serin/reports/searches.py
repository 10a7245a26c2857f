"""How a search for parameters went, trial by trial."""

from collections.abc import Mapping, Sequence

import numpy as np

from serin.errors import DataError
from serin.reports.style import COLOURS, canvas, shorten, styled, svg


@styled
def search_history(trials: Mapping[str, Sequence[float | None]], measure: str) -> str:
    """The best value so far by trial, and each trial as a point, by estimator; None where a trial was not finished.

    Raises DataError where no trial of any estimator was.
    """
    found = {name: np.array([np.nan if v is None else v for v in values]) for name, values in trials.items()}
    found = {name: values for name, values in found.items() if not np.isnan(values).all()}
    if not found:
        raise DataError("a figure of a search needs at least one finished trial; found none")
    figure, axes = canvas(9.6, 3.6)
    for (name, values), colour in zip(found.items(), COLOURS * len(found), strict=False):
        number = np.arange(1, len(values) + 1)
        best = np.fmax.accumulate(values)
        axes.step(number, best, where="post", color=colour, linewidth=2, label=f"{shorten(name, 28)} {best[-1]:.4f}")
        axes.plot(number, values, "o", color=colour, markersize=3.5, alpha=0.55)
    finished = sum(int((~np.isnan(values)).sum()) for values in found.values())
    bests = [float(np.nanmax(values)) for values in found.values()]
    lowest = min(float(np.nanquantile(values, 0.25)) for values in found.values())
    # One hopeless trial would press all that matters into a line.
    margin = (max(bests) - lowest or 0.01) * 0.15
    axes.set(xlabel="Trial", ylabel=measure, ylim=(lowest - margin, max(bests) + margin))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1), title="best of")
    axes.set_title(f"{finished:,} finished trials: the lines are the best so far")
    return svg(figure, f"Search history: {', '.join(found)}")
