"""Which scenarios a report shows where there are many: the worst first, and all by factor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simstudy.evidence.verdicts.numbers import OWN
from simstudy.evidence.verdicts.sentences import decimal
from simstudy.plots.frames import facet_names, in_facet, levels
from simstudy.report.words import FEW, WORDS, Content

MANY = 30
"""Scenarios up to which a report shows every one; of more, it shows so many in detail."""

WORST = 10
"""Of many scenarios, those that the first tables and figures show."""

_MOST_LEVELS = 12
"""Values of a factor up to which it has a summary."""


class Summary(NamedTuple):
    """The verdicts of one parameter by the values of one factor."""

    title: str
    factor: str
    values: list[str]
    rows: list[tuple[str, list[Content | None]]]


def at_fault(verdicts: pd.DataFrame) -> pd.Series[bool]:
    """Mark the rows whose verdict is a fault."""
    return ~verdicts["verdict"].isin(["trust", "undecided"])


def most_faults(verdicts: pd.DataFrame, columns: list[str]) -> Any:
    """List the values of columns, those first for which most methods have a fault."""
    rows = verdicts[columns].astype(object)
    rows["faults"] = at_fault(verdicts)
    counts = rows.groupby(columns, sort=False)["faults"].sum().reset_index()
    order = np.argsort(-counts["faults"].to_numpy(int), kind="stable")
    return counts[columns].to_numpy()[order].tolist()


def chosen_scenarios(verdicts: pd.DataFrame, most: int = MANY) -> list[str]:
    """List the scenarios to show: all as they stand; of many, those with the most faults first."""
    every = levels(verdicts["scenario"])
    if len(every) <= MANY:
        return every
    return [str(scenario) for (scenario,) in most_faults(verdicts, ["scenario"])[:most]]


def by_factor(verdicts: pd.DataFrame) -> Iterator[Summary]:
    """Sum up the verdicts of many scenarios by each factor that has a few values."""
    own = {*OWN, "scenario", "estimator", "parameter", "method"}
    for facet, title in facet_names(verdicts).items():
        rows = verdicts[in_facet(verdicts, facet)]
        for factor in (name for name in rows.columns if name not in own):
            values = rows[factor].astype(object).where(rows[factor].notna(), "none").astype(str)
            if not 1 < values.nunique() <= _MOST_LEVELS:
                continue
            groups = dict(list(rows.groupby([rows["method"].astype(str), values], sort=False)))
            columns = levels(values)
            yield Summary(
                title,
                factor.removeprefix("factor_"),
                columns,
                [
                    (method, [_entry(groups.get((method, value))) for value in columns])
                    for method in levels(rows["method"])
                ],
            )


def _entry(rows: pd.DataFrame | None) -> Content | None:
    """Sum up one method's verdicts: in how many scenarios it is trusted, in how many at fault."""
    if rows is None:
        return None
    words = rows["verdict"].astype(str)
    faults = words[at_fault(rows)]
    counts = {"undecided": (words == "undecided").sum(), "trust": (words == "trust").sum()}
    if len(faults):
        counts = {str(faults.value_counts().index[0]): len(faults), **counts}
    main = max(counts, key=lambda word: counts[word])  # the graver of two that are as frequent
    told = [f"{count} {WORDS[word].meaning}" for word, count in counts.items() if count]
    known = rows.loc[~words.isin(FEW) & np.isfinite(rows["cover"]), "cover"]
    ends = f"{decimal(known.min())} to {decimal(known.max())}" if len(known) else ""
    return {
        "verdict": main,
        "word": WORDS[main],
        "sentence": f"of {len(rows)} scenarios: {'; '.join(told)}",
        "cover": f"{counts['trust']}/{len(rows)}",
        "faults": f"{len(faults)} at fault" if len(faults) else "",
        "interval": ends,
    }
