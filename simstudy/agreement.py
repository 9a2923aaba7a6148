"""Whether a mechanism matches a likelihood, asked at the true parameter, before any fit.

At the truth the mean score is zero, and the mean outer product of the scores is the mean negative
Hessian (the information equality). A mechanism that breaks the first has another truth than it
says; one that breaks the second only is not the likelihood's, and neither information alone can be
right there (White 1982, Econometrica 50:1). Whether a sandwich is, its verdict tells.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh
from scipy.special import fdtrc

from simstudy.arrays import Array
from simstudy.derivatives import rise_hessian, score_differences
from simstudy.estimators import MaximumLikelihood
from simstudy.study import Scenario, Study, draw
from simstudy.written import read_csv, save_rows

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 300
"""Data sets that are looked at, or as many as the study has replicates."""

FEWEST = 50
"""Data sets below which nothing is said; fewer than `DRAWS` are a multiple of it."""

SECONDS = 2.0
"""What a run spends on all cells together. Of slow cells fewer data sets are looked at."""

PILOT = 5
"""Data sets whose median time is that of one; the first may compile."""

FALSE_ALARM = 1e-6
"""Nominal chance that a study whose mechanisms all match is told otherwise, all cells together.

The F distribution is that of normal vectors, and products of scores are skew. Of 40,000 simulated
cells 8 in 10,000 had p < 1e-6 with five normal observations (3 with ten, 2 with 20 of a gamma of
shape 0.5): the true chance stays below one in a thousand for each cell.
"""

MATERIAL = 1.1
"""Factor between the two informations up to which nothing is said: 5 % of a standard error.

Difference derivatives, whose error has one sign, would else be found out by many data sets.
"""

FILE = "agreement.csv"

COLUMNS = (
    "scenario", "estimator", "wrong", "draws", "available", "score_p", "information_p", "ratio",
    "finding", "sentence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Equality:
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


def zero_mean(vectors: Array, size: Array | None = None) -> Equality:
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
    >>> from simstudy.agreement import zero_mean
    >>> vectors = np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [-2.0, 0.0]])
    >>> zero_mean(vectors)
    Equality(statistic=0.0, p=1.0)
    """
    m = len(vectors)
    spread = np.sqrt((vectors**2).mean(axis=0))
    told = spread > (0 if size is None else 1e-10 * size)
    scaled = vectors[:, told] / spread[told]
    if scaled.shape[1] == 0:
        return Equality(0.0, 1.0)
    if m <= scaled.shape[1]:
        return Equality(np.nan, np.nan)
    mean = scaled.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(scaled, rowvar=False).reshape(len(mean), -1))
    along = directions.T @ mean
    varied = spread > 1e-10
    # scaled vectors have length 1: what is left of a zero mean is rounding
    if (np.abs(along[~varied]) > 1e-6).any():
        return Equality(np.inf, 0.0)
    q = int(varied.sum())
    if q == 0:
        return Equality(0.0, 1.0)
    statistic = float(m * (along[varied] ** 2 / spread[varied]).sum())
    return Equality(statistic, float(fdtrc(q, m - q, statistic * (m - q) / (q * (m - 1)))))


def agreement(study: Study, *, draws: int = DRAWS, seconds: float = math.inf) -> pd.DataFrame:
    """Test every scenario's mechanism against the likelihoods that are fitted to it.

    Parameters
    ----------
    study : Study
        Its first data sets are looked at, those of replicates 0, 1, ...
    draws : int
        How many at most; no more than the study has replicates.
    seconds : float
        About how long it may take. The time goes to the cells in equal parts, to those of another
        mechanism or estimator first; what one leaves goes to the next.

    Returns
    -------
    pandas.DataFrame
        One row per scenario and maximum likelihood estimator: scenario, estimator, wrong (the
        mechanism says that it is wrong on purpose), draws (data sets looked at, the first of those)
        available, score_p, information_p, ratio (outer product over negative Hessian, in the
        direction in which they differ most), finding and sentence. The finding is `agrees`,
        `wrong-truth`, `wrong-likelihood`, `as-intended` (the likelihood is wrong and the mechanism
        says so) or `not-asked`. A p-value counts as a mismatch below `FALSE_ALARM` over the number
        of p-values, that of the information only where the ratio is beyond `MATERIAL`.

    Examples
    --------
    >>> from simstudy import MaximumLikelihood, Study, grid
    >>> from simstudy.agreement import agreement
    >>> from simstudy.methods import OBSERVED
    >>> from simstudy.models import exponential
    >>> wrong = grid(exponential.WRONG_GAMMA, n=50, shape=0.5, mean=1.0)
    >>> study = Study("s", wrong, [MaximumLikelihood(exponential.MODEL, [OBSERVED])], seed=1)
    >>> found = agreement(study)
    >>> found["finding"][0], found["ratio"][0].round(1)
    ('as-intended', np.float64(2.0))
    """
    import pandas as pd

    return pd.DataFrame(_tests(study, draws, seconds), columns=list(COLUMNS))


def keep(study: Study, folder: Path) -> None:
    """Write `agreement.csv` into a results folder, unless it holds what would be written.

    Without pandas where there is no such file yet: a run begins with this, and loads pandas when
    its workers work.
    """
    path = folder / FILE
    if path.exists():
        stored = read_csv(path)
        cells = {(row.scenario, row.estimator) for row in stored.itertuples()}
        enough = len(stored) and stored["available"].max() >= min(DRAWS, study.replicates)
        if enough and cells >= {(s.key, e.name) for s, e in _asked(study)}:
            return
    save_rows(_tests(study, DRAWS, SECONDS), COLUMNS, path)


def kept(folder: Path) -> pd.DataFrame:
    """Return what `keep` wrote into a folder; an empty frame where it did not."""
    import pandas as pd

    path = folder / FILE
    return read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))


def _tests(study: Study, draws: int, seconds: float) -> list[dict[str, object]]:
    """Test every cell; return the rows of `agreement`."""
    draws = min(draws, study.replicates)
    cells = _asked(study)
    ends = time.monotonic() + seconds
    found: dict[int, tuple[_Found | str, int]] = {}
    for done, index in enumerate(_strangers_first(cells)):
        left = ends - time.monotonic()
        found[index] = _tested(study, *cells[index], draws, left / (len(cells) - done), left)
    asked = sum(isinstance(answer, tuple) for answer, _ in found.values())
    edge = FALSE_ALARM / max(2 * asked, 1)
    rows = []
    for index, (scenario, estimator) in enumerate(cells):
        row = {"scenario": scenario.key, "estimator": estimator.name, "available": draws}
        rows.append(row | _row(scenario, *found[index], edge))
    return rows


def _asked(study: Study) -> list[tuple[Scenario, MaximumLikelihood]]:
    """List the scenarios with the estimators that have a likelihood."""
    every = [(s, e) for s in study.scenarios for e in study.answering(s)]
    return [(s, e) for s, e in every if isinstance(e, MaximumLikelihood)]


def alarms(found: pd.DataFrame) -> list[str]:
    """Say which mechanisms do not match their likelihood without saying so.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.agreement import alarms
    >>> alarms(pd.DataFrame({"scenario": ["a"], "estimator": ["b"], "finding": ["agrees"],
    ...                      "sentence": ["..."]}))
    []
    """
    bad = found[found["finding"].isin(["wrong-truth", "wrong-likelihood"])]
    said = [f"{row.scenario}, {row.estimator}: {row.sentence}" for row in bad.itertuples()]
    if len(said) > 5:
        said = [*said[:5], f"And {len(said) - 5} more, below."]
    return said


_Found = tuple[Equality, Equality, float]


def _strangers_first(cells: Sequence[tuple[Scenario, MaximumLikelihood]]) -> list[int]:
    """Order cells: the first of every mechanism with every estimator, then the second of each."""
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for scenario, estimator in cells:
        pair = (scenario.mechanism.name, estimator.name)
        turns.append(seen[pair])
        seen[pair] += 1
    return sorted(range(len(cells)), key=turns.__getitem__)


def _tested(
    study: Study,
    scenario: Scenario,
    estimator: MaximumLikelihood,
    draws: int,
    share: float,
    left: float,
) -> tuple[_Found | str, int]:
    """Test one cell, or return why it cannot be tested; and how many data sets were looked at."""
    missing = [name for name in estimator.parameters if name not in scenario.truth]
    if missing:
        return f"the truth of {', '.join(missing)} is not given", 0
    if draws < FEWEST:
        return f"it takes {FEWEST} replicates", 0
    theta = np.array([scenario.truth[name] for name in estimator.parameters], dtype=float)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if math.isfinite(left):
            draws = _affordable(_pace(study, scenario, estimator, theta, left), draws, share, left)
        if not draws:
            return "it takes longer than a run spends on it", 0
        return _compared(_derivatives(study, scenario, estimator, theta, range(draws))), draws


def _pace(
    study: Study, scenario: Scenario, estimator: MaximumLikelihood, theta: Array, left: float
) -> float:
    """Return the seconds that one data set takes."""
    began = time.perf_counter()
    clock = [began]
    for replicate in range(PILOT):
        if clock[-1] - began >= left:
            return math.inf
        list(_derivatives(study, scenario, estimator, theta, [replicate]))
        clock.append(time.perf_counter())
    return float(np.median(np.diff(clock)))


def _affordable(pace: float, draws: int, share: float, left: float) -> int:
    """Return how many data sets there is time for: all, or a multiple of the fewest, or none.

    A cell that can be tested in what is left is tested, though that be more than its share.
    """
    if draws * pace <= share:
        return draws
    fewer = max(int(share / pace) // FEWEST * FEWEST, FEWEST)
    return fewer if fewer * pace <= left else 0


def _compared(derivatives: Iterable[tuple[Array, Array]]) -> _Found | str:
    """Hold scores against zero, and their outer products against negative Hessians."""
    scores, outer, curved = [], [], []
    for by_observation, negative in derivatives:
        if np.isfinite(by_observation).all() and np.isfinite(negative).all():
            scores.append(by_observation.sum(axis=0))
            outer.append(by_observation.T @ by_observation)
            curved.append(negative)
    if len(scores) < FEWEST:
        return "too few data sets could be drawn and have finite derivatives"
    product, hessian = np.array(outer), np.array(curved)
    rows, columns = np.tril_indices(len(hessian[0]))
    if len(scores) < 2 * len(rows):  # many parameters: the diagonal alone
        rows = columns = np.arange(len(hessian[0]))
    size = np.sqrt((product**2 + hessian**2).mean(axis=0))
    return (
        zero_mean(np.array(scores)),
        zero_mean((product - hessian)[:, rows, columns], size[rows, columns]),
        _ratio(product.mean(axis=0), hessian.mean(axis=0)),
    )


def _derivatives(
    study: Study,
    scenario: Scenario,
    estimator: MaximumLikelihood,
    theta: Array,
    replicates: Iterable[int],
) -> Iterator[tuple[Array, Array]]:
    """Yield scores `(n, p)` and negative Hessians, exact where there are formulas."""
    for replicate in replicates:
        try:
            target = estimator.bind(draw(study, scenario, replicate))
            if target.score is None:
                scores = score_differences(target, theta)
            else:
                scores = np.asarray(target.score(theta, target.data))
            exact = target.hessian is not None
            yield scores, target.curvature(theta) if exact else rise_hessian(target, theta)
        except Exception:  # a failure of that replicate, and counted there
            continue


def _ratio(product: Array, hessian: Array) -> float:
    """Return the eigenvalue of product / hessian that is farthest from 1, as a factor."""
    try:
        values = eigh(product, hessian, eigvals_only=True)
    except np.linalg.LinAlgError:
        return np.nan
    values = values[values > 0]
    return float(values[np.abs(np.log(values)).argmax()]) if len(values) else np.nan


def _row(scenario: Scenario, found: _Found | str, draws: int, edge: float) -> dict[str, object]:
    """Say what was found."""
    row: dict[str, object] = {"wrong": scenario.mechanism.wrong, "draws": draws}
    if isinstance(found, str):
        blank = dict.fromkeys(("score_p", "information_p", "ratio"), np.nan)
        return row | blank | {"finding": "not-asked", "sentence": f"Not asked: {found}."}
    score, information, ratio = found
    finding = "agrees"
    if score.p < edge:
        finding = "wrong-truth"
    elif information.p < edge and not 1 / MATERIAL <= ratio <= MATERIAL:
        finding = "as-intended" if scenario.mechanism.wrong else "wrong-likelihood"
    return row | {
        "score_p": score.p,
        "information_p": information.p,
        "ratio": ratio,
        "finding": finding,
        "sentence": _SENTENCES[finding],
    }


_SENTENCES = {
    "agrees": "The mechanism matches the likelihood, as far as these data sets tell.",
    "wrong-truth": "The mechanism does not match the likelihood: the mean score at the truth is "
    "not zero, so that estimates go elsewhere; check draw, truth and loglik before any standard "
    "error is blamed.",
    "wrong-likelihood": "The mechanism does not match the likelihood: scores vary otherwise than "
    "its curvature says, so that neither the Hessian nor the outer product of the scores can be "
    "right alone; say Mechanism(wrong=True) where that is on purpose, else check draw and loglik.",
    "as-intended": "The likelihood is wrong on purpose: the mean score at the pseudo-truth is "
    "zero, and neither the Hessian nor the outer product of the scores can be right alone.",
}
