"""Panels of replicates: one for each method or scenario, and the marks in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simstudy.plots.frames import (
    levels,
    rows_of,
)
from simstudy.plots.names import (
    TEXT,
    facet_labels,
    scenario_labels,
    unique_labels,
)
from simstudy.plots.sheet import (
    BLUE,
    INK,
    PAPER,
    Sheet,
    new_sheet,
    title_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
Panels = list[tuple[Any, pd.DataFrame]]


def panels_of(
    rows: pd.DataFrame, column: str, needs: list[str], **layout: Any
) -> tuple[Sheet, list[Panels]]:
    """Lay out a panel per method or scenario, a block per facet; pair panels with their rows."""
    every, facets = levels(rows[column]), facet_labels(rows)
    heads = unique_labels(every, 26) if column == "method" else scenario_labels(every, 26)
    kinds = [levels(rows_of(rows, facet)[column]) for facet in facets]
    blocks = [(name, len(own), 1.4) for name, own in zip(facets.values(), kinds, strict=True)]
    sheet = new_sheet(blocks, most=5, across=1.8, **layout)
    answered = rows[~rows[needs].isna().any(axis=1)]
    groups = dict(list(answered.groupby(["estimator", "parameter", column], observed=True)))
    paired: list[Panels] = []
    for block, facet, own in zip(sheet.blocks, facets, kinds, strict=True):
        paired.append([])
        for axes, value in zip(block, own, strict=True):
            title_panel(axes, heads[value])
            paired[-1].append((axes, groups.get((*facet, value), answered.iloc[:0])))
    return sheet, paired


def shared_limits(panels: Sequence[tuple[Any, Any]]) -> tuple[float, float]:
    """Find limits that show the typical panel whole: one wild method must not hide the rest."""
    ends = []
    for low, high in panels:
        low, high = low[np.isfinite(low)], high[np.isfinite(high)]
        if len(low) and len(high):
            ends.append((np.quantile(low, 0.02), np.quantile(high, 0.98)))
    if not ends:
        return -1.0, 1.0
    low, high = np.median(ends, axis=0)
    room = 0.08 * (high - low) or 0.5 * abs(high) or 0.5
    return float(low - room), float(high + room)


def draw_dots(axes: Axes, x: Floats, y: Floats) -> None:
    """Draw replicates as small dots, at most 250 of them."""
    keep = evenly_spaced(x.size, 250)
    style: dict[str, Any] = {"markersize": 1.8, "markeredgewidth": 0, "alpha": 0.55}
    axes.plot(x[keep], y[keep], "o", color=BLUE, **style)


def put_note(
    axes: Axes, x: float, y: float, text: str, color: str, shift: tuple[float, float]
) -> None:
    """Write a small note beside a point; `shift` in points."""
    axes.annotate(
        text, (x, y), xytext=shift, textcoords="offset points", fontsize=TEXT - 1.5, color=color,
        ha="left" if shift[0] > 0 else "right", va="center",
    )  # fmt: skip


def put_number(axes: Axes, text: str, height: float) -> None:
    """Write a number at the right edge of a panel."""
    axes.text(
        0.98, height, text, transform=axes.transAxes, fontsize=TEXT - 1, color=INK, ha="right",
        va="bottom", bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
    )  # fmt: skip


def evenly_spaced(count: int, most: int) -> npt.NDArray[np.intp]:
    """Choose at most `most` of `count` positions, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
