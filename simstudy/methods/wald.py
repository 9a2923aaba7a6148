"""The method of arrays: a covariance formula on a Hessian and scores, with an interval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.likelihood.curvature import Curvature, Differenced
from simstudy.likelihood.model import Model
from simstudy.methods.covariance import Formula, Place, diagnose, place_of, reads
from simstudy.methods.intervals import Interval, wald
from simstudy.methods.protocol import Fitted, Inference, Source
from simstudy.methods.standard import standard
from simstudy.records.block import numbers_due
from simstudy.status import Status

_DUE = {
    "hessian": (
        "the Hessian",
        "hessian=ExactHessian(), or hessian=RiseHessian() where there are no exact derivatives",
    ),
    "meat": (
        "the outer product of the scores",
        "scores=ExactScores(), or scores=CentralScores() where there are no exact derivatives",
    ),
}


@dataclass(frozen=True, slots=True)
class Wald:
    """A covariance formula on a Hessian and scores, with an interval: functions of arrays.

    Parameters
    ----------
    name : str
    covariance : callable
        `covariance(Curvature) -> Inverse`, such as those of `simstudy.methods.covariance`.
    hessian, scores : Source or None
        Where H and S come from; None for what the formula does not use.
    interval : callable
        `interval(summary) -> (lower, upper)`, of a `simstudy.methods.intervals.Summary`.

    Raises
    ------
    ValueError
        When the formula reads H or S and no source of it is named.

    Examples
    --------
    >>> from simstudy.methods.covariance import opg
    >>> from simstudy.methods.intervals import log_wald
    >>> from simstudy.methods import CentralScores, Wald
    >>> Wald("mine", covariance=opg, scores=CentralScores(), interval=log_wald).name
    'mine'
    """

    name: str
    covariance: Formula
    hessian: Source | None = None
    scores: Source | None = None
    interval: Interval = wald

    def __post_init__(self) -> None:
        """Refuse a formula that reads what no source gives."""
        given = {"hessian": self.hessian, "meat": self.scores}
        if all(source is not None for source in given.values()):
            return
        for name in sorted(reads(self.covariance)):
            if given[name] is None:
                word, due = _DUE[name]
                raise ValueError(
                    f"method {self.name!r}: its covariance formula reads {word} "
                    f"(curvature.{name}), and no source of it is named; add {due}"
                )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The Hessian, then the scores, as far as used."""
        return tuple(source for source in (self.hessian, self.scores) if source is not None)

    def answer(
        self, place: Place, sourced: tuple[Array, ...], level: float, model: Model
    ) -> Inference:
        """Answer for fits with any leading axes.

        Parameters
        ----------
        place : Place
            The fits.
        sourced : tuple of (..., p, p) or Differenced
            What the sources returned, in their order.
        level : float
        model : Model
        """
        found = self.covariances(place, sourced)
        inference = standard(place.theta, *found, self.interval, level, model)
        errors = [one.error.max(axis=-1) for one in sourced if isinstance(one, Differenced)]
        return replace(inference, error=np.max(errors, axis=0)) if errors else inference

    def matrix(self, fitted: Fitted, *sourced: Any) -> Array:
        """Return the covariance `(p, p)` of one fit."""
        return self.covariances(place_of(fitted.fit), sourced)[0]

    def covariances(self, place: Place, sourced: tuple[Any, ...]) -> tuple[Array, Array]:
        """Return covariance `(..., p, p)` and status `(...)`."""
        said = [one.status for one in sourced if isinstance(one, Differenced)]
        sourced = tuple(one.matrix if isinstance(one, Differenced) else one for one in sourced)
        h = sourced[0] if self.hessian is not None else None
        s = sourced[-1] if self.scores is not None else None
        square = (*place.theta.shape, place.theta.shape[-1])
        for source, found in ((self.hessian, h), (self.scores, s)):
            if found is not None:
                numbers_due(f"what {type(source).__name__} returned", found, square)
        curvature = Curvature(h, s, getattr(self.hessian, "step", None))
        inverse = self.covariance(curvature)
        status = diagnose(inverse.status, curvature, place)
        for word in said:
            status = np.where(word == Status.ok, status, word).astype(np.int8)
        return inverse.covariance, status

    def __call__(self, fitted: Fitted, *sourced: Any) -> Inference:
        """Answer for one fit."""
        return self.answer(place_of(fitted.fit), sourced, fitted.level, fitted.target.model)
