"""Whether a mechanism matches a likelihood, asked at the true parameter, before any fit.

At the truth the mean score is zero, the mean outer product of the scores of single observations is
the mean negative Hessian (the information equality), and the variance of their sum over data sets
is that outer product (independence). A mechanism that breaks the first has another truth than it
says; one that breaks the second only is not the likelihood's, and neither information alone can be
right there (White 1982, Econometrica 50:1); where the third does not hold, a sandwich is wrong too.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from simstudy.arrays import Array
from simstudy.design.dependent_terms import dependent_terms
from simstudy.design.drawing import draw
from simstudy.design.moment_tests import MeanTest, VarianceTest, hotelling, variance_of_sums
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.files.folder_lock import lock_manifest
from simstudy.files.writing import read_csv, save_rows
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

MATERIAL = 1.1
"""Factor between the two informations up to which nothing is said: 5 % of a standard error.

Difference derivatives, whose error has one sign, would else be found out by many data sets.
"""

FILE = "information_equality.csv"

COLUMNS = (
    "scenario", "estimator", "wrong", "draws", "available", "score_p", "information_p", "ratio",
    "sum_p", "sum_ratio", "finding", "sentence",
)  # fmt: skip
NUMBERS = COLUMNS[3:10]


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
        information only where the ratio is beyond `MATERIAL`. Where terms of the likelihood depend
        on other observations (`simstudy.design.dependent_terms`) there are no scores of single
        ones: the information is nan, and the sum is held against the negative Hessian.

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

    return pd.DataFrame(_tests(study, draws, seconds), columns=list(COLUMNS))


def store_tests(study: Study, folder: Path) -> None:
    """Write `information_equality.csv` into a folder, unless it holds what would be written.

    One that is damaged, or of an older version, is made again. Of shards that begin at the same
    time each tests for itself, and what the first has written stays. Without pandas where there is
    no such file yet: a run begins with this, and loads pandas when its workers work.
    """
    path = folder / FILE
    if _is_enough(path, study):
        return
    rows = _tests(study, DRAWS, SECONDS)
    with lock_manifest(folder):
        if not _is_enough(path, study):  # meanwhile
            save_rows(rows, COLUMNS, path)


def stored_tests(folder: Path) -> pd.DataFrame:
    """Return what `store_tests` wrote into a folder; an empty frame where it did not.

    Where that is damaged, or of an older version, a line on standard error says so.
    """
    import pandas as pd

    path = folder / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    stored = _read(path)
    if stored is None:
        print(
            f"{path} cannot be read, or is of another version: the report does without it, and the "
            "next run makes it again",
            file=sys.stderr,
        )
        return pd.DataFrame(columns=list(COLUMNS))
    return stored


def _is_enough(path: Path, study: Study) -> bool:
    """Tell whether a file holds every cell of a study, of as many data sets as there would be."""
    stored = _read(path) if path.exists() else None
    if stored is None or not len(stored):
        return False
    cells = {(row.scenario, row.estimator) for row in stored.itertuples()}
    enough = stored["available"].max() >= min(DRAWS, study.replicates)
    return bool(enough) and cells >= {(s.key, e.name) for s, e in _likelihood_cells(study)}


def _read(path: Path) -> pd.DataFrame | None:
    """Read what `store_tests` wrote; None where it is not that."""
    import pandas as pd

    try:
        found = read_csv(path)
    except (OSError, ValueError):  # pandas' own errors are ValueErrors
        return None
    if list(found) != list(COLUMNS) or not found["finding"].isin(FINDINGS).all():
        return None
    whole = bool(found.drop(columns=list(NUMBERS[2:])).notna().to_numpy().all())
    # columns without a row have no type
    numeric = found.empty or all(pd.api.types.is_numeric_dtype(found[name]) for name in NUMBERS)
    return found if whole and numeric else None


def _tests(study: Study, draws: int, seconds: float) -> list[dict[str, object]]:
    """Test every cell; return the rows of `information_equality`."""
    with suppressed_output():
        return _test_cells(study, min(draws, study.replicates), seconds)


def _test_cells(study: Study, draws: int, seconds: float) -> list[dict[str, object]]:
    """Test the cells that have a likelihood, one after another."""
    cells = _likelihood_cells(study)
    ends = time.monotonic() + seconds
    found: dict[int, tuple[_Tests | _Impossible | str, int]] = {}
    for done, index in enumerate(_new_pairs_first(cells)):
        left = ends - time.monotonic()
        found[index] = _test_cell(study, *cells[index], draws, left / (len(cells) - done), left)
    asked = sum(isinstance(answer, _Tests) for answer, _ in found.values())
    edge = FALSE_ALARM / max(3 * asked, 1)
    rows = []
    for index, (scenario, estimator) in enumerate(cells):
        row = {"scenario": scenario.key, "estimator": estimator.name, "available": draws}
        rows.append(row | _row(scenario, estimator.parameters, *found[index], edge))
    return rows


def _likelihood_cells(study: Study) -> list[tuple[Scenario, MaximumLikelihood]]:
    """List the scenarios with the estimators that have a likelihood."""
    every = [(s, e) for s in study.scenarios for e in study.answering(s)]
    return [(s, e) for s, e in every if isinstance(e, MaximumLikelihood)]


def mismatches(found: pd.DataFrame) -> list[str]:
    """Say which mechanisms do not match their likelihood without saying so.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.design.information_equality import mismatches
    >>> mismatches(pd.DataFrame({"scenario": ["a"], "estimator": ["b"], "finding": ["agrees"],
    ...                      "sentence": ["..."]}))
    []
    """
    bad = found[found["finding"].isin(["wrong-truth", "wrong-likelihood", "impossible-data"])]
    said = [f"{row.scenario}, {row.estimator}: {row.sentence}" for row in bad.itertuples()]
    if len(said) > 5:
        said = [*said[:5], f"And {len(said) - 5} more, below."]
    return said


@dataclass(frozen=True, slots=True)
class _Tests:
    """What the data sets of one cell told."""

    score: MeanTest
    information: MeanTest
    ratio: float
    spread: VarianceTest
    dependent: bool


@dataclass(frozen=True, slots=True)
class _Impossible:
    """In how many data sets the log-likelihood is not finite at the truth."""

    sets: int


def _new_pairs_first(cells: Sequence[tuple[Scenario, MaximumLikelihood]]) -> list[int]:
    """Order cells: the first of every mechanism with every estimator, then the second of each."""
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for scenario, estimator in cells:
        pair = (scenario.mechanism.name, estimator.name)
        turns.append(seen[pair])
        seen[pair] += 1
    return sorted(range(len(cells)), key=turns.__getitem__)


def _test_cell(
    study: Study,
    scenario: Scenario,
    estimator: MaximumLikelihood,
    draws: int,
    share: float,
    left: float,
) -> tuple[_Tests | _Impossible | str, int]:
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
            draws = _affordable(
                _seconds_per_draw(study, scenario, estimator, theta, left), draws, share, left
            )
        if not draws:
            return "it takes longer than a run spends on it", 0
        derivatives = _derivatives(study, scenario, estimator, theta, range(draws))
        return _compared(
            derivatives, dependent_terms(study, scenario, estimator) is not None
        ), draws


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
) -> _Tests | _Impossible | str:
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
        return _Impossible(impossible)
    if len(scores) < FEWEST:
        return "too few data sets could be drawn and have finite derivatives"
    sums, product, hessian = np.array(scores), np.array(outer), np.array(curved)
    bread = hessian.mean(axis=0)
    spread = VarianceTest(np.nan, np.nan, 0)
    if dependent:
        nothing = MeanTest(np.nan, np.nan)
        return _Tests(
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
    return _Tests(hotelling(sums), information, ratio, spread, dependent)


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


def _row(
    scenario: Scenario,
    parameters: Sequence[str],
    found: _Tests | _Impossible | str,
    draws: int,
    edge: float,
) -> dict[str, object]:
    """Say what was found."""
    wrong = scenario.mechanism.wrong
    row: dict[str, object] = {"wrong": wrong, "draws": draws}
    if isinstance(found, str):
        blank = dict.fromkeys(NUMBERS[2:], np.nan)
        return row | blank | {"finding": "not-asked", "sentence": f"Not asked: {found}."}
    if isinstance(found, _Impossible):
        said = _IMPOSSIBLE.format(sets=found.sets, draws=draws)
        blank = dict.fromkeys(NUMBERS[2:], np.nan)
        return row | blank | {"finding": "impossible-data", "sentence": said}
    unlike = found.information.p < edge and not 1 / MATERIAL <= found.ratio <= MATERIAL
    finding, sentence = "agrees", _AGREES
    if found.score.p < edge:
        finding, sentence = "wrong-truth", _WRONG_TRUTH
    elif unlike or found.spread.p < edge:
        finding = "as-intended" if wrong else "wrong-likelihood"
        what = _UNLIKE
        if found.spread.p < edge:
            off = 1 / math.sqrt(found.spread.ratio) - 1
            what = (_DEPENDENT_TERMS if found.dependent else _DEPENDENT_DATA).format(
                parameter=parameters[found.spread.parameter],
                ratio=found.spread.ratio,
                also="" if unlike else "the Hessian, ",
                off=f"{abs(off):.0%} too {'small' if off < 0 else 'large'}".replace("%", " %"),
            )
        sentence = (_AS_INTENDED if wrong else _WRONG_LIKELIHOOD).format(what=what)
    return row | {
        "score_p": found.score.p,
        "information_p": found.information.p,
        "ratio": found.ratio,
        "sum_p": found.spread.p,
        "sum_ratio": found.spread.ratio,
        "finding": finding,
        "sentence": sentence,
    }


FINDINGS = (
    "agrees", "wrong-truth", "wrong-likelihood", "as-intended", "impossible-data", "not-asked",
)  # fmt: skip

_AGREES = "The mechanism matches the likelihood, as far as these data sets tell."
_WRONG_TRUTH = (
    "The mechanism does not match the likelihood: the mean score at the truth is not zero, so that "
    "estimates go elsewhere; check draw, truth and loglik before any standard error is blamed."
)
_IMPOSSIBLE = (
    "In {sets} of {draws} data sets the log-likelihood is not finite at the truth: draw gives data "
    "that the model cannot have; check draw, truth and loglik."
)
_WRONG_LIKELIHOOD = (
    "The mechanism does not match the likelihood: {what}; say Mechanism(wrong=True) where that is "
    "on purpose, else check draw and loglik."
)
_AS_INTENDED = (
    "The likelihood is wrong on purpose: the mean score at the pseudo-truth is zero, and {what}."
)
_UNLIKE = (
    "scores vary otherwise than its curvature says, so that neither the Hessian nor the outer "
    "product of the scores can be right alone"
)
_DEPENDENT_DATA = (
    "the observations of one data set depend on each other: the sum of their scores varies "
    "{ratio:.3g} times as much as that of independent ones, so that {also}a sandwich, an outer "
    "product of scores or a bootstrap of observations gives a standard error of {parameter} about "
    "{off}"
)
_DEPENDENT_TERMS = (
    "the summed score varies {ratio:.3g} times as much as its curvature says, so that the Hessian "
    "gives a standard error of {parameter} about {off}"
)
