"""The verdicts as a table for a terminal, 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from simstudy.evidence.verdicts import headline
from simstudy.files.writing import printable
from simstudy.plots.frames import facet_names, in_facet, levels, scenario_names
from simstudy.report.selection import WORST, by_factor, chosen_scenarios
from simstudy.report.words import (
    BY_FACTOR,
    FEW,
    WORDS,
    WORST_CAPTION,
    coverage_of,
    shortened,
)

COLUMN = 22
"""Width of a cell of the terminal's table."""


def terminal_table(verdicts: pd.DataFrame) -> str:
    r"""Lay out the verdicts for a terminal: methods in rows, scenarios in columns, 100 wide.

    Parameters
    ----------
    verdicts : DataFrame
        What `simstudy.evidence.verdicts.verdicts` returned.

    Returns
    -------
    str
        One table per parameter with a short verdict and the coverage with its interval in every
        cell, the meaning of the words, and the headline. Plain ASCII, but for the names.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.report.terminal import terminal_table
    >>> frame = pd.DataFrame({
    ...     "scenario": ["gamma n=20", "gamma n=50"] * 2, "estimator": "gamma",
    ...     "parameter": "shape", "method": ["observed"] * 2 + ["opg"] * 2,
    ...     "verdict": ["trust", "trust", "too-large", "undecided"], "more": [0, 0, 0, 400],
    ...     "relerror": 0.0, "cover": [0.951, 0.948, 0.98, 0.962], "n": 900, "asked": 900,
    ...     "cover_lower": [0.935, 0.932, 0.969, 0.948],
    ...     "cover_upper": [0.963, 0.961, 0.987, 0.973]})
    >>> print(terminal_table(frame).partition("\n\n")[0])
    shape                      n=20                   n=50
    observed trust .951 [.935,.963] trust .948 [.932,.961]
    opg      large .980 [.969,.987]     ? .962 [.948,.973]
    """
    names = scenario_names(levels(verdicts["scenario"]))
    wide = min(max(map(len, [*levels(verdicts["method"]), *facet_names(verdicts).values()])), 31)
    some = chosen_scenarios(verdicts, WORST)
    lines: list[str] = []
    if len(some) < len(names):
        for part in by_factor(verdicts):
            rows = {method: [_summary(entry) for entry in entries] for method, entries in part.rows}
            heads = [[f"{part.factor}={value}"] for value in part.values]
            lines += _table(part.title, heads, rows, wide)
        lines += [*textwrap.wrap(BY_FACTOR, 99), ""]
        lines += [WORST_CAPTION.format(len(some), len(names)), ""]
    for facet, title in facet_names(verdicts).items():
        own = verdicts[in_facet(verdicts, facet) & verdicts["scenario"].isin(some)]
        cells = {(row["scenario"], row["method"]): _cell(row) for row in own.to_dict("records")}
        own_scenarios = {*levels(own["scenario"])}
        chosen = [key for key in some if key in own_scenarios]
        lines += _table(
            title,
            [names[key].split(", ") for key in chosen],
            {
                method: [cells.get((key, method), "") for key in chosen]
                for method in levels(own["method"])
            },
            wide,
        )
    found = [w for w in WORDS if w != "trust" and w in set(verdicts["verdict"])]
    legend = "; ".join(f"{WORDS[word].short}: {WORDS[word].meaning}" for word in found)
    numbers = (
        "The numbers are the coverage and its 95 % Monte Carlo interval; where too many replicates "
        "have no answer, how many have one, of how many."
    )
    texts = ([f"{legend}."] if legend else []) + [numbers, "", *map(printable, headline(verdicts))]
    lines += [part for text in texts for part in (textwrap.wrap(text, 99) or [""])]
    return "\n".join(lines)


def _table(
    title: str, heads: Sequence[Sequence[str]], rows: Mapping[str, Sequence[str]], wide: int
) -> list[str]:
    """Lay out columns side by side while they fit, the others below, and an empty line."""
    lines = []
    most = max(1, (99 - wide) // (COLUMN + 1))
    for start in range(0, len(heads), most):
        chosen = heads[start : start + most]
        for k in range(max(map(len, chosen))):
            label = shortened(title, wide) if k == 0 else ""
            parts = [shortened(head[k], COLUMN) if k < len(head) else "" for head in chosen]
            lines.append(_line(label, parts, wide))
        for method, every in rows.items():
            lines.append(_line(shortened(method, wide), every[start : start + most], wide))
        lines.append("")
    return lines


def _summary(entry: Mapping[str, Any] | None) -> str:
    """Write one method's verdicts over some scenarios."""
    if entry is None:
        return ""
    faults = f", {entry['faults']}" if entry["faults"] else ""
    return f"{entry['word'].short} {entry['cover']}{faults}"


def _cell(row: Mapping[Any, Any]) -> str:
    """Write one cell of the terminal's table."""
    word = WORDS[row["verdict"]].short
    if row["verdict"] in FEW:
        return f"{word} {row['n']}/{row['asked']}"
    shares = coverage_of(row)
    interval = shares["interval"].replace(", ", ",").replace("1.000", "1")
    return f"{word} {shares['cover']} {interval}" if interval else word


def _line(label: str, parts: Iterable[str], wide: int) -> str:
    """Write one line of the terminal's table."""
    return f"{label:<{wide}}" + "".join(f" {part:>{COLUMN}}" for part in parts)
