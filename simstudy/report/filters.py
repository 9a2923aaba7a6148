"""Filters of the templates: nothing from outside is read as markup, and figures fit the page."""

from __future__ import annotations

import re
from typing import Any

from simstudy.files.writing import printable
from simstudy.plots.sheet import BAND, GRID, INK, MUTED, PAPER
from simstudy.report.words import (
    shortened,
)


class _Said(str):
    """Markdown that is not to be escaped again."""


def shown(value: Any) -> Any:
    """Clean what goes into the page; the template escapes it."""
    return printable(value) if type(value) is str else value


def markdown(value: Any) -> str:
    """Escape what markdown, or the HTML inside it, would read as its own."""
    if isinstance(value, _Said):
        return value
    text = " ".join(printable(str(value)).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", text)


def code(text: str) -> str:
    """Put a text on one line, for an indented block of code."""
    return _Said(printable(str(text)))


def short(text: str) -> str:
    """Shorten a name to 60 letters."""
    return shortened(str(text), 60)


_INLINE: tuple[tuple[str, str], ...] = (
    (r"^.*?(?=<svg)", ""),
    (r"\s*<metadata>.*?</metadata>", ""),
    (r"\s*<defs>\s*<style.*?</style>\s*</defs>", ""),
    (r' xmlns(:xlink)?="[^"]*"', ""),
    (r' id="[A-Za-z0-9.]+_[0-9]+"', ""),  # counted anew in every figure, and never referred to
    (INK, "var(--ink)"),
    (MUTED, "var(--muted)"),
    (GRID, "var(--rule)"),
    (BAND, "var(--band)"),
    (PAPER, "var(--paper)"),
)


def inline(svg: str, name: str) -> str:
    """Make a figure part of the page: no prolog, no address, the page's own colors."""
    from markupsafe import Markup, escape

    for pattern, replacement in _INLINE:
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    wide = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', svg)
    if wide:  # a little larger than printed, for the screen
        svg = svg.replace(wide[0], f'width="{1.1 * float(wide[1]):.0f}pt"', 1)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1))
