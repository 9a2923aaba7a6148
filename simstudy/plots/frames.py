"""What figures and reports take from a frame: its scenarios, its parameters, one measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from simstudy.evidence.answers import answers
from simstudy.evidence.verdicts.judging import lacks_answers

CASE = ("estimator", "parameter", "scenario")


def scenario_names(scenarios: Sequence[str]) -> dict[str, str]:
    """Name scenarios by the words of their keys in which they differ.

    Parameters
    ----------
    scenarios : sequence of str
        Keys, all different.

    Returns
    -------
    dict of str to str
        A name for every key; the key itself where the words do not tell scenarios apart.

    Examples
    --------
    >>> from simstudy.plots import scenario_names
    >>> list(scenario_names(["gamma n=20 rate=1", "gamma n=50 rate=1"]).values())
    ['n=20', 'n=50']
    """
    words = [key.split() for key in scenarios]
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    short = [", ".join(w for w in own if w not in common) for own in words]
    if len(words) < 2 or len(set(short)) < len(short) or not all(short):
        short = list(scenarios)
    return dict(zip(scenarios, short, strict=True))


def facet_names(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Name the pairs of estimator and parameter; the estimator only where there are several.

    Parameters
    ----------
    frame : DataFrame
        Any frame with the columns `estimator` and `parameter`.

    Returns
    -------
    dict of (str, str) to str
        A name for every pair, in order of appearance.
    """
    pairs = frame[["estimator", "parameter"]].drop_duplicates()
    facets = [(str(estimator), str(parameter)) for estimator, parameter in pairs.to_numpy(object)]
    alone = len({estimator for estimator, _ in facets}) == 1
    return {(e, p): p if alone else f"{p} ({e})" for e, p in facets}


def levels(column: pd.Series[Any]) -> list[str]:
    """List the distinct values of a column, in order of appearance."""
    return [str(value) for value in column.unique()]


def in_facet(frame: pd.DataFrame, facet: tuple[str, str]) -> pd.Series[bool]:
    """Mark the rows of one estimator and parameter."""
    return (frame["estimator"] == facet[0]) & (frame["parameter"] == facet[1])


def rows_of(frame: pd.DataFrame, facet: tuple[str, str]) -> pd.DataFrame:
    """Take the rows of one estimator and parameter."""
    return frame[in_facet(frame, facet)]


def factors_of(scenarios: Sequence[str]) -> dict[str, list[str]]:
    """Read from the keys (`gamma n=20 shape=0.5`) the factors that vary, one level each."""
    factors = [dict(w.split("=", 1) for w in key.split() if "=" in w) for key in scenarios]
    names = [name for name in factors[0] if all(name in own for own in factors)]
    levels = {name: [own[name] for own in factors] for name in names}
    return {name: values for name, values in levels.items() if len(set(values)) > 1}


def measure_rows(performance: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Take one measure of the performance frame, with its interval as `low` and `high`."""
    rows = performance[performance["measure"] == measure]
    if rows.empty:
        known = ", ".join(levels(performance["measure"]))
        raise ValueError(f"the frame holds no measure {measure!r}; it holds: {known}")
    rows = rows[[*CASE, "method", "value", "mcse", "lower", "upper", "n"]]
    rows = rows.astype(dict.fromkeys([*CASE, "method"], object))
    reach = 1.96 * rows["mcse"].fillna(0.0)
    rows["low"] = rows["lower"].fillna(rows["value"] - reach)
    rows["high"] = rows["upper"].fillna(rows["value"] + reach)
    return rows.drop(columns=["mcse", "lower", "upper"])


def coverage_rows(performance: pd.DataFrame) -> pd.DataFrame:
    """Take the coverages, but where too many replicates have no answer, a note of how many have.

    The coverage of a few survivors is none: its `value`, `low` and `high` are nan there.
    """
    rows = measure_rows(performance, "cover").assign(note="no answer")
    fails = performance[performance["measure"] == "fail"]
    fails = fails[[*CASE, "method", "value", "n"]].astype(dict.fromkeys([*CASE, "method"], object))
    fails = fails.rename(columns={"value": "fail", "n": "asked"})
    rows = rows.merge(fails, on=[*CASE, "method"], how="left")
    few = lacks_answers(rows["fail"].to_numpy(float), rows["asked"].to_numpy(float))
    rows.loc[few, ["value", "low", "high"]] = np.nan
    some = few & (rows["n"] > 0).to_numpy()
    rows.loc[some, "note"] = [
        f"{n:,} of {asked:,.0f} answered"
        for n, asked in rows.loc[some, ["n", "asked"]].itertuples(index=False)
    ]
    return rows


def positive_ends(
    rows: pd.DataFrame, lowest: tuple[float, float], highest: tuple[float, float]
) -> tuple[float, float]:
    """Find the ends of the positive intervals, each kept between two bounds."""
    low, high = (rows[name][np.isfinite(rows[name]) & (rows[name] > 0)] for name in ("low", "high"))
    ends = low.min() if len(low) else 1.0, high.max() if len(high) else 1.0
    return float(np.clip(ends[0], *lowest)), float(np.clip(ends[1], *highest))


def one_scenario(table: pd.DataFrame, scenario: str | None) -> tuple[pd.DataFrame, str]:
    """Take the rows of one scenario, the first one by default, and its key.

    What is no answer to the measures is none here.
    """
    known = levels(table["scenario"])
    if scenario is None:
        scenario = known[0]
    if scenario not in known:
        raise ValueError(f"no scenario {scenario!r}; the table holds: {', '.join(known)}")
    rows = table[table["scenario"] == scenario]
    found = answers(rows, quiet=True)
    return rows.assign(**{name: found[name] for name in found if name in rows}), scenario
