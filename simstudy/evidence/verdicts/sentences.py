"""Verdicts in words: every fault with its numbers, and how numbers are written."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from simstudy.evidence.verdicts.rule import Verdict

Row = dict[Hashable, Any]

MOST = 1_000_000  # further replicates; a case that needs more lies on an edge
MANY = 8
"""Names that stand in one sentence; more are counted."""


def fault_sentence(faults: list[Verdict], undecided: list[Verdict], row: Row, level: float) -> str:
    """Say every fault, the gravest first, and whether coverage would have hidden it."""
    text = "; ".join(_fault(verdict, row, level) for verdict in faults)
    visible = {Verdict.biased, Verdict.undercovers, Verdict.overcovers} & {*faults, *undecided}
    if {Verdict.too_small, Verdict.too_large} & {*faults} and not visible and row["cover_n"] > 0:
        text += f"; coverage {coverage(row)} does not show it"
    return text


def _fault(verdict: Verdict, row: Row, level: float) -> str:
    """Say one fault with its numbers."""
    nominal = decimal(level)
    match verdict:
        case Verdict.no_answer:
            return f"no answer at all: not one of {int(row['asked']):,} replicates"
        case Verdict.unstable:
            text = (
                f"unstable: {100 * row['fail']:.1f} % of the replicates have no answer "
                f"(MCSE {100 * row['fail_mcse']:.1f})"
            )
            if not np.isnan(row["cover_all"]):
                text += (
                    f", which counted as misses leave a coverage of {decimal(row['cover_all'])} "
                    f"instead of {decimal(row['cover'])}"
                )
            return text
        case Verdict.too_small | Verdict.too_large:
            return scale(row)
        case Verdict.biased:
            return (
                f"estimate biased: by {row['bias']:.3g} (MCSE {row['bias_mcse']:.2g}), so that "
                f"coverage is {coverage(row)} instead of {nominal}, and "
                f"{decimal(row['becover'])} about the estimates' own mean"
            )
        case Verdict.undercovers | Verdict.overcovers:
            much = "little" if verdict is Verdict.undercovers else "much"
            return f"intervals cover too {much}: {coverage(row)} instead of {nominal}"
        case Verdict.one_sided:
            return f"intervals miss on one side ({sides(row)})"
        case Verdict.erratic:
            return (
                f"erratic: {ratio(row['seratio_p05'])} to {ratio(row['seratio_p95'])} times "
                "the exact standard error of the same fit (5 % to 95 % of the data sets)"
            )
    raise AssertionError(f"{verdict} is no fault")


def trust_sentence(row: Row) -> str:
    """Say why a method is trusted."""
    known = []
    if row["cover_n"] > 0:
        known.append(f"coverage {coverage(row)}")
    if row["relerror_n"] > 0:
        known.append(f"standard error {_off(row)}")
    return f"trust: {', '.join(known)}"


def undecided_sentence(undecided: list[Verdict], row: Row, more: int) -> str:
    """Say what is still open and how many replicates would decide it."""
    if not undecided:
        return "cannot say: neither coverage nor the error of the standard error is known"
    count = f"more than {MOST:,}" if more >= MOST else f"about {more:,}"
    known = {
        Verdict.unstable: f"{100 * row['fail']:.1f} % without an answer",
        Verdict.too_small: f"standard error {_off(row)}",
        Verdict.undercovers: f"coverage {coverage(row)}",
        Verdict.one_sided: f"misses {sides(row)}",
    }
    alias = {Verdict.too_large: Verdict.too_small, Verdict.overcovers: Verdict.undercovers}
    known_of = [known[verdict] for verdict in dict.fromkeys(alias.get(v, v) for v in undecided)]
    return f"not enough replicates to say: {count} more ({'; '.join(known_of)})"


def scale(row: Row) -> str:
    """Say the error of the standard error, in percent or as a factor."""
    value, mcse = row["relerror"], row["relerror_mcse"]
    side = "too small" if value < 0 else "too large"
    if value >= 200:
        times = f"{full(1 + value / 100, 3)} times the true spread"
        return f"{side}: {times} (MCSE {full(mcse / 100, 2)})"
    return f"{side} by {abs(value):.1f} % (MCSE {mcse:.1f})"


def _off(row: Row) -> str:
    """Say the error of a standard error that is not at fault, in percent with its sign."""
    if np.isnan(row["relerror_mcse"]):
        return "of unknown error"
    return f"off by {row['relerror']:+.1f} % (MCSE {row['relerror_mcse']:.1f})"


def coverage(row: Row) -> str:
    """Say coverage with its MCSE, or with Wilson's interval where that is zero."""
    p, mcse = row["cover"], row["cover_mcse"]
    if 0 < p < 1:
        return f"{decimal(p)} (MCSE {decimal(mcse)})"
    ends = f"{decimal(row['cover_lower'])} to {decimal(row['cover_upper'])}"
    return f"{decimal(p)} (Monte Carlo interval {ends})"


def sides(row: Row) -> str:
    """Say the misses on either side."""
    return f"left {decimal(row['miss_left'])}, right {decimal(row['miss_right'])}"


def ratio(value: float) -> str:
    """Write a ratio with three decimals while it is near 1."""
    return f"{value:.3f}" if 0.01 < value < 10 else full(value, 3)


def full(value: float, digits: int) -> str:
    """Round a number to so many digits; a large one is written in full."""
    short = f"{value:.{digits}g}"
    return f"{float(short):,.0f}" if 1000 <= value < 1e9 else short


def decimal(share: float) -> str:
    """Write a share with three digits, as .950, with four when it is small; a dash for nan."""
    if np.isnan(share):
        return "\N{EN DASH}"
    return f"{float(share):.{4 if 0 < share < 0.001 else 3}f}".removeprefix("0")


def listed(names: Iterable[str]) -> str:
    """Join names; many are counted."""
    every = list(names)
    if len(every) > MANY + 1:
        every = [*every[:MANY], f"{len(every) - MANY} more"]
    return ", ".join(every)
