"""Whether a mechanism matches a likelihood, asked at the true parameter, before any fit.

At the truth the mean score is zero, the mean outer product of the scores of single observations is
the mean negative Hessian (the information equality), and the variance of their sum over data sets
is that outer product (independence). A mechanism that breaks the first has another truth than it
says; one that breaks the second only is not the likelihood's, and neither information alone can be
right there (White 1982, Econometrica 50:1); where the third does not hold, a sandwich is wrong too.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from simstudy.arrays import Array
from simstudy.design.dependent_terms import dependent_terms
from simstudy.design.drawing import draw
from simstudy.design.findings import COLUMNS, CellTests, ImpossibleData, finding_row
from simstudy.design.moment_tests import MeanTest, VarianceTest, hotelling, variance_of_sums
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.likelihood.derivatives import rise_hessian, score_differences
from simstudy.warning_capture import suppressed_output

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

RARE = 0.01
"""Share of data sets up to which a log-likelihood that is not finite may be one of rounding."""


def information_equality(
    study: Study, *, draws: int = DRAWS, seconds: float = math.inf
) -> pd.DataFrame:
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
        direction in which they differ most), sum_p, sum_ratio (variance of a parameter by the
        summed scores of all data sets over that by the scores of single observations, where they
        differ most), finding and sentence. The finding is `agrees`, `wrong-truth`,
        `wrong-likelihood`, `as-intended` (the likelihood is wrong and the mechanism says so),
        `impossible-data` (the log-likelihood is not finite at the truth) or `not-asked`. A p-value
        counts as a mismatch below `FALSE_ALARM` over the number of p-values, that of the
        information only where the ratio is beyond `simstudy.design.findings.MATERIAL`. Where terms
        of the likelihood depend on other observations (`simstudy.design.dependent_terms`) there are
        no scores of single ones: the information is nan, and the sum is held against the negative
        Hessian.

    Examples
    --------
    >>> from simstudy import MaximumLikelihood, Study, grid
    >>> from simstudy.design.information_equality import information_equality
    >>> from simstudy.methods import OBSERVED
    >>> from simstudy.models import exponential
    >>> wrong = grid(exponential.WRONG_GAMMA, n=50, shape=0.5, mean=1.0)
    >>> study = Study("s", wrong, [MaximumLikelihood(exponential.MODEL, [OBSERVED])], seed=1)
    >>> found = information_equality(study)
    >>> found["finding"][0], found["ratio"][0].round(1)
    ('as-intended', np.float64(2.0))
    """
    import pandas as pd

    return pd.DataFrame(equality_rows(study, draws, seconds), columns=list(COLUMNS))


def equality_rows(study: Study, draws: int, seconds: float) -> list[dict[str, object]]:
    """Return the rows of `information_equality`, without pandas."""
    with suppressed_output():
        return _test_cells(study, min(draws, study.replicates), seconds)


def _test_cells(study: Study, draws: int, seconds: float) -> list[dict[str, object]]:
    """Test the cells that have a likelihood, one after another."""
    cells = likelihood_cells(study)
    ends = time.monotonic() + seconds
    found: dict[int, tuple[CellTests | ImpossibleData | str, int]] = {}
    for done, index in enumerate(_new_pairs_first(cells)):
        left = ends - time.monotonic()
        found[index] = _test_cell(study, *cells[index], draws, left / (len(cells) - done), left)
    asked = sum(isinstance(answer, CellTests) for answer, _ in found.values())
    edge = FALSE_ALARM / max(3 * asked, 1)
    rows = []
    for index, (scenario, estimator) in enumerate(cells):
        row = {"scenario": scenario.key, "estimator": estimator.name, "available": draws}
        rows.append(row | finding_row(scenario, estimator.model.names, *found[index], edge))
    return rows


def likelihood_cells(study: Study) -> list[tuple[Scenario, MaximumLikelihood]]:
    """List the scenarios with the estimators that have a likelihood."""
    every = [(s, e) for s in study.scenarios for e in study.answering(s)]
    return [(s, e) for s, e in every if isinstance(e, MaximumLikelihood)]


def _new_pairs_first(cells: Sequence[tuple[Scenario, MaximumLikelihood]]) -> list[int]:
    """Order cells: the first of every mechanism with every estimator, then the second of each."""
    seen: Counter[tuple[str, str]] = Counter()
    ranks = []
    for scenario, estimator in cells:
        pair = (scenario.mechanism.name, estimator.name)
        ranks.append(seen[pair])
        seen[pair] += 1
    return sorted(range(len(cells)), key=ranks.__getitem__)


def _test_cell(
    study: Study,
    scenario: Scenario,
    estimator: MaximumLikelihood,
    draws: int,
    share: float,
    left: float,
) -> tuple[CellTests | ImpossibleData | str, int]:
    """Test one cell, or return why it cannot be tested; and how many data sets were looked at."""
    missing = [name for name in estimator.model.names if name not in scenario.truth]
    if missing:
        return f"the truth of {', '.join(missing)} is not given", 0
    if draws < FEWEST:
        return f"it takes {FEWEST} replicates", 0
    theta = np.array([scenario.truth[name] for name in estimator.model.names], dtype=float)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if math.isfinite(left):
            pace = _seconds_per_draw(study, scenario, estimator, theta, left)
            draws = _affordable(pace, draws, share, left)
        if not draws:
            return "it takes longer than a run spends on it", 0
        derivatives = _derivatives(study, scenario, estimator, theta, range(draws))
        dependent = dependent_terms(study, scenario, estimator) is not None
        return _compared(derivatives, dependent), draws


def _seconds_per_draw(
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


def _compared(
    derivatives: Iterable[tuple[Array, Array] | None], dependent: bool
) -> CellTests | ImpossibleData | str:
    """Hold scores against zero, their outer products and the variance of their sums."""
    scores, outer, curved = [], [], []
    alone = True
    impossible = sets = 0
    for sets, found in enumerate(derivatives, 1):  # noqa: B007
        if found is None:
            impossible += 1
            continue
        by_observation, negative = found
        if np.isfinite(by_observation).all() and np.isfinite(negative).all():
            scores.append(by_observation.sum(axis=0))
            outer.append(by_observation.T @ by_observation)
            curved.append(negative)
            alone = alone and len(by_observation) == 1
    if impossible > RARE * sets:
        return ImpossibleData(impossible)
    if len(scores) < FEWEST:
        return "too few data sets could be drawn and have finite derivatives"
    sums, product, hessian = np.array(scores), np.array(outer), np.array(curved)
    bread = hessian.mean(axis=0)
    spread = VarianceTest(np.nan, np.nan, 0)
    if dependent:
        nothing = MeanTest(np.nan, np.nan)
        return CellTests(
            hotelling(sums), nothing, np.nan, variance_of_sums(sums, bread, bread), dependent
        )
    if not alone:  # one observation depends on no other
        spread = variance_of_sums(sums, product.mean(axis=0), bread)
    rows, columns = np.tril_indices(len(bread))
    if len(scores) < 2 * len(rows):  # many parameters: the diagonal alone
        rows = columns = np.arange(len(bread))
    size = np.sqrt((product**2 + hessian**2).mean(axis=0))
    information = hotelling((product - hessian)[:, rows, columns], size[rows, columns])
    ratio = _ratio(product.mean(axis=0), bread)
    return CellTests(hotelling(sums), information, ratio, spread, dependent)


def _derivatives(
    study: Study,
    scenario: Scenario,
    estimator: MaximumLikelihood,
    theta: Array,
    replicates: Iterable[int],
) -> Iterator[tuple[Array, Array] | None]:
    """Yield scores `(n, p)` and negative Hessians, exact where there are formulas.

    None in their place where the log-likelihood is not finite.
    """
    for replicate in replicates:
        try:
            target = estimator.bind(draw(study, scenario, replicate))
            if target.value(theta) == np.inf:
                yield None
                continue
            if target.score is None:
                scores = score_differences(target, theta)
            else:
                scores = np.asarray(target.score(theta, target.data))
            exact = target.hessian is not None
            yield scores, target.curvature(theta) if exact else rise_hessian(target, theta).matrix
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
