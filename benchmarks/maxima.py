"""Least squares from poor starts: is what a fit calls a maximum one, and the highest?

    python benchmarks/maxima.py [data sets] [name ...] [--restarts N] [--loop] [--verbose]

The curves, designs, truths and first starts are those of the reference data sets for nonlinear
regression (NIST, StRD) and of growth curves; the data are drawn anew: the curve at its truth with
normal errors. Every curve is fitted from its poor start ("far"), and from a start that is wrong by
a factor drawn for each parameter and data set ("drawn"). The judge is the best of a dozen runs of
`scipy.optimize.least_squares` from the truth, the start, places around the truth, and the fit.

Columns, in percent of the data sets: `ok`; `ok` though over 1e-3 log-likelihood units higher there
is a point to which least squares leads from the fit itself (`no max`: must be 0); `ok` at a maximum
of its own though another one is higher (`lower`: restarts are for that); refused though least
squares ends at a maximum (`refused`); and the words of the refusals.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import warnings
from collections import Counter

import numpy as np
from scipy.optimize import least_squares

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.arrays import exp, log
from simstudy.engines import batched, loop
from simstudy.methods import OBSERVED_CENTRAL
from simstudy.status import Status

SHORT = 1e-3
CURVES = {}


def curve(name, start, truth, times, sigma):
    """Remember a curve `f(b, t)` with its design."""

    def keep(f):
        CURVES[name] = f, np.array(start, float), np.array(truth, float), np.asarray(times), sigma
        return f

    return keep


def cubic(b, t, k):
    return b[k] * t + b[k + 1] * t * t + b[k + 2] * t * t * t


def rational(b, t):
    return (b[0] + cubic(b, t, 1)) / (1 + cubic(b, t, 4))


curve("logistic", [100, 1, 0.1], [72.462, 2.6181, 0.067359],
      [9, 14, 21, 28, 42, 57, 63, 70, 79], 1.2)(
    lambda b, t: b[0] / (1 + exp(b[1] - b[2] * t)))  # fmt: skip
curve("richards", [100, 10, 1, 1], [699.64, 5.2771, 0.75963, 1.2792], np.arange(1.0, 16.0), 28)(
    lambda b, t: b[0] / (1 + exp(b[1] - b[2] * t)) ** (1 / b[3]))  # fmt: skip
curve("gompertz", [50, 1, 1], [100, 5, 0.3], np.arange(0.0, 20.0), 3)(
    lambda b, t: b[0] * exp(-b[1] * exp(-b[2] * t)))  # fmt: skip
curve("misra", [500, 1e-4], [238.94, 5.5016e-4], np.linspace(77, 760, 14), 0.1)(
    lambda b, t: b[0] * (1 - exp(-b[1] * t)))  # fmt: skip
curve("box", [1, 1], [213.81, 0.54724], [1, 2, 3, 5, 7, 10], 17)(
    lambda b, t: b[0] * (1 - exp(-b[1] * t)))  # fmt: skip
curve("chwirut", [0.1, 0.01, 0.02], [0.16657, 0.0051653, 0.01215], np.linspace(0.5, 6, 54), 3.2)(
    lambda b, t: exp(-b[0] * t) / (b[1] + b[2] * t))  # fmt: skip
curve("two exponentials", [1, 1, 1, 0.1], [3, 2, 1, 0.2], np.linspace(0, 10, 40), 0.05)(
    lambda b, t: b[0] * exp(-b[1] * t) + b[2] * exp(-b[3] * t))  # fmt: skip
curve("constant and two", [50, 150, -100, 1, 2], [0.37541, 1.9358, -1.4647, 0.012868, 0.022123],
      np.arange(0.0, 321.0, 10.0), 0.0013)(
    lambda b, t: b[0] + b[1] * exp(-b[3] * t) + b[2] * exp(-b[4] * t))  # fmt: skip
curve("peak", [1, 10, 500], [1.5544, 4.0888, 451.54], np.linspace(400, 500, 35), 0.0067)(
    lambda b, t: b[0] / b[1] * exp(-0.5 * ((t - b[2]) / b[1]) ** 2))  # fmt: skip
curve("kowalik", [25, 39, 41.5, 39], [0.19281, 0.19128, 0.12306, 0.13606],
      [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625], 0.0066)(
    lambda b, t: b[0] * (t * t + b[1] * t) / (t * t + b[2] * t + b[3]))  # fmt: skip
curve("meyer", [2, 4e5, 25000], [0.0056096, 6181.3, 345.22], np.arange(50.0, 126.0, 5.0), 2.6)(
    lambda b, t: b[0] * exp(b[1] / (t + b[2])))  # fmt: skip
curve("bennett", [-2000, 50, 0.8], [-2523.5, 46.737, 0.93218], np.linspace(7.4, 51, 154), 0.0024)(
    lambda b, t: b[0] * (b[1] + t) ** (-1 / b[2]))  # fmt: skip
curve("thurber", [1000, 1000, 400, 40, 0.7, 0.3, 0.03],
      [1288.14, 1491.08, 583.238, 75.4166, 0.96630, 0.39797, 0.049727],
      np.linspace(-3.067, 2.2, 37), 13.7)(rational)  # fmt: skip
curve("hahn", [10, -1, 0.05, -1e-5, -0.05, 0.001, -1e-6],
      [1.07764, -0.122693, 4.08638e-3, -1.42626e-6, -5.76099e-3, 2.40538e-4, -1.23145e-7],
      np.linspace(14, 850, 236), 0.0818)(rational)  # fmt: skip


def study_of(name, kind, restarts):
    """Make a study of one curve with one kind of start; the start travels with the data."""
    f, start, truth, times, sigma = CURVES[name]

    def draw(rng):
        y = f(truth, times) + sigma * rng.normal(size=len(times))
        b = truth * np.exp(0.7 * rng.normal(size=len(truth))) if kind == "drawn" else start
        return {"t": times, "y": y, "start": np.tile(b, (len(times), 1))}

    def loglik(theta, data):
        off = (data["y"] - f(theta, data["t"])) / theta[-1]
        return -log(theta[-1]) - 0.5 * off * off

    parameters = {f"b{j + 1}": "real" for j in range(len(start))} | {"sigma": "positive"}
    model = Model(name, parameters, lambda d: np.array([*d["start"][0], d["y"].std()]), loglik)
    mechanism = Mechanism(name, draw, lambda: dict.fromkeys(parameters, 0.5))
    more = {"restarts": restarts} if restarts else {}
    estimator = MaximumLikelihood(model, [OBSERVED_CENTRAL], **more)
    return Study("s", [Scenario(mechanism, {})], [estimator], seed=3)


def squares(name, data, b):
    """Run least squares from b; return the log-likelihood and where it ended."""
    f, n = CURVES[name][0], len(data["y"])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")

        def residuals(scaled):
            off = data["y"] - f(scaled * size, data["t"])
            return np.where(np.isfinite(off), off, 1e150)

        size = np.where(b == 0, 1.0, np.abs(b))
        try:
            found = least_squares(residuals, b / size, method="lm", xtol=1e-14, ftol=1e-14,
                                  gtol=1e-14, max_nfev=4000)  # fmt: skip
        except ValueError:
            return -np.inf, b
    return -n / 2 * (np.log(2 * found.cost / n) + 1), found.x * size


def best_of(name, data, rng):
    """Return the highest log-likelihood that least squares finds."""
    truth = CURVES[name][2]
    starts = [truth, data["start"][0]]
    starts += [truth * np.exp(s * rng.normal(size=len(truth))) for s in (0.03, 0.1, 0.3, 0.5) * 2]
    return max(squares(name, data, b)[0] for b in starts)


def judged(name, data, block, rng, best):
    """Count fits by what the judge says of them."""
    count, words = Counter(), Counter()
    for b, one in enumerate(data):
        status, theta = Status(int(block.audit["status"][b])), block.estimate[b]
        if status != Status.ok:
            words[status.name] += 1
            count["refused"] += np.isfinite(best[b])
            continue
        count["ok"] += 1
        f = CURVES[name][0]
        off = (one["y"] - f(theta, one["t"])) / theta[-1]
        height = -len(off) * np.log(theta[-1]) - 0.5 * (off**2).sum()
        se = block.se[b, 0, :-1]
        near = [theta[:-1] + k * np.where(np.isfinite(se), se, 0) * rng.normal(size=len(se))
                for k in (0, 0.1, 0.3)]  # fmt: skip
        local = max(squares(name, one, there)[0] for there in near)
        best[b] = max(best[b], local)
        if local - height > SHORT:
            count["no max"] += 1
            words[f"({b}: short by {local - height:.2g})"] += 1
        elif best[b] - height > SHORT:
            count["lower"] += 1
    return count, words


def main(count, names, restarts, engines):
    print(f"{'curve':17} {'start':6} {'engine':8} {'ok':>6} {'no max':>7} {'lower':>6} "
          f"{'refused':>8}  words")  # fmt: skip
    total = Counter()
    for name in names or CURVES:
        for kind in ("far", "drawn"):
            study = study_of(name, kind, restarts)
            ((_, draws),) = loop.draws_of(study, 0, 0, count)
            best = [
                best_of(name, one, np.random.default_rng(b)) for b, one in enumerate(draws.data)
            ]
            for engine in engines:
                block = engine.block(study, 0, 0, count)[name]
                found, words = judged(name, draws.data, block, np.random.default_rng(1), best)
                shares = [100 * found[k] / count for k in ("ok", "no max", "lower", "refused")]
                said = ", ".join(f"{n} {word}" for word, n in words.most_common(5))
                who = engine.__name__.rpartition(".")[2]
                print(f"{name:17} {kind:6} {who:8} {shares[0]:6.1f} {shares[1]:7.1f} "
                      f"{shares[2]:6.1f} {shares[3]:8.1f}  {said}", flush=True)  # fmt: skip
                total.update({(who, k): n for k, n in found.items()} | {(who, "all"): count})
    for engine in engines:
        who = engine.__name__.rpartition(".")[2]
        print(who, {k: total[who, k] for k in ("all", "ok", "no max", "lower", "refused")})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=200)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument("--loop", action="store_true", help="the loop engine alone")
    given = parser.parse_args()
    main(given.count, given.names, given.restarts, [loop] if given.loop else [loop, batched])
