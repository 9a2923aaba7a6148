"""Whether what simstudy reports is true: against closed forms, another program, and repetition.

Oracles: small studies, drawn, fitted and measured as any other, against values that are known
without Monte Carlo error. Reference: a table of estimates, against the digits that rsimsum (White
2010; Gasparini 2018, JOSS 3:739) gave for it. Repetition: the Monte Carlo standard errors that many
simulated studies report, against the true spread of each measure over these studies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.evidence import measures
from simstudy.evidence.arithmetic import Array
from simstudy.evidence.montecarlo import Measure, Z
from simstudy.evidence.performance import performance
from simstudy.execution.runner import run
from simstudy.files.writing import parse_csv
from simstudy.methods.catalogue import OBSERVED, OBSERVED_LOG_WALD
from simstudy.models import binomial, exponential, normal, poisson
from simstudy.result import Result

SEED = 20261120
FAR = 4.5
"""Standard errors by which a study may miss its oracle: one check in 150,000 does by chance."""

CLOSE = 0.05
"""Share by which a reported Monte Carlo error may miss the true one."""

DIGITS = 1e-9
"""Relative difference from another program's value."""


class Check(NamedTuple):
    """One comparison: what was found, what is due, how far apart they may be."""

    part: str
    case: str
    measure: str
    value: float
    due: float
    tolerance: float


def run_selftest(*, quick: bool = False) -> pd.DataFrame:
    """Make every comparison.

    Parameters
    ----------
    quick : bool
        With a fifth of the replicates.

    Returns
    -------
    pandas.DataFrame
        Columns part (oracle, reference, repetition), case, measure, value, due, tolerance, passed.
    """
    checks = [*_reference(), *_repetition(quick), *_oracles(400 if quick else 2000)]
    found = pd.DataFrame(checks)
    # what is nan has not passed
    apart = (found["value"] - found["due"]).abs()
    return found.assign(passed=apart <= found["tolerance"])


def selftest_table(found: pd.DataFrame) -> str:
    """Lay out the comparisons for a terminal.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.selftest import selftest_table
    >>> found = pd.DataFrame({"part": ["oracle"], "case": ["rate, n=10"], "measure": ["cover"],
    ...     "value": [0.953], "due": [0.9549], "tolerance": [0.02], "passed": [True]})
    >>> print(selftest_table(found))
    oracle, rate, n=10
      cover           0.953   due    0.9549 -/+ 0.02
    """
    lines = []
    for (part, case), rows in found.groupby(["part", "case"], sort=False):
        lines.append(f"{part}, {case}")
        for row in rows.to_dict("records"):
            line = (
                f"  {row['measure']:<10} {row['value']:>10.5g}   due {row['due']:>9.5g} -/+ "
                f"{row['tolerance']:.2g}"
            )
            lines.append(line + ("" if row["passed"] else "   FALLS SHORT"))
    return "\n".join(lines)


# --- oracles --------------------------------------------------------------------------------------

_MEASURES = ("bias", "empse", "modelse", "relerror", "mse", "cover", "becover", "fail")
_SCENARIOS = [
    Scenario(exponential.MECHANISM, {"n": 10, "rate": 1.0}, only=["exponential"]),
    Scenario(
        normal.VARIANCE_MECHANISM, {"n": 10, "mu": 0.0, "sigma": 1.0}, only=["normal-variance"]
    ),
    Scenario(binomial.LOGIT_MECHANISM, {"n": 20, "p": 0.1}, only=["binomial-logit"]),
    Scenario(poisson.LOG_MECHANISM, {"n": 1, "mean": 3.0}, only=["poisson-log"]),
]
_ESTIMATORS = [
    MaximumLikelihood(exponential.MODEL, [OBSERVED, OBSERVED_LOG_WALD]),
    MaximumLikelihood(normal.VARIANCE_MODEL, [OBSERVED]),
    MaximumLikelihood(binomial.LOGIT_MODEL, [OBSERVED]),
    MaximumLikelihood(poisson.LOG_MODEL, [OBSERVED]),
]
# (parameter, method): the values of _MEASURES in closed form or by enumeration
_ORACLES: dict[tuple[str, str], tuple[float | None, ...]] = {
    ("rate", "observed"):
        (0.111111, 0.392837, 0.372678, -5.1317, 0.166667, 0.9549216, 0.9124402, 0),
    ("rate", "observed-log-wald"): (None, None, None, None, None, 0.9410225, None, 0),
    ("mu", "observed"): (0, 0.316228, 0.3, -5.1317, 0.1, 0.9040927, 0.9040927, 0),
    ("variance", "observed"): (-0.1, 0.424264, 0.444972, 4.8809, 0.19, 0.8047369, 0.8517077, 0),
    ("logit", "observed"):
        (0.0111455, 0.595441, 0.795997, 33.682, 0.354674, 0.95085, None, 0.12158),
    ("log_mean", "observed"):
        (-0.0942615, 0.563149, 0.657787, 16.805, 0.326022, 0.9647358, None, 0.049787),
}  # fmt: skip


def _oracles(replicates: int) -> Iterator[Check]:
    """Run small studies of which everything is known."""
    study = Study("selftest", _SCENARIOS, _ESTIMATORS, replicates=replicates, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        run(study, out=folder, jobs=1, engine="loop", quiet=True)
        found = Result(Path(folder)).performance()
    words = found[["parameter", "method", "measure"]].astype(str).itertuples(index=False)
    numbers = found[["value", "mcse"]].to_numpy(dtype=float)
    rows = {tuple(word): number for word, number in zip(words, numbers, strict=True)}
    for key, values in _ORACLES.items():
        empse, n = values[1], rows[*key, "n"][0]
        for measure, due in zip(_MEASURES, values, strict=True):
            if due is None:
                continue
            value, mcse = rows[*key, measure]
            if measure in ("cover", "becover", "fail"):
                mcse = np.sqrt(due * (1 - due) / (replicates if measure == "fail" else n))
                # the mean that becover is about is itself simulated
                mcse *= 1.5 if measure == "becover" else 1
            elif measure == "bias" and empse is not None:
                mcse = empse / np.sqrt(n)
            # the oracles have six digits
            slack = float(FAR * mcse + 1e-5 * abs(due))
            yield Check("oracle", ", ".join(key), measure, float(value), due, slack)


# --- another program's digits ---------------------------------------------------------------------

# rsimsum 0.13.1.9000 on selftest_estimates.csv, truth 2, method B against A: value, MCSE
_RSIMSUM = {
    "bias": (0.029204858117250022, 0.010726668933860652),
    "rbias": (0.014602429058625011, 0.005363334466930327),
    "empse": (0.21453337867721303, 0.007594399282331308),
    "mse": (0.04676243287789254, 0.0059745372675518256),
    "relprec": (-9.081547987821093, 4.716708924015105),
    "modelse": (0.2430939286604182, 0.013528633991641286),
    "relerror": (13.312870080780016, 7.4737242809925855),
    "cover": (0.97, 0.008529361054615993),
    "becover": (0.9525, 0.010635289135702893),
}


def _reference() -> Iterator[Check]:
    """Measure a table that rsimsum has measured."""
    with (files("simstudy") / "selftest_estimates.csv").open() as file:
        frame = parse_csv(file)
    found = performance(
        frame, estimate="estimate", se="se", truth=2.0, method="method", replicate="replicate",
        reference="A", mcse="morris", measures=list(_RSIMSUM),
    )  # fmt: skip
    for measure, (value, mcse) in _RSIMSUM.items():
        row = found[(found["method"] == "B") & (found["measure"] == measure)].iloc[0]
        yield Check("reference", "rsimsum", measure, row["value"], value, DIGITS * abs(value))
        yield Check("reference", "rsimsum, MCSE", measure, row["mcse"], mcse, DIGITS * mcse)


# --- many studies ---------------------------------------------------------------------------------

Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array, float]]


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, float]:
    """Means of 20 normal observations, with their standard errors."""
    se = np.sqrt(rng.chisquare(19, shape) / 19 / 20)
    return rng.standard_normal(shape) / np.sqrt(20), se, 0.0


def _t5(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, float]:
    """Estimates with heavy tails, with noisy standard errors."""
    return rng.standard_t(5, shape), np.sqrt(5 / 3) * np.exp(0.1 * rng.normal(size=shape)), 0.0


def _exponential(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, float]:
    """Means of one exponential observation, whose standard error is the estimate itself."""
    t = rng.exponential(size=shape)
    return t, t, 1.0


def _logit(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array, float]:
    """Logits of 20 binomial outcomes of probability 0.1; none where all are alike."""
    k = rng.binomial(20, 0.1, shape).astype(float)
    k[(k == 0) | (k == 20)] = np.nan
    return np.log(k / (20 - k)), np.sqrt(20 / (k * (20 - k))), float(np.log(1 / 9))


_POPULATIONS: dict[str, Draw] = {
    "normal": _normal, "t5": _t5, "exponential": _exponential, "binomial logit": _logit
}  # fmt: skip
_ARGUMENTS = {
    "bias": ("estimate", "truth"), "empse": ("estimate",), "mse": ("estimate", "truth"),
    "rmse": ("estimate", "truth"), "mae": ("estimate", "truth"), "modelse": ("se",),
    "relerror": ("estimate", "se"), "cover": ("lower", "upper", "truth"),
    "ciwidth": ("lower", "upper"), "wscore": ("lower", "upper", "truth"),
}  # fmt: skip


def _repetition(quick: bool) -> Iterator[Check]:
    """Hold reported Monte Carlo errors, root mean square over studies, against the true spread."""
    close = CLOSE + (0.05 if quick else 0)  # 2,000 studies know a spread to 2 % only
    studies, replicates, at_once = (2000, 400, 250) if quick else (5000, 500, 250)
    for number, (name, draw) in enumerate(_POPULATIONS.items()):
        rng = np.random.default_rng([SEED, number])
        parts = []
        for _ in range(studies // at_once):
            t, se, truth = draw(rng, (at_once, replicates))
            columns = {
                "estimate": t, "se": se, "truth": np.full_like(t, truth),
                "lower": t - Z * se, "upper": t + Z * se,
            }  # fmt: skip
            parts.append([_measured(measure, columns) for measure in _ARGUMENTS])
        for k, measure in enumerate(_ARGUMENTS):
            values = np.concatenate([part[k].value for part in parts])
            errors = np.concatenate([part[k].mcse for part in parts])
            ratio = np.sqrt(np.mean(errors**2)) / np.std(values, ddof=1)
            case = f"MCSE / true spread, {name}"
            yield Check("repetition", case, measure, float(ratio), 1.0, close)


def _measured(measure: str, columns: dict[str, Array]) -> Measure:
    """Take a measure of the catalogue."""
    function: Any = measures.MEASURES[measure]
    found: Measure = function(**{name: columns[name] for name in _ARGUMENTS[measure]})
    return found
