"""One function per figure: a frame in, a matplotlib `Figure` out. Nothing here knows a model.

Every function works alone, in a notebook or a script. `lollipops` and `performance` draw a
performance frame, `intervals` and `replicates` a table, or any frame with the columns that they
name. `frames` takes from a frame what they need, `sheet` and `panels` lay it out, `names` has texts
that fit.
"""

from simstudy.plots.frames import facet_names, scenario_names
from simstudy.plots.intervals import pit_ecdf, zip_plot
from simstudy.plots.lollipops import cost, coverage, se_ratio
from simstudy.plots.performance import model_se_against_empirical_se, nested_loop
from simstudy.plots.replicates import bland_altman, se_against_estimate, swarm
from simstudy.plots.sheet import svg

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
