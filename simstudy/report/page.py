"""The report: one HTML file that opens offline, the same in markdown, and the table for a terminal.

Everything is made from the table, the audit, the frames of `performance` and `verdicts`, and the
manifest; the layout stands in `templates/`. Text that came from outside is escaped by the
templates, and the page forbids scripts and addresses by its own content security policy.

The file is long because it is a list: the words of the page, then one function for each section.
"""

from __future__ import annotations

import functools
import math
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from simstudy.evidence.calibration import untold
from simstudy.evidence.verdicts import FEWEST, headline
from simstudy.files.writing import duration, printable
from simstudy.garbage_collection import gc_paused
from simstudy.plots import figures as plots
from simstudy.status import Status
from simstudy.warning_capture import SEPARATOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

CELL = 22
"""Width of a cell of the terminal's table."""

FEW = ("unstable", "no-answer")
"""Verdicts beside which it says how many replicates have an answer, instead of their coverage."""

ZIPS = 4
"""Parameters whose zip plots are shown."""

MISSING = "The table that was given has no answer here."

CAPTIONS = {
    "coverage": "Does the interval contain the truth as often as it says? One row per method, with "
    "the Monte Carlo interval, of the replicates that have an answer: where few have one, the "
    "table above says how few.",
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


def prepare() -> None:
    """Load and try out what draws and lays out a report: a run has the time while workers work."""
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_axes((0, 0, 1, 1)).set_title("fonts, ticks")
    plots.svg(figure, "")
    _templates()


@functools.cache
def _templates() -> dict[str, Any]:
    """Compile the templates of the pages, by name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = {}
    for name, finalize in (("report.html", _shown), ("report.md", _markdown)):
        pages = Environment(
            loader=PackageLoader("simstudy.report"),
            autoescape=name.endswith("html"),
            finalize=finalize,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        pages.filters |= {"inline": _inline, "code": _code, "count": "{:,}".format, "short": _short}
        found[name] = pages.get_template(name)
    return found


@gc_paused()
def write(
    folder: Path,
    table: pd.DataFrame,
    audit: pd.DataFrame | None,
    performance: pd.DataFrame,
    verdicts: pd.DataFrame,
    manifest: Mapping[str, Any],
    *,
    why: pd.DataFrame | None = None,
    comparison: pd.DataFrame | None = None,
    calibration: pd.DataFrame | None = None,
    information_equality: pd.DataFrame | None = None,
    costs: pd.DataFrame | None = None,
    lacking: str = "",
    notes: Sequence[str] = (),
) -> Path:
    """Write `report.html`, `report.md` and `figures/*.svg` into a folder.

    The same frames give the same bytes. The HTML file needs nothing but itself.

    Parameters
    ----------
    folder : Path
        Where to write; made when missing.
    table, audit : DataFrame
        The long table, from which failures are counted and replicates drawn, and the audit, which
        somebody else's table has not.
    performance, verdicts : DataFrame
        What `simstudy.evidence.summary.summarize` and `simstudy.evidence.verdicts.verdicts`
        returned.
    manifest : mapping
        What was run, as `manifest.json` holds it.
    why : DataFrame, optional
        What `simstudy.evidence.verdicts.explain` returned.
    comparison, calibration, information_equality : DataFrame, optional
        What `simstudy.evidence.comparison.compare`, `simstudy.evidence.calibration.calibration` and
        `simstudy.design.information_equality.information_equality` returned.
    costs : DataFrame, optional
        What `simstudy.records.rows.seconds` returned.
    lacking : str
        What was asked for and is not there, in words.
    notes : sequence of str
        Sentences that the reader should see after the answer.

    Returns
    -------
    Path
        The path of `report.html`.
    """
    figures = Path(folder) / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    performance = _telling(performance)
    study = {"aims": "", "scenarios": [], "estimators": [], **manifest["study"]}
    level = float(study.get("level", 0.95))
    drawn = {}
    for name, figure in _figures(table, performance, verdicts, costs, level):
        drawn[name] = plots.svg(figure, name)
        (figures / f"{name}.svg").write_text(drawn[name], encoding="utf-8")
    content = {
        "study": study,
        "manifest": {"runs": [], "command": "", **manifest},
        "level": level,
        "words": {w: word for w, word in WORDS.items() if w in set(verdicts["verdict"])},
        "groups": GROUPS,
        "fewest": FEWEST,
        "captions": CAPTIONS,
        "drawn": drawn,
        "headline": headline(verdicts),
        "lacking": lacking,
        "notes": list(notes),
        "there": _there(table if audit is None else audit),
        "answer": _answer(verdicts),
        "reasons": list(_reasons(verdicts, why)),
        "measures": list(_measures(performance, verdicts)),
        "failures": _failures(table, manifest),
        "asked": _asked(performance),
        "measured": _levels(performance["measure"]),
        "fits": [] if audit is None else _fits(audit),
        "messages": [] if audit is None else _messages(audit),
        "warned": [] if audit is None else _warned(audit),
        "paired": [] if comparison is None else list(_crossed(comparison, "measure")),
        "against": "" if comparison is None else "".join(_levels(comparison["reference"])[:1]),
        "levels": [] if calibration is None else list(_crossed(calibration, "level")),
        "untold": [] if calibration is None else untold(calibration, level),
        "information_equality": (
            [] if information_equality is None else information_equality.to_dict("records")
        ),
        "run": _run(manifest),
    }
    for name, page in _templates().items():
        (Path(folder) / name).write_text(page.render(content), encoding="utf-8")
    return Path(folder) / "report.html"


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
    >>> from simstudy.report.page import terminal_table
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
    names = plots.scenario_names(_levels(verdicts["scenario"]))
    wide = min(max(map(len, [*_levels(verdicts["method"]), *_facets(verdicts).values()])), 31)
    lines: list[str] = []
    for facet, title in _facets(verdicts).items():
        own = verdicts[_is(verdicts, facet)]
        scenarios, methods = _levels(own["scenario"]), _levels(own["method"])
        cells = {(row["scenario"], row["method"]): _cell(row) for row in own.to_dict("records")}
        most = max(1, (99 - wide) // (CELL + 1))
        for start in range(0, len(scenarios), most):
            chosen = scenarios[start : start + most]
            heads = [[_cut(part, CELL) for part in names[key].split(", ")] for key in chosen]
            for k in range(max(map(len, heads))):
                label = _cut(title, wide) if k == 0 else ""
                parts = [head[k] if k < len(head) else "" for head in heads]
                lines.append(_line(label, parts, wide))
            for method in methods:
                parts = [cells.get((key, method), "") for key in chosen]
                lines.append(_line(_cut(method, wide), parts, wide))
            lines.append("")
    found = [w for w in WORDS if w != "trust" and w in set(verdicts["verdict"])]
    legend = "; ".join(f"{WORDS[word].short}: {WORDS[word].meaning}" for word in found)
    numbers = (
        "The numbers are the coverage and its 95 % Monte Carlo interval; where too many replicates "
        "have no answer, how many have one, of how many."
    )
    said = ([f"{legend}."] if legend else []) + [numbers, "", *map(printable, headline(verdicts))]
    lines += [part for text in said for part in (textwrap.wrap(text, 99) or [""])]
    return "\n".join(lines[1:] if lines[0] == "" else lines)


# ---------------------------------------------------------------------- the parts of the page


def _figures(
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
        own = [_is(table, facet) for facet in facets[:ZIPS]]
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


def _answer(verdicts: pd.DataFrame) -> list[Content]:
    """Lay out the verdicts as tables of signs; parameters share a table while there is room."""
    names = plots.scenario_names(_levels(verdicts["scenario"]))
    tables: list[Content] = []
    for facet, title in _facets(verdicts).items():
        own = verdicts[_is(verdicts, facet)]
        cells = {
            (row["scenario"], row["method"]): {
                "verdict": row["verdict"],
                "word": WORDS[row["verdict"]],
                "sentence": row["sentence"],
                **_shares(row),
            }
            for row in own.to_dict("records")
        }
        down, across = _levels(own["method"]), _levels(own["scenario"])
        turned = len(across) > max(len(down), 8)
        if turned:
            down, across, cells = across, down, {(m, s): c for (s, m), c in cells.items()}
        rows = [(names.get(d, d), [cells.get((a, d)) for a in across]) for d in down]
        heads = [names.get(a, a) for a in across]
        fits = tables and len(tables[-1]["heads"]) + len(heads) <= 12
        if fits and [name for name, _ in tables[-1]["rows"]] == [name for name, _ in rows]:
            tables[-1]["titles"].append((title, len(heads)))
            tables[-1]["begins"].append(len(tables[-1]["heads"]))
            tables[-1]["heads"] += heads
            for (_, line), (_, more) in zip(tables[-1]["rows"], rows, strict=True):
                line.extend(more)
        else:
            tables.append({"titles": [(title, len(heads))], "begins": [], "heads": heads})
            tables[-1] |= {"rows": rows, "turned": turned}
    return tables


def _reasons(verdicts: pd.DataFrame, why: pd.DataFrame | None) -> Iterator[Content]:
    """Give every case its verdicts in full, each with its causes; equal ones are said once."""
    causes: dict[tuple[str, ...], list[str]] = {}
    for row in [] if why is None else why.to_dict("records"):
        key = (row["estimator"], row["parameter"], row["scenario"], row["method"])
        causes.setdefault(key, []).append(row["sentence"])
    for facet, scenario, title, own in _cases(verdicts):
        said: dict[tuple[str, ...], list[str]] = {}
        for row in own.to_dict("records"):
            because = causes.get((*facet, scenario, row["method"]), [])
            key = (row["verdict"], row["sentence"], *because)
            said.setdefault(key, []).append(row["method"])
        yield {
            "title": title,
            "rows": [(methods, key[0], key[1], key[2:]) for key, methods in said.items()],
            "faults": int((~own["verdict"].isin(["trust", "undecided"])).sum()),
            "methods": len(own),
        }


def _measures(performance: pd.DataFrame, verdicts: pd.DataFrame) -> Iterator[Content]:
    """Lay out the measures of every case in tables, rounded by their Monte Carlo error."""
    keys = ["estimator", "parameter", "scenario", "method"]
    words = {tuple(r[k] for k in keys): r["verdict"] for r in verdicts.to_dict("records")}
    named = {name for group in GROUPS.values() for name in group}
    for facet, scenario, title, own in _cases(performance):
        cells: dict[str, dict[str, Content]] = {}
        for row in own.to_dict("records"):
            if math.isfinite(row["value"]):
                cells.setdefault(row["method"], {})[row["measure"]] = _number(row)
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


def _telling(performance: pd.DataFrame) -> pd.DataFrame:
    """Blank relative errors of a few answers, which verdicts do not look at either."""
    few = (performance["measure"] == "relerror") & (performance["n"] < FEWEST)
    return performance.assign(value=performance["value"].mask(few))


def _number(row: Mapping[Any, Any]) -> Content:
    """Write one measure: value, Monte Carlo error, Wilson interval of a share, replicates."""
    value, mcse = _rounded(row["value"], row["mcse"])
    interval = ""
    # the estimated error of a share of 0 or 1 is 0; its interval is honest
    if row.get("measure") in SHARES or (mcse == "0" and row["lower"] < row["upper"]):
        interval = f"[{row['lower']:.3f}, {row['upper']:.3f}]"
    interval = interval if math.isfinite(row["lower"]) else ""
    mcse = "" if mcse == "0" else mcse
    return {"value": value, "mcse": mcse, "interval": interval, "n": int(row["n"])}


def _crossed(frame: pd.DataFrame, column: str) -> Iterator[Content]:
    """Lay out the numbers of every case: methods in rows, the values of a column in columns."""
    for _, _, title, own in _cases(frame):
        heads = _levels(own[column])
        cells: dict[str, dict[str, Content]] = {}
        for row in own.to_dict("records"):
            if math.isfinite(row["value"]):
                cells.setdefault(row["method"], {})[str(row[column])] = _number(row)
        most = max((cell["n"] for line in cells.values() for cell in line.values()), default=0)
        yield {"title": title, "heads": heads, "rows": list(cells.items()), "n": most}


SHARES = {"fail", "cover", "becover", "cover_all", "miss_left", "miss_right", "power"}


def _failures(table: pd.DataFrame, manifest: Mapping[str, Any]) -> Content:
    """Count every status per scenario, estimator and method; the counts sum to what was asked."""
    cell = ["scenario", "estimator", "method"]
    rows = table[[*cell, "replicate", "status"]].astype(dict.fromkeys([*cell, "status"], object))
    # one status per replicate: ok only when every parameter is
    rows = rows.drop_duplicates()
    several = rows.duplicated([*cell, "replicate"], keep=False)
    rows = rows[~several | (rows["status"] != "ok")].drop_duplicates([*cell, "replicate"])
    counts = rows.groupby([*cell, "status"], sort=False).size().unstack(fill_value=0)
    kinds = [status.name for status in Status if status.name in counts]
    kinds += [str(kind) for kind in counts if kind not in kinds]
    first = rows[rows["status"] != "ok"].drop_duplicates(["status", "method"])
    first = first.drop_duplicates(["status", "scenario", "replicate"])
    lines = [
        {"cell": [str(part) for part in key], "counts": line, "asked": sum(line)}
        for key, line in zip(counts.index.tolist(), counts[kinds].to_numpy().tolist(), strict=True)
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


def _asked(performance: pd.DataFrame) -> int:
    """Count the answers that the study asked for, also where the table shows only the first."""
    rows = performance[performance["measure"] == "fail"]
    return int(rows.drop_duplicates(["scenario", "estimator", "method"])["n"].sum())


def _most(counts: pd.Series[int]) -> str:
    """Name the cell in which a status occurs most."""
    cell: Any = counts.idxmax()
    return f"{counts.max():,} in {cell[0]}, {cell[1]}, {cell[2]}"


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


def _fits(audit: pd.DataFrame) -> list[Content]:
    """Sum up the diagnosis of the fits per scenario and estimator."""
    found = []
    names = plots.scenario_names(_levels(audit["scenario"]))
    groups: Any = audit.groupby(["scenario", "estimator"], sort=False, observed=True)
    for (scenario, estimator), own in groups:
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
                "iterations": _range(own["iterations"][fine], 0.5, 1.0),
                "edm": _range(own["edm"][fine], 1.0),
                "eigenvalue": _range(own["smallest_eigenvalue"][fine], 0.0),
                "condition": _range(own["condition"][fine], 1.0),
                "distance": _range(distance, 0.5, 0.95, 1.0),
                "lost": int(own["plain_edm"].isna().sum()),
                "refits": int(own["failed_refits"].sum()),
                "seconds": _range(own["seconds"], 0.5, 1.0),
            }
        )
    return found


def _messages(audit: pd.DataFrame) -> list[tuple[str, int]]:
    """Count the distinct messages of the fits, the commonest first, at most ten."""
    texts = audit["message"].fillna("").astype(str).str.strip()
    counts = texts[texts != ""].value_counts(sort=True)
    return [(str(text)[:500], int(n)) for text, n in counts.head(10).items()]


def _warned(audit: pd.DataFrame) -> list[Content]:
    """Count the fits in which each kind of warning was heard, and keep the first; numbers are #."""
    found: dict[str, Content] = {}
    heard = audit[audit["warnings"] != ""] if "warnings" in audit else audit[:0]
    for row in heard.to_dict("records"):
        for kind in dict.fromkeys(re.sub(r"\d+", "#", row["warnings"]).split(SEPARATOR)):
            first = f"{row['scenario']}, replicate {row['replicate']}"
            found.setdefault(kind, {"kind": kind, "fits": 0, "first": first})["fits"] += 1
    return sorted(found.values(), key=lambda entry: -int(entry["fits"]))[:10]


def _there(rows: pd.DataFrame) -> Content:
    """Count what is there: scenarios, and their fewest and most replicates."""
    if "replicate" not in rows or rows.empty:
        return {"scenarios": 0, "fewest": 0, "most": 0}
    counts = rows.groupby("scenario", observed=True)["replicate"].nunique()
    return {"scenarios": len(counts), "fewest": int(counts.min()), "most": int(counts.max())}


def _run(manifest: Mapping[str, Any]) -> Content:
    """Gather what was run: the aims' side of ADEMP, the machine's side, time."""
    study, runs = manifest["study"], manifest.get("runs", [])
    scenarios = study.get("scenarios", [])
    replicates = study.get("replicates")
    return {
        "factors": list(dict.fromkeys(name for s in scenarios for name in s.get("factors", {}))),
        "parameters": list(dict.fromkeys(name for s in scenarios for name in s["truth"])),
        "fewer": {
            method: count
            for method, count in study.get("fewer", {}).items()
            if replicates is not None and count < replicates
        },
        "as_is": [e["name"] for e in study.get("estimators", []) if e.get("as_is")],
        "seconds": duration(sum(float(run["seconds"]) for run in runs)),
        "started": str(runs[0]["started"])[:16].replace("T", " ") if runs else "",
    }


# ---------------------------------------------------------------------- frames


def _levels(column: pd.Series[Any]) -> list[str]:
    """List the distinct values of a column, in order of appearance."""
    return [str(value) for value in column.unique()]


def _facets(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Name the pairs of estimator and parameter."""
    return plots.facet_names(frame)


def _is(frame: pd.DataFrame, facet: tuple[str, str]) -> pd.Series[bool]:
    """Mark the rows of one estimator and parameter."""
    return (frame["estimator"] == facet[0]) & (frame["parameter"] == facet[1])


def _cases(
    frame: pd.DataFrame,
) -> Iterator[tuple[tuple[str, str], str, str, pd.DataFrame]]:
    """Take a frame apart by estimator, parameter and scenario, and name the parts."""
    names = plots.scenario_names(_levels(frame["scenario"]))
    for facet, title in _facets(frame).items():
        own = frame[_is(frame, facet)]
        for scenario, rows in own.groupby("scenario", sort=False, observed=True):
            yield facet, str(scenario), f"{title} \u00b7 {names[str(scenario)]}", rows


# ---------------------------------------------------------------------- numbers in words


def _rounded(value: float, mcse: float) -> tuple[str, str]:
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


def _decimal(share: float) -> str:
    """Write a share as .951."""
    return f"{share:.3f}".removeprefix("0") if math.isfinite(share) else "\u2013"


def _range(values: pd.Series[Any], *quantiles: float) -> str:
    """Write quantiles of a column, to two digits."""
    known = values[np.isfinite(values)]
    if known.empty:
        return "\u2013"
    return " / ".join(f"{float(known.quantile(q)):.2g}" for q in quantiles)


def _shares(row: Mapping[Any, Any]) -> Content:
    """Write coverage and its interval; where answers are missing, how many there are instead."""
    if row["verdict"] in FEW:
        return {"cover": f"{row['n']:,}", "interval": f"of {row['asked']:,} answered"}
    known = math.isfinite(row["cover_lower"])
    ends = f"[{_decimal(row['cover_lower'])}, {_decimal(row['cover_upper'])}]" if known else ""
    return {"cover": _decimal(row["cover"]), "interval": ends}


def _cell(row: Mapping[Any, Any]) -> str:
    """Write one cell of the terminal's table."""
    word = WORDS[row["verdict"]].short
    if row["verdict"] in FEW:
        return f"{word} {row['n']}/{row['asked']}"
    shares = _shares(row)
    interval = shares["interval"].replace(", ", ",").replace("1.000", "1")
    return f"{word} {shares['cover']} {interval}" if interval else word


def _line(label: str, parts: Iterable[str], wide: int) -> str:
    """Write one line of the terminal's table."""
    return f"{label:<{wide}}" + "".join(f" {part:>{CELL}}" for part in parts)


def _cut(text: str, width: int) -> str:
    """Shorten a text in its middle, and keep it on one line."""
    text = printable(text)
    if len(text) <= width:
        return text
    return text[: (width - 1) // 2] + ".." + text[len(text) - (width - 2) // 2 :]


# ---------------------------------------------------------------------- filters of the templates


class _Said(str):
    """Markdown that is not to be escaped again."""


def _shown(value: Any) -> Any:
    """Clean what goes into the page; the template escapes it."""
    return printable(value) if type(value) is str else value


def _markdown(value: Any) -> str:
    """Escape what markdown, or the HTML inside it, would read as its own."""
    if isinstance(value, _Said):
        return value
    text = " ".join(printable(str(value)).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def _code(text: str) -> str:
    """Put a text on one line, for an indented block of code."""
    return _Said(printable(str(text)))


def _short(text: str) -> str:
    """Shorten a name to 60 letters."""
    return _cut(str(text), 60)


_INLINE: tuple[tuple[str, str], ...] = (
    (r"^.*?(?=<svg)", ""),
    (r"\s*<metadata>.*?</metadata>", ""),
    (r"\s*<defs>\s*<style.*?</style>\s*</defs>", ""),
    (r' xmlns(:xlink)?="[^"]*"', ""),
    (r' id="[A-Za-z0-9.]+_[0-9]+"', ""),  # counted anew in every figure, and never referred to
    (plots.INK, "var(--ink)"),
    (plots.MUTED, "var(--muted)"),
    (plots.GRID, "var(--rule)"),
    (plots.BAND, "var(--band)"),
    (plots.PAPER, "var(--paper)"),
)


def _inline(svg: str, name: str) -> str:
    """Make a figure part of the page: no prolog, no address, the page's own colors."""
    from markupsafe import Markup, escape

    for pattern, replacement in _INLINE:
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    wide = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', svg)
    if wide:  # a little larger than printed, for the screen
        svg = svg.replace(wide[0], f'width="{1.1 * float(wide[1]):.0f}pt"', 1)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1))
