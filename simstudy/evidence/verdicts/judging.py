"""From numbers to verdicts: every question of the rule, asked of every method in every case."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from simstudy.evidence.checks import check_level
from simstudy.evidence.montecarlo import wilson
from simstudy.evidence.verdicts.numbers import OWN, Floats, case_numbers, spread
from simstudy.evidence.verdicts.rule import RULE, Rule, Verdict
from simstudy.evidence.verdicts.sentences import (
    MOST,
    fault_sentence,
    trust_sentence,
    undecided_sentence,
)

Bools = npt.NDArray[np.bool_]


def verdicts(
    performance: pd.DataFrame, *, level: float = 0.95, exact: str = "observed", rule: Rule = RULE
) -> pd.DataFrame:
    """Judge every method in every case, counting Monte Carlo error.

    Parameters
    ----------
    performance : DataFrame
        Columns method, measure, value, mcse, n; every other column but lower and upper is a label.
        A case is one combination of labels. Measures that are missing are not judged.
    level : float
        Nominal level of the intervals, between 0 and 1.
    exact : str
        The method whose standard errors `seratio` divides by.
    rule : Rule
        The thresholds.

    Returns
    -------
    DataFrame
        One row per case and method, in the order of `performance`: its labels, method, `verdict` (a
        `Verdict`), `sentence`, cover, its Monte Carlo error and 95 % interval (cover_mcse,
        cover_lower, cover_upper), cover_all (a replicate without an answer counted as a miss),
        relerror, relerror_mcse (percent; nan below 30 answers), fail, n (replicates with an
        answer), asked (replicates asked for), and `more`: about how many further replicates an
        undecided verdict needs, else 0.

    Raises
    ------
    ValueError
        When the frame is empty or lacks a column, a measure stands twice for one method in one
        case, or the level is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.verdicts import verdicts
    >>> frame = pd.DataFrame({
    ...     "scenario": "gamma n=50", "method": ["observed", "observed", "opg", "opg"],
    ...     "measure": ["cover", "relerror"] * 2, "value": [0.948, -1.2, 0.962, 21.0],
    ...     "mcse": [0.005, 1.6, 0.004, 2.0], "n": 2000})
    >>> for sentence in verdicts(frame)["sentence"]:
    ...     print(sentence)
    trust: coverage .948 (MCSE .005), standard error off by -1.2 % (MCSE 1.6)
    too large by 21.0 % (MCSE 2.0); coverage .962 (MCSE .004) does not show it
    """
    check_level(level)
    labels, numbers = spread(performance)
    checks = _judge(labels, numbers, level, exact, rule)
    more = _further(checks, numbers, level, rule)
    judged = ~np.isnan(numbers["cover"]) | ~np.isnan(numbers["relerror"])
    rows = numbers.to_dict("records")
    words, sentences = [], []
    for i, row in enumerate(rows):
        faults = [verdict for verdict, check in checks.items() if check.fault[i]]
        undecided = [verdict for verdict, check in checks.items() if check.open[i]]
        if faults:
            word, sentence = faults[0], fault_sentence(faults, undecided, row, level)
        elif undecided or not judged.iloc[i]:
            word, sentence = Verdict.undecided, undecided_sentence(undecided, row, int(more[i]))
        else:
            word, sentence = Verdict.trust, trust_sentence(row)
        words.append(word)
        sentences.append(sentence)
    verdict = np.array([str(word) for word in words], dtype=object)
    numbers["more"] = np.where(verdict == Verdict.undecided, more, 0)
    numbers = numbers.astype({"n": int, "asked": int})
    judged_rows = labels.assign(verdict=verdict, sentence=sentences)
    return pd.concat([judged_rows, numbers[list(OWN[2:])]], axis=1)


class _Check(NamedTuple):
    """One question to every row: is there a fault, is it open, replicates that would decide it."""

    fault: Bools
    open: Bools
    needed: Floats
    n: Floats


def _judge(
    labels: pd.DataFrame, numbers: pd.DataFrame, level: float, exact: str, rule: Rule
) -> dict[Verdict, _Check]:
    """Ask every question of every row, gravest first."""
    x = {name: numbers[name].to_numpy(dtype=float) for name in numbers.columns}
    z, alpha = float(ndtri(rule.confidence)), 1 - level
    scale = x["relerror"], x["relerror_mcse"], x["relerror_n"]
    small = _magnitude(-scale[0], *scale[1:], rule, z)
    large = _magnitude(*scale, rule, z)
    miss = ((1 + rule.cover) * alpha,) * 2
    hit = (1 - (1 - rule.cover) * alpha,) * 2
    under = _proportion(1 - x["cover"], x["cover_n"], miss, z)
    over = _proportion(x["cover"], x["cover_n"], hit, z)
    about_mean = _proportion(1 - x["becover"], x["becover_n"], miss, z)
    shifted = np.abs(x["bias"]) > z * x["bias_mcse"]
    biased = under.fault & shifted & ~np.isnan(x["becover"]) & ~about_mean.fault
    misses = x["miss_left"] + x["miss_right"]
    with np.errstate(divide="ignore", invalid="ignore"):
        heavier = np.maximum(x["miss_left"], x["miss_right"]) / misses
    # a limit at infinity leaves no side to miss on
    two_sided = (misses > 0) & ~np.isinf(x["ciwidth"])
    side = _proportion(heavier, np.where(two_sided, misses * x["cover_n"], 0), rule.side, z)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(misses > 0, side.needed / misses, 0)
    reach = z * np.stack([x["seratio_p05_mcse"], x["seratio_p95_mcse"]])
    low, high = x["seratio_p05"] + reach[0], x["seratio_p95"] - reach[1]
    stray = (low < 1 / rule.seratio) | (high > rule.seratio)
    case = case_numbers(labels, [name for name in labels.columns if name != "method"])
    wrong = case[(labels["method"] == exact).to_numpy() & (small.fault | large.fault)]
    unanswered = (x["n"] == 0) & (x["asked"] > 0)
    never = np.zeros(len(case), dtype=bool)
    none = np.zeros(len(case))
    return {
        Verdict.no_answer: _Check(unanswered, never, none, none),
        Verdict.unstable: _proportion(
            x["fail"], np.where(unanswered, 0, x["fail_n"]), rule.fail, z
        ),
        Verdict.too_small: small,
        Verdict.too_large: large,
        Verdict.biased: _Check(biased, never, none, none),
        Verdict.undercovers: under._replace(fault=under.fault & ~biased),
        Verdict.overcovers: over,
        Verdict.one_sided: _Check(side.fault & ~biased, side.open, needed, x["cover_n"]),
        Verdict.erratic: _Check(stray & ~np.isin(case, wrong), never, none, none),
    }


def lacks_answers(fail: Floats, asked: Floats, rule: Rule = RULE) -> Bools:
    """Tell where so many replicates have no answer that a measure of the others misleads."""
    return _proportion(fail, asked, rule.fail, float(ndtri(rule.confidence))).fault


def _magnitude(value: Floats, mcse: Floats, n: Floats, rule: Rule, z: float) -> _Check:
    """Hold a number with a normal Monte Carlo interval against (tolerance, limit), upwards."""
    tolerance, limit = rule.relerror
    half = z * mcse
    known, enough = n > 0, n >= rule.fewest
    fault = enough & (value - half > tolerance)
    sound = ~known | (enough & (value + half < limit))
    needed = n * (half / np.maximum(value - tolerance, limit - value)) ** 2
    return _Check(fault, ~(fault | sound), needed, n)


def _proportion(p: Floats, n: Floats, edges: tuple[float, float], z: float) -> _Check:
    """Hold a share with its score interval (Wilson 1927) against (tolerance, limit), upwards."""
    tolerance, limit = edges
    lower, upper = wilson(p, n, z)
    known = n > 0
    fault, sound = known & (lower > tolerance), ~known | (upper < limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_fault, to_sound = (z**2 * e * (1 - e) / (p - e) ** 2 for e in edges)
    needed = np.fmin(
        np.where(p > tolerance, to_fault, np.inf), np.where(p < limit, to_sound, np.inf)
    )
    return _Check(fault, ~(fault | sound), needed, n)


def _further(
    checks: dict[Verdict, _Check], numbers: pd.DataFrame, level: float, rule: Rule
) -> npt.NDArray[np.int64]:
    """Count the replicates that would decide all open questions if the numbers stayed as they are.

    Where the numbers do not yet say, the count is that of a method without any fault.
    """
    z, alpha = float(ndtri(rule.confidence)), 1 - level
    edge = (1 + rule.cover) * alpha
    faultless = max(
        z**2 * edge * (1 - edge) / (rule.cover * alpha) ** 2,
        (z * 100 / rule.relerror[1]) ** 2 / 2,  # MCSE 100 / sqrt(2 n) of normal estimates
        rule.fewest,
    )
    n = numbers["n"].to_numpy(dtype=float)
    more = np.zeros(len(n))
    for check in checks.values():
        needed = np.where(np.isnan(check.needed) | (n < rule.fewest), faultless, check.needed)
        more = np.where(check.open, np.fmax(more, np.fmax(needed - check.n, 1)), more)
    return np.array([round_up(count) if count else 0 for count in more], dtype=np.int64)


def round_up(count: float) -> int:
    """Round up to two digits, at least to 10."""
    if not count < MOST:
        return MOST
    unit = 10 ** max(int(np.log10(max(count, 1))) - 1, 1)
    return int(-(-count // unit) * unit)
