"""Which method cures another in the same case, or what else may."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from simstudy.evidence.montecarlo import Z
from simstudy.evidence.verdicts.advice import (
    ADVICE,
    ELSEWHERE,
    KINDS,
    LOG_WALD,
    PLACES,
    WITH_LOG_WALD,
)
from simstudy.evidence.verdicts.sentences import listed

Row = Mapping[Hashable, Any]

SAME = 0.02
"""Ratios to the exact standard error this close to 1 leave nothing numerical to blame."""


def kind(method: str) -> str:
    """Name the kind of a method: exact, difference, step, expected, repair, scores, ...

    Examples
    --------
    >>> from simstudy.evidence.verdicts.remedies import kind
    >>> kind("observed-log-wald"), kind("bfgs-inverse-5-steps"), kind("mine")
    ('exact', 'optimizer', 'own')
    """
    name = method.removesuffix(LOG_WALD)
    while name not in KINDS and "-" in name:
        name = name.rpartition("-")[0]
    # "observed-..." of one's own may be anything that is taken from a Hessian
    mine = name == "observed" and method.removesuffix(LOG_WALD) != name
    return "own" if mine else KINDS.get(name, "own")


def remedy(row: Row, others: Sequence[Row], exact_row: Row | None, table: str) -> str:
    """Say what may cure a method, or that more replicates must tell first.

    Parameters
    ----------
    row : mapping
        Measures and verdict of the method.
    others : sequence of mapping
        The other methods of the same case.
    exact_row : mapping or None
        Among all of these, the exact method.
    table : {"likelihood", "own", "foreign"}
        Who made the estimates: a fit of simstudy, an estimator of one's own in a study, or whoever
        made the table.

    Returns
    -------
    str
        One or two sentences: a method that holds in the same case, or else those that are
        undecided, and what was not tried.
    """
    if row["verdict"] == "undecided":
        if row["more"] > 0:
            return f"Run about {int(row['more']):,} more replicates."
        return "There is nothing to judge it by: it needs standard errors, or limits with a truth."
    mine = str(row["method"])
    near = sorted(others, key=lambda other: -_kinship(mine, str(other["method"])))
    trusted = [other for other in near if other["verdict"] == "trust"]
    if trusted:
        best, more = trusted[0], [str(other["method"]) for other in trusted[1:]]
        also = f"; so do{'es' * (len(more) == 1)} {listed(more)}" if more else ""
        return f"In this case {best['method']} holds ({best['sentence']}){also}."
    waiting = [other for other in near if other["verdict"] == "undecided"]
    open_ = f" so far; undecided: {_waits(waiting)}" if waiting else ""
    tried = {str(other["method"]) for other in [row, *others]}
    advice = _advice(cause(row, exact_row), mine, tried, table)
    return f"No method tried in this case holds{open_}. {advice[0].upper()}{advice[1:]}."


def cause(row: Row, exact_row: Row | None) -> str:
    """Name what a remedy has to cure: fit, method, arithmetic, size, shape or bias."""
    word = row["verdict"]
    if word in ("no-answer", "unstable"):
        return "method" if fails_more(row, exact_row) else "fit"
    if word == "biased":
        return "bias"
    computed = kind(str(row["method"])) in ("difference", "step", "optimizer")
    if computed and exact_row is not row and not same(row):
        return "arithmetic"
    return "size" if word in ("too-small", "too-large", "erratic") else "shape"


def fails_more(row: Row, exact_row: Row | None) -> bool:
    """Tell whether a method fails more often than the exact one, beyond Monte Carlo error."""
    if exact_row is None or exact_row is row:
        return False
    spread = (row["fail_mcse"] ** 2 + exact_row["fail_mcse"] ** 2) ** 0.5
    return bool(row["fail"] - exact_row["fail"] > Z * spread)


def same(row: Row) -> bool:
    """Tell whether a standard error is the exact one in nearly every data set."""
    return all(abs(row[f"seratio_{at}"] - 1) < SAME for at in ("p05", "median", "p95"))


def _advice(why: str, method: str, tried: Collection[str], table: str) -> str:
    """Find the advice, and leave out what was tried."""
    if table != "likelihood":
        return ELSEWHERE[why if why in ELSEWHERE else "size"].format(place=PLACES[table])
    base = method.removesuffix(LOG_WALD)
    of = kind(method)
    by_kind = ADVICE[why]
    # what is computed like the exact one errs like it
    of = "exact" if why == "size" and of in ("difference", "step", "optimizer") else of
    advice = by_kind.get(of) or by_kind["any"]
    names = [name.format(name=base) for name in advice.methods]
    known = {*KINDS, *(f"{name}{LOG_WALD}" for name in WITH_LOG_WALD)}
    left = [name for name in names if name in known and name not in tried]
    return advice.untried.format(untried=" or ".join(left)) if left else advice.tried


def _waits(rows: Sequence[Row]) -> str:
    """Name the undecided methods, and how many more replicates would decide them."""
    alike: dict[int, list[str]] = {}
    for row in rows:
        alike.setdefault(int(row["more"]), []).append(str(row["method"]))
    return "; ".join(
        listed(names) + (f" (about {more:,} more replicates)" if more else "")
        for more, names in alike.items()
    )


def _kinship(one: str, other: str) -> int:
    """Count the leading words that two names of methods share."""
    pairs = zip(one.split("-"), other.split("-"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
