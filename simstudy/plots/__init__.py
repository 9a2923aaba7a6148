"""One function per figure: a table in, a figure out. Nothing here knows a model."""

from simstudy.plots.figures import (
    bland_altman,
    cost,
    coverage,
    facet_names,
    model_se_against_empirical_se,
    nested_loop,
    pit_ecdf,
    scenario_names,
    se_against_estimate,
    se_ratio,
    svg,
    swarm,
    zip_plot,
)

__all__ = [
    "bland_altman",
    "cost",
    "coverage",
    "facet_names",
    "model_se_against_empirical_se",
    "nested_loop",
    "pit_ecdf",
    "scenario_names",
    "se_against_estimate",
    "se_ratio",
    "svg",
    "swarm",
    "zip_plot",
]
