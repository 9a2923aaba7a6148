"""Figures of measures over scenarios: model SE against empirical SE, and the nested loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simstudy.plots.frames import (
    CASE,
    factors_of,
    levels,
    measure_rows,
    positive_ends,
    rows_of,
)
from simstudy.plots.names import (
    TEXT,
    drawable,
    facet_labels,
    inches,
    unique_labels,
)
from simstudy.plots.sheet import (
    BAND,
    CYCLE,
    DASHES,
    GRID,
    INK,
    MARKERS,
    MUTED,
    finished,
    new_sheet,
    put_legend,
    title_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def model_se_against_empirical_se(performance: pd.DataFrame) -> Figure:
    """Draw the standard error that a method reports against the spread that really occurred.

    The ratio of the two (`modelse` / `empse`) is drawn over the empirical SE: the diagonal of the
    plain scatter plot lies flat, and errors of a few percent can be seen. The lines are the Monte
    Carlo intervals of `relerror`. Marks at the edge of a panel lie beyond it.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; `empse` and `relerror` are used.

    Returns
    -------
    Figure
        One panel per method, one mark per scenario and parameter.

    Raises
    ------
    ValueError
        If the frame lacks one of the two measures.
    """
    rows = measure_rows(performance, "relerror")
    rows[["value", "low", "high"]] = 1 + rows[["value", "low", "high"]] / 100
    spread = measure_rows(performance, "empse")[[*CASE, "method", "value"]]
    rows = rows.merge(spread.rename(columns={"value": "empse"}), on=[*CASE, "method"])
    rows = rows[np.isfinite(rows["value"]) & (rows["empse"] > 0)]
    low, high = positive_ends(rows, (0.6, 0.85), (1.18, 1.7))
    heads, names = unique_labels(levels(performance["method"]), 24), facet_labels(performance)
    styles = [(CYCLE[k % 7], MARKERS[k % 7]) for k in range(len(names))]
    legend = [(name, *style) for name, style in zip(names.values(), styles, strict=True)]
    sheet = new_sheet(
        [("", len(heads), 1.35)],
        most=5,
        title="Model SE / empirical SE, against the empirical SE",
        legend=[*legend, ("within 10 %", BAND, "s")],
        across=1.72,
    )
    for axes, method in zip(sheet.blocks[0], heads, strict=True):
        title_panel(axes, heads[method])
        axes.set(xscale="log", yscale="log", ylim=(low * 0.94, high * 1.06))
        if len(rows):
            axes.set_xlim(rows["empse"].min() / 1.25, rows["empse"].max() * 1.25)
        axes.axhspan(0.9, 1.1, color=BAND, zorder=0, linewidth=0)
        axes.axhline(1, color=INK, linewidth=0.7)
        own = rows[rows["method"] == method]
        for facet, (color, marker) in zip(names, styles, strict=True):
            points = rows_of(own, facet)
            x = points["empse"]
            ends = points[["low", "high"]].clip(low * 0.94, high * 1.06)
            axes.vlines(x, ends["low"], ends["high"], color=color, linewidth=0.9)
            y = points["value"].clip(low * 0.97, high * 1.03)
            axes.plot(x, y, marker, color=color, markersize=3.4)
    return finished(sheet, "empirical SE", "model SE / empirical SE")


def nested_loop(
    performance: pd.DataFrame, measure: str = "cover", reference: float | None = None
) -> Figure:
    """Draw one measure over all scenarios as steps, with the factors' levels underneath.

    The nested loop plot of Rucker & Schwarzer (2014, BMC Medical Research Methodology 14:129);
    scenarios stand in the order of the study.

    Parameters
    ----------
    performance : DataFrame
        The performance frame.
    measure : str
        Name of the measure.
    reference : float, optional
        A value to compare with, such as the nominal level.

    Returns
    -------
    Figure
        One panel per parameter, one line per method.

    Raises
    ------
    ValueError
        If the frame holds no such measure.
    """
    rows = measure_rows(performance, measure)
    scenarios, names, facets = levels(rows["scenario"]), levels(rows["method"]), facet_labels(rows)
    factors, labels = factors_of(scenarios), unique_labels(names, 34)
    right = 0.55 + inches(labels.values())
    below, tall = 0.2 + 0.3 * max(len(factors), 1), max(1.9, 0.135 * len(names) + 0.3)
    sheet = new_sheet(
        [(name, 1, tall) for name in facets.values()],
        most=1,
        title=f"{measure} over all scenarios",
        across=10.25 - right,
        right=right,
        bottom=below,
        gap=below,
    )
    for (axes,), facet in zip(sheet.blocks, facets, strict=True):
        own = rows_of(rows, facet)
        axes.set(xlim=(0, len(scenarios)), xticks=[])
        if reference is not None:
            axes.axhline(reference, color=INK, linewidth=0.7)
        for method, values in own.set_index("scenario").groupby("method", sort=False)["value"]:
            k = names.index(str(method))
            axes.stairs(
                values.reindex(scenarios).to_numpy(float),
                color=CYCLE[k % 7],
                linestyle=DASHES[k // 7 % 3],
                linewidth=1.2,
                baseline=None,
                label=labels[str(method)],
            )
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        put_legend(axes, 1, (1.01, 1.03), handlelength=2.4, labelspacing=0.25)
        _draw_factors(axes, factors, len(scenarios), tall)
    return finished(sheet, "", measure)


def _draw_factors(axes: Axes, factors: dict[str, list[str]], count: int, tall: float) -> None:
    """Draw the levels of each factor as steps under a panel `tall` inches high."""
    from matplotlib.transforms import blended_transform_factory

    place: Any = blended_transform_factory(axes.transData, axes.transAxes)
    for k, (factor, values) in enumerate(factors.items()):
        levels = list(dict.fromkeys(values))
        base, rise = -(0.3 * k + 0.3) / tall, 0.12 / tall / max(len(levels) - 1, 1)
        steps = np.array([base + rise * levels.index(value) for value in values])
        axes.stairs(
            steps, np.arange(count + 1), baseline=None, transform=place, clip_on=False,
            color=MUTED, linewidth=0.9,
        )  # fmt: skip
        axes.text(
            0, base + 0.14 / tall, drawable(f"{factor}: {', '.join(levels)}", 90), transform=place,
            fontsize=TEXT - 1.5, color=MUTED, va="bottom",
        )  # fmt: skip
