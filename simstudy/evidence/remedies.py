"""What may cure a method that failed its verdict: by cause, by kind of method, by kind of table.

A remedy names methods of `simstudy.methods`, or says of what it names that it is outside simstudy.
The file is a table of sentences, and the few lines that find the right one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

Row = Mapping[Hashable, Any]

CLEAR = 1.96
"""MCSEs by which a number must differ from zero to be called a cause."""

SAME = 0.02
"""Ratios to the exact standard error this close to 1 leave nothing numerical to blame."""

MANY = 8
"""Names that stand in one sentence; more are counted."""

LOG_WALD = "-log-wald"

KINDS = {
    "observed": "exact",
    "observed-central": "difference",
    "observed-score": "difference",
    "observed-central-1e-5": "step",
    "observed-central-1e-5-diagonal": "step",
    "observed-statsmodels": "step",
    "observed-statsmodels-1": "step",
    "observed-statsmodels-2": "step",
    "opg": "scores",
    "opg-central": "scores",
    "sandwich": "sandwich",
    "sandwich-central": "sandwich",
    "bfgs-inverse": "optimizer",
    "bfgs-inverse-exact": "optimizer",
    "lbfgsb-inverse": "optimizer",
    "bootstrap": "resampling",
}
"""What the methods of `simstudy.methods` are, and others whose names begin like theirs."""
WITH_LOG_WALD = ("observed", "observed-central", "opg", "sandwich", "bootstrap")
"""Those that `simstudy.methods` also has with an interval on the working scale."""


class Advice(NamedTuple):
    """A remedy: what to try where something is untried, what to say where all of it was tried.

    Attributes
    ----------
    methods : tuple of str
        Names in `simstudy.methods`; `{name}` is that of the method at fault, without its interval.
    untried : str
        A sentence with `{untried}`: those of the methods that this case has not seen.
    tried : str
        The sentence where nothing is left to try.
    """

    methods: tuple[str, ...]
    untried: str
    tried: str


_TRIED = "better derivatives are among the methods tried: see there what is left"
_CURVATURE = ("observed", "observed-central")
_BY_PATH = (
    "an optimizer's inverse Hessian is a by-product of its path; {untried} takes the curvature at "
    "the maximum itself"
)
_FIXED = "a fixed step is too short for one parameter and too long for another; {untried} has none"
_LONG = "the sample is too small for large-sample theory, or the model is not that of the data"
_SKEW = (
    "the estimates are skew: more observations help, or a profile-likelihood interval, which is "
    "outside simstudy"
)

ADVICE: dict[str, dict[str, Advice]] = {
    "fit": {
        "any": Advice(
            (),
            "",
            "the fit itself has no answer: read the failures by kind first; where a data set has "
            "no finite maximum, a penalized likelihood has one: it is outside simstudy, and can "
            "be run as an estimator of one's own",
        ),
    },
    "method": {
        "step": Advice(("observed-central", "observed"), _FIXED, _TRIED),
        "difference": Advice(
            ("observed",),
            "differences fail where exact derivatives do not; {untried} has none",
            _TRIED,
        ),
        "optimizer": Advice(_CURVATURE, _BY_PATH, _TRIED),
        "scores": Advice(
            _CURVATURE,
            "the outer product of the scores has no inverse there; {untried} does without it",
            "the outer product of the scores has no inverse there: it takes more observations",
        ),
        "sandwich": Advice(
            _CURVATURE,
            "where the model is that of the data, {untried} answers too",
            "its matrices have no inverse there: it takes more observations",
        ),
        "resampling": Advice(
            ("observed", "sandwich"),
            "resamples of so few observations have no maximum; {untried} needs none",
            "resamples of so few observations have no maximum: it takes more of them",
        ),
        "any": Advice((), "", "the failures by kind say where the method stops"),
    },
    "arithmetic": {
        "step": Advice(("observed-central", "observed"), _FIXED, _TRIED),
        "difference": Advice(
            ("observed",), "{untried} takes exact derivatives instead of differences", _TRIED
        ),
        "optimizer": Advice(_CURVATURE, _BY_PATH, _TRIED),
    },
    "size": {
        "exact": Advice(
            ("bootstrap", "sandwich"),
            f"{_LONG}; {{untried}} looks at the spread itself",
            f"{_LONG}: more observations, or another model",
        ),
        "scores": Advice(
            ("observed", "observed-central", "sandwich"),
            "the outer product of the scores needs large samples; {untried} does better in small "
            "ones",
            f"{_LONG}: more observations, or another model",
        ),
        "sandwich": Advice(
            ("bootstrap",),
            "either the sample is too small for it, and {untried} may do better, or "
            "observations depend on each other: a covariance by clusters is outside simstudy",
            "the sample is too small, or observations depend on each other: a covariance by "
            "clusters is outside simstudy",
        ),
        "resampling": Advice(
            ("observed", "sandwich"),
            "either the sample is too small to resample, and {untried} may do better, or "
            "observations depend on each other: a resampling of blocks is outside simstudy",
            "either the sample is too small to resample, or observations depend on each other: a "
            "resampling of blocks is outside simstudy",
        ),
        "any": Advice(
            ("observed",),
            "hold it against {untried}, which tells its own error from that of the theory",
            "hold it against the exact standard error: what the two differ in is its own error",
        ),
    },
    "shape": {
        "any": Advice(
            (f"{{name}}{LOG_WALD}", f"bootstrap{LOG_WALD}"),
            "the estimates are skew; {untried} has its interval on the working scale, which "
            "differs where a parameter is positive or a share; else more observations help",
            _SKEW,
        ),
    },
    "bias": {
        "any": Advice(
            (),
            "",
            "no standard error cures a biased estimate: more observations do, or a correction "
            "(jackknife, penalized likelihood), which is outside simstudy and can be run as an "
            "estimator of one's own",
        ),
    },
}
"""By cause and kind of method, of the estimators that simstudy fits."""

ELSEWHERE = {
    "fit": "look, {place}, at the data sets without an answer",
    "method": "look, {place}, at why this method has no answer where another has one",
    "size": "look, {place}, at what the standard error assumes: the model, independent "
    "observations, a large sample",
    "shape": "an interval on a scale on which the estimates are less skew (the logarithm of what "
    "is positive) may hold; it has to be made {place}",
    "bias": "no standard error cures a biased estimate: look, {place}, whether the truth that was "
    "given is what is estimated",
}
"""By cause, of estimates that were made outside simstudy."""

_PLACES = {"own": "in the estimator's own code", "foreign": "where the table was made"}


def kind(method: str) -> str:
    """Name the kind of a method: exact, difference, step, scores, sandwich, optimizer, ...

    Examples
    --------
    >>> from simstudy.evidence.remedies import kind
    >>> kind("observed-log-wald"), kind("bfgs-inverse-5-steps"), kind("mine")
    ('exact', 'optimizer', 'own')
    """
    name = method.removesuffix(LOG_WALD)
    while name not in KINDS and "-" in name:
        name = name.rpartition("-")[0]
    # "observed-..." of one's own may be anything that is taken from a Hessian
    mine = name == "observed" and method.removesuffix(LOG_WALD) != name
    return "own" if mine else KINDS.get(name, "own")


def remedy(row: Row, others: Sequence[Row], judge: Row | None, table: str) -> str:
    """Say what may cure a method, or that more replicates must tell first.

    Parameters
    ----------
    row : mapping
        Measures and verdict of the method.
    others : sequence of mapping
        The other methods of the same case.
    judge : mapping or None
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
        return "There is nothing to judge it by: it takes standard errors, or limits with a truth."
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
    advice = _advice(cause(row, judge), mine, tried, table)
    return f"No method tried in this case holds{open_}. {advice[0].upper()}{advice[1:]}."


def cause(row: Row, judge: Row | None) -> str:
    """Name what a remedy has to cure: fit, method, arithmetic, size, shape or bias."""
    word = row["verdict"]
    if word in ("no-answer", "unstable"):
        return "method" if fails_more(row, judge) else "fit"
    if word == "biased":
        return "bias"
    computed = kind(str(row["method"])) in ("difference", "step", "optimizer")
    if computed and judge is not row and not same(row):
        return "arithmetic"
    return "size" if word in ("too-small", "too-large", "erratic") else "shape"


def fails_more(row: Row, judge: Row | None) -> bool:
    """Tell whether a method fails more often than the exact one, beyond Monte Carlo error."""
    if judge is None or judge is row:
        return False
    spread = (row["fail_mcse"] ** 2 + judge["fail_mcse"] ** 2) ** 0.5
    return bool(row["fail"] - judge["fail"] > CLEAR * spread)


def same(row: Row) -> bool:
    """Tell whether a standard error is the exact one in nearly every data set."""
    return all(abs(row[f"seratio_{at}"] - 1) < SAME for at in ("p05", "median", "p95"))


def listed(names: Iterable[str]) -> str:
    """Join names; many are counted."""
    every = list(names)
    if len(every) > MANY + 1:
        every = [*every[:MANY], f"{len(every) - MANY} more"]
    return ", ".join(every)


def _advice(why: str, method: str, tried: Collection[str], table: str) -> str:
    """Find the advice, and leave out what was tried."""
    if table != "likelihood":
        return ELSEWHERE[why if why in ELSEWHERE else "size"].format(place=_PLACES[table])
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
