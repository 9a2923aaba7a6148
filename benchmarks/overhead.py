"""What the framework itself costs: the loop engine against the same fits written as a joblib loop.

    python benchmarks/overhead.py --replicates 2000

Both sides draw as many data sets and call the same `maximize`, the same exact Hessian and
the same scores; the script inverts by hand and keeps what it found in a list. The difference is
what checking, diagnosing, labeling and journaling cost. Three pairs each.
"""

from __future__ import annotations

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported; the workers inherit it

import tempfile
import time

import numpy as np
from joblib import Parallel, delayed

from simstudy.design.loading import load
from simstudy.execution.runner import run
from simstudy.likelihood.fit import maximize
from simstudy.likelihood.objective import objective
from simstudy.models import gamma

Z = 1.959963984540054


def chunk(seeds: list[np.random.SeedSequence]) -> list[np.ndarray]:
    """Fit some data sets and take three standard errors with their intervals by hand."""
    np.seterr(all="ignore")
    answers = []
    for seed in seeds:
        data = np.random.default_rng(seed).gamma(2.0, 1 / 3.0, size=200)
        theta = maximize(objective(gamma.MODEL, data)).theta
        bread = np.linalg.inv(-gamma.hessian(theta, data))
        scores = gamma.score(theta, data)
        meat = scores.T @ scores
        for covariance in (bread, np.linalg.inv(meat), bread @ meat @ bread):
            se = np.sqrt(np.diag(covariance))
            answers.append(np.stack([theta, se, theta - Z * se, theta + Z * se]))
    return answers


def script(replicates: int, jobs: int) -> float:
    """Seconds of the hand-written loop."""
    began = time.perf_counter()
    seeds = np.random.SeedSequence(1).spawn(replicates)
    pieces = [seeds[first : first + 250] for first in range(0, replicates, 250)]
    Parallel(n_jobs=jobs)(delayed(chunk)(piece) for piece in pieces)
    return time.perf_counter() - began


def framework(replicates: int, jobs: int) -> float:
    """Seconds of the same study, from its check to the last block on disk."""
    study, reference = load("benchmarks/studies/gamma.py")
    began = time.perf_counter()
    run(study, reference=reference, out=tempfile.mkdtemp(), replicates=replicates, jobs=jobs,
        engine="loop", quiet=True)  # fmt: skip
    return time.perf_counter() - began


def main() -> None:
    """Print seconds beyond start-up per replicate, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    n = parser.parse_args().replicates
    for jobs in (1, 2):
        pairs = []
        for _ in range(3):
            by_hand = script(2 * n, jobs) - script(n, jobs)
            pairs.append(((framework(2 * n, jobs) - framework(n, jobs)) / by_hand, by_hand))
        ratios = sorted(ratio for ratio, _ in pairs)
        rate = n / sorted(seconds for _, seconds in pairs)[1]
        print(f"{jobs} processes: script {rate:,.0f} replicates/s; simstudy / script "
              f"{', '.join(f'{r:.2f}' for r in ratios)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
