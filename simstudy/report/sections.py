"""The sections about measures and verdicts: one function for each, frames in, content out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from simstudy.evidence.measures import SHARES
from simstudy.evidence.montecarlo import FEWEST
from simstudy.plots.frames import facet_names, in_facet, levels, scenario_names
from simstudy.report.selection import WORST, at_fault, by_factor, chosen_scenarios
from simstudy.report.words import (
    BY_FACTOR,
    GROUPS,
    WORDS,
    WORST_CAPTION,
    Content,
    coverage_of,
    rounded,
)


def answer(verdicts: pd.DataFrame) -> list[Content]:
    """Lay out the verdicts as tables of signs; of many scenarios by factor, then the worst."""
    every, some = levels(verdicts["scenario"]), chosen_scenarios(verdicts, WORST)
    if len(some) == len(every):
        return [{"caption": "", "tables": _signs(verdicts, every)}]
    tables: list[Content] = []
    for part in by_factor(verdicts):
        _add(tables, f"{part.title} by {part.factor}", part.values, part.rows)
    worst = {
        "caption": WORST_CAPTION.format(len(some), len(every)),
        "tables": _signs(verdicts, some),
    }
    return [{"caption": BY_FACTOR, "tables": tables}, worst] if tables else [worst]


def _signs(verdicts: pd.DataFrame, scenarios: Sequence[str]) -> list[Content]:
    """Lay out the verdicts in some scenarios; parameters share a table while there is room."""
    names = scenario_names(levels(verdicts["scenario"]))
    tables: list[Content] = []
    for facet, title in facet_names(verdicts).items():
        own = verdicts[in_facet(verdicts, facet)]
        cells = {
            (row["scenario"], row["method"]): {
                "verdict": row["verdict"],
                "word": WORDS[row["verdict"]],
                "sentence": row["sentence"],
                **coverage_of(row),
            }
            for row in own[own["scenario"].isin(scenarios)].to_dict("records")
        }
        own_scenarios = {*levels(own["scenario"])}
        down, across = levels(own["method"]), [key for key in scenarios if key in own_scenarios]
        turned = len(across) > max(len(down), 8)
        if turned:
            down, across, cells = across, down, {(m, s): c for (s, m), c in cells.items()}
        rows = [(names.get(d, d), [cells.get((a, d)) for a in across]) for d in down]
        _add(tables, title, [names.get(a, a) for a in across], rows, turned)
    return tables


def _add(
    tables: list[Content],
    title: str,
    heads: list[str],
    rows: list[tuple[str, list[Content | None]]],
    turned: bool = False,
) -> None:
    """Add columns to the last table if it has room and the same rows; else begin another one."""
    fits = tables and len(tables[-1]["heads"]) + len(heads) <= 12
    if fits and [name for name, _ in tables[-1]["rows"]] == [name for name, _ in rows]:
        tables[-1]["titles"].append((title, len(heads)))
        tables[-1]["begins"].append(len(tables[-1]["heads"]))
        tables[-1]["heads"] += heads
        for (_, line), (_, more) in zip(tables[-1]["rows"], rows, strict=True):
            line.extend(more)
    else:
        tables.append({"titles": [(title, len(heads))], "begins": [], "heads": list(heads)})
        tables[-1] |= {"rows": rows, "turned": turned}


def reasons(
    verdicts: pd.DataFrame, why: pd.DataFrame | None, scenarios: Sequence[str]
) -> Iterator[Content]:
    """Give every case its verdicts in full, each with its causes; equal ones are said once."""
    causes: dict[tuple[str, ...], list[str]] = {}
    for row in [] if why is None else why.to_dict("records"):
        key = (row["estimator"], row["parameter"], row["scenario"], row["method"])
        causes.setdefault(key, []).append(row["sentence"])
    for facet, scenario, title, own in cases(verdicts, scenarios):
        sentences: dict[tuple[str, ...], list[str]] = {}
        for row in own.to_dict("records"):
            because = causes.get((*facet, scenario, row["method"]), [])
            key = (row["verdict"], row["sentence"], *because)
            sentences.setdefault(key, []).append(row["method"])
        yield {
            "title": title,
            "rows": [(methods, key[0], key[1], key[2:]) for key, methods in sentences.items()],
            "faults": int(at_fault(own).sum()),
            "methods": len(own),
        }


def measures(
    performance: pd.DataFrame, verdicts: pd.DataFrame, scenarios: Sequence[str]
) -> Iterator[Content]:
    """Lay out the measures of every case in tables, rounded by their Monte Carlo error."""
    keys = ["estimator", "parameter", "scenario", "method"]
    words = {tuple(r[k] for k in keys): r["verdict"] for r in verdicts.to_dict("records")}
    named = {name for group in GROUPS.values() for name in group}
    for facet, scenario, title, own in cases(performance, scenarios):
        cells: dict[str, dict[str, Content]] = {}
        for row in own.to_dict("records"):
            if math.isfinite(row["value"]):
                cells.setdefault(row["method"], {})[row["measure"]] = number(row)
        present = {name for numbers in cells.values() for name in numbers}
        others = dict.fromkeys(sorted(present - named - {"n", "fail"}), "")
        yield {
            "title": title,
            "groups": [
                (group, chosen)
                for group, members in {**GROUPS, "Other": others}.items()
                if (chosen := [name for name in members if name in present])
            ],
            "rows": [
                (method, words.get((*facet, scenario, method), ""), numbers)
                for method, numbers in cells.items()
            ],
        }


def crossed(frame: pd.DataFrame, column: str, scenarios: Sequence[str]) -> Iterator[Content]:
    """Lay out the numbers of every case: methods in rows, the values of a column in columns."""
    for _, _, title, own in cases(frame, scenarios):
        heads = levels(own[column])
        cells: dict[str, dict[str, Content]] = {}
        for row in own.to_dict("records"):
            if math.isfinite(row["value"]):
                cells.setdefault(row["method"], {})[str(row[column])] = number(row)
        most = max((cell["n"] for line in cells.values() for cell in line.values()), default=0)
        yield {"title": title, "heads": heads, "rows": list(cells.items()), "n": most}


def cases(
    frame: pd.DataFrame, scenarios: Sequence[str]
) -> Iterator[tuple[tuple[str, str], str, str, pd.DataFrame]]:
    """Take a frame apart by estimator, parameter and scenario, some of them, and name the parts."""
    names = scenario_names(levels(frame["scenario"]))
    for facet, title in facet_names(frame).items():
        own = frame[in_facet(frame, facet)]
        groups = dict(list(own.groupby("scenario", sort=False, observed=True)))
        for scenario in (key for key in scenarios if key in groups):
            yield facet, scenario, f"{title} \u00b7 {names[scenario]}", groups[scenario]


def number(row: Mapping[Any, Any]) -> Content:
    """Write one measure: value, Monte Carlo error, Wilson interval of a share, replicates."""
    value, mcse = rounded(row["value"], row["mcse"])
    interval = ""
    # the estimated error of a share of 0 or 1 is 0; its interval is honest
    if row.get("measure") in SHARES or (mcse == "0" and row["lower"] < row["upper"]):
        interval = f"[{row['lower']:.3f}, {row['upper']:.3f}]"
    interval = interval if math.isfinite(row["lower"]) else ""
    mcse = "" if mcse == "0" else mcse
    return {"value": value, "mcse": mcse, "interval": interval, "n": int(row["n"])}


def without_few(performance: pd.DataFrame) -> pd.DataFrame:
    """Blank relative errors of a few answers, which verdicts do not look at either."""
    few = (performance["measure"] == "relerror") & (performance["n"] < FEWEST)
    return performance.assign(value=performance["value"].mask(few))


def count_asked(performance: pd.DataFrame) -> int:
    """Count the answers that the study asked for, also where the table shows only the first."""
    rows = performance[performance["measure"] == "fail"]
    return int(rows.drop_duplicates(["scenario", "estimator", "method"])["n"].sum())
