"""Maximum likelihood: one fit per data set, from which every method answers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.estimators.answering import answer_all_fits, answer_one_fit, fitted_of
from simstudy.estimators.protocol import Draws, describe, finished
from simstudy.likelihood.estimands import quantities
from simstudy.likelihood.fit import Fit, maximize, plain
from simstudy.likelihood.model import Model
from simstudy.likelihood.objective import Objective, objective, own_derivatives
from simstudy.likelihood.optimizers import NEEDS_GRADIENT, OPTIMIZERS
from simstudy.likelihood.restarts import maximize_from_several
from simstudy.methods.protocol import Fitted, Method, Sample, Source
from simstudy.records.block import Block, empty
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS
from simstudy.warning_capture import captured_warnings


@dataclass(frozen=True, slots=True)
class MaximumLikelihood:
    """A model fitted by maximum likelihood, with the methods that answer from the same fit.

    Parameters
    ----------
    model : Model
    methods : sequence of Method
        Such as those of `simstudy.methods`, or one's own.
    optimizer : str
        Any method of `scipy.optimize.minimize`. A Newton polish follows.
    as_is : bool
        Take the estimate from a plain run of the optimizer as a user makes it: the model's start,
        SciPy's defaults, no scaling, no polish, over the parameters themselves.
    name : str, optional
        The model's name by default, with "-as-is" where that is so.
    restarts : int
        Search also from so many dispersed starts and take the highest maximum, for models that may
        have several (`simstudy.likelihood.restarts`). The loop engine does it.

    Raises
    ------
    ValueError
        When two methods share a name, none is given, the optimizer is unknown, or `restarts` is no
        number that can be.

    Examples
    --------
    >>> from simstudy import MaximumLikelihood
    >>> from simstudy.methods import OBSERVED, OPG
    >>> from simstudy.models import gamma
    >>> MaximumLikelihood(gamma.MODEL, methods=[OBSERVED, OPG]).labels
    ('observed', 'opg')
    """

    model: Model
    methods: Sequence[Method]
    optimizer: str = "BFGS"
    as_is: bool = False
    name: str = ""
    restarts: int = 0

    def __post_init__(self) -> None:
        """Check the methods and the optimizer."""
        if not isinstance(self.methods, Iterable):
            raise ValueError(
                f"estimator {self.name or self.model.name!r}: methods came as "
                f"{type(self.methods).__name__}; due is a list of methods, such as [OBSERVED]"
            )
        object.__setattr__(self, "methods", tuple(self.methods))
        if not self.name:
            object.__setattr__(self, "name", self.model.name + ("-as-is" if self.as_is else ""))
        if not self.methods:
            raise ValueError(f"estimator {self.name!r} has no methods; give at least one")
        for method in self.methods:
            if not isinstance(method, Method):
                raise ValueError(
                    f"estimator {self.name!r}: {method!r} is no method; a method has a name, "
                    "sources "
                    "and is called with a fit (see simstudy.methods.protocol.Method)"
                )
        twice = {label for label in self.labels if self.labels.count(label) > 1}
        if twice:
            raise ValueError(
                f"estimator {self.name!r} has two methods named {', '.join(sorted(twice))}; give "
                "one "
                "of them another name with dataclasses.replace(method, name=...)"
            )
        if self.optimizer.lower() not in OPTIMIZERS:
            raise ValueError(
                f"estimator {self.name!r}: optimizer {self.optimizer!r} is unknown; allowed are "
                f"{', '.join(sorted(OPTIMIZERS))}"
            )
        if self.as_is and self.optimizer.lower() in NEEDS_GRADIENT:
            raise ValueError(
                f"estimator {self.name!r}: SciPy's {self.optimizer} does not run without a "
                "gradient, and as_is hands none over; take another optimizer, such as BFGS"
            )
        whole = isinstance(self.restarts, int) and not isinstance(self.restarts, bool)
        if not whole or self.restarts < 0 or (self.restarts and self.as_is):
            raise ValueError(
                f"estimator {self.name!r}: restarts is {self.restarts!r}; allowed is a whole "
                "number from 0 on, and with as_is, which takes one plain run, only 0"
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the model's parameters, then of its estimands."""
        return self.model.reported

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(method.name for method in self.methods)

    @property
    def lacking(self) -> dict[str, tuple[str, ...]]:
        """Exact derivatives that methods need and the model does not bring, by method."""
        found = {
            method.name: tuple(
                need
                for source in method.sources
                for need in source.needs
                if getattr(self.model, need) is None
            )
            for method in self.methods
        }
        return {name: needs for name, needs in found.items() if needs}

    @property
    def by_observation(self) -> tuple[str, ...]:
        """Names of the methods that look at single terms of the log-likelihood."""
        return tuple(
            method.name
            for method in self.methods
            if any(getattr(source, "by_observation", False) for source in method.sources)
        )

    def refits(self, example: Callable[[], Data]) -> dict[str, int]:
        """Count the refits of methods that need some, by their names, for a data set like one.

        What raises is not counted: the first replicate says why.
        """
        found: dict[str, int] = {}
        for method in self.methods:
            for count in filter(None, (getattr(s, "count_refits", None) for s in method.sources)):
                with contextlib.suppress(Exception):
                    sample = Sample(example(), lambda _: np.random.default_rng(0))
                    found[method.name] = found.get(method.name, 0) + count(sample)
        return found

    def bind(self, data: Data) -> Objective:
        """Bind the model to data, with automatic derivatives where a method needs them."""
        return objective(self.model, data, autodiff=bool(self.lacking))

    def fit(self, target: Objective, stream: Callable[[str], np.random.Generator]) -> Fit:
        """Fit one data set, with the model's own derivatives whatever the methods need."""
        target = own_derivatives(target)
        if self.as_is:
            return plain(target, optimizer=self.optimizer)
        if not self.restarts:
            return maximize(target, optimizer=self.optimizer)
        rng = stream(f"{self.name}: restarts")
        return maximize_from_several(target, rng, self.restarts, optimizer=self.optimizer)

    def answer(self, draws: Draws) -> Block:
        """Fit every data set, compute each source once per fit, and let every method answer."""
        block = empty(draws.replicates, len(self.methods), len(self.parameters))
        messages = [""] * len(draws.data)
        fits: dict[int, Fitted] = {}
        sourced: dict[int, dict[Source, Any]] = {}
        every = range(len(self.methods))
        for b, data in enumerate(draws.data):
            began = time.perf_counter()
            try:
                with captured_warnings(draws.heard[b]):
                    fitted, messages[b] = self._fitted(draws, b, data, block)
                if fitted is not None:
                    fits[b], sourced[b] = fitted, {}
                    trouble = answer_one_fit(self, draws, b, fitted, sourced[b], block, every)
                    messages[b] = trouble or messages[b]
            except STOPS:
                raise
            except BaseException as error:
                if draws.strict:
                    raise
                messages[b] = describe(error)
            block.audit["seconds"][b] = time.perf_counter() - began
        answer_all_fits(self, draws, fits, sourced, block, every, messages)
        return finished(block, draws, messages)

    def _fitted(
        self, draws: Draws, b: int, data: Data | Exception, block: Block
    ) -> tuple[Fitted | None, str]:
        """Fit one data set and write down the estimate and the audit."""
        if isinstance(data, Exception):
            block.status[b] = block.audit["status"][b] = Status.data_error
            return None, describe(data)
        block.audit["status"][b] = Status.fit_error
        target = self.bind(data)
        fit = self.fit(target, draws.stream_of(b))
        _audit(block.audit, b, fit)
        block.status[b] = fit.status
        if fit.status != Status.ok:
            return None, fit.message
        block.estimate[b] = quantities(self.model, fit.theta)
        told = self.restarts or not fit.success
        return fitted_of(draws, b, target, fit), fit.message if told else ""


def _audit(audit: Mapping[str, Array], b: int, fit: Fit) -> None:
    """Write down how a fit ended."""
    audit["status"][b] = fit.status
    audit["success"][b] = fit.success
    audit["iterations"][b] = fit.iterations
    audit["evaluations"][b] = fit.evaluations
    audit["gradient_norm"][b] = np.linalg.norm(fit.gradient)
    audit["edm"][b] = fit.edm
    audit["smallest_eigenvalue"][b] = fit.smallest
    audit["condition"][b] = fit.condition
    audit["searches"][b], audit["agreed"][b] = fit.searches, fit.agreed
