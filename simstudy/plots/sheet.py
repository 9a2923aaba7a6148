"""A sheet of panels: its layout, its colors, and the file that it becomes.

Nothing touches the state of pyplot, and matplotlib is imported when a figure is drawn, not before.
Colors are those of Okabe & Ito (2008); no meaning rests on color alone, marks differ in shape too.
Text is taken as it is: a dollar sign in a name is a dollar sign, not mathematics.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from simstudy.plots.names import TEXT, drawable, inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK, MUTED, GRID, BAND, PAPER = "#23272e", "#6b7280", "#dfe3e8", "#eef1f5", "#fffffe"
BLUE, VERMILLION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
CYCLE = (BLUE, VERMILLION, "#009e73", PURPLE, "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
STATES = ((BLUE, "o"), (VERMILLION, "v"), (PURPLE, "^"))  # as it should be, below, above

GAP = 0.2  # inches between panels


class Sheet(NamedTuple):
    """A figure and its panels, block by block, row by row."""

    figure: Figure
    blocks: list[list[Axes]]
    columns: int


def new_sheet(
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
) -> Sheet:
    """Lay out blocks (name, panels, their height), at most `most` in a row, lengths in inches."""
    from matplotlib.figure import Figure

    columns = panels_in_a_row(max(count for _, count, _ in blocks), most)
    wide = max(left + right + columns * across + (columns - 1) * GAP, 4.6)
    entries = max(1, int((wide - 0.1) / (0.4 + inches([text for text, *_ in legend]))))
    top = 0.56 + 0.19 * math.ceil(len(legend) / entries)
    steps = [math.ceil(count / columns) * (height + gap) for _, count, height in blocks]
    tall = top + sum(steps) - gap + bottom + 0.36 * sum(bool(name) for name, *_ in blocks)
    figure = Figure(figsize=(wide, tall), facecolor=PAPER)
    sheet = Sheet(figure, [], columns)
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
    _write(figure, 0.1, tall - 0.17, drawable(title, int((wide - 0.2) / 0.092)), TEXT + 2.5)
    if legend:
        handles = [_handle(*entry) for entry in legend]
        put_legend(
            figure, entries, (0.05 / wide, 1 - 0.3 / tall), handles=handles, handlelength=1.2
        )
    return sheet


def panels_in_a_row(count: int, most: int) -> int:
    """Choose how many panels stand in a row, so that the rows are about equally full."""
    return math.ceil(count / math.ceil(count / most))


def finished(sheet: Sheet, below: str, beside: str, ticks: int = 5) -> Figure:
    """Put numbers on the axes; ticks and names at the outer edge of the sheet only."""
    wide, _ = sheet.figure.get_size_inches()
    for block in sheet.blocks:
        for k, axes in enumerate(block):
            if k % sheet.columns:
                axes.set_yticks([])
            elif beside:
                axes.set_ylabel(drawable(beside, 30), fontsize=TEXT - 0.5, color=MUTED)
            _number(axes.xaxis, ticks)
            _number(axes.yaxis, ticks)
            low, high = axes.get_xlim()
            for value, tick in zip(axes.get_xticks(), axes.xaxis.get_major_ticks(), strict=True):
                if high - value < 0.04 * (high - low):  # away from the label of the next panel
                    tick.label1.set_horizontalalignment("right")
    left = sheet.blocks[0][0].get_position().x0 * wide
    _write(sheet.figure, left, 0.14, drawable(below, 90), TEXT, color=MUTED, fontweight="normal")
    return sheet.figure


def name_rows(block: list[Axes], columns: int, names: Iterable[str]) -> None:
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


def put_legend(
    place: Axes | Figure, columns: int, corner: tuple[float, float], **style: Any
) -> None:
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


def title_panel(axes: Axes, text: str) -> None:
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
