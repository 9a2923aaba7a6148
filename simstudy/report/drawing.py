"""The figures of the report, and the scenario and parameters that some of them show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simstudy import plots
from simstudy.plots.frames import in_facet

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
    if "cover" in known:
        yield "coverage", plots.coverage(performance, level)
    if {"relerror", "empse"} <= known:
        yield "model_se_against_empirical_se", plots.model_se_against_empirical_se(performance)
    if {"seratio_p05", "seratio_median", "seratio_p95"} <= known:
        yield "se_ratio", plots.se_ratio(performance)
    worst = str(_most_faults(verdicts, ["scenario"])[0][0])
    if {"lower", "upper"} <= set(table.columns) and len(table):
        facets = _most_faults(verdicts[verdicts["scenario"] == worst], ["estimator", "parameter"])
        own = [in_facet(table, facet) for facet in facets[:ZIPS]]
        some = np.logical_or.reduce(own)
        note = f"{ZIPS} of {len(facets)} parameters: those with the most faults"
        note = note if len(facets) > ZIPS else ""
        yield "zip_plot", plots.zip_plot(table[some], level, worst, note)
        yield "pit_ecdf", plots.pit_ecdf(table[own[0]], level, worst)
    if costs is not None and "cover" in known and (costs["seconds"] > 0).any():
        yield "cost", plots.cost(_priced(performance, costs, worst), level)


def _most_faults(verdicts: pd.DataFrame, columns: list[str]) -> Any:
    """List the values of columns, those first for which most methods have a fault."""
    rows = verdicts[columns].astype(object)
    rows["faults"] = ~verdicts["verdict"].isin(["trust", "undecided"])
    counts = rows.groupby(columns, sort=False)["faults"].sum().reset_index()
    order = np.argsort(-counts["faults"].to_numpy(int), kind="stable")
    return counts[columns].to_numpy()[order].tolist()


def _priced(performance: pd.DataFrame, costs: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Put the seconds of every method of one scenario beside its coverage."""
    keys = ["scenario", "estimator", "method"]
    rows = performance[performance["measure"] == "cover"].rename(columns={"value": "cover"})
    rows = rows[rows["scenario"] == scenario].astype(dict.fromkeys(keys, object))
    return rows.merge(costs[[*keys, "seconds"]], on=keys)
