"""Log-likelihoods in plain NumPy and SciPy as JAX functions: the same numbers, or a refusal."""

import re
import threading
from math import log as python_log

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats
from numpy import full as filled
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import gamma as gamma_family
from scipy.stats import norm

jax = pytest.importorskip("jax")

from simstudy import MaximumLikelihood, Mechanism, Model, Study, grid  # noqa: E402
from simstudy.engines import batched, loop, programs  # noqa: E402
from simstudy.likelihood.tracing import (  # noqa: E402
    TracingError,
    hindrance,
    interception,
    shape_hindrance,
    traced,
)
from simstudy.likelihood.tracing.families import named  # noqa: E402
from simstudy.likelihood.tracing.family import evaluate  # noqa: E402
from simstudy.methods import OBSERVED, SANDWICH  # noqa: E402
from simstudy.status import Status  # noqa: E402

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(20261125)
N = 12
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
DATA = {
    "x": X,
    "y": RNG.gamma(2.0, 1.0, size=N),
    "k": RNG.poisson(3.0, size=N),
    "d": RNG.integers(0, 2, size=N),
    "g": np.arange(N) % 3,
}
THETA = np.array([0.7, 1.3, 0.4])
OFFSET = np.linspace(-1.0, 1.0, N)


def model_of(loglik, p=3):
    names = {f"p{j}": "positive" for j in range(p)}
    return Model("m", names, lambda data: np.ones(p), loglik)


def assert_traced(loglik, theta=THETA, data=DATA):
    """Values are the plain ones, gradient and Hessian of the sum those by differences."""
    assert hindrance(model_of(loglik, len(theta)), theta, data) is None
    function = traced(loglik)

    def gradient(theta):
        values, back = jax.vjp(lambda t: function(t, data), theta)
        (found,) = back(jax.numpy.ones_like(values))
        return found, (values, found)

    program = jax.jit(jax.jacfwd(gradient, has_aux=True), compiler_options=programs.OPTIONS)
    hessian, (values, slope) = program(theta)
    assert_allclose(values, loglik(theta, data), rtol=1e-12, atol=1e-12)
    step = 1e-5
    for j, e in enumerate(np.eye(len(theta)) * step):
        due = (np.sum(loglik(theta + e, data)) - np.sum(loglik(theta - e, data))) / (2 * step)
        # truncation of the differences: h**2 / 6 times third derivatives
        assert_allclose(slope[j], due, rtol=1e-6, atol=1e-6)
        rise = program(theta + e)[1][1] - program(theta - e)[1][1]
        assert_allclose(hessian[j], rise / (2 * step), rtol=1e-6, atol=1e-6)


def shifted(values, by):
    """A helper function of the user's."""
    return np.log(values) - by


def gamma_loglik(theta, data):
    shape, rate = theta[:2]
    y = data["y"]
    return shape * np.log(rate) - scipy.special.gammaln(shape) + (shape - 1) * np.log(y) - rate * y


def censored_weibull(theta, data):
    z = shifted(data["y"], np.log(theta[1]))
    out = -np.exp(theta[0] * z)
    out += np.where(data["d"] == 1, np.log(theta[0]) - np.log(theta[1]) + (theta[0] - 1) * z, 0.0)
    return out


def poisson_regression(theta, data):
    mu = np.exp(data["x"] @ theta)
    return scipy.special.xlogy(data["k"], mu) - mu - scipy.special.gammaln(data["k"] + 1)


def logit(theta, data):
    eta = np.dot(data["x"], theta)
    return data["d"] * eta - np.logaddexp(0.0, eta)


def normal_regression(theta, data):
    return norm.logpdf(np.log(data["y"]), loc=data["x"][:, :2] @ theta[:2], scale=theta[2])


def frozen_family(theta, data):
    return gamma_family(theta[0], scale=1 / theta[1]).logpdf(data["y"])


def family_frozen_with_numbers(theta, data):
    return norm(0.0, 2.0).logpdf(data["y"] - theta[0]) + scipy.stats.norm(0, 1).logsf(theta[1])


def censored_gamma(theta, data):
    family = gamma_family(a=theta[0], scale=theta[1])
    return np.where(data["d"] == 1, family.logpdf(data["y"]), family.logsf(data["y"]))


def filled_by_parts(theta, data):
    out = np.zeros(N if data is DATA else len(data["y"]))
    out[:] = -theta[0] * data["y"]
    part = out[2:5]
    part -= theta[1]
    out[0] += theta[2] ** 2
    out[data["d"] == 1] = -theta[1]
    return out


def imported_by_name(theta, data):
    out = filled(len(data["y"]), theta[0])
    out *= data["y"]
    return out - logsumexp(np.stack([out, theta[1] * data["y"]]), axis=0)


def written_into(theta, data):
    out = np.empty_like(data["y"])
    np.multiply(data["y"], theta[0], out=out)
    np.log(data["y"], out=out, where=data["d"] == 1)
    return np.negative(out) * theta[1]


def by_group(theta, data):
    return -((data["y"] - theta[data["g"]]) ** 2) + np.take(theta, data["g"])


def with_random_numbers(theta, data):
    """Compiled code that makes arrays must not be given stand-ins for them."""
    nodes = np.random.default_rng(1).normal(size=4)
    return -np.log(theta[0]) * data["y"] - np.exp(nodes * theta[1]).mean()


def matrices(theta, data):
    correlation = np.tanh(theta[2]) / 2
    cov = np.array([[theta[0], correlation], [correlation, theta[1]]])
    r = data["x"][:, 1:]
    sign, logdet = np.linalg.slogdet(cov)
    form = np.einsum("ij,ij->i", r @ np.linalg.inv(cov), r)
    root = np.linalg.solve(np.linalg.cholesky(cov), r.T)
    other = scipy.linalg.solve_triangular(scipy.linalg.cholesky(cov, lower=True), r.T, lower=True)
    assert sign.shape == ()
    return -logdet / 2 - form / 4 - np.sum(root**2, axis=0) / 8 - (other * other).sum(0) / 8


def mixture(theta, data):
    weights = np.array([0.3, 0.7])
    parts = np.column_stack([norm.logpdf(data["y"], m, theta[2]) for m in theta[:2]])
    return scipy.special.logsumexp(parts + np.log(weights), axis=1)


def counts(theta, data):
    negative = scipy.stats.nbinom.logpmf(data["k"], 1 / theta[0], 1 / (1 + theta[0] * theta[1]))
    return negative + scipy.stats.poisson(mu=theta[2]).logpmf(data["k"])


def checked_and_converted(theta, data):
    theta, y = np.asarray(theta, dtype=float), np.atleast_1d(np.asarray(data["y"]))
    if not isinstance(y, np.ndarray) or y.ndim != 1 or len(theta) != 3 or y.shape[0] < 1:
        raise ValueError("not so")
    a, b, c = theta
    return np.clip(-a * y.astype(float), -50, None) - b * np.c_[y, y][:, 1] ** 2.0 - np.abs(c)


def sorted_parameters(theta, data):
    cuts = np.cumsum(np.r_[0.0, theta[:2]])
    return np.diff(np.concatenate([cuts, [9.0]]))[data["g"]] * -data["y"] + OFFSET[0] * theta[2]


FOLLOWED = [
    gamma_loglik, censored_weibull, poisson_regression, logit, normal_regression, frozen_family,
    family_frozen_with_numbers, censored_gamma, filled_by_parts, imported_by_name, written_into,
    by_group, with_random_numbers, matrices, mixture, counts, checked_and_converted,
    sorted_parameters,
]  # fmt: skip


@pytest.mark.parametrize("loglik", FOLLOWED, ids=lambda f: f.__name__)
def test_plain_code_is_followed(loglik):
    """Values to rounding; derivatives against differences."""
    assert_traced(loglik)


def by_python_if(theta, data):
    if theta[0] > 1:
        return -theta[0] * data["y"]
    return -data["y"] * theta[1]


def by_mask(theta, data):
    return -np.sum(data["y"][data["y"] > theta[0]]) * data["y"]


def by_float(theta, data):
    return -float(theta[0]) * data["y"]


def by_math(theta, data):
    return -python_log(theta[0]) * data["y"]


def by_loop_over_observations(theta, data):
    out = np.zeros(len(data["y"]))
    for i in range(len(data["y"])):
        out[i] = -theta[0] * data["y"][i]
    return out


def by_open_ended_loop(theta, data):
    term, total, k = theta[0], 0.0, 1
    while term > 1e-9:
        total, term, k = total + term, term * theta[0] / k, k + 1
    return -total * data["y"]


def by_another_library(theta, data):
    return -data["y"] * scipy.optimize.brentq(lambda x: x - theta[0], 0.0, 9.0)


def by_a_function_jax_lacks(theta, data):
    return -data["y"] * scipy.special.kv(0.5, theta[0])


def by_another_family(theta, data):
    return scipy.stats.genhyperbolic.logpdf(data["y"], theta[0], theta[1], 0.1)


def by_a_constant_changed(theta, data):
    out = OFFSET.copy()
    out += np.log(theta[0])
    return out


def by_changed_data(theta, data):
    data["y"][0] = 0.0
    return -theta[0] * data["y"]


def by_exception(theta, data):
    try:
        return -float(theta[0]) * np.log(data["y"])
    except Exception:
        return -data["y"]


KEPT = {}


def by_cache(theta, data):
    if len(data["y"]) not in KEPT:
        KEPT[len(data["y"])] = np.log(data["y"])
    return -theta[0] * KEPT[len(data["y"])]


def by_cache_without_functions(theta, data):
    KEPT["squares"] = data["y"] ** 2
    return -theta[0] * KEPT["squares"]


@pytest.mark.parametrize(
    ("loglik", "offset", "says"),
    [
        (by_python_if, 1, "Python's if"),
        (by_mask, 1, r"x\[mask\].*np.where"),
        (by_float, 1, r"float\(\)"),
        (by_math, 1, "a function of math"),
        (by_loop_over_observations, 3, "a Python loop over the observations"),
        (by_open_ended_loop, 2, "Python's if.*while"),
        (by_another_library, 1, "parameters or the data"),
        (by_a_function_jax_lacks, 1, "kv has no counterpart in JAX"),
        (by_another_family, 1, "scipy.stats.genhyperbolic.logpdf cannot be traced"),
        (by_a_constant_changed, 2, "a change in place of an array that NumPy made elsewhere"),
        (by_changed_data, 1, "data are not to be changed"),
    ],
)
def test_what_cannot_be_followed_is_told_with_its_line(loglik, offset, says):
    line = loglik.__code__.co_firstlineno + offset
    found = hindrance(model_of(loglik), THETA, DATA)
    assert found is not None
    assert f"line {line} of test_tracing.py" in found
    assert re.search(says, found)


def test_an_array_that_outlives_the_call_is_refused():
    """A cache would hold another data set's values, or none at all."""
    KEPT.clear()
    assert "from one call to the next" in shape_hindrance(model_of(by_cache), DATA)
    # JAX names the leak, or fails while it looks for where it was made
    says = shape_hindrance(model_of(by_cache_without_functions), DATA)
    assert re.search("Leaked|IndexError", says)
    KEPT.clear()


def remembered(theta, data):
    """A list that grows makes every call another function."""
    KEPT["calls"] = KEPT.get("calls", 0.0) + 1.0
    return -theta[0] * data["y"] * KEPT["calls"]


def narrow(theta, data):
    return -theta[0] * np.log((data["k"] + 1).astype(np.uint8))


def looked_at_in_place(theta, data):
    """In NumPy the first observation changes; a name that JAX takes for another array does not."""
    out = OFFSET.copy()
    part = out[:1]
    part *= theta[0]
    return out - theta[1]


@pytest.mark.parametrize("loglik", [remembered, narrow, by_exception, looked_at_in_place])
def test_a_trace_with_other_values_is_refused(loglik):
    """NumPy takes the logarithm of 8 bits in half precision, JAX does not."""
    assert re.search("term of observation 0 at .* when it is traced",
                     hindrance(model_of(loglik), THETA, DATA))  # fmt: skip


def test_names_are_put_back_and_other_threads_never_see_them():
    """Also after an exception inside."""
    before = np, np.zeros, norm.__class__.logpdf, globals()["filled"], scipy.special.logsumexp
    seen = {}

    def elsewhere():
        seen["type"] = type(np.zeros(2))
        seen["value"] = norm.logpdf(0.5)

    def loglik(theta, data):
        seen["inside"] = np.zeros is not before[1]
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        raise KeyError("inside")

    with pytest.raises(TracingError, match="KeyError"):
        jax.eval_shape(traced(loglik), THETA, DATA)
    assert seen["inside"]
    assert seen["type"] is np.ndarray
    assert_allclose(seen["value"], -0.125 - np.log(2 * np.pi) / 2, rtol=1e-15)
    after = np, np.zeros, norm.__class__.logpdf, globals()["filled"], scipy.special.logsumexp
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert interception._replaced == []


def shapes_of(name, rng, size):
    """Draw shape parameters over the ranges that likelihoods meet."""

    def between(a, b):
        return np.exp(rng.uniform(np.log(a), np.log(b), size))

    share = rng.uniform(0.01, 0.99, size)
    return {
        "t": [between(0.5, 1e4)], "gamma": [between(0.05, 500)], "chi2": [between(0.2, 300)],
        "beta": [between(0.1, 200), between(0.1, 200)], "weibull_min": [between(0.2, 8)],
        "lognorm": [between(0.05, 4)], "invgauss": [between(0.05, 20)],
        "skewnorm": [rng.normal(0, 4, size)],
        "genextreme": [np.where(share < 0.1, 1e-9, rng.normal(0, 0.4, size))],
        "poisson": [between(0.01, 800)], "nbinom": [between(0.05, 100), share],
        "binom": [rng.integers(1, 200, size), share], "bernoulli": [share], "geom": [share],
    }.get(name, [])  # fmt: skip


@pytest.mark.parametrize("name", sorted(named()))
def test_families_answer_as_scipy_does(name):
    """At random points, in the tails, at edges, outside the support, for impossible parameters."""
    family, theirs, rng = named()[name], getattr(scipy.stats, name), np.random.default_rng(7)
    shapes = shapes_of(name, rng, 300)
    x = theirs.rvs(*shapes, size=300, random_state=rng).astype(float)
    x[:40] *= 3
    x[40:50] *= -1
    x[50:60], x[60:70], x[70:80], x[80] = 0.0, 1.0, x[70:80] + 0.5, np.nan
    shapes = [np.where(np.arange(300) < 290, shape, -2.0) for shape in shapes]
    scale = np.where(family.discrete, 1.0, np.where(np.arange(300) < 285, 2.0, -1.0))
    given = [jax.numpy.asarray(v, dtype=float) for v in (x, 0.0, scale)]
    own = [jax.numpy.asarray(shape, dtype=float) for shape in shapes]
    kinds = ("pmf" if family.discrete else "pdf", "cdf", "sf")
    for kind in (kind for kind in kinds if getattr(family, kind) is not None):
        for method in (kind, f"log{kind}"):
            with np.errstate(all="ignore"):
                due = getattr(theirs, method)(
                    x, *shapes, **({} if family.discrete else {"scale": scale})
                )
            found = np.asarray(evaluate(family, kind, method, *given, own))
            possible = np.arange(300) < (290 if family.discrete else 285)
            # where SciPy's number is zero its logarithm is lost, and not here
            kept = possible & ~((due == -np.inf) & (found < -708))
            assert_allclose(found[kept], due[kept], rtol=1e-10, atol=1e-10 if method != kind else 0)
            assert np.isnan(found[~possible]).all()


def test_both_engines_agree_for_plain_code():
    """With exact derivatives in both: 1e-8 standard errors, as for models written for JAX."""

    def draw(rng, n):
        return {"y": rng.gamma(2.0, 1 / 3.0, size=n)}

    model = Model("plain", {"shape": "positive", "rate": "positive"}, lambda d: np.ones(2),
                  gamma_loglik)  # fmt: skip
    study = Study(
        "plain",
        grid(Mechanism("g", draw, lambda n: {"shape": 2.0, "rate": 3.0}), n=30),
        [MaximumLikelihood(model, [OBSERVED, SANDWICH])],
        seed=3,
    )
    assert batched.hindrance(study, study.scenarios[0], study.estimators[0]) is None
    one, other = (engine.block(study, 0, 0, 6)["plain"] for engine in (loop, batched))
    assert (one.status == Status.ok).all()
    assert_array_equal(one.status, other.status)
    assert_allclose((one.estimate - other.estimate) / one.se[:, 0], 0.0, atol=3e-8)
    assert_allclose(one.se, other.se, rtol=1e-6)
