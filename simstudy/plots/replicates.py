"""Figures of estimates and standard errors, replicate by replicate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simstudy.evidence.measures import relative
from simstudy.plots.frames import (
    CASE,
    levels,
    one_scenario,
    rows_of,
)
from simstudy.plots.names import (
    facet_labels,
    inches,
    scenario_labels,
)
from simstudy.plots.panels import (
    Floats,
    draw_dots,
    evenly_spaced,
    panels_of,
    put_number,
    shared_limits,
)
from simstudy.plots.sheet import (
    BLUE,
    GRID,
    INK,
    VERMILLION,
    finished,
    name_rows,
    new_sheet,
    title_panel,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def se_against_estimate(table: pd.DataFrame, scenario: str | None = None) -> Figure:
    """Draw the standard error of each replicate against its estimate, in one scenario.

    The slope is what `corr` measures: where the standard error grows with the estimate, one
    tail of the intervals misses more often than the other. Where the truth differs by replicate,
    estimates are moved as if each had the mean truth (`simstudy.evidence.measures.relative`). A
    panel shows at most 250 replicates, evenly spaced; marks at the upper edge lie beyond it.

    Parameters
    ----------
    table : DataFrame
        The table.
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
        ["se"],
        title=f"Standard error against estimate: {name}",
        legend=[("one replicate", BLUE, "o"), ("empirical SE", INK, "_"), ("truth", INK, "|")],
    )
    for block in blocks:
        block = [(axes, _of_one_truth(own)) for axes, own in block]
        across = shared_limits([(own["estimate"], own["estimate"]) for _, own in block])
        top = shared_limits([(own["se"], own["se"]) for _, own in block])[1]
        for axes, own in block:
            axes.set(xlim=across, ylim=(0, top))
            estimate, se = own["estimate"].to_numpy(float), own["se"].to_numpy(float)
            for truth in own["truth"].dropna().iloc[:1]:
                axes.axvline(truth, color=INK, linewidth=0.7)
            if len(own) > 1:
                axes.axhline(float(np.std(estimate, ddof=1)), color=INK, linewidth=0.7)
            if len(own) > 1 and min(np.ptp(se), np.ptp(estimate)) > 0:
                put_number(axes, f"corr {np.corrcoef(estimate, se)[0, 1]:.2f}", 0.86)
            draw_dots(axes, estimate, se.clip(max=0.985 * top))
    return finished(sheet, "estimate", "standard error")


def bland_altman(table: pd.DataFrame, method: str, reference: str = "observed") -> Figure:
    """Draw the agreement of two methods' standard errors, replicate by replicate.

    Bland & Altman (1986, Lancet 327:307) on the logarithmic scale, where standard errors live:
    the ratio against the geometric mean, with the mean ratio and the limits of agreement (mean
    plus and minus 1.96 standard deviations of the log ratio). Replicates are paired by number; a
    panel shows at most 250 of them.

    Parameters
    ----------
    table : DataFrame
        The table.
    method, reference : str
        The two methods; the ratio is `method` / `reference`.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter.

    Raises
    ------
    ValueError
        If one of the methods has no standard error in the table.
    """
    sides = []
    for name in (method, reference):
        rows = table[(table["method"] == name) & (table["se"] > 0) & np.isfinite(table["se"])]
        if rows.empty:
            known = ", ".join(levels(table["method"]))
            raise ValueError(f"method {name!r} has no standard error; the table holds: {known}")
        sides.append(rows[[*CASE, "replicate", "se"]])
    pairs = sides[0].merge(sides[1], on=[*CASE, "replicate"], suffixes=("", "_reference"))
    pairs["log"] = np.log(pairs["se"] / pairs["se_reference"])
    reach = float(np.clip(1.3 * pairs["log"].abs().quantile(0.99), 0.05, 3.0))
    sheet, blocks = panels_of(
        pairs,
        "scenario",
        ["se"],
        title=f"Standard errors: {method} / {reference}, against their size",
        legend=[("one replicate", BLUE, "o"), ("mean ratio; limits of agreement", INK, "_")],
    )
    for axes, own in (panel for block in blocks for panel in block):
        axes.set(xscale="log", yscale="log", ylim=(math.exp(-reach), math.exp(reach)))
        axes.axhline(1, color=GRID, linewidth=0.8)
        log = own["log"].to_numpy(float)
        size = np.sqrt((own["se"] * own["se_reference"]).to_numpy(float))
        draw_dots(axes, size, np.exp(log.clip(-0.98 * reach, 0.98 * reach)))
        if len(own) > 1:
            middle, width = float(log.mean()), 1.96 * float(log.std(ddof=1))
            axes.axhline(math.exp(middle), color=INK, linewidth=0.9)
            for end in (middle - width, middle + width):
                axes.axhline(math.exp(end), color=INK, linewidth=0.8, dashes=(4, 2))
    return finished(sheet, "geometric mean of the two standard errors", "ratio")


def swarm(table: pd.DataFrame) -> Figure:
    """Draw the estimates themselves: one dot per replicate, dodged, around the truth.

    Parameters
    ----------
    table : DataFrame
        The table; one method stands for all of an estimator, because they share its estimates.

    Returns
    -------
    Figure
        One panel per parameter and estimator, one row per scenario with at most 250 dots. The
        bar is the mean error (the bias). Dots at the edge lie beyond it.
    """
    fits = table[np.isfinite(table["estimate"])].drop_duplicates([*CASE, "replicate"])
    labels, facets = scenario_labels(levels(table["scenario"]), 30), facet_labels(table)
    sheet = new_sheet(
        [("", len(facets), 0.36 * len(labels))],
        most=3,
        title="Estimates around the truth",
        legend=[("one replicate", BLUE, "o"), ("mean error", VERMILLION, "|")],
        across=2.8,
        left=0.3 + inches(labels.values()),
    )
    for axes, facet in zip(sheet.blocks[0], facets, strict=True):
        own = rows_of(fits, facet)
        errors = (own["estimate"] - own["truth"]).groupby(own["scenario"].astype(object))
        low, high = errors.quantile(0.005).min(), errors.quantile(0.995).max()
        low, high = (low, high) if low < high else (-1.0, 1.0)
        title_panel(axes, facets[facet])
        axes.set_xlim(low, high)
        axes.axvline(0, color=INK, linewidth=0.7)
        for k, scenario in enumerate(labels):
            if scenario in errors.groups:
                error = errors.get_group(scenario).to_numpy(float)
                x = error[evenly_spaced(error.size, 250)].clip(low, high)
                draw_dots(axes, x, k + 0.42 * _dodge(x, (high - low) / 90))
                axes.vlines(error.mean(), k - 0.4, k + 0.4, color=VERMILLION, linewidth=1.6)
    name_rows(sheet.blocks[0], sheet.columns, labels.values())
    return finished(sheet, "estimate - truth", "")


def _of_one_truth(rows: pd.DataFrame) -> pd.DataFrame:
    """Move estimates and truths as if every replicate had the mean truth, as the measures do."""
    truth = rows["truth"].to_numpy(float)
    moved, shift = relative(rows["estimate"].to_numpy(float), truth)
    return rows.assign(estimate=moved, truth=truth - shift)


def _dodge(x: Floats, width: float) -> Floats:
    """Shift dots sideways by turns, within -1 and 1, so that those in one bin stand apart."""
    bins = np.floor(x / width)
    order = np.argsort(bins, kind="stable")
    _, start, counts = np.unique(bins[order], return_index=True, return_counts=True)
    turn = np.arange(x.size) - np.repeat(start, counts)
    shift = np.empty(x.size)
    shift[order] = (turn + 1) // 2 * np.where(turn % 2, 1, -1)
    return np.asarray(shift / max(float(np.abs(shift).max()), 8.0))
