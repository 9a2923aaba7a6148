"""Intervals: functions of a `Summary` to the lower and the upper ends, arrays `(..., p)`.

An interval is closed: it covers a value that equals one of its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from simstudy.arrays import Array
from simstudy.likelihood.supports import Support, from_working, slopes, to_working


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of estimates when an interval is made of them.

    Attributes
    ----------
    theta, se : (..., p)
        Estimates and standard errors, nan where there are none.
    level : float
    supports : tuple of Support
        Of the p quantities.
    df : float or (..., p)
        Degrees of freedom of the standard errors; infinite where they are taken as known.
    resampled : (..., R, p) or None
        The estimates of R resamples, where a method made them.
    resampled_se : (..., R, p) or None
        Their standard errors.
    left_out : (..., n, p) or None
        The estimates without one observation each.
    """

    theta: Array
    se: Array
    level: float
    supports: tuple[Support, ...] = ()
    df: Array | float = np.inf
    resampled: Array | None = None
    resampled_se: Array | None = None
    left_out: Array | None = None

    @property
    def tails(self) -> tuple[float, float]:
        """The shares of a distribution below the lower and the upper end."""
        return (1 - self.level) / 2, (1 + self.level) / 2


Interval = Callable[[Summary], tuple[Array, Array]]


def wald(summary: Summary) -> tuple[Array, Array]:
    """Wald interval: theta -+ z se (Wald 1943).

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.methods.intervals import Summary, wald
    >>> [end.round(2).tolist() for end in wald(Summary(np.array([1.0]), np.array([0.5]), 0.95))]
    [[0.02], [1.98]]
    """
    half = ndtri(summary.tails[1]) * summary.se
    return summary.theta - half, summary.theta + half


def log_wald(summary: Summary) -> tuple[Array, Array]:
    """Wald interval on the working scale, its ends mapped back: it never leaves the support.

    The working standard error is se / T' (delta method): the log scale for a positive parameter,
    the logit scale for one between two ends, no change for a real one.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.likelihood.supports import POSITIVE
    >>> from simstudy.methods.intervals import Summary, log_wald
    >>> ends = log_wald(Summary(np.array([1.0]), np.array([0.5]), 0.95, (POSITIVE,)))
    >>> [end.round(3).tolist() for end in ends]
    [[0.375], [2.664]]
    """
    supports = summary.supports
    working = to_working(summary.theta, supports)
    half = ndtri(summary.tails[1]) * summary.se / slopes(summary.theta, supports)[0]
    return from_working(working - half, supports), from_working(working + half, supports)


def t(summary: Summary) -> tuple[Array, Array]:
    """Student's interval: theta -+ t se, with the degrees of freedom of the standard error."""
    df, upper = np.asarray(summary.df, dtype=float), summary.tails[1]
    half = np.where(np.isinf(df), ndtri(upper), stdtrit(df, upper)) * summary.se
    return summary.theta - half, summary.theta + half


def percentile(summary: Summary) -> tuple[Array, Array]:
    """Quantiles of the resampled estimates (Efron & Tibshirani 1993, section 13.3)."""
    low, high = summary.tails
    return _quantiles(summary.resampled, low), _quantiles(summary.resampled, high)


def basic(summary: Summary) -> tuple[Array, Array]:
    """Quantiles of the resampled estimates, reflected at theta (Davison & Hinkley 1997, eq. 5.6).

    >>> import numpy as np
    >>> from simstudy.methods.intervals import Summary, basic
    >>> resampled = np.arange(101.0)[:, None]
    >>> [float(end[0]) for end in basic(Summary(np.array([60.0]), None, 0.9, resampled=resampled))]
    [25.0, 115.0]
    """
    lower, upper = percentile(summary)
    return 2 * summary.theta - upper, 2 * summary.theta - lower


def bca(summary: Summary) -> tuple[Array, Array]:
    """Percentiles corrected for bias and skewness (Efron 1987, JASA 82:171, eq. 2.3, 6.6)."""
    resampled, theta = _given(summary.resampled), summary.theta[..., None, :]
    z = ndtri(((resampled < theta).mean(-2) + (resampled <= theta).mean(-2)) / 2)
    away = _given(summary.left_out).mean(-2, keepdims=True) - _given(summary.left_out)
    skewness = (away**3).sum(-2) / (6 * (away**2).sum(-2) ** 1.5)
    moved = [z + ndtri(share) for share in summary.tails]
    low, high = (_quantiles(resampled, ndtr(z + m / (1 - skewness * m))) for m in moved)
    return low, high


def bootstrap_t(summary: Summary) -> tuple[Array, Array]:
    """Quantiles of the studentized resampled estimates (Efron & Tibshirani 1993, section 12.5)."""
    away = _given(summary.resampled) - summary.theta[..., None, :]
    low, high = (_quantiles(away / _given(summary.resampled_se), s) for s in summary.tails)
    return summary.theta - high * summary.se, summary.theta - low * summary.se


def _given(resampled: Array | None) -> Array:
    """Refuse an interval that looks at resamples where the method made none."""
    if resampled is None:
        raise ValueError(
            "this interval looks at resamples that its method does not make; give it to a method "
            "that resamples, such as simstudy.methods.BOOTSTRAP"
        )
    return resampled


def _quantiles(resampled: Array | None, share: Array | float) -> Array:
    """Return quantiles `(..., p)` of `(..., R, p)`, a share for each; straight between two values.

    This is definition 7 of Hyndman & Fan (1996, American Statistician 50:361), as NumPy's.
    """
    values = np.sort(_given(resampled), axis=-2)
    place = np.broadcast_to(share, values.shape[:-2] + values.shape[-1:]) * (values.shape[-2] - 1)
    known = np.isfinite(place)
    below = np.clip(np.where(known, np.floor(place), 0), 0, values.shape[-2] - 1).astype(int)
    above = np.minimum(below + 1, values.shape[-2] - 1)
    first, other = (
        np.take_along_axis(values, k[..., None, :], axis=-2)[..., 0, :] for k in (below, above)
    )
    return np.where(known, first + (place - below) * (other - first), np.nan)
