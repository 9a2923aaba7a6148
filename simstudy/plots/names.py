"""Texts that fit into a figure and can be drawn, all different."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import pandas as pd

from simstudy.files.writing import printable
from simstudy.plots.frames import facet_names, scenario_names

TEXT = 7.5  # points


def facet_labels(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Label the pairs of estimator and parameter."""
    names = facet_names(frame)
    return dict(zip(names, unique_labels(names.values(), 60).values(), strict=True))


def scenario_labels(scenarios: Sequence[str], width: int) -> dict[str, str]:
    """Label scenarios by the words of their keys that differ."""
    names = scenario_names(scenarios)
    return dict(zip(scenarios, unique_labels(names.values(), width).values(), strict=True))


def unique_labels(names: Iterable[str], width: int) -> dict[str, str]:
    """Shorten names to a width; those that become the same get a number."""
    labels: dict[str, str] = {}
    for name in names:
        label, k = drawable(name, width), 1
        while label in labels.values():
            k += 1
            label = drawable(name, width - 4) + f" ({k})"
        labels[name] = label
    return labels


def drawable(text: str, width: int) -> str:
    """Make a text safe to draw: printable, at most `width` wide, its dollar signs literal."""
    text = printable(text)
    keep = min(len(text), width) + 1
    whole = text
    while display_width(text) > width:
        keep -= 1
        text = (
            whole[: keep // 2] + "\N{HORIZONTAL ELLIPSIS}" + whole[len(whole) - (keep - 1) // 2 :]
        )
    return text.replace("$", r"\$")


def display_width(text: str) -> int:
    """Count columns: letters of East Asian scripts take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def inches(labels: Iterable[str]) -> float:
    """Estimate the width of the widest label: a letter takes at most 0.62 of its size."""
    return max((display_width(label) for label in labels), default=0) * 0.62 * TEXT / 72
