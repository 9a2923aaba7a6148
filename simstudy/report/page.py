"""The report: one HTML file that opens offline, and the same in markdown.

Everything is made from the table, the audit, the frames of `performance` and `verdicts`, and the
manifest; the layout stands in `templates/`. Text that came from outside is escaped by the
templates, and the page forbids scripts and addresses by its own content security policy.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simstudy import plots
from simstudy.evidence.calibration import known_at_one_level
from simstudy.evidence.montecarlo import FEWEST
from simstudy.evidence.verdicts import headline
from simstudy.files.writing import duration
from simstudy.garbage_collection import gc_paused
from simstudy.plots.frames import levels
from simstudy.report import drawing, failures, filters, sections, selection
from simstudy.report.words import CAPTIONS, GROUPS, SELECTED, WORDS, Content


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
    for name, finalize in (("report.html", filters.shown), ("report.md", filters.markdown)):
        pages = Environment(
            loader=PackageLoader("simstudy.report"),
            autoescape=name.endswith("html"),
            finalize=finalize,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        pages.filters |= {"inline": filters.inline, "code": filters.code, "short": filters.short}
        pages.filters["count"] = "{:,}".format
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
    performance = sections.without_few(performance)
    study = {"aims": "", "scenarios": [], "estimators": [], **manifest["study"]}
    level = float(study.get("level", 0.95))
    some, every = selection.chosen_scenarios(verdicts), verdicts["scenario"].nunique()
    drawn = {}
    for name, figure in drawing.figures(table, performance, verdicts, costs, level):
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
        "lacking": lacking,
        "notes": list(notes),
        "there": _there(table if audit is None else audit),
        "selected": SELECTED.format(len(some), every) if len(some) < every else "",
        "headline": headline(verdicts),
        "answer": sections.answer(verdicts),
        "reasons": list(sections.reasons(verdicts, why, some)),
        "measures": list(sections.measures(performance, verdicts, some)),
        "measured": levels(performance["measure"]),
        "asked": sections.count_asked(performance),
        "failures": failures.by_kind(table, manifest, some),
        "run": _run(manifest),
    }
    content |= _optional(audit, comparison, calibration, information_equality, level, some)
    for name, page in _templates().items():
        (Path(folder) / name).write_text(page.render(content), encoding="utf-8")
    return Path(folder) / "report.html"


def _optional(
    audit: pd.DataFrame | None,
    comparison: pd.DataFrame | None,
    calibration: pd.DataFrame | None,
    information_equality: pd.DataFrame | None,
    level: float,
    scenarios: Sequence[str],
) -> Content:
    """Fill the sections that not every table has; they are empty without their frame."""
    content: Content = dict.fromkeys(("fits", "messages", "warned", "paired", "levels"), ())
    content |= {"one_level": (), "information_equality": (), "against": ""}
    if audit is not None:
        content["fits"] = failures.fits(audit, scenarios)
        content["messages"] = failures.messages(audit)
        content["warned"] = failures.warned(audit)
    if comparison is not None:
        content["paired"] = list(sections.crossed(comparison, "measure", scenarios))
        content["against"] = "".join(levels(comparison["reference"])[:1])
    if calibration is not None:
        content["levels"] = list(sections.crossed(calibration, "level", scenarios))
        content["one_level"] = known_at_one_level(calibration, level)
    if information_equality is not None:
        content["information_equality"] = information_equality.to_dict("records")
    return content


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
