"""Figures: one function per figure, a frame in, a matplotlib `Figure` out.

Every function works alone, in a notebook or a script, on the table, on the performance frame or
on any frame with the columns that its docstring names. Nothing touches the state of pyplot, and
matplotlib is imported when a figure is drawn, not before. Colors are those of Okabe & Ito (2008);
no meaning rests on color alone, marks differ in shape too. Text is taken as it is: a dollar sign
in a name is a dollar sign, not mathematics.

The file is long because it is a list: the figures share a sheet of panels and a few marks.
"""

from __future__ import annotations

import io
import math
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from simstudy.evidence.bands import ecdf_bands
from simstudy.evidence.calibration import pit
from simstudy.evidence.measures import relative
from simstudy.evidence.montecarlo import share
from simstudy.evidence.summary import answers
from simstudy.files.writing import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Floats = npt.NDArray[np.float64]

INK, MUTED, GRID, BAND, PAPER = "#23272e", "#6b7280", "#dfe3e8", "#eef1f5", "#fffffe"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
CYCLE = (BLUE, VERMILLION, "#009e73", PURPLE, "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
STATES = ((BLUE, "o"), (VERMILLION, "v"), (PURPLE, "^"))  # as it should be, below, above

TEXT = 7.5  # points
GAP = 0.2  # inches between panels
CELL = ("estimator", "parameter", "scenario")

_Panels = list[tuple[Any, pd.DataFrame]]


# ---------------------------------------------------------------------- from the performance frame


def coverage(performance: pd.DataFrame, level: float = 0.95) -> Figure:
    """Draw the coverage of every method in every scenario, with its Monte Carlo interval.

    A lollipop per method: the stem starts at the nominal level, the dot is the coverage, the
    thick line its interval (Wilson's, as the performance frame has it). The mark says whether
    that interval contains the nominal level. The band is the liberal criterion of Bradley (1978,
    British Journal of Mathematical and Statistical Psychology 31:144): the miss rate within half
    of itself, .925 to .975 at 95 %.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; the measure `cover` is used.
    level : float
        Nominal level of the intervals, a proportion.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter, one row per method.

    Raises
    ------
    ValueError
        If the frame holds no measure `cover`.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.plots import coverage
    >>> frame = pd.DataFrame({
    ...     "scenario": "normal n=10", "estimator": "ml", "parameter": "mu",
    ...     "method": ["observed", "opg"], "measure": "cover",
    ...     "value": [0.905, 0.950], "mcse": [0.009, 0.007],
    ...     "lower": [0.885, 0.935], "upper": [0.922, 0.963], "n": [1000, 1000]})
    >>> len(coverage(frame, level=0.95).axes)
    1
    """
    rows = _measure(performance, "cover")
    rows["state"] = np.select([rows["high"] < level, rows["low"] > level], [1, 2], 0)
    miss = 1 - level
    return _lollipops(
        rows,
        reference=level,
        band=(level - miss / 2, level + miss / 2),
        limits=(max(0.0, level - 5 * miss), 1.0),
        title=f"Coverage of {100 * level:g} % intervals",
        axis=f"coverage, with its Monte Carlo interval; band: {level - miss / 2:g} to "
        f"{level + miss / 2:g}",
        states=(f"Monte Carlo interval contains {level:g}", "lies below it", "lies above it"),
    )


def se_ratio(performance: pd.DataFrame) -> Figure:
    """Draw each method's standard error divided by the exact one at the same fit.

    The bar runs from the 5 % to the 95 % quantile over replicates, the mark is the median, on a
    logarithmic axis. What is wrong here is numerical error, before any statistics.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; `seratio_p05`, `seratio_median` and `seratio_p95` are used.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter, one row per method.

    Raises
    ------
    ValueError
        If the frame lacks one of the three measures.
    """
    rows = _measure(performance, "seratio_median").drop(columns=["low", "high"])
    for name, measure in (("low", "seratio_p05"), ("high", "seratio_p95")):
        ends = _measure(performance, measure)[[*CELL, "method", "value"]]
        rows = rows.merge(ends.rename(columns={"value": name}), on=[*CELL, "method"], how="left")
    rows["state"] = np.select([rows["value"] < 0.99, rows["value"] > 1.01], [1, 2], 0)
    low, high = _extremes(rows, (0.1, 0.8), (1.25, 10.0))
    return _lollipops(
        rows,
        reference=1.0,
        band=(0.99, 1.01),
        limits=(low * 0.95, high * 1.05),
        title="Standard error of the method / exact standard error at the same fit",
        axis="ratio: 5 % quantile, median and 95 % quantile over replicates",
        states=("median within 1 %", "below", "above"),
        log=True,
    )


def model_se_against_empirical_se(performance: pd.DataFrame) -> Figure:
    """Draw the standard error that a method reports against the spread that really occurred.

    The ratio of the two (`modelse` / `empse`) is drawn over the empirical SE: the diagonal of the
    plain scatter plot lies flat, and errors of a few percent can be seen. The lines are the Monte
    Carlo intervals of `relerror`. Marks at the edge of a panel lie beyond it.

    Parameters
    ----------
    performance : DataFrame
        The performance frame; `empse` and `relerror` are used.

    Returns
    -------
    Figure
        One panel per method, one mark per scenario and parameter.

    Raises
    ------
    ValueError
        If the frame lacks one of the two measures.
    """
    rows = _measure(performance, "relerror")
    rows[["value", "low", "high"]] = 1 + rows[["value", "low", "high"]] / 100
    spread = _measure(performance, "empse")[[*CELL, "method", "value"]]
    rows = rows.merge(spread.rename(columns={"value": "empse"}), on=[*CELL, "method"])
    rows = rows[np.isfinite(rows["value"]) & (rows["empse"] > 0)]
    low, high = _extremes(rows, (0.6, 0.85), (1.18, 1.7))
    heads, names = _unique(_levels(performance["method"]), 24), _facets(performance)
    styles = [(CYCLE[k % 7], MARKERS[k % 7]) for k in range(len(names))]
    legend = [(name, *style) for name, style in zip(names.values(), styles, strict=True)]
    sheet = _sheet(
        [("", len(heads), 1.35)],
        most=5,
        title="Model SE / empirical SE, against the empirical SE",
        legend=[*legend, ("within 10 %", BAND, "s")],
        across=1.72,
    )
    for axes, method in zip(sheet.blocks[0], heads, strict=True):
        _title(axes, heads[method])
        axes.set(xscale="log", yscale="log", ylim=(low * 0.94, high * 1.06))
        if len(rows):
            axes.set_xlim(rows["empse"].min() / 1.25, rows["empse"].max() * 1.25)
        axes.axhspan(0.9, 1.1, color=BAND, zorder=0, linewidth=0)
        axes.axhline(1, color=INK, linewidth=0.7)
        own = rows[rows["method"] == method]
        for facet, (color, marker) in zip(names, styles, strict=True):
            points = _of(own, facet)
            x = points["empse"]
            ends = points[["low", "high"]].clip(low * 0.94, high * 1.06)
            axes.vlines(x, ends["low"], ends["high"], color=color, linewidth=0.9)
            y = points["value"].clip(low * 0.97, high * 1.03)
            axes.plot(x, y, marker, color=color, markersize=3.4)
    return _finished(sheet, "empirical SE", "model SE / empirical SE")


def nested_loop(
    performance: pd.DataFrame, measure: str = "cover", reference: float | None = None
) -> Figure:
    """Draw one measure over all scenarios as steps, with the factors' levels underneath.

    The nested loop plot of Rucker & Schwarzer (2014, BMC Medical Research Methodology 14:129);
    scenarios stand in the order of the study.

    Parameters
    ----------
    performance : DataFrame
        The performance frame.
    measure : str
        Name of the measure.
    reference : float, optional
        A value to compare with, such as the nominal level.

    Returns
    -------
    Figure
        One panel per parameter, one line per method.

    Raises
    ------
    ValueError
        If the frame holds no such measure.
    """
    rows = _measure(performance, measure)
    scenarios, names, facets = _levels(rows["scenario"]), _levels(rows["method"]), _facets(rows)
    factors, labels = _factors(scenarios), _unique(names, 34)
    right = 0.55 + _inches(labels.values())
    below, tall = 0.2 + 0.3 * max(len(factors), 1), max(1.9, 0.135 * len(names) + 0.3)
    sheet = _sheet(
        [(name, 1, tall) for name in facets.values()],
        most=1,
        title=f"{measure} over all scenarios",
        across=10.25 - right,
        right=right,
        bottom=below,
        gap=below,
    )
    for (axes,), facet in zip(sheet.blocks, facets, strict=True):
        own = _of(rows, facet)
        axes.set(xlim=(0, len(scenarios)), xticks=[])
        if reference is not None:
            axes.axhline(reference, color=INK, linewidth=0.7)
        for method, values in own.set_index("scenario").groupby("method", sort=False)["value"]:
            k = names.index(str(method))
            axes.stairs(
                values.reindex(scenarios).to_numpy(float),
                color=CYCLE[k % 7],
                linestyle=DASHES[k // 7 % 3],
                linewidth=1.2,
                baseline=None,
                label=labels[str(method)],
            )
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        _legend(axes, 1, (1.01, 1.03), handlelength=2.4, labelspacing=0.25)
        _draw_factors(axes, factors, len(scenarios), tall)
    return _finished(sheet, "", measure)


def cost(frame: pd.DataFrame, level: float = 0.95) -> Figure:
    """Draw what each method costs beside what it is worth: seconds and coverage.

    Parameters
    ----------
    frame : DataFrame
        One row per method: `method`, `seconds` (per replicate), `cover`, and the Monte Carlo
        interval of the coverage, `lower` and `upper`. With the columns `estimator` and
        `parameter`, one row for each of these.
    level : float
        Nominal level of the intervals, a proportion.

    Returns
    -------
    Figure
        One row per method, the cheapest on top; a panel of seconds, and one of coverage for each
        parameter; one block of panels per estimator.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    missing = {"method", "seconds", "cover", "lower", "upper"} - set(frame.columns)
    if missing:
        raise ValueError(f"the frame has no column {', '.join(sorted(missing))}; it needs them all")
    rows = pd.DataFrame({"estimator": "", "parameter": "", **dict(frame.items())}, frame.index)
    rows = rows.sort_values("seconds", kind="stable")
    rows["state"] = np.select([rows["upper"] < level, rows["lower"] > level], [1, 2], 0)
    names = _unique(_levels(rows["method"]), 40)
    parts = {name: rows[rows["estimator"] == name] for name in _levels(rows["estimator"])}
    left = 0.3 + _inches(names.values())
    columns = _columns(1 + max(part["parameter"].nunique() for part in parts.values()), 6)
    sheet = _sheet(
        [
            (
                name if len(parts) > 1 else "",
                1 + part["parameter"].nunique(),
                0.165 * part["method"].nunique() + 0.08,
            )
            for name, part in parts.items()
        ],
        most=6,
        title=f"Cost, and coverage of {100 * level:g} % intervals",
        legend=[(f"coverage agrees with {level:g}", *STATES[0]), ("below", *STATES[1]),
                ("above", *STATES[2])],
        across=min(2.9, (10.85 - left + GAP) / columns - GAP),
        left=left,
        bottom=0.35,
    )  # fmt: skip
    for block, part in zip(sheet.blocks, parts.values(), strict=True):
        methods = _levels(part["method"])
        _draw_seconds(block[0], part.drop_duplicates("method")["seconds"].to_numpy(float))
        for axes, parameter in zip(block[1:], _levels(part["parameter"]), strict=True):
            own = part[part["parameter"] == parameter].set_index("method").reindex(methods)
            _draw_coverage(axes, own[["cover", "lower", "upper", "state"]].to_numpy(float), level)
            _title(axes, _text(f"coverage, {parameter}" if parameter else "coverage", 26))
        _name_rows(block, sheet.columns, [names[method] for method in methods])
    return _finished(sheet, "", "")


# ---------------------------------------------------------------------- from the table


def zip_plot(
    table: pd.DataFrame, level: float = 0.95, scenario: str | None = None, note: str = ""
) -> Figure:
    """Draw the intervals of one scenario, sorted so that those that miss are on top.

    The zip plot of Morris, White & Crowther (2019, Statistics in Medicine 38:2074, figure 6).
    Intervals are ranked by how far the truth is from the estimate, in units of the interval's own
    arm on that side, so the zip closes exactly at the coverage. A panel shows at most 100 of them,
    evenly spaced in rank.

    Parameters
    ----------
    table : DataFrame
        The table.
    level : float
        Nominal level of the intervals, a proportion.
    scenario : str, optional
        Key of the scenario; the first of the table by default.
    note : str
        What the legend says besides, such as that not all parameters are shown.

    Returns
    -------
    Figure
        One panel per method, one block of panels per parameter.

    Raises
    ------
    ValueError
        If the table holds no such scenario.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from simstudy.plots import zip_plot
    >>> estimate = np.linspace(-2.5, 2.5, 40)
    >>> table = pd.DataFrame({
    ...     "scenario": "normal n=1", "replicate": range(40), "estimator": "ml",
    ...     "method": "observed", "parameter": "mu", "truth": 0.0, "estimate": estimate,
    ...     "se": 1.0, "lower": estimate - 1.96, "upper": estimate + 1.96, "status": "ok"})
    >>> len(zip_plot(table).axes)
    1
    """
    rows, name = _one_scenario(table, scenario)
    rows = rows.assign(low=rows["lower"] - rows["truth"], high=rows["upper"] - rows["truth"])
    sheet, blocks = _panels(
        rows,
        "method",
        ["lower", "upper", "truth"],
        title=f"Zip plot: {name}",
        legend=[("interval contains the truth", BLUE, "_"), ("misses it", VERMILLION, "_"),
                ("Monte Carlo interval of the coverage", GRID, "s"),
                *([(note, PAPER, "_")] if note else [])],
    )  # fmt: skip
    for block in blocks:
        limits = _shared_limits([(own["low"], own["high"]) for _, own in block])
        for axes, own in block:
            axes.set(xlim=limits, ylim=(0, 100), yticks=[0, 50, 100 * level])
            axes.axvline(0, color=INK, linewidth=0.7)
            _draw_zip(axes, own, limits)
    return _finished(sheet, "distance of the interval's ends from the truth", "centile of the rank")


def se_against_estimate(table: pd.DataFrame, scenario: str | None = None) -> Figure:
    """Draw the standard error of each replicate against its estimate, in one scenario.

    The slope is what `corr` measures: where the standard error grows with the estimate, one
    tail of the intervals misses more often than the other. Where the truth differs by replicate,
    estimates are moved as if each had the mean truth (`simstudy.evidence.measures.relative`). A
    panel shows at most 250 replicates, evenly spaced; marks at the upper edge lie beyond it.

    Parameters
    ----------
    table : DataFrame
        The table.
    scenario : str, optional
        Key of the scenario; the first of the table by default.

    Returns
    -------
    Figure
        One panel per method, one block of panels per parameter.

    Raises
    ------
    ValueError
        If the table holds no such scenario.
    """
    rows, name = _one_scenario(table, scenario)
    sheet, blocks = _panels(
        rows,
        "method",
        ["se"],
        title=f"Standard error against estimate: {name}",
        legend=[("one replicate", BLUE, "o"), ("empirical SE", INK, "_"), ("truth", INK, "|")],
    )
    for block in blocks:
        block = [(axes, _of_one_truth(own)) for axes, own in block]
        across = _shared_limits([(own["estimate"], own["estimate"]) for _, own in block])
        top = _shared_limits([(own["se"], own["se"]) for _, own in block])[1]
        for axes, own in block:
            axes.set(xlim=across, ylim=(0, top))
            estimate, se = own["estimate"].to_numpy(float), own["se"].to_numpy(float)
            for truth in own["truth"].dropna().iloc[:1]:
                axes.axvline(truth, color=INK, linewidth=0.7)
            if len(own) > 1:
                axes.axhline(float(np.std(estimate, ddof=1)), color=INK, linewidth=0.7)
            if len(own) > 1 and min(np.ptp(se), np.ptp(estimate)) > 0:
                _corner(axes, f"corr {np.corrcoef(estimate, se)[0, 1]:.2f}", 0.86)
            _dots(axes, estimate, se.clip(max=0.985 * top))
    return _finished(sheet, "estimate", "standard error")


def pit_ecdf(table: pd.DataFrame, level: float = 0.95, scenario: str | None = None) -> Figure:
    """Draw the calibration of each method at all levels at once, in one scenario.

    The probability integral transform of the interval's pivot (see
    `simstudy.evidence.calibration.pit`) is uniform over replicates when the method is right.
    Methods whose intervals do not tell those of other levels (neither symmetric on a known scale,
    nor by a known distribution: percentile, profile, one-sided ones) have an empty panel that says
    so. Drawn is the empirical distribution function minus the uniform one, with bands that hold
    everywhere at once with probability 95 % (Sailynoja, Burkner & Vehtari 2022, Statistics and
    Computing 32:32).

    Parameters
    ----------
    table : DataFrame
        The table.
    level : float
        Nominal level of the intervals, a proportion.
    scenario : str, optional
        Key of the scenario; the first of the table by default.

    Returns
    -------
    Figure
        One panel per method, one block of panels per parameter.

    Raises
    ------
    ValueError
        If the table holds no such scenario.
    """
    rows, name = _one_scenario(table, scenario)
    sheet, blocks = _panels(
        rows,
        "method",
        ["lower", "upper"],
        title=f"Calibration at all levels: {name}",
        legend=[("inside the bands", BLUE, "_"), ("leaves them (dashed)", VERMILLION, "_"),
                ("95 % simultaneous bands", GRID, "s")],
    )  # fmt: skip
    for axes, own in (panel for block in blocks for panel in block):
        axes.set(xlim=(0, 1), ylim=(-0.16, 0.16))
        axes.axhline(0, color=INK, linewidth=0.7)
        names = {"estimate", "se", "truth", "df", "lower", "upper"} & {*own}
        columns: dict[str, Any] = {name: own[name].to_numpy(float) for name in names}
        transform = pit(**columns, level=level)
        transform = np.sort(transform[~np.isnan(transform)])
        if not transform.size:
            # one level's limits do not tell those of others
            _corner(axes, "not known at other levels" if len(own) else "no interval", 0.02)
        else:
            bands = ecdf_bands(transform.size, points=50)
            points, low, high = bands.at, bands.lower, bands.upper
            ecdf = np.searchsorted(transform, points, side="right") / transform.size
            inside = bool(((ecdf >= low) & (ecdf <= high)).all())
            axes.fill_between(points, low - points, high - points, color=GRID, linewidth=0)
            axes.plot(
                points,
                (ecdf - points).clip(-0.157, 0.157),
                color=BLUE if inside else VERMILLION,
                linewidth=1.2,
                linestyle="-" if inside else (0, (5, 1)),
            )
    return _finished(sheet, "probability integral transform", "ECDF minus uniform")


def bland_altman(table: pd.DataFrame, method: str, reference: str = "observed") -> Figure:
    """Draw the agreement of two methods' standard errors, replicate by replicate.

    Bland & Altman (1986, Lancet 327:307) on the logarithmic scale, where standard errors live:
    the ratio against the geometric mean, with the mean ratio and the limits of agreement (mean
    plus and minus 1.96 standard deviations of the log ratio). Replicates are paired by number; a
    panel shows at most 250 of them.

    Parameters
    ----------
    table : DataFrame
        The table.
    method, reference : str
        The two methods; the ratio is `method` / `reference`.

    Returns
    -------
    Figure
        One panel per scenario, one block of panels per parameter.

    Raises
    ------
    ValueError
        If one of the methods has no standard error in the table.
    """
    sides = []
    for name in (method, reference):
        rows = table[(table["method"] == name) & (table["se"] > 0) & np.isfinite(table["se"])]
        if rows.empty:
            known = ", ".join(_levels(table["method"]))
            raise ValueError(f"method {name!r} has no standard error; the table holds: {known}")
        sides.append(rows[[*CELL, "replicate", "se"]])
    pairs = sides[0].merge(sides[1], on=[*CELL, "replicate"], suffixes=("", "_reference"))
    pairs["log"] = np.log(pairs["se"] / pairs["se_reference"])
    reach = float(np.clip(1.3 * pairs["log"].abs().quantile(0.99), 0.05, 3.0))
    sheet, blocks = _panels(
        pairs,
        "scenario",
        ["se"],
        title=f"Standard errors: {method} / {reference}, against their size",
        legend=[("one replicate", BLUE, "o"), ("mean ratio; limits of agreement", INK, "_")],
    )
    for axes, own in (panel for block in blocks for panel in block):
        axes.set(xscale="log", yscale="log", ylim=(math.exp(-reach), math.exp(reach)))
        axes.axhline(1, color=GRID, linewidth=0.8)
        log = own["log"].to_numpy(float)
        size = np.sqrt((own["se"] * own["se_reference"]).to_numpy(float))
        _dots(axes, size, np.exp(log.clip(-0.98 * reach, 0.98 * reach)))
        if len(own) > 1:
            middle, width = float(log.mean()), 1.96 * float(log.std(ddof=1))
            axes.axhline(math.exp(middle), color=INK, linewidth=0.9)
            for end in (middle - width, middle + width):
                axes.axhline(math.exp(end), color=INK, linewidth=0.8, dashes=(4, 2))
    return _finished(sheet, "geometric mean of the two standard errors", "ratio")


def swarm(table: pd.DataFrame) -> Figure:
    """Draw the estimates themselves: one dot per replicate, dodged, around the truth.

    Parameters
    ----------
    table : DataFrame
        The table; one method stands for all of an estimator, because they share its estimates.

    Returns
    -------
    Figure
        One panel per parameter and estimator, one row per scenario with at most 250 dots. The
        bar is the mean error (the bias). Dots at the edge lie beyond it.
    """
    fits = table[np.isfinite(table["estimate"])].drop_duplicates([*CELL, "replicate"])
    labels, facets = _scenario_labels(_levels(table["scenario"]), 30), _facets(table)
    sheet = _sheet(
        [("", len(facets), 0.36 * len(labels))],
        most=3,
        title="Estimates around the truth",
        legend=[("one replicate", BLUE, "o"), ("mean error", VERMILLION, "|")],
        across=2.8,
        left=0.3 + _inches(labels.values()),
    )
    for axes, facet in zip(sheet.blocks[0], facets, strict=True):
        own = _of(fits, facet)
        errors = (own["estimate"] - own["truth"]).groupby(own["scenario"].astype(object))
        low, high = errors.quantile(0.005).min(), errors.quantile(0.995).max()
        low, high = (low, high) if low < high else (-1.0, 1.0)
        _title(axes, facets[facet])
        axes.set_xlim(low, high)
        axes.axvline(0, color=INK, linewidth=0.7)
        for k, scenario in enumerate(labels):
            if scenario in errors.groups:
                error = errors.get_group(scenario).to_numpy(float)
                x = error[_thin(error.size, 250)].clip(low, high)
                _dots(axes, x, k + 0.42 * _dodge(x, (high - low) / 90))
                axes.vlines(error.mean(), k - 0.4, k + 0.4, color=VERMILLION, linewidth=1.6)
    _name_rows(sheet.blocks[0], sheet.columns, labels.values())
    return _finished(sheet, "estimate - truth", "")


# ---------------------------------------------------------------------- names, and the file


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


def svg(figure: Figure, name: str) -> str:
    """Render a figure as SVG: the same figure gives the same text, letter by letter.

    Text stays text (any alphabet, searchable); identifiers derive from `name`, so that figures
    of different names can stand in one page; there is no date.

    Parameters
    ----------
    figure : Figure
        The figure.
    name : str
        Its name.

    Returns
    -------
    str
        The SVG document.
    """
    import matplotlib

    settings: Any = {"svg.hashsalt": f"simstudy {name}", "svg.fonttype": "none"}
    unsaid = dict.fromkeys(["Date", "Creator", "Format", "Type"])
    paper = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # letters that the measuring font lacks are drawn by the reader's own fonts
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(paper, format="svg", metadata=unsaid)
    return paper.getvalue()


# ---------------------------------------------------------------------- frames


def _levels(column: pd.Series[Any]) -> list[str]:
    """List the distinct values of a column, in order of appearance."""
    return [str(value) for value in column.unique()]


def _measure(performance: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Take one measure of the performance frame, with its interval as `low` and `high`."""
    rows = performance[performance["measure"] == measure]
    if rows.empty:
        known = ", ".join(_levels(performance["measure"]))
        raise ValueError(f"the frame holds no measure {measure!r}; it holds: {known}")
    rows = rows[[*CELL, "method", "value", "mcse", "lower", "upper"]]
    rows = rows.astype(dict.fromkeys([*CELL, "method"], object))
    reach = 1.96 * rows["mcse"].fillna(0.0)
    rows["low"] = rows["lower"].fillna(rows["value"] - reach)
    rows["high"] = rows["upper"].fillna(rows["value"] + reach)
    return rows.drop(columns=["mcse", "lower", "upper"])


def _one_scenario(table: pd.DataFrame, scenario: str | None) -> tuple[pd.DataFrame, str]:
    """Take the rows of one scenario, the first one by default, and its key.

    What is no answer to the measures is none here.
    """
    known = _levels(table["scenario"])
    if scenario is None:
        scenario = known[0]
    if scenario not in known:
        raise ValueError(f"no scenario {scenario!r}; the table holds: {', '.join(known)}")
    rows = table[table["scenario"] == scenario]
    found = answers(rows, said=False)
    return rows.assign(**{name: found[name] for name in found if name in rows}), scenario


def _factors(scenarios: Sequence[str]) -> dict[str, list[str]]:
    """Read from the keys (`gamma n=20 shape=0.5`) the factors that vary, one level each."""
    cells = [dict(w.split("=", 1) for w in key.split() if "=" in w) for key in scenarios]
    names = [name for name in cells[0] if all(name in cell for cell in cells)]
    levels = {name: [cell[name] for cell in cells] for name in names}
    return {name: values for name, values in levels.items() if len(set(values)) > 1}


def _of(frame: pd.DataFrame, facet: tuple[str, str]) -> pd.DataFrame:
    """Take the rows of one estimator and parameter."""
    return frame[(frame["estimator"] == facet[0]) & (frame["parameter"] == facet[1])]


def _facets(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Label the pairs of estimator and parameter."""
    names = facet_names(frame)
    return dict(zip(names, _unique(names.values(), 60).values(), strict=True))


def _scenario_labels(scenarios: Sequence[str], width: int) -> dict[str, str]:
    """Label scenarios by the words of their keys that differ."""
    names = scenario_names(scenarios)
    return dict(zip(scenarios, _unique(names.values(), width).values(), strict=True))


def _of_one_truth(rows: pd.DataFrame) -> pd.DataFrame:
    """Move estimates and truths as if every replicate had the mean truth, as the measures do."""
    truth = rows["truth"].to_numpy(float)
    moved, shift = relative(rows["estimate"].to_numpy(float), truth)
    return rows.assign(estimate=moved, truth=truth - shift)


def _pivots(rows: pd.DataFrame) -> Floats:
    """Divide estimate - truth by the interval's arm on the side of the truth."""
    estimate, truth = rows["estimate"].to_numpy(float), rows["truth"].to_numpy(float)
    lower, upper = rows["lower"].to_numpy(float), rows["upper"].to_numpy(float)
    arm = np.where(estimate < truth, upper - estimate, estimate - lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(estimate == truth, 0.0, (estimate - truth) / arm)


# ---------------------------------------------------------------------- text


def _width(text: str) -> int:
    """Count columns: letters of East Asian scripts take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _text(text: str, width: int) -> str:
    """Make a text safe to draw: printable, at most `width` wide, its dollar signs literal."""
    text = printable(text)
    keep = min(len(text), width) + 1
    whole = text
    while _width(text) > width:
        keep -= 1
        text = (
            whole[: keep // 2] + "\N{HORIZONTAL ELLIPSIS}" + whole[len(whole) - (keep - 1) // 2 :]
        )
    return text.replace("$", r"\$")


def _unique(names: Iterable[str], width: int) -> dict[str, str]:
    """Shorten names to a width; those that become the same get a number."""
    labels: dict[str, str] = {}
    for name in names:
        label, k = _text(name, width), 1
        while label in labels.values():
            k += 1
            label = _text(name, width - 4) + f" ({k})"
        labels[name] = label
    return labels


def _inches(labels: Iterable[str]) -> float:
    """Estimate the width of the widest label: a letter takes at most 0.62 of its size."""
    return max((_width(label) for label in labels), default=0) * 0.62 * TEXT / 72


# ---------------------------------------------------------------------- sheets of panels


class _Sheet(NamedTuple):
    """A figure and its panels, block by block, row by row."""

    figure: Figure
    blocks: list[list[Axes]]
    columns: int


def _sheet(
    blocks: Sequence[tuple[str, int, float]],
    *,
    most: int,
    title: str,
    across: float,
    legend: Sequence[tuple[str, str, str]] = (),
    left: float = 0.62,
    right: float = 0.15,
    bottom: float = 0.55,
    gap: float = 0.45,
) -> _Sheet:
    """Lay out blocks (name, panels, their height), at most `most` in a row, lengths in inches."""
    from matplotlib.figure import Figure

    columns = _columns(max(count for _, count, _ in blocks), most)
    wide = max(left + right + columns * across + (columns - 1) * GAP, 4.6)
    entries = max(1, int((wide - 0.1) / (0.4 + _inches([text for text, *_ in legend]))))
    top = 0.56 + 0.19 * math.ceil(len(legend) / entries)
    steps = [math.ceil(count / columns) * (height + gap) for _, count, height in blocks]
    tall = top + sum(steps) - gap + bottom + 0.36 * sum(bool(name) for name, *_ in blocks)
    figure = Figure(figsize=(wide, tall), facecolor=PAPER)
    sheet = _Sheet(figure, [], columns)
    y = tall - top
    for (name, count, height), step in zip(blocks, steps, strict=True):
        if name:
            _write(figure, 0.1, y - 0.08, name, TEXT + 1.5)
            y -= 0.36
        sheet.blocks.append([])
        for k in range(count):
            x = left + k % columns * (across + GAP)
            below = y - k // columns * (height + gap) - height
            box = (x / wide, below / tall, across / wide, height / tall)
            sheet.blocks[-1].append(_plain(figure.add_axes(box)))
        y -= step
    _write(figure, 0.1, tall - 0.17, _text(title, int((wide - 0.2) / 0.092)), TEXT + 2.5)
    if legend:
        handles = [_handle(*entry) for entry in legend]
        _legend(figure, entries, (0.05 / wide, 1 - 0.3 / tall), handles=handles, handlelength=1.2)
    return sheet


def _columns(count: int, most: int) -> int:
    """Choose how many panels stand in a row, so that the rows are about equally full."""
    return math.ceil(count / math.ceil(count / most))


def _finished(sheet: _Sheet, below: str, beside: str, ticks: int = 5) -> Figure:
    """Put numbers on the axes; ticks and names at the outer edge of the sheet only."""
    wide, _ = sheet.figure.get_size_inches()
    for block in sheet.blocks:
        for k, axes in enumerate(block):
            if k % sheet.columns:
                axes.set_yticks([])
            elif beside:
                axes.set_ylabel(_text(beside, 30), fontsize=TEXT - 0.5, color=MUTED)
            _number(axes.xaxis, ticks)
            _number(axes.yaxis, ticks)
            low, high = axes.get_xlim()
            for value, tick in zip(axes.get_xticks(), axes.xaxis.get_major_ticks(), strict=True):
                if high - value < 0.04 * (high - low):  # away from the label of the next panel
                    tick.label1.set_horizontalalignment("right")
    left = sheet.blocks[0][0].get_position().x0 * wide
    _write(sheet.figure, left, 0.14, _text(below, 90), TEXT, color=MUTED, fontweight="normal")
    return sheet.figure


def _name_rows(block: list[Axes], columns: int, names: Iterable[str]) -> None:
    """Give every panel one line per name; the names stand left of the first panel of a row."""
    labels = list(names)
    for axes in block:
        lines = range(len(labels))
        axes.hlines(lines, *axes.get_xlim(), color=GRID, linewidth=0.5, zorder=0)
        axes.set_ylim(len(labels) - 0.5, -0.5)
    for axes in block[::columns]:
        axes.set_yticks(range(len(labels)), labels)


def _write(figure: Figure, x: float, y: float, text: str, size: float, **style: Any) -> None:
    """Write a line of bold text at a place given in inches."""
    wide, tall = figure.get_size_inches()
    style = {"color": INK, "fontweight": "bold", "va": "center"} | style
    figure.text(x / wide, y / tall, text, fontsize=size, **style)


def _legend(place: Axes | Figure, columns: int, corner: tuple[float, float], **style: Any) -> None:
    """Put a legend without a frame at the upper left of a place."""
    place.legend(
        loc="upper left",
        bbox_to_anchor=corner,
        ncols=columns,
        frameon=False,
        fontsize=TEXT,
        labelcolor=INK,
        borderaxespad=0,
        borderpad=0.2,
        handletextpad=0.5,
        columnspacing=1.5,
        **style,
    )


def _handle(text: str, color: str, marker: str) -> Line2D:
    """Make one entry of a legend."""
    from matplotlib.lines import Line2D

    size = 7 if marker in "_|s" else 4.5
    line = Line2D([], [], color=color, marker=marker, markersize=size, markeredgewidth=1.4)
    line.set(linewidth=0, label=text)
    return line


def _plain(axes: Axes) -> Axes:
    """Take away what carries no information."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color=MUTED, linewidth=0.6)
    axes.set(facecolor="none", axisbelow=True)
    axes.tick_params(labelsize=TEXT - 0.5, labelcolor=INK, color=MUTED, length=2, width=0.5, pad=2)
    axes.tick_params(axis="y", length=0)
    return axes


def _title(axes: Axes, text: str) -> None:
    """Name a panel."""
    axes.set_title(text, fontsize=TEXT, color=INK, loc="left", pad=3)


def _number(axis: Axis, most: int) -> None:
    """Put plain numbers on an axis, few enough not to touch, unless its ticks are set."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    axis.set_ticks([], minor=True)
    if isinstance(axis.get_major_locator(), FixedLocator):
        return
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log" and high > 3 * low:
        ticks = _log_ticks(low, high, most)
    else:
        values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = [float(f"{tick:.6g}") for tick in values if low <= tick <= high]
    axis.set_ticks(ticks, [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Choose round numbers for a logarithmic axis, the richest set that is not too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ("1 1.1 1.2 1.4 1.6 2 3 5 7 8 9", "1 1.5 2 3 5 7", "1 2 5", "1 3", "1"):
        exact = [f"{step}e{decade}" for decade in decades for step in steps.split()]
        ticks = [float(tick) for tick in exact if low <= float(tick) <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def _panels(
    rows: pd.DataFrame, column: str, needs: list[str], **layout: Any
) -> tuple[_Sheet, list[_Panels]]:
    """Lay out a panel per method or scenario, a block per facet; pair panels with their rows."""
    every, facets = _levels(rows[column]), _facets(rows)
    heads = _unique(every, 26) if column == "method" else _scenario_labels(every, 26)
    levels = [_levels(_of(rows, facet)[column]) for facet in facets]
    blocks = [(name, len(own), 1.4) for name, own in zip(facets.values(), levels, strict=True)]
    sheet = _sheet(blocks, most=5, across=1.8, **layout)
    answered = rows[~rows[needs].isna().any(axis=1)]
    groups = dict(list(answered.groupby(["estimator", "parameter", column], observed=True)))
    paired: list[_Panels] = []
    for block, facet, own in zip(sheet.blocks, facets, levels, strict=True):
        paired.append([])
        for axes, value in zip(block, own, strict=True):
            _title(axes, heads[value])
            paired[-1].append((axes, groups.get((*facet, value), answered.iloc[:0])))
    return sheet, paired


# ---------------------------------------------------------------------- marks


def _lollipops(
    rows: pd.DataFrame,
    *,
    reference: float,
    band: tuple[float, float],
    limits: tuple[float, float],
    title: str,
    axis: str,
    states: tuple[str, str, str],
    log: bool = False,
) -> Figure:
    """Draw one row per method, one panel per scenario, one block per facet."""
    facets, names = _facets(rows), _unique(_levels(rows["method"]), 34)
    heads = _scenario_labels(_levels(rows["scenario"]), 24)
    parts = [_of(rows, facet) for facet in facets]
    left, columns = 0.3 + _inches(names.values()), _columns(len(heads), 6)
    sheet = _sheet(
        [
            (name, part["scenario"].nunique(), 0.165 * part["method"].nunique() + 0.08)
            for name, part in zip(facets.values(), parts, strict=True)
        ],
        most=6,
        title=title,
        legend=[(text, *mark) for text, mark in zip(states, STATES, strict=True)],
        across=min(2.6, (10.85 - left + GAP) / columns - GAP),
        left=left,
    )
    for block, part in zip(sheet.blocks, parts, strict=True):
        methods = _levels(part["method"])
        cells = part.groupby("scenario", sort=False)
        for axes, (scenario, own) in zip(block, cells, strict=True):
            axes.set(xscale="log" if log else "linear", xlim=limits)
            axes.axvspan(*band, color=BAND, zorder=0, linewidth=0)
            axes.axvline(reference, color=INK, linewidth=0.7, zorder=1)
            _title(axes, heads[str(scenario)])
            ends = own.set_index("method").reindex(methods)[["value", "low", "high", "state"]]
            _draw_lollipops(axes, ends.to_numpy(float), reference)
        _name_rows(block, columns, [names[method] for method in methods])
    return _finished(sheet, axis, "")


def _draw_lollipops(axes: Axes, rows: Floats, reference: float) -> None:
    """Draw rows of (value, low, high, state); what lies beyond the panel is said at its edge."""
    limits = axes.get_xlim()
    value, low, high, state = rows.T
    seen, y = value.clip(*limits), np.arange(len(rows))
    known = np.isfinite(value)
    colors = [STATES[int(k)][0] for k in state[known]]
    axes.hlines(y[known], reference, seen[known], color=colors, linewidth=0.6, alpha=0.6)
    ends = (end.clip(*limits)[known] for end in (low, high))
    axes.hlines(y[known], *ends, color=colors, linewidth=2)
    for k, (color, marker) in enumerate(STATES):
        for mark, side in ((marker, seen == value), ("<", seen > value), (">", seen < value)):
            at = side & (state == k)
            if at.any():
                axes.plot(seen[at], y[at], mark, color=color, markersize=4, clip_on=False)
    for at in np.flatnonzero(known & (seen != value)):
        shift = 5 if seen[at] > value[at] else -5
        _note(axes, seen[at], y[at], f"{value[at]:.3g}", STATES[int(state[at])][0], (shift, 3.5))
    for at in np.flatnonzero(~known):
        _note(axes, limits[0], float(at), "no answer", MUTED, (3, 0))


def _draw_coverage(axes: Axes, rows: Floats, level: float) -> None:
    """Draw rows of (coverage, low, high, state) over the band of Bradley's liberal criterion."""
    miss = 1 - level
    axes.set_xlim(max(0.0, level - 5 * miss), 1)
    axes.axvspan(level - miss / 2, level + miss / 2, color=BAND, zorder=0, linewidth=0)
    axes.axvline(level, color=INK, linewidth=0.7)
    _draw_lollipops(axes, rows, level)


def _draw_seconds(axes: Axes, seconds: Floats) -> None:
    """Draw the seconds of methods, one below the other; no time at all is said."""
    _title(axes, "seconds per replicate")
    timed = seconds > 0
    axes.set_xscale("log")
    axes.plot(seconds[timed], np.flatnonzero(timed), "o", color=INK, markersize=4)
    for at in np.flatnonzero(~timed):
        _note(axes, axes.get_xlim()[0], float(at), "not timed", MUTED, (3, 0))


def _note(
    axes: Axes, x: float, y: float, text: str, color: str, shift: tuple[float, float]
) -> None:
    """Write a small note beside a point; `shift` in points."""
    axes.annotate(
        text, (x, y), xytext=shift, textcoords="offset points", fontsize=TEXT - 1.5, color=color,
        ha="left" if shift[0] > 0 else "right", va="center",
    )  # fmt: skip


def _draw_zip(axes: Axes, own: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Draw the intervals of one method, ranked, and say their coverage."""
    n = len(own)
    low, high = own["low"].to_numpy(float), own["high"].to_numpy(float)
    covers = (low <= 0) & (high >= 0)
    if not n:
        _corner(axes, "no answer", 0.02)
        return
    ends = share(covers)
    axes.axhspan(100 * ends.lower, 100 * ends.upper, color=GRID, zorder=0, linewidth=0)
    keep = _thin(n, 100)
    at = np.argsort(np.abs(_pivots(own)), kind="stable")[keep]
    sides = np.column_stack([low, high]).clip(*(1.2 * np.array(limits)))
    for covered, color in ((True, BLUE), (False, VERMILLION)):
        chosen = covers[at] == covered
        x = np.column_stack([sides[at[chosen]], np.full(chosen.sum(), np.nan)])
        y = np.repeat(100 * (keep[chosen] + 0.5) / n, 3)
        axes.plot(x.ravel(), y, color=color, linewidth=0.7, zorder=2)
    _corner(axes, f"{100 * covers.mean():.1f} % of {n:,}", 0.02)


def _draw_factors(axes: Axes, factors: dict[str, list[str]], count: int, tall: float) -> None:
    """Draw the levels of each factor as steps under a panel `tall` inches high."""
    from matplotlib.transforms import blended_transform_factory

    place: Any = blended_transform_factory(axes.transData, axes.transAxes)
    for k, (factor, values) in enumerate(factors.items()):
        levels = list(dict.fromkeys(values))
        base, rise = -(0.3 * k + 0.3) / tall, 0.12 / tall / max(len(levels) - 1, 1)
        steps = np.array([base + rise * levels.index(value) for value in values])
        axes.stairs(
            steps, np.arange(count + 1), baseline=None, transform=place, clip_on=False,
            color=MUTED, linewidth=0.9,
        )  # fmt: skip
        axes.text(
            0, base + 0.14 / tall, _text(f"{factor}: {', '.join(levels)}", 90), transform=place,
            fontsize=TEXT - 1.5, color=MUTED, va="bottom",
        )  # fmt: skip


def _dots(axes: Axes, x: Floats, y: Floats) -> None:
    """Draw replicates as small dots, at most 250 of them."""
    keep = _thin(x.size, 250)
    style: dict[str, Any] = {"markersize": 1.8, "markeredgewidth": 0, "alpha": 0.55}
    axes.plot(x[keep], y[keep], "o", color=BLUE, **style)


def _corner(axes: Axes, text: str, height: float) -> None:
    """Write a number at the right edge of a panel."""
    axes.text(
        0.98, height, text, transform=axes.transAxes, fontsize=TEXT - 1, color=INK, ha="right",
        va="bottom", bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
    )  # fmt: skip


# ---------------------------------------------------------------------- numbers


def _thin(count: int, most: int) -> npt.NDArray[np.intp]:
    """Choose at most `most` of `count` positions, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _extremes(
    rows: pd.DataFrame, lowest: tuple[float, float], highest: tuple[float, float]
) -> tuple[float, float]:
    """Find the ends of the positive intervals, each kept between two bounds."""
    low, high = (rows[name][np.isfinite(rows[name]) & (rows[name] > 0)] for name in ("low", "high"))
    ends = low.min() if len(low) else 1.0, high.max() if len(high) else 1.0
    return float(np.clip(ends[0], *lowest)), float(np.clip(ends[1], *highest))


def _shared_limits(panels: Sequence[tuple[Any, Any]]) -> tuple[float, float]:
    """Find limits that show the typical panel whole: one wild method must not hide the rest."""
    ends = []
    for low, high in panels:
        low, high = low[np.isfinite(low)], high[np.isfinite(high)]
        if len(low) and len(high):
            ends.append((np.quantile(low, 0.02), np.quantile(high, 0.98)))
    if not ends:
        return -1.0, 1.0
    low, high = np.median(ends, axis=0)
    room = 0.08 * (high - low) or 0.5 * abs(high) or 0.5
    return float(low - room), float(high + room)


def _dodge(x: Floats, width: float) -> Floats:
    """Shift dots sideways by turns, within -1 and 1, so that those in one bin stand apart."""
    bins = np.floor(x / width)
    order = np.argsort(bins, kind="stable")
    _, start, counts = np.unique(bins[order], return_index=True, return_counts=True)
    turn = np.arange(x.size) - np.repeat(start, counts)
    shift = np.empty(x.size)
    shift[order] = (turn + 1) // 2 * np.where(turn % 2, 1, -1)
    return np.asarray(shift / max(float(np.abs(shift).max()), 8.0))
