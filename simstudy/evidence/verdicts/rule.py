"""The words of a verdict, and the thresholds that lead to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
            "relerror": (
                0 < self.relerror[0] <= self.relerror[1] < 100,
                "two percentages between 0 and 100, the second not below the first",
            ),
            "cover": (0 < self.cover < 1, "a share of alpha, between 0 and 1"),
            "side": (
                0.5 < self.side[0] <= self.side[1] < 1,
                "two numbers between 0.5 and 1, the second not below the first",
            ),
            "fail": (
                0 < self.fail[0] <= self.fail[1] < 1,
                "two shares between 0 and 1, the second not below the first",
            ),
            "seratio": (self.seratio > 1, "above 1"),
            "fewest": (self.fewest >= 2, "2 or more"),
        }
        for name, (right, allowed_values) in allowed.items():
            if not right:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed_values}")


RULE = Rule()
