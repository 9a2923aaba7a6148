"""Refits of resamples, and the method that makes a covariance of them.

A resample says how often each observation counts: whole numbers for the bootstrap, 0 and 1 for the
jackknife, any positive numbers for a fractional bootstrap. A new kind of resampling is one function
from a `Sample` to an array of such weights; both engines refit from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.estimands import quantities
from simstudy.methods.intervals import Interval, wald
from simstudy.methods.protocol import Fitted, Inference, Sample, Source
from simstudy.methods.standard import standard
from simstudy.records.block import AnswerError
from simstudy.status import Status

Resamples = Callable[[Sample], Array]
Spread = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Multinomial:
    """As many observations as there are, drawn with replacement (Efron 1979, Ann. Stat. 7:1).

    Parameters
    ----------
    count : int
        The number of resamples, R.
    """

    count: int = 199

    def __call__(self, sample: Sample) -> Array:
        """Draw how often each observation counts, `(R, n)` whole numbers that sum to n."""
        count, n = self.count, sample.units
        rows = sample.stream(f"bootstrap {count}").integers(n, size=(count, n))
        flat = (rows + n * np.arange(count)[:, None]).ravel()
        return np.bincount(flat, minlength=count * n).reshape(count, n)


def leave_one_out(sample: Sample) -> Array:
    """Leave every observation out once: `(n, n)`, zero on the diagonal, one elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods import Sample, leave_one_out
    >>> leave_one_out(Sample(np.array([2.0, 3.0, 5.0]), stream=None)).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    return 1 - np.eye(sample.units, dtype=np.int8)


@dataclass(frozen=True, slots=True)
class Refits:
    """The estimates `(R, p)` of refits of resamples, nan in the rows of refits that failed.

    Parameters
    ----------
    resamples : callable
        `resamples(sample) -> (R, n)`: how often each observation counts in each of R refits, real
        numbers that are not negative. A function of the `Sample` alone, never of the fit: so it is
        the same in every engine.
    """

    resamples: Resamples
    needs: ClassVar[tuple[str, ...]] = ()
    by_observation: ClassVar[bool] = True

    def __call__(self, fitted: Fitted) -> Array:
        """Let the engine that made the fit refit."""
        return fitted.refits(self.weights(fitted.sample))

    def count_refits(self, sample: Sample) -> int:
        """Tell how many refits of a data set there are."""
        return len(self.weights(sample))

    def weights(self, sample: Sample) -> Array:
        """Return the resamples, looked at.

        Raises
        ------
        AnswerError
            When they have not the shape (R, n), or are no weights.
        """
        weights, units = np.asarray(self.resamples(sample)), sample.units
        fits = weights.ndim == 2 and len(weights) > 0 and weights.shape[1] == units
        number = weights.dtype.kind in "fiub"
        if not (fits and number and (np.isfinite(weights) & (weights >= 0)).all()):
            name = getattr(self.resamples, "__name__", type(self.resamples).__name__)
            kind = "" if number else f" of {weights.dtype}"
            due = f"how often each of {units} observations counts in each of R refits"
            raise AnswerError(
                f"{name} returned an array of shape {weights.shape}{kind}; due is {due}, an array "
                f"of shape (R, {units}) of finite numbers that are not negative"
            )
        return weights


def sample_covariance(thetas: Array) -> Array:
    """Sample covariance of estimates, `(R, p)` to `(p, p)`: that of a bootstrap (Efron 1979)."""
    return np.atleast_2d(np.cov(thetas, rowvar=False))


def jackknife(thetas: Array) -> Array:
    """(n - 1) / n times the sum of squares of the n leave-one-out estimates, `(n, p)` to `(p, p)`.

    Tukey (1958, Annals of Mathematical Statistics 29:614); for estimates that are smooth functions
    of the data, and inconsistent for others, such as a median (Efron & Stein 1981, Annals of
    Statistics 9:586).

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods import jackknife
    >>> y = np.array([1.0, 2.0, 4.0, 7.0])
    >>> means = (y.sum() - y) / 3
    >>> round(float(jackknife(means[:, None])[0, 0]), 12), float(y.var(ddof=1) / 4)
    (1.75, 1.75)
    """
    away = thetas - thetas.mean(axis=0)
    return (len(thetas) - 1) / len(thetas) * away.T @ away


@dataclass(frozen=True, slots=True)
class Resampling:
    """A covariance from the estimates of refits, with an interval from it.

    Parameters
    ----------
    name : str
    resamples : callable
        What `Refits` takes.
    covariance : callable
        `covariance(thetas) -> (p, p)` from the estimates `(R, p)` of the refits that succeeded;
        estimands, mapped, stand beside the parameters.
    interval : callable
        `interval(summary) -> (lower, upper)`, such as those of `simstudy.methods.intervals`.
    spared : float
        The share of refits that may fail; no answer where more do, fewer are counted in the audit.

    Examples
    --------
    >>> from simstudy.methods import Multinomial, Resampling, jackknife, leave_one_out
    >>> methods = [
    ...     Resampling("bootstrap-999", Multinomial(999)),
    ...     Resampling("jackknife", leave_one_out, jackknife, spared=0.0),
    ... ]
    """

    name: str
    resamples: Resamples
    covariance: Spread = sample_covariance
    interval: Interval = wald
    spared: float = 0.05

    @property
    def sources(self) -> tuple[Source, ...]:
        """The refits."""
        return (Refits(self.resamples),)

    def matrix(self, fitted: Fitted, thetas: Array) -> Array:
        """Return the covariance `(q, q)` of all quantities; nan of fewer than two refits."""
        done = thetas[np.isfinite(thetas).all(axis=-1)]
        p = thetas.shape[-1]
        if len(done) < 2:
            return np.full((p, p), np.nan)
        return self.covariance(quantities(fitted.target.model, done))

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit."""
        thetas, theta = sourced[0], fitted.fit.theta
        failed = int((~np.isfinite(thetas).all(axis=-1)).sum())
        lost = failed > self.spared * len(thetas)
        covariance = np.full((len(theta), len(theta)), np.nan)
        if not lost:
            covariance = self.matrix(fitted, thetas)
        status = np.int8(Status.refits_failed if lost else Status.ok)
        done = thetas[np.isfinite(thetas).all(axis=-1)]
        answer = standard(
            theta, covariance, status, self.interval, fitted.level, fitted.target.model,
            resampled=done if len(done) else np.full((1, len(theta)), np.nan),
        )  # fmt: skip
        return replace(answer, failed=failed)
