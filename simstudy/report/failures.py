"""The sections about failures and fits: counts of statuses, the diagnosis, messages, warnings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simstudy.plots.frames import levels, scenario_names
from simstudy.report.words import (
    Content,
    quantiles_of,
)
from simstudy.status import Status
from simstudy.warning_capture import SEPARATOR

MISSING = "The table that was given has no answer here."


def by_kind(table: pd.DataFrame, manifest: Mapping[str, Any], scenarios: Sequence[str]) -> Content:
    """Count every status per scenario, estimator and method; the counts sum to what was asked."""
    keys = ["scenario", "estimator", "method"]
    rows = table[[*keys, "replicate", "status"]].astype(dict.fromkeys([*keys, "status"], object))
    # one status per replicate: ok only when every parameter is
    rows = rows.drop_duplicates()
    several = rows.duplicated([*keys, "replicate"], keep=False)
    rows = rows[~several | (rows["status"] != "ok")].drop_duplicates([*keys, "replicate"])
    counts = rows.groupby([*keys, "status"], sort=False).size().unstack(fill_value=0)
    kinds = [status.name for status in Status if status.name in counts]
    kinds += [str(kind) for kind in counts if kind not in kinds]
    first = rows[rows["status"] != "ok"].drop_duplicates(["status", "method"])
    first = first.drop_duplicates(["status", "scenario", "replicate"])
    lines = [
        {"labels": [str(part) for part in key], "counts": line, "asked": sum(line)}
        for key, line in zip(counts.index.tolist(), counts[kinds].to_numpy().tolist(), strict=True)
        if key[0] in scenarios
    ]
    return {
        "kinds": [
            {
                "name": kind,
                "count": int(counts[kind].sum()),
                "sentence": Status[kind].sentence if kind in Status.__members__ else MISSING,
                "most": _most(counts[kind]),
                "examples": [
                    _replay(manifest, row)
                    for row in first[first["status"] == kind].head(3).to_dict("records")
                    if manifest["study"].get("scenarios")
                ],
            }
            for kind in kinds
        ],
        "asked": len(rows),
        "answered": int((rows["status"] == "ok").sum()),
        "lines": lines,
    }


def _most(counts: pd.Series[int]) -> str:
    """Say where a status occurs most."""
    at: Any = counts.idxmax()
    return f"{counts.max():,} in {at[0]}, {at[1]}, {at[2]}"


def _replay(manifest: Mapping[str, Any], row: Mapping[Any, Any]) -> str:
    """Write the command that runs one replicate again."""
    keys = [scenario["key"] for scenario in manifest["study"].get("scenarios", [])]
    ran = shlex.split(str(manifest.get("command", "")))
    study = ran[2] if ran[:2] == ["simstudy", "run"] and len(ran) > 2 else manifest["study"]["name"]
    number = keys.index(row["scenario"]) if row["scenario"] in keys else row["scenario"]
    words = ["simstudy", "replay", study, "--scenario", number, "--replicate", row["replicate"]]
    if "--seed" in ran:
        words += ["--seed", ran[ran.index("--seed") + 1]]
    return shlex.join(map(str, words))


def fits(audit: pd.DataFrame, scenarios: Sequence[str]) -> list[Content]:
    """Sum up the diagnosis of the fits per scenario and estimator."""
    found = []
    names = scenario_names(levels(audit["scenario"]))
    groups: Any = audit.groupby(["scenario", "estimator"], sort=False, observed=True)
    for (scenario, estimator), own in groups:
        if scenario not in scenarios:
            continue
        fine, flag = own["status"] == "ok", own["success"].astype(bool)
        distance = np.sqrt(2 * own["plain_edm"][own["plain_edm"] >= 0])
        found.append(
            {
                "scenario": names[scenario],
                "estimator": estimator,
                "fits": len(own),
                "ok": int(fine.sum()),
                "wrong": int((flag & ~fine).sum()),
                "modest": int((~flag & fine).sum()),
                "iterations": quantiles_of(own["iterations"][fine], 0.5, 1.0),
                "edm": quantiles_of(own["edm"][fine], 1.0),
                "eigenvalue": quantiles_of(own["smallest_eigenvalue"][fine], 0.0),
                "condition": quantiles_of(own["condition"][fine], 1.0),
                "distance": quantiles_of(distance, 0.5, 0.95, 1.0),
                "lost": int(own["plain_edm"].isna().sum()),
                "refits": int(own["failed_refits"].sum()),
                "seconds": quantiles_of(own["seconds"], 0.5, 1.0),
            }
        )
    return found


def messages(audit: pd.DataFrame) -> list[tuple[str, int]]:
    """Count the distinct messages of the fits, the commonest first, at most ten."""
    texts = audit["message"].fillna("").astype(str).str.strip()
    counts = texts[texts != ""].value_counts(sort=True)
    return [(str(text)[:500], int(n)) for text, n in counts.head(10).items()]


def warned(audit: pd.DataFrame) -> list[Content]:
    """Count the fits in which each kind of warning was heard, and keep the first; numbers are #."""
    found: dict[str, Content] = {}
    warned_fits = audit[audit["warnings"] != ""] if "warnings" in audit else audit[:0]
    for row in warned_fits.to_dict("records"):
        for kind in dict.fromkeys(re.sub(r"\d+", "#", row["warnings"]).split(SEPARATOR)):
            first = f"{row['scenario']}, replicate {row['replicate']}"
            found.setdefault(kind, {"kind": kind, "fits": 0, "first": first})["fits"] += 1
    return sorted(found.values(), key=lambda entry: -int(entry["fits"]))[:10]
