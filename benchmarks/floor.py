"""The floor of a study: microseconds per replicate for the evaluations of the likelihood alone.

    python benchmarks/floor.py gamma

Value, gradient and Hessian of the log-likelihood by JAX, as many times as the fits need them, and
the scores once; for so many data sets at a time as is fastest, on one core. No drawing, no linear
algebra, nothing
stored, no padding.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jax
import numpy as np

from simstudy import load
from simstudy.engines import batched
from simstudy.engines.loop import draws_of

REPLICATES, LANES, ROUNDS = 512, (16, 64, 256), 7


def main() -> None:
    """Print the floor of one study."""
    study, _ = load(Path(__file__).parent / "studies" / f"{sys.argv[1]}.py")
    estimator = study.estimators[0]
    found = batched.block(study, 0, 0, REPLICATES)[estimator.name]  # sets JAX up, too
    evaluations = found.audit["iterations"][found.audit["status"] == 0].mean()
    loglik = estimator.model.loglik

    def summed(theta, data):  # type: ignore[no-untyped-def]
        return loglik(theta, data).sum()

    def gradient(theta, data):  # type: ignore[no-untyped-def]
        value, slope = jax.value_and_grad(summed)(theta, data)
        return slope, (value, slope)

    curvature = jax.jit(jax.vmap(jax.jacfwd(gradient, has_aux=True)))
    scores = jax.jit(jax.vmap(jax.jacfwd(loglik)))
    needs_scores = any(label in ("opg", "sandwich") for label in estimator.labels)

    def floor(lanes: int) -> float:
        data = draws_of(study, 0, 0, lanes)[0][1].data
        stacked = jax.tree_util.tree_map(lambda *parts: jax.numpy.asarray(np.stack(parts)), *data)
        theta = jax.numpy.asarray(found.estimate[:lanes])
        more = seconds(scores, theta, stacked) if needs_scores else 0.0
        return 1e6 * (evaluations * seconds(curvature, theta, stacked) + more) / lanes

    print(min(floor(lanes) for lanes in LANES))


def seconds(program, theta, data):  # type: ignore[no-untyped-def]
    """Time a compiled program: the best of some rounds."""
    jax.block_until_ready(program(theta, data))
    best = np.inf
    for _ in range(ROUNDS):
        began = time.perf_counter()
        jax.block_until_ready(program(theta, data))
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
