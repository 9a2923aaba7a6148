"""One battery per interface: what holds for every Method, and what holds for every Estimator.

A shipped method or estimator goes through all of its battery, and so may anybody's own: a check
takes the thing and a case, and raises AssertionError.
"""

import contextlib
import functools
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simstudy import FunctionEstimator, MaximumLikelihood, Model
from simstudy.estimators.protocol import Draws, Estimator
from simstudy.likelihood.curvature import Differenced, stacked
from simstudy.likelihood.fit import Fit, maximize
from simstudy.likelihood.objective import objective
from simstudy.methods import Fitted, Inference, Method, Wald, place_of
from simstudy.models import binomial, gamma, logit, normal
from simstudy.models.regression import autoregressive
from simstudy.processes import names as process
from simstudy.records.block import AUDIT, Block
from simstudy.status import Status
from simstudy.streams import stream

SEED = 20261122


def named(**changes: str) -> str:
    """Return the name of this process with parts of it changed."""
    parts = dict(
        zip(
            ("machine", "boot", "space", "pid", "start"),
            process.process_name().split("-"),
            strict=True,
        )
    )
    return "-".join((parts | changes).values())


def dead() -> str:
    """Return the name of a process of this machine that has ended."""
    return named(pid="4194305")  # one more than the largest of Linux


@dataclass(frozen=True)
class Case:
    """A model with the data sets of three replicates."""

    name: str
    model: Model
    data: Sequence


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what a likelihood says outside its domain, as the loop engine does."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def drawn(name: str, model: Model, mechanism, **factors) -> Case:
    """Draw the three data sets of a case."""
    sets = [mechanism.draw(stream(SEED, name, i, "data"), **factors) for i in range(3)]
    return Case(name, model, sets)


LOGIT_MECHANISM = logit.mechanism(autoregressive(3, 0.5), {"b0": 0.5, "b1": -0.5, "b2": 0.0})
CASES = [
    drawn("gamma", gamma.MODEL, gamma.MECHANISM, n=30, shape=2.0, rate=3.0),
    drawn("normal", normal.MODEL, normal.MECHANISM, n=20, mu=-1.0, sigma=2.0),
    drawn("binomial", binomial.MODEL, binomial.MECHANISM, n=40, p=0.4),
    drawn("logit", logit.model(3), LOGIT_MECHANISM, n=60),
]
GAMMA, NORMAL, BINOMIAL, LOGIT = CASES


def fitted(model: Model, data, *, fit: Fit | None = None, i: int = 0) -> Fitted:
    """Fit one data set as the engine does, with the streams of replicate i."""
    target = objective(model, data)
    with quiet():
        return Fitted(target, fit or maximize(target), 0.95, functools.partial(_stream, i))


def _stream(i: int, purpose: str) -> np.random.Generator:
    return stream(SEED, "battery", i, purpose)


@functools.cache
def case_fitted(name: str, i: int) -> Fitted:
    """Fit data set i of a case, once for all tests."""
    case = next(case for case in CASES if case.name == name)
    return fitted(case.model, case.data[i], i=i)


def sourced(method: Method, one: Fitted) -> tuple:
    """Compute the sources of a method for one fit."""
    with quiet():
        return tuple(source(one) for source in method.sources)


def infer(method: Method, one: Fitted) -> Inference:
    """Let a method answer for one fit."""
    given = sourced(method, one)
    with quiet():
        return method(one, *given)


def draws(
    data: Sequence,
    methods: int = 1,
    *,
    first: int = 0,
    level: float = 0.95,
    asked=None,
    strict: bool = False,
) -> Draws:
    """Ask M methods about data sets, which are the replicates from `first` on."""
    asked = np.ones((len(data), methods), dtype=bool) if asked is None else asked
    return Draws(
        range(first, first + len(data)), data, asked, _stream, level, strict
    )  # fmt: skip


def answer(estimator: Estimator, data: Sequence, **options) -> Block:
    """Let an estimator answer, as the engine does."""
    with quiet():
        return estimator.answer(draws(data, len(estimator.labels), **options))


def assert_same_answers(one: Block, other: Block) -> None:
    """Hold two blocks against each other to the last bit, but for the time they took."""
    for name, values in one.arrays().items():
        if "seconds" not in name:
            assert_array_equal(values, other.arrays()[name], err_msg=name)


# -- every Method ----------------------------------------------------------------------------------


def check_method_introduces_itself(method: Method) -> None:
    """It has a name, and sources that can be told apart and shared."""
    assert isinstance(method, Method)
    assert isinstance(method.name, str)
    assert method.name
    assert method.name == method.name.strip()
    for source in method.sources:
        again = replace(source)
        assert source == again
        assert hash(source) == hash(again)
        assert set(source.needs) <= {"score", "hessian"}


def check_method_shapes(method: Method, case: Case) -> None:
    """Standard errors and ends are `(p,)`, the status is one word, here `ok`."""
    p = len(case.model.names)
    for i in range(len(case.data)):
        found = infer(method, case_fitted(case.name, i))
        assert Status(int(found.status)) == Status.ok
        for values in (found.se, found.lower, found.upper):
            assert values.shape == (p,)
            assert values.dtype == float
            assert np.isfinite(values).all()
        assert (found.se > 0).all()


def check_method_interval(method: Method, case: Case) -> None:
    """Its interval contains the estimate, is wider at a higher level, and leaves the se alone."""
    one = case_fitted(case.name, 0)
    given = sourced(method, one)
    found = [method(replace(one, level=level), *given) for level in (0.5, 0.9, 0.99)]
    for narrow, wide in itertools.pairwise(found):
        assert (wide.lower < narrow.lower).all()
        assert (narrow.upper < wide.upper).all()
        assert_array_equal(narrow.se, wide.se)
    assert (found[0].lower < one.fit.theta).all()
    assert (one.fit.theta < found[0].upper).all()


def check_method_repeats_itself(method: Method, case: Case) -> None:
    """The same fit gives the same numbers, also where they come from resampling."""
    one, other = (infer(method, fitted(case.model, case.data[0])) for _ in range(2))
    assert_array_equal(one.se, other.se)
    assert_array_equal(one.upper, other.upper)


def check_method_says_when_it_cannot_answer(method: Method, case: Case) -> None:
    """Nan goes in, a status other than `ok` comes out, with nan for every parameter."""
    one = case_fitted(case.name, 0)
    given = tuple(_without_numbers(value) for value in sourced(method, one))
    with quiet():
        found = method(one, *given)
    assert Status(int(found.status)) not in (Status.ok, Status.method_error)
    for values in (found.se, found.lower, found.upper):
        assert values.shape == one.fit.theta.shape
        assert np.isnan(values).all()


def _without_numbers(value):
    if isinstance(value, Fit):
        return replace(value, inverse=np.full((len(value.theta),) * 2, np.nan))
    if isinstance(value, Differenced):
        return replace(value, matrix=np.full_like(value.matrix, np.nan))
    return np.full_like(value, np.nan)


def check_method_answers_one_as_in_a_block(method: Method, case: Case) -> None:
    """One fit alone, all in a block, and a block that begins elsewhere: the same bits."""
    block = answer(MaximumLikelihood(case.model, [method]), case.data)
    for i, data in enumerate(case.data):
        found = infer(method, fitted(case.model, data, i=i))
        assert_array_equal(block.se[i, 0], found.se)
        assert_array_equal(block.lower[i, 0], found.lower)
        assert_array_equal(block.upper[i, 0], found.upper)
        assert block.status[i, 0] == found.status
    last = answer(MaximumLikelihood(case.model, [method]), case.data[2:], first=2)
    assert_array_equal(last.se[0], block.se[2])
    assert_array_equal(last.estimate[0], block.estimate[2])


def check_method_takes_leading_axes(method: Wald, case: Case) -> None:
    """Arrays `(p, p)`, `(B, p, p)` and `(1, B, 1, p, p)` give the same numbers."""
    alone = [case_fitted(case.name, i) for i in range(len(case.data))]
    places = [place_of(one.fit) for one in alone]
    given = [sourced(method, one) for one in alone]
    single = [
        method.answer(place, ready, 0.9, case.model)
        for place, ready in zip(places, given, strict=True)
    ]
    at_once = type(places[0])(
        **{
            f.name: np.stack([getattr(place, f.name) for place in places])
            for f in fields(places[0])
        }
    )
    ready = tuple(stacked(values) for values in zip(*given, strict=True))
    flat = method.answer(at_once, ready, 0.9, case.model)
    deep = method.answer(
        type(at_once)(**{f.name: getattr(at_once, f.name)[None, :, None] for f in fields(at_once)}),
        tuple(values[None, :, None] for values in ready),
        0.9,
        case.model,
    )
    for name in ("se", "lower", "upper", "status"):
        expected = np.stack([getattr(one, name) for one in single])
        assert_array_equal(getattr(flat, name), expected)
        assert_array_equal(getattr(deep, name), expected[None, :, None])


def check_interval_on_the_working_scale(method: Method, case: Case) -> None:
    """A `-log-wald` interval has the same se and never leaves the support."""
    found = infer(method, case_fitted(case.name, 0))
    for j, support in enumerate(case.model.supports):
        assert found.lower[j] > support.lower
        assert found.upper[j] < support.upper


# -- every Estimator -------------------------------------------------------------------------------


def check_estimator_introduces_itself(estimator: Estimator) -> None:
    """It has a name, parameters and methods, all different."""
    assert isinstance(estimator, Estimator)
    assert isinstance(estimator.name, str)
    assert estimator.name
    for names in (estimator.parameters, estimator.labels):
        assert isinstance(names, tuple)
        assert names
        assert len(set(names)) == len(names)


def check_estimator_fills_its_block(estimator: Estimator, data: Sequence) -> None:
    """Every replicate has its row, in every column of answers and of the audit."""
    block = answer(estimator, data, first=7)
    size, methods, p = len(data), len(estimator.labels), len(estimator.parameters)
    assert_array_equal(block.replicate, np.arange(7, 7 + size))
    assert block.estimate.shape == (size, p)
    for values in (block.se, block.lower, block.upper):
        assert values.shape == (size, methods, p)
    assert block.status.shape == block.seconds.shape == (size, methods)
    assert set(block.audit) == set(AUDIT)
    assert all(values.shape == (size,) for values in block.audit.values())
    assert (block.audit["seconds"] > 0).all()
    assert (block.status == Status.ok).all()
    assert (block.lower <= block.estimate[:, None]).all()
    assert (block.estimate[:, None] <= block.upper).all()


def check_estimator_answers_one_as_in_a_block(estimator: Estimator, data: Sequence) -> None:
    """A replicate has the same numbers alone as in any block, whatever the others are."""
    block = answer(estimator, data)
    for i in range(len(data)):
        alone = answer(estimator, data[i : i + 1], first=i)
        for name in ("estimate", "se", "lower", "upper", "status"):
            assert_array_equal(getattr(alone, name)[0], getattr(block, name)[i], err_msg=name)
    mixed = answer(estimator, [data[0], RuntimeError("no data"), data[2]])
    for name in ("estimate", "se", "lower", "upper", "status"):
        kept = getattr(block, name)[[0, 2]]
        assert_array_equal(getattr(mixed, name)[[0, 2]], kept, err_msg=name)


def check_estimator_keeps_the_row_of_a_failure(estimator: Estimator, data: Sequence, bad) -> None:
    """Data that could not be drawn, or break the estimator, leave a row with a status."""
    block = answer(estimator, [data[0], RuntimeError("no data"), *bad])
    assert_array_equal(block.status[0], Status.ok)
    assert_array_equal(block.status[1], Status.data_error)
    assert "RuntimeError: no data" in block.audit["message"][1]
    assert (block.status[2:] != Status.ok).all()
    assert (block.audit["status"][1:] != Status.ok).all()
    for values in (block.se, block.lower, block.upper):
        assert np.isnan(values[1:]).all()
    assert np.isnan(block.estimate[1:]).all()


def check_estimator_lets_exceptions_through_when_strict(estimator: Estimator, bad) -> None:
    """A programming error stops the first replicate with its own traceback."""
    with pytest.raises((TypeError, ValueError)):
        answer(estimator, [bad], strict=True)


def check_estimator_answers_only_what_is_asked(estimator: Estimator, data: Sequence) -> None:
    """A method not asked says so and has no numbers; the others' numbers do not change."""
    asked = np.ones((len(data), len(estimator.labels)), dtype=bool)
    asked[1, 0] = False
    block, part = answer(estimator, data), answer(estimator, data, asked=asked)
    assert part.status[1, 0] == Status.not_asked
    assert_array_equal(part.estimate, block.estimate)
    assert_array_equal(part.se[asked], block.se[asked])
    assert np.isnan(part.se[1, 0]).all()


def check_estimator_widens_with_the_level(estimator: Estimator, data: Sequence) -> None:
    """A higher level gives a wider interval around the same estimate."""
    narrow, wide = (answer(estimator, data, level=level) for level in (0.8, 0.95))
    assert_array_equal(narrow.estimate, wide.estimate)
    assert_array_equal(narrow.se, wide.se)
    assert (wide.lower < narrow.lower).all()
    assert (narrow.upper < wide.upper).all()


def own_mean(data) -> dict:
    """Estimate a mean and a standard deviation, with textbook standard errors."""
    n, sigma = len(data), data.std(ddof=1)
    return {"mu": (data.mean(), sigma / np.sqrt(n)), "sigma": (sigma, sigma / np.sqrt(2 * n - 2))}


OWN = FunctionEstimator("mean", ["mu", "sigma"], own_mean)
