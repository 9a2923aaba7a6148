"""Figures of the intervals of one scenario: which of them miss, and at which levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simstudy.evidence.bands import ecdf_bands
from simstudy.evidence.calibration import pit
from simstudy.evidence.montecarlo import share
from simstudy.plots.frames import (
    one_scenario,
)
from simstudy.plots.panels import (
    Floats,
    evenly_spaced,
    panels_of,
    put_number,
    shared_limits,
)
from simstudy.plots.sheet import (
    BLUE,
    GRID,
    INK,
    PAPER,
    VERMILLION,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def zip_plot(
    table: pd.DataFrame, level: float = 0.95, scenario: str | None = None, note: str = ""
) -> Figure:
    """Draw the intervals of one scenario, sorted so that those that miss are on top.

    The zip plot of Morris, White & Crowther (2019, Statistics in Medicine 38:2074, figure 6).
    Intervals are ranked by how far the truth is from the estimate, in units of the interval's own
    arm on that side, so the zip closes exactly at the coverage. A panel shows at most 100 of them,
    evenly spaced in rank.

    Parameters
    ----------
    table : DataFrame
        The table.
    level : float
        Nominal level of the intervals, a proportion.
    scenario : str, optional
        Key of the scenario; the first of the table by default.
    note : str
        What the legend says besides, such as that not all parameters are shown.

    Returns
    -------
    Figure
        One panel per method, one block of panels per parameter.

    Raises
    ------
    ValueError
        If the table holds no such scenario.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from simstudy.plots import zip_plot
    >>> estimate = np.linspace(-2.5, 2.5, 40)
    >>> table = pd.DataFrame({
    ...     "scenario": "normal n=1", "replicate": range(40), "estimator": "ml",
    ...     "method": "observed", "parameter": "mu", "truth": 0.0, "estimate": estimate,
    ...     "se": 1.0, "lower": estimate - 1.96, "upper": estimate + 1.96, "status": "ok"})
    >>> len(zip_plot(table).axes)
    1
    """
    rows, name = one_scenario(table, scenario)
    rows = rows.assign(low=rows["lower"] - rows["truth"], high=rows["upper"] - rows["truth"])
    sheet, blocks = panels_of(
        rows,
        "method",
        ["lower", "upper", "truth"],
        title=f"Zip plot: {name}",
        legend=[("interval contains the truth", BLUE, "_"), ("misses it", VERMILLION, "_"),
                ("Monte Carlo interval of the coverage", GRID, "s"),
                *([(note, PAPER, "_")] if note else [])],
    )  # fmt: skip
    for block in blocks:
        limits = shared_limits([(own["low"], own["high"]) for _, own in block])
        for axes, own in block:
            axes.set(xlim=limits, ylim=(0, 100), yticks=[0, 50, 100 * level])
            axes.axvline(0, color=INK, linewidth=0.7)
            _draw_zip(axes, own, limits)
    return finished(sheet, "distance of the interval's ends from the truth", "centile of the rank")


def pit_ecdf(table: pd.DataFrame, level: float = 0.95, scenario: str | None = None) -> Figure:
    """Draw the calibration of each method at all levels at once, in one scenario.

    The probability integral transform of the interval's pivot (see
    `simstudy.evidence.calibration.pit`) is uniform over replicates when the method is right.
    Methods whose intervals do not tell those of other levels (neither symmetric on a known scale,
    nor by a known distribution: percentile, profile, one-sided ones) have an empty panel that says
    so. Drawn is the empirical distribution function minus the uniform one, with bands that hold
    everywhere at once with probability 95 % (Sailynoja, Burkner & Vehtari 2022, Statistics and
    Computing 32:32).

    Parameters
    ----------
    table : DataFrame
        The table.
    level : float
        Nominal level of the intervals, a proportion.
    scenario : str, optional
        Key of the scenario; the first of the table by default.

    Returns
    -------
    Figure
        One panel per method, one block of panels per parameter.

    Raises
    ------
    ValueError
        If the table holds no such scenario.
    """
    rows, name = one_scenario(table, scenario)
    sheet, blocks = panels_of(
        rows,
        "method",
        ["lower", "upper"],
        title=f"Calibration at all levels: {name}",
        legend=[("inside the bands", BLUE, "_"), ("leaves them (dashed)", VERMILLION, "_"),
                ("95 % simultaneous bands", GRID, "s")],
    )  # fmt: skip
    for axes, own in (panel for block in blocks for panel in block):
        axes.set(xlim=(0, 1), ylim=(-0.16, 0.16))
        axes.axhline(0, color=INK, linewidth=0.7)
        names = {"estimate", "se", "truth", "df", "lower", "upper"} & {*own}
        columns: dict[str, Any] = {name: own[name].to_numpy(float) for name in names}
        transform = pit(**columns, level=level)
        transform = np.sort(transform[~np.isnan(transform)])
        if not transform.size:
            # one level's limits do not tell those of others
            put_number(axes, "not known at other levels" if len(own) else "no interval", 0.02)
        else:
            bands = ecdf_bands(transform.size, points=50)
            points, low, high = bands.at, bands.lower, bands.upper
            ecdf = np.searchsorted(transform, points, side="right") / transform.size
            inside = bool(((ecdf >= low) & (ecdf <= high)).all())
            axes.fill_between(points, low - points, high - points, color=GRID, linewidth=0)
            axes.plot(
                points,
                (ecdf - points).clip(-0.157, 0.157),
                color=BLUE if inside else VERMILLION,
                linewidth=1.2,
                linestyle="-" if inside else (0, (5, 1)),
            )
    return finished(sheet, "probability integral transform", "ECDF minus uniform")


def _pivots(rows: pd.DataFrame) -> Floats:
    """Divide estimate - truth by the interval's arm on the side of the truth."""
    estimate, truth = rows["estimate"].to_numpy(float), rows["truth"].to_numpy(float)
    lower, upper = rows["lower"].to_numpy(float), rows["upper"].to_numpy(float)
    arm = np.where(estimate < truth, upper - estimate, estimate - lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(estimate == truth, 0.0, (estimate - truth) / arm)


def _draw_zip(axes: Axes, own: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Draw the intervals of one method, ranked, and say their coverage."""
    n = len(own)
    low, high = own["low"].to_numpy(float), own["high"].to_numpy(float)
    covers = (low <= 0) & (high >= 0)
    if not n:
        put_number(axes, "no answer", 0.02)
        return
    ends = share(covers)
    axes.axhspan(100 * ends.lower, 100 * ends.upper, color=GRID, zorder=0, linewidth=0)
    keep = evenly_spaced(n, 100)
    at = np.argsort(np.abs(_pivots(own)), kind="stable")[keep]
    sides = np.column_stack([low, high]).clip(*(1.2 * np.array(limits)))
    for covered, color in ((True, BLUE), (False, VERMILLION)):
        chosen = covers[at] == covered
        x = np.column_stack([sides[at[chosen]], np.full(chosen.sum(), np.nan)])
        y = np.repeat(100 * (keep[chosen] + 0.5) / n, 3)
        axes.plot(x.ravel(), y, color=color, linewidth=0.7, zorder=2)
    put_number(axes, f"{100 * covers.mean():.1f} % of {n:,}", 0.02)
