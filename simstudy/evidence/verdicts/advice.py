"""What to try where a method fails its verdict: a table of sentences by cause and kind of method.

An advice names methods of `simstudy.methods`, or says of what it names that it is outside simstudy.
"""

from __future__ import annotations

from typing import NamedTuple

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
    "observed-statsmodels-cs": "difference",
    "observed-numdifftools": "difference",
    "observed-scipy": "difference",
    "observed-minuit": "difference",
    "observed-forced-pd": "repair",
    "observed-pinv": "repair",
    "expected": "expected",
    "expected-simulated": "expected",
    "opg": "scores",
    "opg-central": "scores",
    "sandwich": "sandwich",
    "sandwich-central": "sandwich",
    "bfgs-inverse": "optimizer",
    "bfgs-inverse-exact": "optimizer",
    "lbfgsb-inverse": "optimizer",
    "bootstrap": "resampling",
    "jackknife": "resampling",
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
        "expected": Advice(
            ("observed", "sandwich"),
            "the expected information is that of the model; {untried} takes the curvature of the "
            "data at hand",
            f"{_LONG}: more observations, or another model",
        ),
        "repair": Advice(
            ("observed",),
            "a repaired Hessian answers also where there is no maximum; {untried} has no answer "
            "there, and is the same elsewhere",
            "a repaired Hessian answers also where there is no maximum: no repair makes that a "
            "standard error",
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

PLACES = {"own": "in the estimator's own code", "foreign": "where the table was made"}
