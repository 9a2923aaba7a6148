"""Hard likelihoods without derivatives of their own: what each engine says, and how exact it is.

    python benchmarks/hessians.py [replicates] [name ...]

For every case: the words of both engines, the worst ratio of `observed-central` and
`sandwich-central` to the exact methods at the same estimates, how far the estimates of the engines
are apart in standard errors, and values of f per fit in the loop.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections import Counter
from dataclasses import replace

import numpy as np

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.arrays import exp, expm1, gammaln, log, log1p, log_ndtr, softplus, where
from simstudy.engines import batched, loop
from simstudy.methods import OBSERVED, OBSERVED_CENTRAL, SANDWICH, SANDWICH_CENTRAL
from simstudy.models import gamma, weibull
from simstudy.status import Status

CALLS = [0]
CASES = {}


def case(name, parameters, start, loglik, draw):
    """Remember a case; the log-likelihood counts its calls on NumPy arrays."""

    def counted(theta, data):
        CALLS[0] += type(theta) is np.ndarray
        return loglik(theta, data)

    model = Model(name, parameters, lambda data: np.array(start(data), dtype=float), counted)
    CASES[name] = model, Mechanism(name, draw, lambda: dict.fromkeys(parameters, 0.5))


def regression(name, columns, beta, n=500, family="logit"):
    """Remember a logit or Poisson regression on columns `columns(rng, n)`; beta of the scaled."""

    def loglik(theta, data):
        eta = data["x"] @ theta
        if family == "poisson":
            return data["y"] * eta - exp(eta) - gammaln(data["y"] + 1)
        return data["y"] * eta - softplus(eta)

    def draw(rng):
        x = columns(rng, n)
        spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        eta = ((x - np.where(x.std(axis=0) > 0, x.mean(axis=0), 0)) / spread) @ beta
        y = (
            rng.poisson(np.exp(eta))
            if family == "poisson"
            else rng.uniform(size=n) < 1 / (1 + np.exp(-eta))
        )
        return {"x": x, "y": y.astype(float)}

    names = {f"x{j}": "real" for j in range(len(beta))}
    case(name, names, lambda data: np.zeros(len(beta)), loglik, draw)


def with_one(column):
    return lambda rng, n: np.column_stack([np.ones(n), column(rng, n)])


for first, last in ((1900, 2020), (2000, 2020), (2010, 2020), (2017, 2020)):
    years = with_one(lambda rng, n, a=first, b=last: rng.integers(a, b + 1, n))
    regression(f"years {first}-{last}", years, [0.2, 0.7])
regression("poisson 2000-2020", with_one(lambda rng, n: rng.integers(2000, 2021, n)), [0.2, 0.5],
           family="poisson")  # fmt: skip
regression("unix time", with_one(lambda rng, n: 1.7e9 + rng.uniform(0, 86400, n)), [0.2, 0.7])


def ages(rng, n):
    age = rng.uniform(20, 80, n)
    return np.column_stack([age, age**2, age**3])


def near_copy(rng, n):
    x = rng.normal(size=n)
    return np.column_stack([x, x + 1e-5 * rng.normal(size=n)])


def copy(rng, n):
    x = rng.normal(size=n)
    return np.column_stack([x, x])


regression("age, age^2, age^3", with_one(ages), [0.2, 0.5, 0.0, 0.0])
regression("x3 = x2 + 1e-5 e", with_one(near_copy), [0.2, 0.5, 0.0])
regression("a column twice", with_one(copy), [0.2, 0.5, 0.0])
regression("logit p = 10", lambda rng, n: rng.normal(size=(n, 10)), np.linspace(-0.5, 0.5, 10))
regression("logit n = 20", with_one(lambda rng, n: rng.normal(size=n)), [0.2, 2.0], n=20)
regression("empty cell", with_one(lambda rng, n: rng.uniform(size=n) < 0.3), [-0.5, 0.8], n=14)

bare = {"score": None, "hessian": None, "expected": None}
for n in (200, 20):
    case(f"gamma n = {n}", gamma.MODEL.parameters, gamma.start, gamma.loglik,
         lambda rng, n=n: rng.gamma(2.0, 1 / 3, n))  # fmt: skip
case("weibull n = 30", weibull.MODEL.parameters, weibull.MODEL.start, weibull.MODEL.loglik,
     lambda rng: rng.weibull(1.5, 30))  # fmt: skip


def negative_binomial(theta, data):
    mean, size = theta[0], 1 / theta[1]
    return (gammaln(data + size) - gammaln(size) - gammaln(data + 1) - size * log1p(mean / size)
            + data * (log(mean) - log(mean + size)))  # fmt: skip


def counts(spread):
    return lambda rng: rng.poisson(3 * rng.gamma(1 / spread, spread, 60)).astype(float)


for spread in (0.02, 0.5):
    case(f"negative binomial, {spread}", {"mean": "positive", "dispersion": "positive"},
         lambda data: [data.mean() + 0.1, 0.5], negative_binomial, counts(spread))  # fmt: skip


def student(theta, data):
    mu, sigma, df = theta[0], theta[1], theta[2]
    z = (data - mu) / sigma
    return (gammaln((df + 1) / 2) - gammaln(df / 2) - log(np.pi * df) / 2 - log(sigma)
            - (df + 1) / 2 * log1p(z * z / df))  # fmt: skip


for name, draw in (
    ("light tails", lambda rng: rng.uniform(-1, 1, 60)),
    ("heavy tails", lambda rng: rng.standard_t(3, 200)),
):
    case(f"student t, {name}", {"mu": "real", "sigma": "positive", "df": "positive"},
         lambda data: [data.mean(), data.std(), 5.0], student, draw)  # fmt: skip


def gompertz(theta, data):
    a, b = theta[0], theta[1]
    return log(a) + b * data - a * expm1(b * data) / b


def gompertz_times(b):
    return lambda rng: np.log1p(b * rng.exponential(size=100)) / b


for b in (0.01, 0.5):
    case(f"gompertz b = {b}", {"a": "positive", "b": "positive"}, lambda data: [1.0, 0.1],
         gompertz, gompertz_times(b))  # fmt: skip
case("a times b", {"a": "real", "b": "real", "sigma": "positive"}, lambda data: [1.0, 1.0, 1.0],
     lambda theta, data: -log(theta[2]) - 0.5 * ((data - theta[0] * theta[1]) / theta[2]) ** 2,
     lambda rng: rng.normal(2.0, 1.0, 50))  # fmt: skip
case("quartic", {"m": "real"}, lambda data: [1.0],
     lambda theta, data: -((theta[0] - data.mean()) ** 4) + 0 * data,
     lambda rng: np.full(20, rng.normal()))  # fmt: skip
case("laplace n = 101", {"m": "real", "s": "positive"}, lambda data: [data.mean(), 1.0],
     lambda theta, data: -log(theta[1]) - abs(data - theta[0]) / theta[1],
     lambda rng: rng.laplace(size=101))  # fmt: skip
case("laplace n = 100", {"m": "real", "s": "positive"}, lambda data: [data.mean(), 1.0],
     lambda theta, data: -log(theta[1]) - abs(data - theta[0]) / theta[1],
     lambda rng: rng.laplace(size=100))  # fmt: skip
case("uniform", {"b": "positive"}, lambda data: [2 * data.max()],
     lambda theta, data: where(data < theta[0], -log(theta[0]), -np.inf),
     lambda rng: rng.uniform(size=50))  # fmt: skip
case("uniform, wall -1e10", {"b": "positive"}, lambda data: [2 * data.max()],
     lambda theta, data: where(data < theta[0], -log(theta[0]), -1e10),
     lambda rng: rng.uniform(size=50))  # fmt: skip
case("shifted exponential", {"shift": "real", "rate": "positive"},
     lambda data: [data.min() - 1, 1.0],
     lambda theta, data: where(
         data > theta[0], log(theta[1]) - theta[1] * (data - theta[0]), -np.inf
     ),
     lambda rng: 1 + rng.exponential(size=50))  # fmt: skip


def noise(size):
    def loglik(theta, data):
        seed = np.frombuffer(np.asarray(theta).tobytes(), np.uint32)
        e = np.random.default_rng(seed).normal() * size
        return gamma.loglik(theta, data) + e / len(data)

    return loglik


for size in (1e-2, 1e-3, 1e-6):
    case(f"noise {size:g}", gamma.MODEL.parameters, gamma.start, noise(size),
         lambda rng: rng.gamma(2.0, 1 / 3, 200))  # fmt: skip
FIXED = np.random.default_rng(0).uniform(size=400)


def frequency(theta, data):
    return np.log(np.where(data > 0, *(np.clip(k, 0.5, 399.5) / 400 for k in (
        (theta[0] > FIXED).sum(), (theta[0] <= FIXED).sum()))))  # fmt: skip


case("frequency simulator", {"p": "unit"}, lambda data: [0.4], frequency,
     lambda rng: (rng.uniform(size=100) < 0.6).astype(float))  # fmt: skip
DRAWS = np.random.default_rng(1).normal(size=100)


def simulated(theta, data):
    """A random effect integrated over fixed draws."""
    eta = theta[0] + theta[1] * DRAWS
    p = 1 / (1 + np.exp(-eta))
    k = data[:, None]
    return np.log((p**k * (1 - p) ** (8 - k)).mean(axis=1))


case("fixed draws", {"m": "real", "s": "positive"}, lambda data: [0.0, 0.5], simulated,
     lambda rng: rng.binomial(8, 1 / (1 + np.exp(-rng.normal(size=80)))).astype(float))  # fmt: skip


def mixture(theta, data):
    low, high = -0.5 * (data - theta[0]) ** 2, -0.5 * (data - theta[1]) ** 2
    return _logaddexp(low, high)


def _logaddexp(a, b):
    return where(a > b, a, b) + log1p(exp(-abs(a - b)))


case("mixture", {"low": "real", "high": "real"}, lambda data: [data.mean()] * 2, mixture,
     lambda rng: rng.normal(np.where(rng.uniform(size=200) < 0.5, -1.5, 1.5), 1.0))  # fmt: skip
case("skew normal n = 20", {"xi": "real", "omega": "positive", "alpha": "real"},
     lambda data: [data.mean(), data.std(), 0.5],
     lambda theta, data: (-log(theta[1]) - 0.5 * ((data - theta[0]) / theta[1]) ** 2
                          + log_ndtr(theta[2] * (data - theta[0]) / theta[1])),
     lambda rng: 0.9 * abs(rng.normal(size=20)) + 0.4 * rng.normal(size=20))  # fmt: skip


def beta_density(theta, data):
    mean, precision = theta[0], theta[1]
    a, b = mean * precision, (1 - mean) * precision
    return (gammaln(precision) - gammaln(a) - gammaln(b) + (a - 1) * log(data)
            + (b - 1) * log1p(-data))  # fmt: skip


case("beta, precision 1e4", {"mean": "unit", "precision": "positive"}, lambda data: [0.5, 10.0],
     beta_density, lambda rng: rng.beta(3e3, 7e3, 100))  # fmt: skip
case("normal, all equal", {"mu": "real", "sigma": "positive"}, lambda data: [0.0, 1.0],
     lambda theta, data: -log(theta[1]) - 0.5 * ((data - theta[0]) / theta[1]) ** 2,
     lambda rng: np.full(20, 3.0))  # fmt: skip


def squares(name, start, curve, truth, times, sigma):
    def loglik(theta, data):
        off = (data["y"] - curve(theta, data["t"])) / theta[-1]
        return -log(theta[-1]) - 0.5 * off * off

    parameters = {f"b{j}": "real" for j in range(len(start))} | {"sigma": "positive"}
    case(name, parameters, lambda data: [*start, data["y"].std()], loglik,
         lambda rng: {
             "t": times, "y": curve(truth, times) + sigma * rng.normal(size=len(times))
         })  # fmt: skip


squares("two exponentials", [1.0, 1.0, 1.0, 0.1],
        lambda b, t: b[0] * exp(-b[1] * t) + b[2] * exp(-b[3] * t), [3.0, 2.0, 1.0, 0.2],
        np.linspace(0, 10, 40), 0.05)  # fmt: skip
squares("logistic growth", [100.0, 0.0, 1.0], lambda b, t: b[0] / (1 + exp(b[1] - b[2] * t)),
        [700.0, 5.0, 0.8], np.linspace(0, 15, 15), 20.0)  # fmt: skip
squares("rational", [1.0, 0.1, 0.1], lambda b, t: (b[0] + b[1] * t) / (1 + b[2] * t),
        [1.0, 3.0, 0.5], np.linspace(0, 10, 30), 0.1)  # fmt: skip

METHODS = [OBSERVED, OBSERVED_CENTRAL, SANDWICH, SANDWICH_CENTRAL]
UNTRACED = ("noise", "frequency", "fixed draws")


def counted_words(block):
    return ", ".join(
        f"{n} {Status(int(k)).name}" for k, n in Counter(block.status[:, 1].tolist()).most_common()
    )


def ratio(block, m):
    """Worst relative difference to the exact method before it, over answers of both."""
    with np.errstate(all="ignore"):
        off = np.abs(block.se[:, m] / block.se[:, m - 1] - 1)
    return np.nanmax(off) if np.isfinite(off).any() else np.nan


def main(count, names):
    print(f"{'case':22} {'observed':>9} {'sandwich':>9} {'apart':>8} {'f/fit':>7}  words")
    for name, (model, mechanism) in CASES.items():
        if names and not any(part in name for part in names):
            continue
        plain = name.startswith(UNTRACED)
        methods = [replace(m, name=f"exact-{m.name}") if plain and not i % 2 else m
                   for i, m in enumerate(METHODS)]  # fmt: skip
        if plain:
            methods = [METHODS[1], METHODS[1], METHODS[3], METHODS[3]]
            methods = [replace(m, name=f"{m.name}{i}") for i, m in enumerate(methods)]
        estimator = MaximumLikelihood(model, methods)
        study = Study("s", [Scenario(mechanism, {})], [estimator], seed=5)
        CALLS[0] = 0
        fits = MaximumLikelihood(model, [replace(METHODS[1], name="o")])
        loop.block(Study("s", [Scenario(mechanism, {})], [fits], seed=5), 0, 0, count)
        calls = CALLS[0] / count
        one = loop.block(study, 0, 0, count)[model.name]
        said, apart = counted_words(one), np.nan
        if not plain:
            other = batched.block(study, 0, 0, count)[model.name]
            words = counted_words(other)
            said += "" if words == said else f" | batched: {words}"
            with np.errstate(all="ignore"):
                gaps = np.abs(one.estimate - other.estimate) / other.se[:, 0]
            apart = np.nanmax(gaps) if np.isfinite(gaps).any() else np.nan
        messages = Counter(m[:50] for m in one.audit["message"] if m).most_common(2)
        print(f"{name:22} {ratio(one, 1):9.1e} {ratio(one, 3):9.1e} {apart:8.1e} {calls:7.0f}  "
              f"{said}  {messages if '-v' in sys.argv else ''}", flush=True)  # fmt: skip


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "-v"]
    main(int(given[0]) if given else 10, given[1:])
