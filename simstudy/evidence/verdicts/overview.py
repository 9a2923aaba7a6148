"""The verdicts of a study in a few sentences, as they stand on the first screen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simstudy.evidence.verdicts.judging import round_up
from simstudy.evidence.verdicts.numbers import OWN, case_numbers
from simstudy.evidence.verdicts.rule import Verdict
from simstudy.evidence.verdicts.sentences import listed

_SENTENCES = 6  # what one reads on a first screen

CONDEMNED = 0.5
"""Share of the cases at fault from which a method without any trust is called one without."""

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


def headline(verdict_frame: pd.DataFrame) -> list[str]:
    """Sum up a study in a few sentences: which methods can be trusted everywhere, where, never.

    Parameters
    ----------
    verdict_frame : DataFrame
        What `verdicts` answered, or any rows of it.

    Returns
    -------
    list of str
        Sentences for the first screen, the good news first; methods with one outcome share one.

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
    labels = [name for name in verdict_frame.columns if name not in OWN and name != "method"]
    tallies = {
        str(method): _tally(rows)
        for method, rows in verdict_frame.groupby("method", sort=False, observed=True)
    }
    outcomes: dict[str, dict[str, list[str]]] = {}
    for method, rows in verdict_frame.groupby("method", sort=False, observed=True):
        kind, outcome = _outcome(rows, tallies[str(method)], labels)
        outcomes.setdefault(kind, {}).setdefault(outcome, []).append(str(method))
    sentences = []
    if "always" in outcomes:
        names = listed(outcomes["always"][""])
        sentences.append(f"Trust in every case ({_size(verdict_frame, labels)}): {names}.")
    else:
        sentences.append(
            f"No method has earned trust in every case ({_size(verdict_frame, labels)})."
        )
    sentences += [
        f"{listed(names)}: no fault found; {outcome}."
        for outcome, names in outcomes.get("open", {}).items()
    ]
    best = set() if "always" in outcomes else _best(tallies)
    sentences += _mixed(outcomes.get("partly", {}), best)
    if "never" in outcomes:
        never = (f"{listed(names)} ({outcome})" for outcome, names in outcomes["never"].items())
        sentences.append(
            f"Trust in no case, and at fault in at least half of them: {'; '.join(never)}."
        )
    waiting = verdict_frame.loc[verdict_frame["more"] > 0, "more"]
    if len(waiting):
        sentences.append(
            f"Not enough replicates for {len(waiting):,} of {len(verdict_frame):,} verdicts: about "
            f"{round_up(float(waiting.median())):,} more would decide half of these."
        )
    return sentences


def _mixed(outcomes: dict[str, list[str]], best: set[str]) -> list[str]:
    """Say of methods that are trusted in some cases only where they are, the best of them first."""
    # methods with one outcome have one rank
    ranked = sorted(outcomes.items(), key=lambda item: item[1][0] not in best)
    sentences = [
        f"Best of those tried: {listed(names)}, with {outcome}."
        if names[0] in best
        else f"{listed(names)}: {outcome}."
        for outcome, names in ranked[:_SENTENCES]
    ]
    if ranked[_SENTENCES:]:
        rest = [name for _, names in ranked[_SENTENCES:] for name in names]
        sentences.append(f"Trust or faults in some cases only, see the table: {listed(rest)}.")
    return sentences


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


def _outcome(rows: pd.DataFrame, tally: _Tally, labels: list[str]) -> tuple[str, str]:
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
    text = _PLAIN[word]
    if word == Verdict.unstable and "asked" in rows:
        own = rows[words == word]
        least = own.iloc[int(np.argmin((own["n"] / own["asked"]).to_numpy(dtype=float)))]
        text += f": {least['n']:,} of {least['asked']:,} answered"
        text += " in the worst case" if len(own) > 1 else ""
    return text if len(set(faults)) == 1 else f"mainly {text}"


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
        decided = int(rows[factor].isin(good.index[good | bad]).sum())
        if decided > most:
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
            best, most = ", ".join(parts), decided
    return best


def _values(some: pd.Index[Any], every: pd.Index[Any]) -> str:
    """List values of a factor; many neighbors become a range."""
    at = every.get_indexer(some)
    if len(at) > 3 and (np.diff(at) == 1).all():
        return f"{some[0]} to {some[-1]}"
    return listed(str(value) for value in some)


def _size(frame: pd.DataFrame, labels: list[str]) -> str:
    """Say how many cases a study has and what tells them apart."""
    count = len(set(case_numbers(frame, labels)))
    kinds = [name for name in ("scenario", "estimator", "parameter") if name in labels]
    varied = [name for name in kinds if frame[name].nunique() > 1]
    if len(varied) > 1:
        return f"{count:,} combinations of {', '.join(varied[:-1])} and {varied[-1]}"
    return f"{count:,} {''.join(varied) or 'case'}{'s' if count > 1 else ''}"
