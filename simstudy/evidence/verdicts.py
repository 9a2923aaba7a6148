"""From measures to a verdict: which standard error can be trusted; if not, why, and what cures it.

The rule on paper, with the reason for every edge and how often it errs: `docs/verdicts.md`. The
file is long because a verdict is words: first what is public, then the rule in numbers, then the
rule in words.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from simstudy.evidence.remedies import CLEAR, fails_more, listed, remedy, same

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Row = dict[Hashable, Any]

_RESULTS = ("measure", "value", "mcse", "lower", "upper", "n")
_OWN = (
    "verdict", "sentence", "cover", "cover_mcse", "cover_lower", "cover_upper", "cover_all",
    "relerror", "relerror_mcse", "fail", "n", "asked", "more",
)  # fmt: skip
_MEASURES = (
    "n", "fail", "bias", "empse", "relerror", "cover", "becover", "cover_all", "miss_left",
    "miss_right", "corr", "ciwidth", "seratio_p05", "seratio_median", "seratio_p95",
)  # fmt: skip
_MOST = 1_000_000  # further replicates; a case that needs more lies on an edge
_SENTENCES = 6  # what one reads on a first screen
FEWEST = 30
"""Answers below which a relative error, and its Monte Carlo error, say nothing."""

CONDEMNED = 0.5
"""Share of the cases at fault from which a method without any trust is called one without."""


class Verdict(StrEnum):
    """What a method has earned in a case: one word of this list, gravest fault first.

    Examples
    --------
    >>> from simstudy.evidence.verdicts import Verdict
    >>> [str(word) for word in Verdict][:4]
    ['no-answer', 'unstable', 'too-small', 'too-large']
    """

    no_answer = "no-answer"
    unstable = "unstable"
    too_small = "too-small"
    too_large = "too-large"
    biased = "biased"
    undercovers = "undercovers"
    overcovers = "overcovers"
    one_sided = "one-sided"
    erratic = "erratic"
    undecided = "undecided"
    trust = "trust"


@dataclass(frozen=True, slots=True)
class Rule:
    """The thresholds. A pair is (tolerance, limit); docs/verdicts.md has the reasons.

    A number is at fault when its Monte Carlo interval lies beyond the tolerance, sound when the
    interval lies within the limit; a fault takes precedence; neither asks for more replicates.

    Parameters
    ----------
    confidence : float
        One-sided confidence of every decision; a number right at an edge passes for one beyond it
        with a chance of 1 minus it.
    relerror : (float, float)
        Error of the standard error, in percent, either way. 5 % too small costs a normal interval
        1.3 points of coverage; 10 % is the limit of Hoogland & Boomsma (1998), Sociological Methods
        & Research 26:329.
    cover : float
        Deviation of the coverage from the level, as a share of alpha = 1 - level; tolerance and
        limit in one. 0.5 is the liberal criterion of Bradley (1978), Br. J. Math. Stat. Psychol.
        31:144: .925 to .975 at the level .95.
    side : (float, float)
        Share of the misses that lie on their heavier side: four to one, nine to one.
    fail : (float, float)
        Share of replicates without an answer. At 2.5 %, counted as misses, they alone bring 95 %
        coverage to Bradley's edge.
    seratio : float
        Factor between the standard error and the exact one at the same fit that one data set in
        twenty may exceed; it condemns only, and only where the exact one has the right size.
    fewest : int
        Replicates below which nothing is said of the standard error's size: its MCSE is too small
        there.

    Raises
    ------
    ValueError
        When a threshold is out of range or a limit lies below its tolerance.

    Examples
    --------
    >>> from simstudy.evidence.verdicts import Rule
    >>> Rule(relerror=(2.5, 5.0)).relerror
    (2.5, 5.0)
    """

    confidence: float = 0.95
    relerror: tuple[float, float] = (5.0, 10.0)
    cover: float = 0.5
    side: tuple[float, float] = (0.8, 0.9)
    fail: tuple[float, float] = (0.01, 0.025)
    seratio: float = 2.0
    fewest: int = 100

    def __post_init__(self) -> None:
        """Refuse thresholds that contradict each other."""
        allowed = {
            "confidence": (0.5 < self.confidence < 1, "between 0.5 and 1"),
            "relerror": (0 < self.relerror[0] <= self.relerror[1] < 100, "rising, in 0 to 100 %"),
            "cover": (0 < self.cover < 1, "a share of alpha, between 0 and 1"),
            "side": (0.5 < self.side[0] <= self.side[1] < 1, "rising, between 0.5 and 1"),
            "fail": (0 < self.fail[0] <= self.fail[1] < 1, "rising, between 0 and 1"),
            "seratio": (self.seratio > 1, "above 1"),
            "fewest": (self.fewest >= 2, "2 or more"),
        }
        for name, (fine, due) in allowed.items():
            if not fine:
                raise ValueError(f"{name}={getattr(self, name)!r} came; due is {due}")


RULE = Rule()

_PLAIN = {
    Verdict.no_answer: "no answer at all",
    Verdict.unstable: "too many replicates without an answer",
    Verdict.too_small: "standard errors too small",
    Verdict.too_large: "standard errors too large",
    Verdict.biased: "biased estimates",
    Verdict.undercovers: "intervals that cover too little",
    Verdict.overcovers: "intervals that cover too much",
    Verdict.one_sided: "misses on one side",
    Verdict.erratic: "erratic standard errors",
}
_CAUSES = (
    ("failures", "fail", "fail_mcse"),
    ("bias", "bias", "bias_mcse"),
    ("scale", "relerror", "relerror_mcse"),
    ("shape", "misses", "misses_mcse"),
    ("dependence", "corr", "corr_mcse"),
    ("numerical", "seratio_median", "seratio_median_mcse"),
)


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
    if not 0 < level < 1:
        raise ValueError(f"level={level!r} came; due is a number between 0 and 1, such as 0.95")
    labels, numbers = _spread(performance)
    checks = _judge(labels, numbers, level, exact, rule)
    more = _further(checks, numbers, level, rule)
    judged = ~np.isnan(numbers["cover"]) | ~np.isnan(numbers["relerror"])
    rows = numbers.to_dict("records")
    words, sentences = [], []
    for i, row in enumerate(rows):
        faults = [verdict for verdict, check in checks.items() if check.fault[i]]
        opened = [verdict for verdict, check in checks.items() if check.open[i]]
        if faults:
            word, sentence = faults[0], _accusation(faults, opened, row, level)
        elif opened or not judged.iloc[i]:
            word, sentence = Verdict.undecided, _question(opened, row, int(more[i]))
        else:
            word, sentence = Verdict.trust, _acquittal(row)
        words.append(word)
        sentences.append(sentence)
    verdict = np.array([str(word) for word in words], dtype=object)
    numbers["more"] = np.where(verdict == Verdict.undecided, more, 0)
    numbers = numbers.astype({"n": int, "asked": int})
    spoken = labels.assign(verdict=verdict, sentence=sentences)
    return pd.concat([spoken, numbers[list(_OWN[2:])]], axis=1)


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
    labels, numbers = _spread(performance)
    keys = list(labels.columns)
    cases = [name for name in keys if name != "method"]
    case = _group(labels, cases)
    spoken = labels.merge(verdict_frame[[*keys, "verdict", "sentence", "more"]], "left", keys)
    rows = numbers.to_dict("records")
    for row, said in zip(rows, spoken.to_dict("records"), strict=True):
        row |= {name: said[name] for name in ("method", "verdict", "sentence", "more")}
        row["estimator"] = said.get("estimator")
    found = []
    for i, row in enumerate(rows):
        if row["verdict"] not in {*_PLAIN, Verdict.undecided}:
            continue
        others = [rows[j] for j in np.flatnonzero(case == case[i]) if j != i]
        judge = next((other for other in [row, *others] if other["method"] == exact), None)
        for cause, value, mcse in _CAUSES:
            sentence = _because(cause, row, judge, level)
            if sentence:
                found.append((i, cause, row[value], row[mcse], sentence))
        made = "foreign" if likelihood is None else "own"
        if likelihood is not None and row.get("estimator") in likelihood:
            made = "likelihood"
        found.append((i, "remedy", np.nan, np.nan, remedy(row, others, judge, made)))
    why = pd.DataFrame(found, columns=["at", "cause", "value", "mcse", "sentence"])
    named = spoken.loc[why.pop("at").astype(int), [*keys, "verdict"]].reset_index(drop=True)
    return pd.concat([named, why], axis=1)


def headline(verdict_frame: pd.DataFrame) -> list[str]:
    """Sum up a study in a few sentences: which methods can be trusted everywhere, where, never.

    Parameters
    ----------
    verdict_frame : DataFrame
        What `verdicts` answered, or any rows of it.

    Returns
    -------
    list of str
        Sentences for the first screen, the good news first; methods with one fate share a sentence.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.evidence.verdicts import headline
    >>> frame = pd.DataFrame({
    ...     "scenario": ["a", "b"] * 2, "factor_n": [20, 50] * 2, "more": 0, "relerror": 0.0,
    ...     "method": ["profile", "profile", "wald", "wald"],
    ...     "verdict": ["trust", "trust", "one-sided", "trust"]})
    >>> for sentence in headline(frame):
    ...     print(sentence)
    Trust in every case (2 scenarios): profile.
    wald: trust in 1 of 2 cases (for n = 50, not for n = 20), a fault in 1 (misses on one side).
    """
    labels = [name for name in verdict_frame.columns if name not in _OWN and name != "method"]
    tallies = {
        str(method): _tally(rows)
        for method, rows in verdict_frame.groupby("method", sort=False, observed=True)
    }
    fates: dict[str, dict[str, list[str]]] = {}
    for method, rows in verdict_frame.groupby("method", sort=False, observed=True):
        kind, fate = _fate(rows, tallies[str(method)], labels)
        fates.setdefault(kind, {}).setdefault(fate, []).append(str(method))
    said = []
    if "always" in fates:
        names = listed(fates["always"][""])
        said.append(f"Trust in every case ({_size(verdict_frame, labels)}): {names}.")
    else:
        said.append(f"No method has earned trust in every case ({_size(verdict_frame, labels)}).")
    said += [
        f"{listed(names)}: no fault found; {fate}." for fate, names in fates.get("open", {}).items()
    ]
    best = set() if "always" in fates else _best(tallies)
    # methods with one fate have one rank
    partly = sorted(fates.get("partly", {}).items(), key=lambda item: item[1][0] not in best)
    said += [
        f"Best of those tried: {listed(names)}, with {fate}."
        if names[0] in best
        else f"{listed(names)}: {fate}."
        for fate, names in partly[:_SENTENCES]
    ]
    if partly[_SENTENCES:]:
        rest = [name for _, names in partly[_SENTENCES:] for name in names]
        said.append(f"Trust or faults in some cases only, see the table: {listed(rest)}.")
    if "never" in fates:
        never = (f"{listed(names)} ({fate})" for fate, names in fates["never"].items())
        said.append(f"Trust in no case, and at fault in at least half of them: {'; '.join(never)}.")
    waiting = verdict_frame.loc[verdict_frame["more"] > 0, "more"]
    if len(waiting):
        said.append(
            f"Not enough replicates for {len(waiting):,} of {len(verdict_frame):,} verdicts: about "
            f"{_round_up(float(waiting.median())):,} more would decide half of these."
        )
    return said


class _Tally(NamedTuple):
    """How often a method is trusted, at fault and undecided."""

    trusted: int
    faulty: int
    open: int

    @property
    def cases(self) -> int:
        """All of them."""
        return sum(self)


def _tally(rows: pd.DataFrame) -> _Tally:
    """Count the cases of one method."""
    words = rows["verdict"].astype(str)
    trusted, opened = int((words == Verdict.trust).sum()), int((words == Verdict.undecided).sum())
    return _Tally(trusted, len(words) - trusted - opened, opened)


def _best(tallies: dict[str, _Tally]) -> set[str]:
    """Name the methods with most trust, of these those with the fewest faults; none without any."""
    rank = {name: (t.trusted / t.cases, -t.faulty / t.cases) for name, t in tallies.items()}
    best = [name for name in rank if rank[name] == max(rank.values())]
    alike = len(best) == len(rank)
    return set() if alike or not tallies[best[0]].trusted else set(best)


def _fate(rows: pd.DataFrame, tally: _Tally, labels: list[str]) -> tuple[str, str]:
    """Sum up one method: always, open, partly or never trusted, and the words for it."""
    trusted, faulty, opened = tally
    if trusted == tally.cases:
        return "always", ""
    every = f"all {tally.cases} cases" if tally.cases > 1 else "its one case"
    if not faulty:
        decided = f"{trusted} of {tally.cases} cases trusted, the others"
        return "open", f"{decided if trusted else every} undecided"
    reason = _main_fault(rows)
    also = f", {opened} undecided" if opened else ""
    if trusted:
        where = _where(rows, labels)
        where = f" ({where})" if where else ""
        return "partly", (
            f"trust in {trusted} of {tally.cases} cases{where}, a fault in {faulty} ({reason})"
            f"{also}"
        )
    if faulty < CONDEMNED * tally.cases:
        return "partly", (
            f"a fault in {faulty} of {tally.cases} cases ({reason}), the other {opened} undecided"
        )
    return "never", reason if not opened else f"{reason}; at fault in {faulty}{also}"


def _main_fault(rows: pd.DataFrame) -> str:
    """Say the commonest fault; of missing answers how many came, where they are the fewest."""
    words = rows["verdict"].astype(str)
    faults = words[~words.isin([Verdict.trust, Verdict.undecided])]
    word = Verdict(faults.value_counts().index[0])
    said = _PLAIN[word]
    if word == Verdict.unstable and "asked" in rows:
        own = rows[words == word]
        least = own.iloc[int(np.argmin((own["n"] / own["asked"]).to_numpy(dtype=float)))]
        said += f": {least['n']:,} of {least['asked']:,} answered"
        said += " in the worst case" if len(own) > 1 else ""
    return said if len(set(faults)) == 1 else f"mainly {said}"


def _where(rows: pd.DataFrame, labels: list[str]) -> str:
    """Name the factor whose values best tell trusted from other cases, if any tells most."""
    words = rows["verdict"].astype(str)
    trusted, opened = words == Verdict.trust, words == Verdict.undecided
    factors = [name for name in labels if name != "scenario"]
    best, most = "", len(rows) / 2
    for factor in factors if set(factors) - {"estimator", "parameter"} else labels:
        share = {
            kind: at.groupby(rows[factor], observed=True).mean()
            for kind, at in (("trust", trusted), ("open", opened), ("fault", ~trusted & ~opened))
        }
        good, bad = share["trust"] == 1, share["fault"] == 1
        if len(good) < 2 or not (good | bad).any():
            continue
        told = int(rows[factor].isin(good.index[good | bad]).sum())
        if told > most:
            unknown = share["open"] == 1
            kinds = (
                ("for", good), ("in part for", ~good & ~bad & ~unknown),
                ("undecided for", unknown), ("not for", bad),
            )  # fmt: skip
            name = factor.removeprefix("factor_")
            parts = [
                f"{word} {name} = {_values(good.index[at], good.index)}"
                for word, at in kinds
                if at.any()
            ]
            best, most = ", ".join(parts), told
    return best


def _values(some: pd.Index[Any], every: pd.Index[Any]) -> str:
    """List values of a factor; many neighbors become a range."""
    at = every.get_indexer(some)
    if len(at) > 3 and (np.diff(at) == 1).all():
        return f"{some[0]} to {some[-1]}"
    return listed(str(value) for value in some)


def _size(frame: pd.DataFrame, labels: list[str]) -> str:
    """Say how many cases a study has and what tells them apart."""
    count = len(set(_group(frame, labels)))
    kinds = [name for name in ("scenario", "estimator", "parameter") if name in labels]
    varied = [name for name in kinds if frame[name].nunique() > 1]
    if len(varied) > 1:
        return f"{count:,} combinations of {', '.join(varied[:-1])} and {varied[-1]}"
    return f"{count:,} {''.join(varied) or 'case'}{'s' if count > 1 else ''}"


# --- the rule in numbers ----------------------------------------------------------------------


class _Check(NamedTuple):
    """One question to every row: is there a fault, is it open, replicates that would decide it."""

    fault: Bools
    open: Bools
    needed: Floats
    n: Floats


def _spread(performance: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the frame into labels and numbers, one row each per case and method."""
    missing = {"method", "measure", "value", "mcse", "n"} - set(performance.columns)
    if missing:
        raise ValueError(
            f"the performance frame lacks {', '.join(sorted(missing))}; due is what "
            "simstudy.evidence.summary.summarize returns"
        )
    if performance.empty:
        raise ValueError("the performance frame has no rows; there is nothing to judge")
    cases = [name for name in performance.columns if name not in {*_RESULTS, "method"}]
    keys = [*cases, "method"]
    at = _group(performance, keys)
    twice = pd.DataFrame({"at": at, "measure": performance["measure"].astype(str)}).duplicated()
    if twice.any():
        row = performance.loc[twice.to_numpy(), [*keys, "measure"]].iloc[0]
        which = ", ".join(f"{name}={value}" for name, value in row.items())
        raise ValueError(f"a measure stands twice for one method in one case: {which}")
    labels = performance.loc[~pd.Series(at).duplicated().to_numpy(), keys].reset_index(drop=True)
    numbers = _columns(performance, at, len(labels))
    left, right = numbers["miss_left"], numbers["miss_right"]
    numbers["misses"] = left - right
    # multinomial: the two shares exclude each other
    numbers["misses_mcse"] = np.sqrt((left + right - (left - right) ** 2) / numbers["miss_left_n"])
    known = numbers[["relerror_n", "cover_n"]].max(axis=1).fillna(0)
    numbers["n"] = numbers["n"].fillna(known)
    cover, covered = (numbers[name].to_numpy(dtype=float) for name in ("cover", "cover_n"))
    for name, end in zip(("lower", "upper"), _wilson(cover, covered, CLEAR), strict=True):
        numbers[f"cover_{name}"] = numbers[f"cover_{name}"].fillna(pd.Series(end))
    numbers["asked"] = numbers["fail_n"].fillna(numbers["n_n"]).fillna(numbers["n"])
    few = numbers["relerror_n"] < FEWEST
    numbers.loc[few, ["relerror", "relerror_mcse"]] = np.nan
    own = {name: f"factor_{name}" for name in cases if name in _OWN}
    return labels.rename(columns=own), numbers


def _columns(performance: pd.DataFrame, at: npt.NDArray[np.int64], size: int) -> pd.DataFrame:
    """Turn measures into columns: value, and with _mcse and _n what belongs to it."""
    measure = pd.Index(_MEASURES).get_indexer(pd.Index(performance["measure"].astype(str)))
    mine = measure >= 0
    columns: dict[str, Floats] = {}
    suffixes = {"value": "", "mcse": "_mcse", "n": "_n", "lower": "_lower", "upper": "_upper"}
    for name, suffix in suffixes.items():
        cells = np.full((size, len(_MEASURES)), np.nan)
        if name not in performance:
            columns |= {f"{of}{suffix}": cells[:, k] for k, of in enumerate(_MEASURES)}
            continue
        cells[at[mine], measure[mine]] = performance[name].to_numpy(dtype=float)[mine]
        columns |= {f"{of}{suffix}": cells[:, k] for k, of in enumerate(_MEASURES)}
    return pd.DataFrame(columns)


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
    elsewhere = _proportion(1 - x["becover"], x["becover_n"], miss, z)
    shifted = np.abs(x["bias"]) > z * x["bias_mcse"]
    biased = under.fault & shifted & ~np.isnan(x["becover"]) & ~elsewhere.fault
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
    case = _group(labels, [name for name in labels.columns if name != "method"])
    wrong = case[(labels["method"] == exact).to_numpy() & (small.fault | large.fault)]
    silent = (x["n"] == 0) & (x["asked"] > 0)
    never = np.zeros(len(case), dtype=bool)
    none = np.zeros(len(case))
    return {
        Verdict.no_answer: _Check(silent, never, none, none),
        Verdict.unstable: _proportion(x["fail"], np.where(silent, 0, x["fail_n"]), rule.fail, z),
        Verdict.too_small: small,
        Verdict.too_large: large,
        Verdict.biased: _Check(biased, never, none, none),
        Verdict.undercovers: under._replace(fault=under.fault & ~biased),
        Verdict.overcovers: over,
        Verdict.one_sided: _Check(side.fault & ~biased, side.open, needed, x["cover_n"]),
        Verdict.erratic: _Check(stray & ~np.isin(case, wrong), never, none, none),
    }


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
    lower, upper = _wilson(p, n, z)
    known = n > 0
    fault, sound = known & (lower > tolerance), ~known | (upper < limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_fault, to_sound = (z**2 * e * (1 - e) / (p - e) ** 2 for e in edges)
    needed = np.fmin(
        np.where(p > tolerance, to_fault, np.inf), np.where(p < limit, to_sound, np.inf)
    )
    return _Check(fault, ~(fault | sound), needed, n)


def _wilson(p: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """Return the ends of Wilson's interval; nan without replicates."""
    with np.errstate(divide="ignore", invalid="ignore"):
        center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return center - half, center + half


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
    return np.array([_round_up(count) if count else 0 for count in more], dtype=np.int64)


def _round_up(count: float) -> int:
    """Round up to two digits, at least to 10."""
    if not count < _MOST:
        return _MOST
    unit = 10 ** max(int(np.log10(max(count, 1))) - 1, 1)
    return int(-(-count // unit) * unit)


def _group(frame: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.int64]:
    """Number the combinations of the columns in order of appearance; missing is a value too."""
    if not columns:
        return np.zeros(len(frame), dtype=np.int64)
    groups = frame.groupby(columns, sort=False, observed=True, dropna=False)
    return np.asarray(groups.ngroup(), dtype=np.int64)


# --- the rule in words ------------------------------------------------------------------------


def _accusation(faults: list[Verdict], opened: list[Verdict], row: Row, level: float) -> str:
    """Say every fault, the gravest first, and whether coverage would have hidden it."""
    said = "; ".join(_fault(verdict, row, level) for verdict in faults)
    visible = {Verdict.biased, Verdict.undercovers, Verdict.overcovers} & {*faults, *opened}
    if {Verdict.too_small, Verdict.too_large} & {*faults} and not visible and row["cover_n"] > 0:
        said += f"; coverage {_coverage(row)} does not show it"
    return said


def _fault(verdict: Verdict, row: Row, level: float) -> str:
    """Say one fault with its numbers."""
    nominal = _decimal(level)
    match verdict:
        case Verdict.no_answer:
            return f"no answer at all: not one of {int(row['asked']):,} replicates"
        case Verdict.unstable:
            said = (
                f"unstable: {100 * row['fail']:.1f} % of the replicates have no answer "
                f"(MCSE {100 * row['fail_mcse']:.1f})"
            )
            if not np.isnan(row["cover_all"]):
                said += (
                    f", which counted as misses leave a coverage of {_decimal(row['cover_all'])} "
                    f"instead of {_decimal(row['cover'])}"
                )
            return said
        case Verdict.too_small | Verdict.too_large:
            return _scale(row)
        case Verdict.biased:
            return (
                f"estimate biased: by {row['bias']:.3g} (MCSE {row['bias_mcse']:.2g}), so that "
                f"coverage is {_coverage(row)} instead of {nominal}, and "
                f"{_decimal(row['becover'])} about the estimates' own mean"
            )
        case Verdict.undercovers | Verdict.overcovers:
            much = "little" if verdict is Verdict.undercovers else "much"
            return f"intervals cover too {much}: {_coverage(row)} instead of {nominal}"
        case Verdict.one_sided:
            return f"intervals miss on one side ({_sides(row)})"
        case Verdict.erratic:
            return (
                f"erratic: {_ratio(row['seratio_p05'])} to {_ratio(row['seratio_p95'])} times "
                "the exact standard error of the same fit (5 % to 95 % of the data sets)"
            )
    raise AssertionError(f"{verdict} is no fault")


def _acquittal(row: Row) -> str:
    """Say why a method is trusted."""
    known = []
    if row["cover_n"] > 0:
        known.append(f"coverage {_coverage(row)}")
    if row["relerror_n"] > 0:
        known.append(f"standard error {_off(row)}")
    return f"trust: {', '.join(known)}"


def _question(opened: list[Verdict], row: Row, more: int) -> str:
    """Say what is still open and how many replicates would decide it."""
    if not opened:
        return "cannot say: neither coverage nor the error of the standard error is known"
    count = f"more than {_MOST:,}" if more >= _MOST else f"about {more:,}"
    known = {
        Verdict.unstable: f"{100 * row['fail']:.1f} % without an answer",
        Verdict.too_small: f"standard error {_off(row)}",
        Verdict.undercovers: f"coverage {_coverage(row)}",
        Verdict.one_sided: f"misses {_sides(row)}",
    }
    alias = {Verdict.too_large: Verdict.too_small, Verdict.overcovers: Verdict.undercovers}
    told = [known[verdict] for verdict in dict.fromkeys(alias.get(v, v) for v in opened)]
    return f"not enough replicates to say: {count} more ({'; '.join(told)})"


def _because(cause: str, row: Row, judge: Row | None, level: float) -> str:
    """Say what one cause contributes; nothing when its number is not known."""
    match cause:
        case "failures" if row["verdict"] in {Verdict.unstable, Verdict.no_answer}:
            return _failures(row, judge)
        case "bias" if not np.isnan(row["bias"]):
            return _bias(row, level)
        case "scale" if row["relerror_n"] > 0 and not np.isnan(row["relerror"]):
            reach = float(ndtri((1 + level) / 2)) * (1 + row["relerror"] / 100)
            alone = 2 * float(ndtr(reach)) - 1
            return (
                f"Scale: the standard error is {_scale(row)}; in a normal interval this alone "
                f"would make {_decimal(level)} coverage {_decimal(alone)}."
            )
        case "shape" if row["miss_left"] + row["miss_right"] == 0:
            return (
                f"Shape: none of {int(row['cover_n']):,} intervals misses the truth, on any side."
            )
        case "shape" if not np.isnan(row["misses"]):
            tail = "Shape: the truth is missed below and above the interval"
            heavy = abs(row["misses"]) > CLEAR * row["misses_mcse"]
            found = "unequally: the pivot is skew" if heavy else "alike within Monte Carlo error"
            apart = f"{_decimal(abs(row['misses']))} apart, MCSE {_decimal(row['misses_mcse'])}"
            return f"{tail} {found} ({_sides(row)}; {apart})."
        case "dependence" if not np.isnan(row["corr"]):
            found = f"Dependence: estimate and standard error correlate by {row['corr']:.2f}"
            found += f" (MCSE {row['corr_mcse']:.2g})"
            if not abs(row["corr"]) > CLEAR * row["corr_mcse"]:
                return f"{found}: none beyond Monte Carlo error."
            short = "low" if row["corr"] > 0 else "high"
            return f"{found}: intervals are shortest where the estimate is {short}."
        case "numerical" if not np.isnan(row["seratio_median"]):
            return _numerical(row, judge)
    return ""


def _failures(row: Row, judge: Row | None) -> str:
    """Say whether the fit or the method fails."""
    said = (
        f"Failures: {100 * row['fail']:.1f} % of {int(row['asked']):,} replicates have no answer "
        f"(MCSE {100 * row['fail_mcse']:.1f})"
    )
    if judge is None or judge is row:
        return f"{said}."
    if fails_more(row, judge):
        return (
            f"{said}, with {judge['method']} {100 * judge['fail']:.1f} %: the method fails where "
            "the fit is good."
        )
    return f"{said}, and as many with {judge['method']}: the fit fails, not the method."


def _bias(row: Row, level: float) -> str:
    """Say how large the bias is and how much coverage it costs."""
    if not abs(row["bias"]) > CLEAR * row["bias_mcse"]:
        return (
            f"Bias: none beyond Monte Carlo error ({row['bias']:.2g}, MCSE {row['bias_mcse']:.2g})."
        )
    said = f"Bias: the estimates are off by {row['bias']:.3g} (MCSE {row['bias_mcse']:.2g})"
    if row["empse"] > 0:
        said += f", {abs(row['bias'] / row['empse']):.2f} of their standard deviation"
    if np.isnan(row["becover"]) or np.isnan(row["cover"]):
        return f"{said}."
    return (
        f"{said}; coverage is {_decimal(row['cover'])} about the truth and "
        f"{_decimal(row['becover'])} about the estimates' own mean, due is {_decimal(level)}."
    )


def _numerical(row: Row, judge: Row | None) -> str:
    """Say whether the standard error differs from the exact one, and whether that one is sound."""
    if judge is row:
        return "Numerical: this is the exact method, so that nothing here is numerical error."
    low, middle, high = (_ratio(row[f"seratio_{at}"]) for at in ("p05", "median", "p95"))
    said = (
        f"Numerical: {middle} times the exact standard error of the same fit (MCSE "
        f"{row['seratio_median_mcse']:.2g}; 5 % to 95 % of the data sets: {low} to {high})"
    )
    if judge is None or np.isnan(judge["relerror"]):
        return f"{said}."
    blame = "the error is statistical" if same(row) else "the difference is the method's own"
    return f"{said}; that one is itself {_scale(judge)}: {blame}."


def _scale(row: Row) -> str:
    """Say the error of the standard error, in percent or as a factor."""
    value, mcse = row["relerror"], row["relerror_mcse"]
    side = "too small" if value < 0 else "too large"
    if value >= 200:
        times = f"{_full(1 + value / 100, 3)} times the true spread"
        return f"{side}: {times} (MCSE {_full(mcse / 100, 2)})"
    return f"{side} by {abs(value):.1f} % (MCSE {mcse:.1f})"


def _off(row: Row) -> str:
    """Say the error of a standard error that is not at fault, in percent with its sign."""
    if np.isnan(row["relerror_mcse"]):
        return "of unknown error"
    return f"off by {row['relerror']:+.1f} % (MCSE {row['relerror_mcse']:.1f})"


def _coverage(row: Row) -> str:
    """Say coverage with its MCSE, or with Wilson's interval where that is zero."""
    p, mcse = row["cover"], row["cover_mcse"]
    if 0 < p < 1:
        return f"{_decimal(p)} (MCSE {_decimal(mcse)})"
    ends = f"{_decimal(row['cover_lower'])} to {_decimal(row['cover_upper'])}"
    return f"{_decimal(p)} (Monte Carlo interval {ends})"


def _sides(row: Row) -> str:
    """Say the misses on either side."""
    return f"left {_decimal(row['miss_left'])}, right {_decimal(row['miss_right'])}"


def _ratio(value: float) -> str:
    """Write a ratio with three decimals while it is near 1."""
    return f"{value:.3f}" if 0.01 < value < 10 else _full(value, 3)


def _full(value: float, digits: int) -> str:
    """Round a number to so many digits; a large one is written in full."""
    short = f"{value:.{digits}g}"
    return f"{float(short):,.0f}" if 1000 <= value < 1e9 else short


def _decimal(share: Any) -> str:
    """Write a share with three digits, as .950; four when it is small."""
    return f"{float(share):.{4 if 0 < share < 0.001 else 3}f}".removeprefix("0")
