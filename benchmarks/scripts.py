"""Simulation studies of standard errors, written by hand: what simstudy is timed against.

NumPy, SciPy, statsmodels and joblib, nothing of simstudy. Each study draws data from known
parameters, fits them by maximum likelihood (SciPy's BFGS, positive parameters on the log scale),
takes standard errors from the inverse Hessian, from the outer product of scores and from the
sandwich (or from a bootstrap), and counts how often the 95 % Wald interval contains the truth.

    python benchmarks/scripts.py gamma --replicates 2000 --jobs 2
    python benchmarks/scripts.py logit --exact

Without --exact the gradient, the scores and the Hessian come from finite differences (SciPy's and
statsmodels'), as most people do it; with --exact the gradient is written out and the Hessian is
the difference of exact gradients.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported; the workers inherit it

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy import special
from scipy.optimize import OptimizeResult, minimize
from scipy.stats import norm
from statsmodels.tools.numdiff import approx_fprime, approx_hess

Array = np.ndarray
Z = norm.ppf(0.975)


class Study(NamedTuple):
    """One study: what is true, how data are drawn, and the model in its own parameters theta."""

    truth: dict[str, float]
    n: int
    draw: Callable[[np.random.Generator, int], Any]
    start: Callable[[Any], Array]  # on the working scale w
    natural: Callable[[Array], Array]  # theta of w
    slope: Callable[[Array], Array]  # d theta / d w, as a function of theta
    loglik: Callable[[Array, Any], Array]  # (n,)
    score: Callable[[Array, Any], Array]  # (n, p)
    resamples: int = 0
    replicates: int = 500  # when --replicates is not given


# --- gamma with shape and rate ------------------------------------------------------------------


def draw_gamma(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Draw n values with shape 2 and rate 3; the logarithm is taken once."""
    y = rng.gamma(2.0, 1 / 3.0, size=n)
    return y, np.log(y)


def loglik_gamma(theta: Array, data: tuple[Array, Array]) -> Array:
    """Log-density of each value."""
    shape, rate = theta
    y, log_y = data
    return shape * np.log(rate) - special.gammaln(shape) + (shape - 1) * log_y - rate * y


def score_gamma(theta: Array, data: tuple[Array, Array]) -> Array:
    """Gradient of each log-density."""
    shape, rate = theta
    y, log_y = data
    return np.column_stack([np.log(rate) - special.digamma(shape) + log_y, shape / rate - y])


# --- logit with ten coefficients ----------------------------------------------------------------

LOGIT = np.array([-0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5])
AR_ROOT = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(9), np.arange(9))))


def draw_logit(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Draw an intercept and nine normal covariates with correlation .5^|i - j|, then outcomes."""
    x = np.column_stack([np.ones(n), rng.standard_normal((n, 9)) @ AR_ROOT.T])
    y = (rng.uniform(size=n) < special.expit(x @ LOGIT)).astype(float)
    return x, y


def loglik_logit(theta: Array, data: tuple[Array, Array]) -> Array:
    """Log-probability of each outcome."""
    x, y = data
    eta = x @ theta
    return y * eta - np.logaddexp(0.0, eta)


def score_logit(theta: Array, data: tuple[Array, Array]) -> Array:
    """Gradient of each log-probability."""
    x, y = data
    return (y - special.expit(x @ theta))[:, None] * x


# --- Weibull with shape and scale, observed until a fixed time ----------------------------------

WEIBULL_END = (-np.log(0.3)) ** (1 / 1.5)  # 30 % are censored


def draw_weibull(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    """Draw times with shape 1.5 and scale 1, cut at the end of observation."""
    lifetime = rng.weibull(1.5, size=n)
    time_seen = np.minimum(lifetime, WEIBULL_END)
    return time_seen, np.log(time_seen), (lifetime <= WEIBULL_END).astype(float)


def start_weibull(data: tuple[Array, Array, Array]) -> Array:
    """Start at the exponential fit."""
    times, _, event = data
    return np.array([0.0, np.log(times.sum() / event.sum())])


def loglik_weibull(theta: Array, data: tuple[Array, Array, Array]) -> Array:
    """Log-density of the events, log-survival of the censored."""
    shape, scale = theta
    _, log_time, event = data
    r = log_time - np.log(scale)
    return event * (np.log(shape) - log_time + shape * r) - np.exp(shape * r)


def score_weibull(theta: Array, data: tuple[Array, Array, Array]) -> Array:
    """Gradient of each contribution."""
    shape, scale = theta
    _, log_time, event = data
    r = log_time - np.log(scale)
    hazard = np.exp(shape * r)
    return np.column_stack([event / shape + (event - hazard) * r, shape / scale * (hazard - event)])


# --- negative binomial regression (NB2), four coefficients and the dispersion -------------------

NEGBIN = np.array([1.0, 0.5, -0.5, 0.25])
DISPERSION = 0.5


def draw_negbin(rng: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    """Draw an intercept and three normal covariates, then counts with variance mu + mu^2 / 2."""
    x = np.column_stack([np.ones(n), rng.standard_normal((n, 3))])
    mu = np.exp(x @ NEGBIN)
    y = rng.poisson(mu * rng.gamma(1 / DISPERSION, DISPERSION, size=n)).astype(float)
    return x, y, special.gammaln(y + 1)


def start_negbin(data: tuple[Array, Array, Array]) -> Array:
    """Start at a constant mean and dispersion 1."""
    return np.array([np.log(data[1].mean()), 0.0, 0.0, 0.0, 0.0])


def natural_negbin(w: Array) -> Array:
    """Take the exponential of the last value."""
    return np.append(w[:-1], np.exp(w[-1]))


def slope_negbin(theta: Array) -> Array:
    """One for the coefficients, the dispersion for itself."""
    return np.append(np.ones(len(theta) - 1), theta[-1])


def loglik_negbin(theta: Array, data: tuple[Array, Array, Array]) -> Array:
    """Log-probability of each count."""
    x, y, log_factorial = data
    size = 1 / theta[-1]
    eta = x @ theta[:-1]
    total = np.log(size + np.exp(eta))
    return (
        special.gammaln(y + size) - special.gammaln(size) - log_factorial
        + size * (np.log(size) - total) + y * (eta - total)
    )  # fmt: skip


def score_negbin(theta: Array, data: tuple[Array, Array, Array]) -> Array:
    """Gradient of each log-probability."""
    x, y, _ = data
    size = 1 / theta[-1]
    mu = np.exp(x @ theta[:-1])
    of_eta = (y - mu) / (1 + theta[-1] * mu)
    of_size = (
        special.digamma(y + size)
        - special.digamma(size)
        + np.log(size / (size + mu))
        + (mu - y) / (size + mu)
    )
    return np.column_stack([of_eta[:, None] * x, -(size**2) * of_size])


# --- the studies --------------------------------------------------------------------------------

GAMMA = Study(
    truth={"shape": 2.0, "rate": 3.0},
    n=200,
    draw=draw_gamma,
    start=lambda data: np.zeros(2),
    natural=np.exp,
    slope=lambda theta: theta,
    loglik=loglik_gamma,
    score=score_gamma,
    replicates=2000,
)
STUDIES = {
    "gamma": GAMMA,
    "logit": Study(
        truth={f"b{j}": value for j, value in enumerate(LOGIT)},
        n=1000,
        draw=draw_logit,
        start=lambda data: np.zeros(10),
        natural=lambda w: w,
        slope=np.ones_like,
        loglik=loglik_logit,
        score=score_logit,
        replicates=200,
    ),
    "weibull": Study(
        truth={"shape": 1.5, "scale": 1.0},
        n=200,
        draw=draw_weibull,
        start=start_weibull,
        natural=np.exp,
        slope=lambda theta: theta,
        loglik=loglik_weibull,
        score=score_weibull,
        replicates=2000,
    ),
    "negbin": Study(
        truth={**{f"b{j}": value for j, value in enumerate(NEGBIN)}, "dispersion": DISPERSION},
        n=500,
        draw=draw_negbin,
        start=start_negbin,
        natural=natural_negbin,
        slope=slope_negbin,
        loglik=loglik_negbin,
        score=score_negbin,
    ),
    "bootstrap": GAMMA._replace(n=50, resamples=199, replicates=50),
}


# --- one replicate ------------------------------------------------------------------------------


def fit(
    study: Study, data: Any, start: Array, exact: bool, weights: Array | None = None
) -> OptimizeResult:
    """Minimize the negative log-likelihood over the working scale by BFGS."""

    def objective(w: Array) -> float:
        terms = study.loglik(study.natural(w), data)
        return -(terms.sum() if weights is None else weights @ terms)

    def gradient(w: Array) -> Array:
        theta = study.natural(w)
        terms = study.score(theta, data)
        return -(terms.sum(axis=0) if weights is None else weights @ terms) * study.slope(theta)

    return minimize(objective, start, jac=gradient if exact else None, method="BFGS")


def standard_errors(study: Study, theta: Array, data: Any, exact: bool) -> Array:
    """Give the standard errors from the Hessian, the outer product and the sandwich: (3, p)."""
    if exact:
        scores = study.score(theta, data)
        hessian = approx_fprime(theta, lambda t: -study.score(t, data).sum(axis=0), centered=True)
        hessian = (hessian + hessian.T) / 2
    else:
        scores = approx_fprime(theta, lambda t: study.loglik(t, data), centered=True)
        hessian = approx_hess(theta, lambda t: -study.loglik(t, data).sum())
    try:
        observed = np.linalg.inv(hessian)
        outer = scores.T @ scores
        covariances = np.stack([observed, np.linalg.inv(outer), observed @ outer @ observed])
    except np.linalg.LinAlgError:
        return np.full((3, len(theta)), np.nan)
    return np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))


def bootstrap_errors(
    study: Study, best: OptimizeResult, data: Any, exact: bool, rng: np.random.Generator
) -> Array:
    """Give the standard deviation over refits with multinomial weights: (1, p)."""
    weights = rng.multinomial(study.n, np.full(study.n, 1 / study.n), size=study.resamples)
    refits = [study.natural(fit(study, data, best.x, exact, w.astype(float)).x) for w in weights]
    return np.std(refits, axis=0, ddof=1)[None]


def replicate(study: Study, seed: np.random.SeedSequence, exact: bool) -> tuple[Array, Array, bool]:
    """Draw, fit, and give estimate (p,), standard errors (methods, p), the optimizer's flag."""
    rng = np.random.default_rng(seed)
    data = study.draw(rng, study.n)
    best = fit(study, data, study.start(data), exact)
    theta = study.natural(best.x)
    if study.resamples:
        errors = bootstrap_errors(study, best, data, exact, rng)
    else:
        errors = standard_errors(study, theta, data, exact)
    return theta, errors, best.success


def replicate_many(
    study: Study, seeds: list[np.random.SeedSequence], exact: bool
) -> list[tuple[Array, Array, bool]]:
    """Answer a chunk of replicates in one worker."""
    with np.errstate(all="ignore"):
        return [replicate(study, seed, exact) for seed in seeds]


# --- many ---------------------------------------------------------------------------------------


class Results(NamedTuple):
    """R replicates, M methods, p parameters."""

    methods: tuple[str, ...]
    estimates: Array  # (R, p)
    errors: Array  # (R, M, p), nan where a method has no answer
    coverage: Array  # (M, p), among the answered
    unanswered: int  # rows of estimates with any nan among their standard errors
    flagged: int  # fits that the optimizer calls failed
    seconds: float  # with the start of the workers


def run(
    name: str, replicates: int | None = None, jobs: int = 1, exact: bool = False, seed: int = 1
) -> Results:
    """Run a study with `jobs` processes, each replicate from its own stream."""
    study = STUDIES[name]
    replicates = replicates or study.replicates
    begin = time.perf_counter()
    seeds = np.random.SeedSequence(seed).spawn(replicates)
    size = max(1, min(250, -(-replicates // (8 * jobs))))
    chunks = [seeds[first : first + size] for first in range(0, replicates, size)]
    answers = Parallel(n_jobs=jobs)(
        delayed(replicate_many)(study, chunk, exact) for chunk in chunks
    )
    rows = [row for chunk in answers for row in chunk]
    estimates = np.array([row[0] for row in rows])
    errors = np.array([row[1] for row in rows])
    answered = np.isfinite(errors)
    misses = np.abs(estimates - list(study.truth.values()))[:, None, :] > Z * errors
    return Results(
        methods=("bootstrap",) if study.resamples else ("observed", "opg", "sandwich"),
        estimates=estimates,
        errors=errors,
        coverage=1 - (misses & answered).sum(axis=0) / answered.sum(axis=0),
        unanswered=int((~answered).any(axis=(1, 2)).sum()),
        flagged=sum(not row[2] for row in rows),
        seconds=time.perf_counter() - begin,
    )


def show(name: str, results: Results, jobs: int, exact: bool) -> None:
    """Print the speed and one line per method and parameter."""
    count = len(results.estimates)
    print(
        f"{name}, n = {STUDIES[name].n}, {'exact' if exact else 'finite-difference'} gradients, "
        f"jobs = {jobs}: {count} replicates in {results.seconds:.2f} s, "
        f"{count / results.seconds:.1f} per second; {results.unanswered} without an answer, "
        f"{results.flagged} flagged by the optimizer"
    )
    print(f"  {'parameter':<11}{'method':<11}{'truth':>7}{'mean':>9}{'emp SE':>9}{'SE':>9}  cover")
    for j, (parameter, truth) in enumerate(STUDIES[name].truth.items()):
        mean, spread = results.estimates[:, j].mean(), results.estimates[:, j].std(ddof=1)
        for m, method in enumerate(results.methods):
            error = np.sqrt(np.nanmean(results.errors[:, m, j] ** 2))
            print(
                f"  {parameter:<11}{method:<11}{truth:7.2f}{mean:9.4f}{spread:9.4f}{error:9.4f}"
                f"  {results.coverage[m, j]:.3f}"
            )


def main() -> None:
    """Run the studies that the command line names."""
    parser = argparse.ArgumentParser(description="simulation studies written by hand")
    parser.add_argument("study", choices=[*STUDIES, "all"])
    parser.add_argument("--replicates", type=int, help="default: some seconds' worth")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--exact", action="store_true", help="exact gradients and scores")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for name in STUDIES if asked.study == "all" else [asked.study]:
        results = run(name, asked.replicates, asked.jobs, asked.exact, asked.seed)
        show(name, results, asked.jobs, asked.exact)


if __name__ == "__main__":
    main()
