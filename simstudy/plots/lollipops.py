"""Figures with one row per method: its measure as a dot on a stem, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from simstudy.plots.frames import (
    CASE,
    coverage_rows,
    levels,
    measure_rows,
    positive_ends,
    rows_of,
)
from simstudy.plots.names import (
    drawable,
    facet_labels,
    inches,
    scenario_labels,
    unique_labels,
)
from simstudy.plots.panels import (
    Floats,
    put_note,
)
from simstudy.plots.sheet import (
    BAND,
    GAP,
    INK,
    MUTED,
    STATES,
    finished,
    name_rows,
    new_sheet,
    panels_in_a_row,
    title_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Design(NamedTuple):
    """What the panels of a figure share: a line to compare with, a band, the axis."""

    reference: float
    band: tuple[float, float]
    limits: tuple[float, float]
    scale: str = "linear"


def _around(level: float) -> _Design:
    """Return the panels of coverage, with the band of Bradley's liberal criterion."""
    miss = 1 - level
    return _Design(level, (level - miss / 2, level + miss / 2), (max(0.0, level - 5 * miss), 1.0))


def coverage(
    performance: pd.DataFrame, level: float = 0.95, scenarios: Sequence[str] | None = None
) -> Figure:
    """Draw the coverage of every method in every scenario, with its Monte Carlo interval.

    A lollipop per method: the stem starts at the nominal level, the dot is the coverage, the
    thick line its interval (Wilson's, as the performance frame has it). The mark says whether
    that interval contains the nominal level. The band is the liberal criterion of Bradley (1978,
    British Journal of Mathematical and Statistical Psychology 31:144): the miss rate within half
    of itself, .925 to .975 at 95 %. Where so many replicates have no answer that the verdict is
    "unstable", the number of those that have one stands instead.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; the measure `cover` is used, and `fail` where there is one.
    level : float
        Nominal level of the intervals, a proportion.
    scenarios : sequence of str, optional
        Keys of the scenarios to show, in this order; all by default.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter, one row per method.

    Raises
    ------
    ValueError
        If the frame holds no measure `cover`.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.plots import coverage
    >>> frame = pd.DataFrame({
    ...     "scenario": "normal n=10", "estimator": "ml", "parameter": "mu",
    ...     "method": ["observed", "opg"], "measure": "cover",
    ...     "value": [0.905, 0.950], "mcse": [0.009, 0.007],
    ...     "lower": [0.885, 0.935], "upper": [0.922, 0.963], "n": [1000, 1000]})
    >>> len(coverage(frame, level=0.95).axes)
    1
    """
    design = _around(level)
    return _lollipops(
        _compared(coverage_rows(performance), level),
        scenarios,
        design,
        title=f"Coverage of {100 * level:g} % intervals",
        axis="coverage, with its Monte Carlo interval; band: {:g} to {:g}".format(*design.band),
        states=(f"Monte Carlo interval contains {level:g}", "lies below it", "lies above it"),
    )


def se_ratio(performance: pd.DataFrame, scenarios: Sequence[str] | None = None) -> Figure:
    """Draw each method's standard error divided by the exact one at the same fit.

    The bar runs from the 5 % to the 95 % quantile over replicates, the mark is the median, on a
    logarithmic axis. What is wrong here is numerical error, before any statistics.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; `seratio_p05`, `seratio_median` and `seratio_p95` are used.
    scenarios : sequence of str, optional
        Keys of the scenarios to show, in this order; all by default.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter, one row per method.

    Raises
    ------
    ValueError
        If the frame lacks one of the three measures.
    """
    rows = measure_rows(performance, "seratio_median").drop(columns=["low", "high"])
    for name, measure in (("low", "seratio_p05"), ("high", "seratio_p95")):
        ends = measure_rows(performance, measure)[[*CASE, "method", "value"]]
        rows = rows.merge(ends.rename(columns={"value": name}), on=[*CASE, "method"], how="left")
    rows["state"] = np.select([rows["value"] < 0.99, rows["value"] > 1.01], [1, 2], 0)
    low, high = positive_ends(rows, (0.1, 0.8), (1.25, 10.0))
    return _lollipops(
        rows,
        scenarios,
        _Design(1.0, (0.99, 1.01), (low * 0.95, high * 1.05), "log"),
        title="Standard error of the method / exact standard error at the same fit",
        axis="ratio: 5 % quantile, median and 95 % quantile over replicates",
        states=("median within 1 %", "below", "above"),
    )


def cost(frame: pd.DataFrame, level: float = 0.95) -> Figure:
    """Draw what each method costs beside what it is worth: seconds and coverage.

    Parameters
    ----------
    frame : DataFrame
        One row per method: `method`, `seconds` (per replicate), `cover`, and the Monte Carlo
        interval of the coverage, `lower` and `upper`. With the columns `estimator` and
        `parameter`, one row for each of these; a column `note` stands where a coverage is nan.
    level : float
        Nominal level of the intervals, a proportion.

    Returns
    -------
    Figure
        One row per method, the cheapest on top; a panel of seconds, and one of coverage for each
        parameter; one block of panels per estimator.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    missing = {"method", "seconds", "cover", "lower", "upper"} - set(frame.columns)
    if missing:
        raise ValueError(f"the frame has no column {', '.join(sorted(missing))}; it needs them all")
    rows = pd.DataFrame({"estimator": "", "parameter": "", **dict(frame.items())}, frame.index)
    rows = rows.rename(columns={"cover": "value", "lower": "low", "upper": "high"})
    rows = _compared(rows.sort_values("seconds", kind="stable"), level)
    names = unique_labels(levels(rows["method"]), 40)
    parts = {name: rows[rows["estimator"] == name] for name in levels(rows["estimator"])}
    left = 0.3 + inches(names.values())
    columns = panels_in_a_row(1 + max(part["parameter"].nunique() for part in parts.values()), 6)
    sheet = new_sheet(
        [
            (
                name if len(parts) > 1 else "",
                1 + part["parameter"].nunique(),
                0.165 * part["method"].nunique() + 0.08,
            )
            for name, part in parts.items()
        ],
        most=6,
        title=f"Cost, and coverage of {100 * level:g} % intervals",
        legend=[(f"coverage agrees with {level:g}", *STATES[0]), ("below", *STATES[1]),
                ("above", *STATES[2])],
        across=min(2.9, (10.85 - left + GAP) / columns - GAP),
        left=left,
        bottom=0.35,
    )  # fmt: skip
    for block, part in zip(sheet.blocks, parts.values(), strict=True):
        methods = levels(part["method"])
        _draw_seconds(block[0], part.drop_duplicates("method")["seconds"].to_numpy(float))
        for axes, parameter in zip(block[1:], levels(part["parameter"]), strict=True):
            own = part[part["parameter"] == parameter].set_index("method").reindex(methods)
            _draw(axes, own, _around(level))
            title_panel(axes, drawable(f"coverage, {parameter}" if parameter else "coverage", 26))
        name_rows(block, sheet.columns, [names[method] for method in methods])
    return finished(sheet, "", "")


def _lollipops(
    rows: pd.DataFrame,
    scenarios: Sequence[str] | None,
    design: _Design,
    *,
    title: str,
    axis: str,
    states: tuple[str, str, str],
) -> Figure:
    """Draw one row per method, one panel per scenario, one block per facet."""
    facets, names = facet_labels(rows), unique_labels(levels(rows["method"]), 34)
    heads = scenario_labels(levels(rows["scenario"]), 24)  # told apart from those not shown too
    chosen = [*heads] if scenarios is None else list(scenarios)
    rows = rows[rows["scenario"].isin(chosen)]
    parts = [rows_of(rows, facet) for facet in facets]
    left, columns = 0.3 + inches(names.values()), panels_in_a_row(len(chosen), 6)
    sheet = new_sheet(
        [
            (name, part["scenario"].nunique(), 0.165 * part["method"].nunique() + 0.08)
            for name, part in zip(facets.values(), parts, strict=True)
        ],
        most=6,
        title=title,
        legend=[(text, *mark) for text, mark in zip(states, STATES, strict=True)],
        across=min(2.6, (10.85 - left + GAP) / columns - GAP),
        left=left,
    )
    for block, part in zip(sheet.blocks, parts, strict=True):
        methods = levels(part["method"])
        groups = dict(list(part.groupby("scenario")))
        for axes, scenario in zip(block, (key for key in chosen if key in groups), strict=True):
            title_panel(axes, heads[scenario])
            _draw(axes, groups[scenario].set_index("method").reindex(methods), design)
        name_rows(block, columns, [names[method] for method in methods])
    return finished(sheet, axis, "")


def _compared(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """Add whether an interval contains the level (0), lies below (1) or above it (2)."""
    return rows.assign(state=np.select([rows["high"] < level, rows["low"] > level], [1, 2], 0))


def _draw(axes: Axes, rows: pd.DataFrame, design: _Design) -> None:
    """Draw rows with value, low, high and state; what cannot be shown is written at the edge."""
    reference, band, limits, scale = design
    axes.set(xscale=scale, xlim=limits)
    axes.axvspan(*band, color=BAND, zorder=0, linewidth=0)
    axes.axvline(reference, color=INK, linewidth=0.7, zorder=1)
    value, low, high, state = rows[["value", "low", "high", "state"]].to_numpy(float).T
    notes = rows.get("note", pd.Series(pd.NA, rows.index)).fillna("no answer")
    seen, y = value.clip(*limits), np.arange(len(rows))
    known = np.isfinite(value)
    colors = [STATES[int(k)][0] for k in state[known]]
    axes.hlines(y[known], reference, seen[known], color=colors, linewidth=0.6, alpha=0.6)
    ends = (end.clip(*limits)[known] for end in (low, high))
    axes.hlines(y[known], *ends, color=colors, linewidth=2)
    for k, (color, marker) in enumerate(STATES):
        for mark, side in ((marker, seen == value), ("<", seen > value), (">", seen < value)):
            at = side & (state == k)
            if at.any():
                axes.plot(seen[at], y[at], mark, color=color, markersize=4, clip_on=False)
    for at in np.flatnonzero(known & (seen != value)):
        shift = 5 if seen[at] > value[at] else -5
        put_note(axes, seen[at], y[at], f"{value[at]:.3g}", STATES[int(state[at])][0], (shift, 3.5))
    for at in np.flatnonzero(~known):
        put_note(axes, limits[0], float(at), str(notes.iloc[at]), MUTED, (3, 0))


def _draw_seconds(axes: Axes, seconds: Floats) -> None:
    """Draw the seconds of methods, one below the other; no time at all is written."""
    title_panel(axes, "seconds per replicate")
    timed = seconds > 0
    axes.set_xscale("log")
    axes.plot(seconds[timed], np.flatnonzero(timed), "o", color=INK, markersize=4)
    for at in np.flatnonzero(~timed):
        put_note(axes, axes.get_xlim()[0], float(at), "not timed", MUTED, (3, 0))
