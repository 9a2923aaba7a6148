"""Tests of what is equal where a mechanism matches a likelihood: a mean of zero, and a variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtr, chdtrc, fdtrc

from simstudy.arrays import Array


@dataclass(frozen=True, slots=True)
class MeanTest:
    """A test that the mean of a vector is zero.

    Attributes
    ----------
    statistic : float
        Hotelling's T squared.
    p : float
        By its F distribution: exact for normal vectors.
    """

    statistic: float
    p: float


def hotelling(vectors: Array, size: Array | None = None) -> MeanTest:
    """Test that independent vectors have the mean zero (Hotelling 1931, Ann. Math. Stat. 2:360).

    Directions in which the vectors do not vary, such as a component that is always zero or a copy
    of another, are left out; a constant that is not zero has p = 0.

    Parameters
    ----------
    vectors : (m, q) float
        One vector per data set.
    size : (q,) float, optional
        How large the numbers were from whose differences the vectors come: what is smaller by ten
        digits is rounding.

    Returns
    -------
    Equality
        nan unless there are more vectors than components.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.design.moment_tests import hotelling
    >>> vectors = np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-2.0, 0.0]])
    >>> hotelling(vectors)
    MeanTest(statistic=0.0, p=1.0)
    """
    m = len(vectors)
    spread = np.sqrt((vectors**2).mean(axis=0))
    varies = spread > (0 if size is None else 1e-10 * size)
    scaled = vectors[:, varies] / spread[varies]
    if scaled.shape[1] == 0:
        return MeanTest(0.0, 1.0)
    if m <= scaled.shape[1]:
        return MeanTest(np.nan, np.nan)
    mean = scaled.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(scaled, rowvar=False).reshape(len(mean), -1))
    along = directions.T @ mean
    varying = spread > 1e-10
    # scaled vectors have length 1: what is left of a zero mean is rounding
    if (np.abs(along[~varying]) > 1e-6).any():
        return MeanTest(np.inf, 0.0)
    q = int(varying.sum())
    if q == 0:
        return MeanTest(0.0, 1.0)
    statistic = float(m * (along[varying] ** 2 / spread[varying]).sum())
    return MeanTest(statistic, float(fdtrc(q, m - q, statistic * (m - q) / (q * (m - 1)))))


@dataclass(frozen=True, slots=True)
class VarianceTest:
    """How far summed scores spread over data sets, against what one data set claims.

    Attributes
    ----------
    p : float
        Of the parameter in which they differ most, times the number of parameters.
    ratio : float
        Its variance over the claimed one.
    parameter : int
        Which it is.
    """

    p: float
    ratio: float
    parameter: int


def variance_of_sums(scores: Array, claimed: Array, bread: Array) -> VarianceTest:
    """Hold the variance of summed scores over data sets against what is claimed of it.

    Both are carried over to the parameters: an estimate is off by about H^-1 times the summed
    score. A variance of m values is chi-square with 2 m / (kurtosis - 1) degrees of freedom
    (Satterthwaite 1946, Biometrics Bulletin 2:110), no more than those of normal ones.

    Parameters
    ----------
    scores : (m, p) float
        One summed score per data set.
    claimed : (p, p) float
        Their variance, by the likelihood's terms or its curvature.
    bread : (p, p) float
        The mean negative Hessian.

    Returns
    -------
    Spread
        nan where the Hessian is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from simstudy.design.moment_tests import variance_of_sums
    >>> scores = 2 * np.random.default_rng(1).normal(size=(300, 1))
    >>> found = variance_of_sums(scores, np.eye(1), np.eye(1))
    >>> found.p < 1e-9, 3 < found.ratio < 5
    (True, True)
    """
    try:
        np.linalg.cholesky(bread)
    except np.linalg.LinAlgError:
        return VarianceTest(np.nan, np.nan, 0)
    inverse = np.linalg.inv(bread)
    off = (scores - scores.mean(axis=0)) @ inverse
    variance = (off**2).sum(axis=0) / (len(off) - 1)
    ratio = variance / np.diagonal(inverse @ claimed @ inverse)
    kurtosis = (off**4).mean(axis=0) / (off**2).mean(axis=0) ** 2
    df = 2 * len(off) / np.maximum(kurtosis - 1, 2)
    p = 2 * np.minimum(chdtr(df, df * ratio), chdtrc(df, df * ratio))
    if np.isnan(p).any():
        return VarianceTest(np.nan, np.nan, 0)
    worst = int(p.argmin())
    return VarianceTest(float(min(len(p) * p[worst], 1.0)), float(ratio[worst]), worst)
