"""The figures of the report, and the scenario and parameters that some of them show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simstudy import plots
from simstudy.plots.frames import coverage_rows, in_facet, levels
from simstudy.report.selection import WORST, chosen_scenarios, most_faults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ZIPS = 4
"""Parameters whose zip plots are shown."""


def figures(
    table: pd.DataFrame,
    performance: pd.DataFrame,
    verdicts: pd.DataFrame,
    costs: pd.DataFrame | None,
    level: float,
) -> Iterator[tuple[str, Figure]]:
    """Draw the figures for which there are numbers."""
    known = set(performance["measure"][np.isfinite(performance["value"])])
    some = chosen_scenarios(verdicts, WORST)
    if "cover" in known:
        yield "coverage", plots.coverage(performance, level, some)
        if len(some) < len(levels(verdicts["scenario"])):
            yield "nested_loop", plots.nested_loop(performance, "cover", level)
    if {"relerror", "empse"} <= known:
        yield "model_se_against_empirical_se", plots.model_se_against_empirical_se(performance)
    if {"seratio_p05", "seratio_median", "seratio_p95"} <= known:
        yield "se_ratio", plots.se_ratio(performance, some)
    worst = str(most_faults(verdicts, ["scenario"])[0][0])
    if {"lower", "upper"} <= set(table.columns) and len(table):
        facets = most_faults(verdicts[verdicts["scenario"] == worst], ["estimator", "parameter"])
        own = [in_facet(table, facet) for facet in facets[:ZIPS]]
        shown = np.logical_or.reduce(own)
        note = f"{ZIPS} of {len(facets)} parameters: those with the most faults"
        note = note if len(facets) > ZIPS else ""
        yield "zip_plot", plots.zip_plot(table[shown], level, worst, note)
        yield "pit_ecdf", plots.pit_ecdf(table[own[0]], level, worst)
    if costs is not None and "cover" in known and (costs["seconds"] > 0).any():
        yield "cost", plots.cost(_priced(performance, costs, worst), level)


def _priced(performance: pd.DataFrame, costs: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Put the seconds of every method of one scenario beside its coverage."""
    keys = ["scenario", "estimator", "method"]
    names = {"value": "cover", "low": "lower", "high": "upper"}
    rows = coverage_rows(performance[performance["scenario"] == scenario]).rename(columns=names)
    return rows.merge(costs[[*keys, "seconds"]], on=keys)
