"""Why a verdict is not "trust": one sentence per cause, and the remedy last."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy.special import ndtr

from simstudy.evidence.montecarlo import Z, critical
from simstudy.evidence.verdicts.numbers import case_numbers, spread
from simstudy.evidence.verdicts.remedies import fails_more, remedy, same
from simstudy.evidence.verdicts.rule import Verdict
from simstudy.evidence.verdicts.sentences import Row, decimal, ratio, scale, sides

_CAUSES = (
    ("failures", "fail", "fail_mcse"),
    ("bias", "bias", "bias_mcse"),
    ("scale", "relerror", "relerror_mcse"),
    ("shape", "misses", "misses_mcse"),
    ("dependence", "corr", "corr_mcse"),
    ("numerical", "seratio_median", "seratio_median_mcse"),
)


def explain(
    performance: pd.DataFrame,
    verdict_frame: pd.DataFrame,
    *,
    level: float = 0.95,
    exact: str = "observed",
    likelihood: Collection[str] | None = None,
) -> pd.DataFrame:
    """Say why a verdict is not "trust", and which method cures it in the same case.

    Parameters
    ----------
    performance : DataFrame
        As for `verdicts`.
    verdict_frame : DataFrame
        What `verdicts` made of it, or rows of that.
    level, exact
        As for `verdicts`.
    likelihood : collection of str, optional
        The estimators that simstudy fits itself: its methods may cure theirs. None for a table that
        was made elsewhere.

    Returns
    -------
    DataFrame
        Labels, method, verdict, `cause`, `value`, `mcse`, `sentence`: for every method without
        trust one row per cause whose number is known, in the order in which to look (Morris, White
        & Crowther 2019): failures, bias (in the unit of the estimate), scale (relerror, percent),
        shape (miss_left - miss_right), dependence (corr), numerical (seratio_median); then remedy,
        without a number.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.verdicts import explain, verdicts
    >>> frame = pd.DataFrame({
    ...     "scenario": "gamma n=50", "method": ["observed", "observed", "opg", "opg"],
    ...     "measure": ["cover", "relerror"] * 2, "value": [0.948, -1.2, 0.962, 21.0],
    ...     "mcse": [0.005, 1.6, 0.004, 2.0], "n": 2000})
    >>> for sentence in explain(frame, verdicts(frame))["sentence"]:
    ...     print(sentence)
    Scale: the standard error is too large by 21.0 % (MCSE 2.0); ...
    In this case observed holds (trust: coverage .948 (MCSE .005), ...).
    """
    labels, numbers = spread(performance)
    keys = list(labels.columns)
    cases = [name for name in keys if name != "method"]
    case = case_numbers(labels, cases)
    labelled = labels.merge(verdict_frame[[*keys, "verdict", "sentence", "more"]], "left", keys)
    rows = numbers.to_dict("records")
    for row, own in zip(rows, labelled.to_dict("records"), strict=True):
        row |= {name: own[name] for name in ("method", "verdict", "sentence", "more")}
        row["estimator"] = own.get("estimator")
    found = []
    for i, row in enumerate(rows):
        if row["verdict"] not in {*Verdict} - {Verdict.trust}:
            continue
        others = [rows[j] for j in np.flatnonzero(case == case[i]) if j != i]
        exact_row = next((other for other in [row, *others] if other["method"] == exact), None)
        for cause, value, mcse in _CAUSES:
            sentence = _cause_sentence(cause, row, exact_row, level)
            if sentence:
                found.append((i, cause, row[value], row[mcse], sentence))
        made = "foreign" if likelihood is None else "own"
        if likelihood is not None and row.get("estimator") in likelihood:
            made = "likelihood"
        found.append((i, "remedy", np.nan, np.nan, remedy(row, others, exact_row, made)))
    why = pd.DataFrame(found, columns=["at", "cause", "value", "mcse", "sentence"])
    named = labelled.loc[why.pop("at").astype(int), [*keys, "verdict"]].reset_index(drop=True)
    return pd.concat([named, why], axis=1)


def _cause_sentence(cause: str, row: Row, exact_row: Row | None, level: float) -> str:
    """Say what one cause contributes; nothing when its number is not known."""
    match cause:
        case "failures" if row["verdict"] in {Verdict.unstable, Verdict.no_answer}:
            return _failures(row, exact_row)
        case "bias" if not np.isnan(row["bias"]):
            return _bias(row, level)
        case "scale" if row["relerror_n"] > 0 and not np.isnan(row["relerror"]):
            reach = float(critical(level)) * (1 + row["relerror"] / 100)
            alone = 2 * float(ndtr(reach)) - 1
            return (
                f"Scale: the standard error is {scale(row)}; in a normal interval this alone "
                f"would make {decimal(level)} coverage {decimal(alone)}."
            )
        case "shape" if row["miss_left"] + row["miss_right"] == 0:
            return (
                f"Shape: none of {int(row['cover_n']):,} intervals misses the truth, on any side."
            )
        case "shape" if not np.isnan(row["misses"]):
            tail = "Shape: the truth is missed below and above the interval"
            heavy = abs(row["misses"]) > Z * row["misses_mcse"]
            found = "unequally: the pivot is skew" if heavy else "alike within Monte Carlo error"
            apart = f"{decimal(abs(row['misses']))} apart, MCSE {decimal(row['misses_mcse'])}"
            return f"{tail} {found} ({sides(row)}; {apart})."
        case "dependence" if not np.isnan(row["corr"]):
            found = f"Dependence: estimate and standard error correlate by {row['corr']:.2f}"
            found += f" (MCSE {row['corr_mcse']:.2g})"
            if not abs(row["corr"]) > Z * row["corr_mcse"]:
                return f"{found}: none beyond Monte Carlo error."
            short = "low" if row["corr"] > 0 else "high"
            return f"{found}: intervals are shortest where the estimate is {short}."
        case "numerical" if not np.isnan(row["seratio_median"]):
            return _numerical(row, exact_row)
    return ""


def _failures(row: Row, exact_row: Row | None) -> str:
    """Say whether the fit or the method fails."""
    text = (
        f"Failures: {100 * row['fail']:.1f} % of {int(row['asked']):,} replicates have no answer "
        f"(MCSE {100 * row['fail_mcse']:.1f})"
    )
    if exact_row is None or exact_row is row:
        return f"{text}."
    if fails_more(row, exact_row):
        return (
            f"{text}, with {exact_row['method']} {100 * exact_row['fail']:.1f} %: the method fails "
            "where the fit is good."
        )
    return f"{text}, and as many with {exact_row['method']}: the fit fails, not the method."


def _bias(row: Row, level: float) -> str:
    """Say how large the bias is and how much coverage it costs."""
    if not abs(row["bias"]) > Z * row["bias_mcse"]:
        return (
            f"Bias: none beyond Monte Carlo error ({row['bias']:.2g}, MCSE {row['bias_mcse']:.2g})."
        )
    text = f"Bias: the estimates are off by {row['bias']:.3g} (MCSE {row['bias_mcse']:.2g})"
    if row["empse"] > 0:
        text += f", {abs(row['bias'] / row['empse']):.2f} of their standard deviation"
    if np.isnan(row["becover"]) or np.isnan(row["cover"]):
        return f"{text}."
    return (
        f"{text}; coverage is {decimal(row['cover'])} about the truth and "
        f"{decimal(row['becover'])} about the estimates' own mean; it should be {decimal(level)}."
    )


def _numerical(row: Row, exact_row: Row | None) -> str:
    """Say whether the standard error differs from the exact one, and whether that one is sound."""
    if exact_row is row:
        return "Numerical: this is the exact method, so that nothing here is numerical error."
    low, middle, high = (ratio(row[f"seratio_{at}"]) for at in ("p05", "median", "p95"))
    text = (
        f"Numerical: {middle} times the exact standard error of the same fit (MCSE "
        f"{row['seratio_median_mcse']:.2g}; 5 % to 95 % of the data sets: {low} to {high})"
    )
    if exact_row is None or np.isnan(exact_row["relerror"]):
        return f"{text}."
    blame = "the error is statistical" if same(row) else "the difference is the method's own"
    return f"{text}; that one is itself {scale(exact_row)}: {blame}."
