"""The fits of a batch: what the programs found, and whether each of them is a maximum."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.engines import newton, programs
from simstudy.engines.stacking import Group, stacked
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.likelihood.fit import Fit
from simstudy.likelihood.objective import Objective, natural_hessian, own_derivatives
from simstudy.likelihood.points import conditioning
from simstudy.likelihood.standing import Standing, clear
from simstudy.likelihood.supports import Support, from_working, slopes, to_working
from simstudy.likelihood.verdict import NO_MAXIMUM, closer
from simstudy.methods.covariance import Place
from simstudy.methods.protocol import Source
from simstudy.methods.wald import Wald
from simstudy.status import Status


@dataclass(frozen=True, slots=True)
class Lanes:
    """What the programs found for some data sets: fits, curvature by source, and what has none."""

    rows: Array
    place: Place
    gradient: Array
    iterations: Array
    state: Array
    sources: Mapping[Source, Array]
    seconds: float
    ends: Mapping[int, Standing]


def in_batches(source: Source) -> bool:
    """Tell whether a source says how it is computed for many fits at once."""
    return hasattr(source, "for_batch")


def in_programs(method: Any) -> bool:
    """Tell whether a method answers from arrays that the programs make."""
    return isinstance(method, Wald) and all(map(in_batches, method.sources))


def run_lanes(estimator: MaximumLikelihood, group: Group) -> Lanes:
    """Run the fits of one group through its program, a fixed number of lanes at a time."""
    began = time.perf_counter() - programs.compiling()
    model = estimator.model
    every = dict.fromkeys(s for m in estimator.methods for s in m.sources if in_batches(s))
    sources = tuple(sorted(every, key=repr))
    program = programs.program(model.loglik, model.supports, sources)
    width = programs.width_of(group.length, len(model.names))
    found = programs.in_lanes(
        program,
        lambda chosen: stacked(model.supports, group.length, [group.members[k] for k in chosen]),
        len(group.members),
        width,
    )
    theta = from_working(found["working"], model.supports)
    starts = to_working(np.stack([member.start for member in group.members]), model.supports)
    state, ends = verdict(
        found, model.supports, starts,
        lambda k: own_derivatives(estimator.bind(group.members[k].data)),
    )  # fmt: skip
    hessian = natural_hessian(found["gradient"], found["hessian"], theta, model.supports)
    place = Place(theta, -found["value"], found["edm"], hessian)
    given = {source: found[source] for source in sources}
    gradient = found["gradient"] / slopes(theta, model.supports)[0]
    spent = time.perf_counter() - programs.compiling() - began
    rows = np.array([member.row for member in group.members])
    return Lanes(rows, place, gradient, found["iterations"], state, given, spent, ends)


def verdict(
    found: Mapping[str, Array],
    supports: tuple[Support, ...],
    starts: Array,
    target: Callable[[int], Objective],
) -> tuple[Array, dict[int, Standing]]:
    """Return the states of fits or refits, and how those stand that have no maximum.

    Converged are those whose f rises along every axis. Where that is not clear, and where a program
    says that a parameter runs off, `target(k)` is looked at closer, as in the loop engine; what
    remains is lost, and the loop fits it again.
    """
    up, down = np.moveaxis(found["rises"], -2, 0)
    bounded = [support.bounded for support in supports]
    with np.errstate(all="ignore"):
        reach = np.abs(found["axes"][..., bounded]).max(axis=(-1, -2), initial=0.0)
        good = (found["state"] == newton.CONVERGED) & clear(up, down, found["value"], reach)
    state = np.where(good, newton.CONVERGED, newton.LOST)
    ends: dict[int, Standing] = {}
    asked = ~good & np.isin(found["state"], (newton.CONVERGED, newton.RISING))
    for k in map(int, np.flatnonzero(asked)):
        standing = closer(
            target(k), found["working"][k], float(found["value"][k]), found["gradient"][k],
            found["hessian"][k], starts[k],
        )  # fmt: skip
        if standing.status in NO_MAXIMUM:
            state[k], ends[k] = newton.RISING, standing
        elif standing.status == Status.ok and standing.lower is None:
            state[k] = newton.CONVERGED if found["state"][k] == newton.CONVERGED else newton.LOST
    return state, ends


def fit_at(lanes: Lanes, k: int) -> Fit:
    """Report one lane as a fit."""
    place = lanes.place
    smallest, condition = conditioning(place.hessian[k])
    return Fit(
        theta=place.theta[k],
        loglik=float(place.loglik[k]),
        gradient=lanes.gradient[k],
        hessian=place.hessian[k],
        edm=float(place.edm[k]),
        smallest=float(smallest),
        condition=float(condition),
        status=Status.ok,
        success=True,
        iterations=int(lanes.iterations[k]),
        evaluations=int(lanes.iterations[k]),
        inverse=None,
        message="",
    )
