"""The words of the report: signs, captions, what measures mean, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simstudy.evidence.verdicts.sentences import decimal
from simstudy.files.writing import printable

Content = dict[str, Any]


class Word(NamedTuple):
    """A verdict on the page: sign, color class, word for the terminal, meaning."""

    sign: str
    color: str
    short: str
    meaning: str


WORDS = {
    "trust": Word("\u2713", "good", "trust", "the standard error and its interval hold"),
    "undecided": Word("?", "open", "?", "not enough replicates to say"),
    "too-small": Word("\u25bc", "low", "small", "standard error too small"),
    "too-large": Word("\u25b2", "high", "large", "standard error too large"),
    "undercovers": Word("\u25bd", "low", "under", "intervals cover too little"),
    "overcovers": Word("\u25b3", "high", "over", "intervals cover too much"),
    "one-sided": Word("\u25e7", "odd", "side", "intervals miss on one side"),
    "biased": Word("\u21e5", "odd", "bias", "estimate biased, so that intervals miss"),
    "erratic": Word("\u2248", "odd", "wild", "standard error far from the exact one in some fits"),
    "unstable": Word("\u2715", "bad", "only", "too many replicates without an answer"),
    "no-answer": Word("\u2205", "bad", "none", "no answer at all"),
}


GROUPS = {
    "Estimate": {
        "mean": "mean of the estimates",
        "median": "median of the estimates",
        "bias": "mean error, in the unit of the parameter",
        "rbias": "mean error / truth, a proportion",
        "empse": "empirical standard error: standard deviation of the estimates",
        "mse": "mean squared error",
        "rmse": "root mean squared error",
        "mae": "mean absolute error",
        "relprec": "precision against the reference method, percent more or less",
    },
    "Standard error": {
        "modelse": "model SE: root mean square of the reported standard errors",
        "relerror": "model SE / empirical SE - 1, in percent",
        "relvar_rmse": "root mean squared error of the variance estimate / empirical variance",
        "seratio_p05": "standard error / exact one at the same fit: 5 % quantile",
        "seratio_median": "standard error / exact one at the same fit: median",
        "seratio_p95": "standard error / exact one at the same fit: 95 % quantile",
        "corr": "correlation of estimate and standard error",
    },
    "Interval": {
        "cover": "share of answered replicates whose interval contains the truth",
        "becover": "the same with the mean estimate for the truth: coverage without the bias",
        "cover_all": "the same with a replicate without an answer counted as a miss",
        "miss_left": "share of intervals that lie above the truth",
        "miss_right": "share of intervals that lie below the truth",
        "power": "share of intervals that exclude the null",
        "ciwidth": "mean width",
        "wscore": "Winkler's interval score: width, and a fine for every miss",
    },
}


FEW = ("unstable", "no-answer")
"""Verdicts beside which it says how many replicates have an answer, instead of their coverage."""

CAPTIONS = {
    "coverage": "Does the interval contain the truth as often as it says? One row per method, with "
    "the Monte Carlo interval, of the replicates that have an answer; where too many have none, "
    "how many have one.",
    "nested_loop": "How does coverage depend on the factors? All scenarios in the order of the "
    "study, with the values of the factors below; of the replicates that have an answer.",
    "model_se_against_empirical_se": "Does the standard error say how far the estimates really "
    "scatter? On the line it does.",
    "se_ratio": "Is it computed right? Every method against the exact standard error of the same "
    "fit, on a logarithmic axis.",
    "zip_plot": "Which intervals miss, and on which side? Sorted by distance from the truth, at "
    "most 100 per panel, in the scenario with the most faults.",
    "pit_ecdf": "Does the standard error hold at every level? In the same scenario, for the "
    "parameter with the most faults: how far the distribution of the errors, in units of the "
    "interval, is from the one claimed. High on the left and low on the right: too small; the "
    "other way round: too large; to one side: bias or skewness.",
    "cost": "What does it cost? Seconds beyond the fit, and coverage, in the same scenario; a "
    "Hessian that several methods share counts for each.",
}


BY_FACTOR = (
    "By factor: in how many of the scenarios with a value each method is trusted, in how many it "
    "is at fault, and its lowest and highest coverage. The sign is that of the most frequent "
    "verdict."
)
WORST_CAPTION = "The {} of {} scenarios with the most faults:"
SELECTED = "Shown are the {} of {} scenarios with the most faults; performance.csv has all."


def rounded(value: float, mcse: float) -> tuple[str, str]:
    """Write a value to the second digit of its Monte Carlo error, and that error."""
    if not math.isfinite(mcse):
        return f"{value:.4g}", ""
    if abs(value) >= 1e7 * mcse:
        return f"{value:.6g}", f"{mcse:.0e}" if mcse else "0"
    digits = 1 - math.floor(math.log10(mcse))
    tiny = digits > 8 or (digits > 6 and abs(value) < 1e-3)
    if tiny or digits < -3 or abs(value) >= 1e7:
        lost = digits + math.floor(math.log10(abs(value))) if value else 1
        return f"{value:.{min(max(lost, 1), 8)}e}", f"{mcse:.1e}"
    return f"{value:.{max(digits, 0)}f}", f"{mcse:.{max(digits, 0)}f}"


def quantiles_of(values: pd.Series[Any], *quantiles: float) -> str:
    """Write quantiles of a column, to two digits."""
    known = values[np.isfinite(values)]
    if known.empty:
        return "\u2013"
    return " / ".join(f"{float(known.quantile(q)):.2g}" for q in quantiles)


def coverage_of(row: Mapping[Any, Any]) -> Content:
    """Write coverage and its interval; where answers are missing, how many there are instead."""
    if row["verdict"] in FEW:
        return {"cover": f"{row['n']:,}", "interval": f"of {row['asked']:,} answered"}
    known = math.isfinite(row["cover_lower"])
    ends = f"[{decimal(row['cover_lower'])}, {decimal(row['cover_upper'])}]" if known else ""
    return {"cover": decimal(row["cover"]), "interval": ends}


def shortened(text: str, width: int) -> str:
    """Shorten a text in its middle, and keep it on one line."""
    text = printable(text)
    if len(text) <= width:
        return text
    return text[: (width - 1) // 2] + ".." + text[len(text) - (width - 2) // 2 :]
