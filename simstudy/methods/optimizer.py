"""What a plain run of SciPy's optimizer leaves behind, taken as the covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.fit import Fit, plain
from simstudy.likelihood.supports import slopes
from simstudy.methods.intervals import Interval, wald
from simstudy.methods.protocol import Fitted, Inference, Source
from simstudy.methods.standard import standard
from simstudy.status import Status


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A run of `scipy.optimize.minimize` as a user makes it; see `simstudy.likelihood.fit.plain`.

    `most` is SciPy's `maxiter`, for users who stop early.
    """

    optimizer: str = "BFGS"
    working: bool = False
    exact: bool = False
    most: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Only a run with the exact gradient needs one."""
        return ("score",) if self.exact else ()

    def __call__(self, fitted: Fitted) -> Fit:
        """Run the optimizer again from the model's own start."""
        return plain(
            fitted.target, optimizer=self.optimizer, working=self.working, exact=self.exact,
            most=self.most,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OptimizerInverse:
    """What a plain optimizer run returned as its inverse Hessian, taken as the covariance."""

    name: str
    run: PlainRun
    interval: Interval = wald

    def __post_init__(self) -> None:
        """Refuse an optimizer that returns no inverse Hessian."""
        if self.run.optimizer.lower() not in ("bfgs", "l-bfgs-b"):
            raise ValueError(
                f"method {self.name!r}: SciPy's {self.run.optimizer} returns no inverse Hessian; "
                "allowed are BFGS and L-BFGS-B"
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The plain run."""
        return (self.run,)

    def matrix(self, fitted: Fitted, *sourced: Any) -> Array:
        """Return the inverse `(p, p)` as a covariance of theta."""
        covariance = np.asarray(sourced[0].inverse, dtype=float)
        if self.run.working:
            slope = slopes(fitted.fit.theta, fitted.target.model.supports)[0]
            covariance = covariance * slope * slope[:, None]
        return covariance

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit; the interval is around the fit's estimate."""
        theta, model = fitted.fit.theta, fitted.target.model
        covariance = self.matrix(fitted, *sourced)
        # Nothing was learned of the curvature: the matrix is the one that the optimizer began with.
        still = np.array_equal(sourced[0].inverse, np.eye(len(theta)))
        status = np.int8(sourced[0].status)
        if still and status == Status.ok:
            status = np.int8(Status.no_step)
        return standard(theta, covariance, status, self.interval, fitted.level, model)
