"""The batched engine against the loop engine: the same data, so the same answers.

Tolerances are those the engines promise: estimates to 1e-8 standard errors times a few (both are
polished to an EDM of 5e-17, which is 1e-8 standard errors each), standard errors to 1e-6.
"""

import itertools
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

from simstudy import run

jax = pytest.importorskip("jax")

from models_tried import MODELS  # noqa: E402
from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study, StudyError  # noqa: E402
from simstudy.arrays import (  # noqa: E402
    digamma,
    gammaln,
    log,
    of_scalar,
    stack,
    trigamma,
    where,
)
from simstudy.engines import (  # noqa: E402
    batched,
    loop,
    newton,
    programs,
)
from simstudy.likelihood.tracing import shape_hindrance  # noqa: E402
from simstudy.methods import (  # noqa: E402
    BFGS_INVERSE,
    BOOTSTRAP,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_LOG_WALD,
    OBSERVED_STATSMODELS,
    OPG,
    SANDWICH,
    ExactHessian,
    Multinomial,
    Resampling,
    Wald,
)
from simstudy.methods.covariance import invert  # noqa: E402
from simstudy.models import (  # noqa: E402
    exponential,
    gamma,
)
from simstudy.records.block import Status  # noqa: E402

METHODS = [OBSERVED, OBSERVED_LOG_WALD, OBSERVED_CENTRAL, OPG, SANDWICH]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """Set JAX up, in float64, and keep compiled programs out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMSTUDY_CACHE", str(tmp_path_factory.mktemp("jax")))
        programs.load()
        yield


def study(model, mechanism, factors, methods, **options):
    """Put one model under one scenario."""
    estimator = MaximumLikelihood(model, methods)
    return Study("s", [Scenario(mechanism, factors)], [estimator], seed=11, **options)


def both(model, mechanism, factors, methods, count, **options):
    """Answer by the loop and by the batch."""
    s = study(model, mechanism, factors, methods, **options)
    name = s.estimators[0].name
    return loop.block(s, 0, 0, count)[name], batched.block(s, 0, 0, count)[name]


def assert_agree(one, other):
    """Hold two blocks against each other."""
    assert_array_equal(one.status, other.status)
    assert_array_equal(one.audit["status"], other.audit["status"])
    spread = one.se[:, 0]
    assert_allclose(one.estimate / spread, other.estimate / spread, rtol=0, atol=5e-8)
    assert_allclose(one.se, other.se, rtol=1e-6)
    assert_allclose(one.lower / one.se[:, :1], other.lower / one.se[:, :1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_answers_alike(name):
    """Estimates, standard errors and statuses, with data sets that have no maximum among them."""
    one, other = both(*MODELS[name], METHODS, 40)
    assert_agree(one, other)
    assert (other.status == Status.ok).sum() > 40


def test_data_sets_without_maximum_are_in_the_battery():
    """Else equal statuses would prove nothing: of 12 draws with p = .2, 7 % have no success."""
    one, other = both(*MODELS["binomial-logit"], [OBSERVED], 60)
    assert (one.audit["status"] == Status.no_maximum).any()
    assert_agree(one, other)


def test_bootstrap_and_methods_of_other_libraries_answer_alike():
    """Weights in the batch and rows in the loop, from the same stream; SciPy's runs as they are."""
    methods = [
        OBSERVED,
        Resampling("bootstrap", Multinomial(30)),
        BFGS_INVERSE,
        OBSERVED_STATSMODELS,
    ]
    one, other = both(*MODELS["gamma"], methods, 12, fewer={"bootstrap": 5})
    assert_array_equal(one.status, other.status)
    assert_allclose(one.se[:, [0, 1, 3]], other.se[:, [0, 1, 3]], rtol=1e-6)
    # The plain run does not depend on the fit: the same bits.
    assert_array_equal(one.se[:, 2], other.se[:, 2])
    assert_array_equal(one.audit["plain_edm"], other.audit["plain_edm"])
    assert (one.status[5:, 1] == Status.not_asked).all()


def test_blocks_do_not_change_a_bit():
    """Cut into one, three or many blocks, the numbers are the same bit for bit."""
    s = study(*MODELS["gamma"], [*METHODS, Resampling("bootstrap", Multinomial(20))])
    whole = batched.block(s, 0, 0, 30)["gamma"]
    for cuts in ([0, 7, 30], [0, 1, 2, 11, 29, 30]):
        parts = [batched.block(s, 0, a, b)["gamma"] for a, b in itertools.pairwise(cuts)]
        for column in ("estimate", "se", "lower", "upper", "status"):
            joined = np.concatenate([getattr(part, column) for part in parts])
            assert_array_equal(joined, getattr(whole, column))


def test_lengths_that_differ_by_replicate_are_padded():
    """Each data set is padded to the length of its own bucket; neighbors do not matter."""

    def draw(rng, n):
        return rng.gamma(2.0, 1.0, size=n + rng.integers(0, 60))

    mechanism = Mechanism("ragged", draw, lambda n: {"shape": 2.0, "rate": 1.0})
    s = study(gamma.MODEL, mechanism, {"n": 30}, METHODS)
    one, other = loop.block(s, 0, 0, 25)["gamma"], batched.block(s, 0, 0, 25)["gamma"]
    assert_agree(one, other)
    alone = batched.block(s, 0, 9, 10)["gamma"]
    assert_array_equal(alone.se[0], other.se[9])


def test_saddles_and_walls_go_to_the_loop():
    """Where a program comes to no verdict, the loop engine's verdict stands."""

    def start(data):
        return np.full(2, data.mean())

    def loglik(theta, data):
        from simstudy.arrays import namespace

        one, other = -0.5 * (data - theta[0]) ** 2, -0.5 * (data - theta[1]) ** 2
        return namespace(one).logaddexp(one, other)

    def draw(rng, n):
        return rng.normal(np.where(rng.uniform(size=n) < 0.5, -2.0, 2.0), 1.0)

    model = Model("mixture", {"low": "real", "high": "real"}, start, loglik)
    mechanism = Mechanism("mixture", draw, lambda n: {"low": -2.0, "high": 2.0})
    one, other = both(model, mechanism, {"n": 60}, [OBSERVED_CENTRAL], 8)
    assert_array_equal(one.status, other.status)
    assert_allclose(np.sort(one.estimate), np.sort(other.estimate), rtol=1e-6)


def test_each_warning_of_a_draw_stays_with_its_replicate_where_some_fits_go_to_the_loop():
    def draw(rng, n):
        data = rng.exponential(size=n)
        if data[0] < 0.7:
            warnings.warn(f"the first is {data[0]:.3f}", stacklevel=1)
        return data

    def start(data):  # the programs leave what starts outside to the loop
        return np.full(1, -1.0 if data[1] < 0.7 else 1.0)

    model = replace(exponential.MODEL, start=start)
    mechanism = Mechanism("warns", draw, lambda n: {"rate": 1.0})
    s = study(model, mechanism, {"n": 20}, [OBSERVED])
    data = [draws.data[0] for i in range(30) for _, draws in loop.draws_of(s, 0, i, i + 1)]
    due = [f"UserWarning: the first is {d[0]:.3f}" if d[0] < 0.7 else "" for d in data]
    outside = [bool(d[1] < 0.7) for d in data]
    assert set(zip(map(bool, due), outside, strict=True)) == {
        (told, out) for told in (True, False) for out in (True, False)
    }
    for engine in (loop, batched):
        assert engine.block(s, 0, 0, 30)["exponential"].audit["warnings"].tolist() == due


def test_a_formula_that_raises_for_some_fits_spares_the_others():
    """The same statuses as in the loop engine, and every other number as without it."""

    def touchy(curvature):
        if (curvature.hessian[..., 0, 0] > 22).any():
            raise ArithmeticError("too much")
        return invert(curvature.hessian)

    methods = [OBSERVED, Wald("touchy", touchy, hessian=ExactHessian())]
    one, other = both(*MODELS["gamma"], methods, 25)
    assert_array_equal(one.status, other.status)
    assert set(one.status[:, 1]) == {Status.ok, Status.method_error}
    assert_allclose(one.se[:, 0], other.se[:, 0], rtol=1e-6)


def test_refits_without_a_maximum_are_told_alike():
    """Resamples of light tails, for which a t distribution's degrees of freedom run off."""

    def loglik(theta, data):
        m, s, df = theta
        z = 1 + ((data - m) / s) ** 2 / df
        half = (df + 1) / 2
        return gammaln(half) - gammaln(df / 2) - log(np.pi * df) / 2 - log(s) - half * log(z)

    parameters = {"m": "real", "s": "positive", "df": "positive"}
    model = Model("t", parameters, lambda data: np.array([0.0, 1.0, 5.0]), loglik)
    mechanism = Mechanism("m", lambda rng, n: rng.standard_t(3, size=n), lambda n: {"m": 0.0})
    one, other = both(model, mechanism, {"n": 60}, [Resampling("bootstrap", Multinomial(40))], 6)
    assert_array_equal(one.status, other.status)
    assert set(one.status.ravel()) >= {Status.ok, Status.refits_failed}
    assert_array_equal(one.audit["failed_refits"] > 2, other.audit["failed_refits"] > 2)


def branching_loglik(theta, data):
    """A log-likelihood with Python's if on a parameter."""
    if theta[0] > 1:
        return -theta[0] * data
    return -data


def test_what_cannot_be_traced_is_told_what_to_change(tmp_path):
    """The batched engine is refused by name; auto takes the loop and says why."""
    model = Model("mine", {"rate": "positive"}, lambda data: np.ones(1), branching_loglik)
    mechanism = Mechanism("e", lambda rng, n: rng.exponential(size=n), lambda n: {"rate": 1.0})
    s = Study("s", [Scenario(mechanism, {"n": 9})], [MaximumLikelihood(model, [OBSERVED_CENTRAL])])
    with pytest.raises(StudyError, match=r"cannot be traced by JAX.*line \d+ of test_batched"):
        run(s, out=tmp_path / "a", engine="batched", jobs=1, quiet=True)
    assert not (tmp_path / "a").exists()


def test_auto_counts_fits_and_a_folder_keeps_its_engine(tmp_path):
    """Few fits: the loop. A folder that was begun with the loop goes on with it."""
    s = study(*MODELS["exponential"], [OBSERVED], replicates=20)
    result = run(s, out=tmp_path / "a", jobs=1, quiet=True)
    assert result.manifest()["engine"] == "loop"
    assert "20 fits" in result.manifest()["engine_why"]
    more = run(s, out=tmp_path / "a", jobs=1, quiet=True, replicates=4000, size=4000)
    assert more.manifest()["engine"] == "loop"
    large = run(s, out=tmp_path / "b", jobs=1, quiet=True, replicates=4000)
    assert large.manifest()["engine"] == "batched"
    assert len(large.table()) == 4000


def test_refits_are_counted_for_the_replicates_that_are_asked(tmp_path):
    """Ten replicates with 199 refits each, though the study would allow for 200 replicates."""
    s = study(*MODELS["exponential"], [OBSERVED, BOOTSTRAP], fewer={"bootstrap": 200})
    result = run(s, out=tmp_path / "a", jobs=1, quiet=True, replicates=10)
    assert result.manifest()["engine"] == "loop"
    assert "2,000 fits" in result.manifest()["engine_why"]


def test_the_time_of_compilation_is_told_apart(tmp_path):
    """A new program is compiled once: the first run says how long, a fit's seconds leave it out."""
    programs.program.cache_clear()
    s = study(*MODELS["exponential"], [OBSERVED], replicates=64)
    result = run(s, out=tmp_path / "a", engine="batched", jobs=1, quiet=True)
    again = run(s, out=tmp_path / "a", jobs=1, quiet=True, replicates=128)
    first, second = (run["compiling"] for run in again.manifest()["runs"])
    assert first > 0 == second
    assert first > 64 * result.audit()["seconds"].mean()


def test_processes_compile_one_after_another(monkeypatch):
    """The second loads what the first compiled; without a folder to lock in, nobody waits."""
    code = "from simstudy.engines.programs import _turn\nwith _turn(): print('in', flush=True)"
    with programs._turn():
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=4)
    assert other.communicate(timeout=60)[0] == "in\n"
    monkeypatch.setenv("SIMSTUDY_CACHE", "/dev/null/no/folder")
    with programs._turn(), programs._turn():
        pass


def test_too_little_memory_halves_the_lanes_and_says_so(capsys):
    """A program that has room for three lanes only answers for all data sets all the same."""

    def program(values):
        if len(values) > 3:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return {"double": 2 * values}

    found = programs.in_lanes(program, lambda rows: (rows.astype(float),), 11, 16)
    assert_array_equal(found["double"], 2 * np.arange(11.0))
    assert "2 data sets at a time" in capsys.readouterr().err

    def broken(values):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        programs.in_lanes(broken, lambda rows: (rows,), 11, 16)


def test_single_precision_is_refused():
    """Half of the digits of a likelihood are too few for its second differences."""

    def single(theta, data):
        return (exponential.loglik(theta, data)).astype("float32")

    model = Model("mine", {"rate": "positive"}, lambda data: np.ones(1), single)
    assert shape_hindrance(model, np.ones(5)) == "it returns float32"


def test_where_is_the_same_on_numpy_and_jax():
    """The way to branch that both libraries take."""
    x = np.array([-1.0, 2.0])
    assert_array_equal(where(x > 0, x, 0.0), np.asarray(where(jax.numpy.asarray(x) > 0, x, 0.0)))


def test_derivatives_of_the_gamma_function_are_those_of_scipy():
    """To a few units in the last place over 26 decades; digamma near its zero to that of 1."""
    x = np.exp(np.linspace(-30, 30, 3001))
    each = [jax.vmap(f)(x) for f in (gammaln, jax.grad(gammaln), jax.grad(jax.grad(gammaln)))]
    third = jax.vmap(jax.grad(jax.grad(jax.grad(gammaln))))(x[1000:2500])
    assert_allclose(each[0], special.gammaln(x), rtol=1e-13, atol=1e-14)
    assert_allclose(each[1], special.digamma(x), rtol=1e-14, atol=1e-14)
    assert_allclose(each[2], special.polygamma(1, x), rtol=1e-14)
    assert_allclose(third, special.polygamma(2, x[1000:2500]), rtol=1e-12)
    inside = jax.numpy.asarray(x)
    assert_array_equal(digamma(inside), each[1])
    assert_array_equal(trigamma(inside), each[2])
    assert np.isnan(jax.grad(gammaln)(-0.5))


@pytest.mark.parametrize("p", [1, 3, 5])
def test_linear_algebra_written_out_is_that_of_lapack(monkeypatch, p):
    """Up to five parameters; above LAPACK is called. Both know what is not definite."""
    rng = np.random.default_rng(p)
    root = rng.normal(size=(p, p + 3))
    matrix, right = jax.numpy.asarray(root @ root.T), jax.numpy.asarray(rng.normal(size=p))
    own = newton._solved(newton._factor(matrix), right)
    assert not np.isfinite(newton._factor(matrix - 100 * np.eye(p))).all()
    monkeypatch.setattr(newton, "WRITTEN_OUT", 0)
    factor = newton._factor(matrix)
    assert_allclose(factor, np.linalg.cholesky(matrix), rtol=1e-13)
    # rounding, times a condition below 1e3
    for found, expected in zip(own, newton._solved(factor, right), strict=True):
        assert_allclose(found, expected, rtol=1e-12)
    assert not np.isfinite(newton._factor(matrix - 100 * np.eye(p))).all()


def test_an_option_that_xla_does_not_know_is_left_out_alone(monkeypatch):
    """An unknown flag of XLA_FLAGS would end the process."""
    known = {"xla_cpu_multi_thread_eigen": False, "xla_llvm_disable_expensive_passes": True}
    monkeypatch.setattr(programs, "OPTIONS", {"xla_no_such_option": True, **known})
    programs._options.cache_clear()
    assert programs._options() == known
    program = programs._once(jax.vmap(lambda x: {"twice": 2 * x}))
    assert_array_equal(program(np.arange(3.0))["twice"], [0.0, 2.0, 4.0])
    programs._options.cache_clear()


def test_compiled_programs_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SIMSTUDY_CACHE", "here")
    assert programs.cache_folder() == Path("here")
    monkeypatch.delenv("SIMSTUDY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert programs.cache_folder() == tmp_path / "simstudy" / "jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert programs.cache_folder() == tmp_path / ".cache" / "simstudy" / "jax"


def test_many_parameters_begin_with_bfgs(monkeypatch):
    """Above fifty parameters optimistix comes before Newton; the answers are the same."""
    monkeypatch.setattr(newton, "NEWTON_FROM_THE_START", 1)
    programs.program.cache_clear()
    one, other = both(*MODELS["poisson-regression"], [OBSERVED], 5)
    programs.program.cache_clear()
    assert_agree(one, other)


def test_derivatives_by_a_scalar_taken_apart_are_the_same():
    """Value, gradient and Hessian of a sum, against JAX's own; rounding of a few operations."""
    jnp = jax.numpy
    y = jnp.arange(7.0)

    def plain(y, a):
        return jnp.sin(a * y) * jnp.exp(-a)

    def wrapped(theta):
        return of_scalar(plain, y, theta[1] * theta[0]).sum()

    def own(theta):
        return plain(y, theta[1] * theta[0]).sum()

    at = jnp.array([0.7, 1.3])
    assert_allclose(wrapped(at), own(at), rtol=1e-13)
    assert_allclose(jax.grad(wrapped)(at), jax.grad(own)(at), rtol=1e-12)
    assert_allclose(jax.hessian(wrapped)(at), jax.hessian(own)(at), rtol=1e-11)


def test_an_index_that_is_out_of_range_is_the_loops_to_refuse():
    """JAX takes the last entry instead, and the batched engine answered `ok`."""

    def draw(rng, n):
        groups = rng.integers(0, 2, n)
        groups[0] = 2 * (rng.random() < 0.5)
        return {"y": rng.normal(size=n), "g": groups}

    def loglik(theta, data):
        mean = stack([theta[0], theta[1]])[data["g"]]
        return -0.5 * (data["y"] - mean) ** 2

    model = Model("groups", {"a": "real", "b": "real"}, lambda data: np.zeros(2), loglik)
    mechanism = Mechanism("groups", draw, lambda n: {"a": 0.0, "b": 0.0})
    study = Study(
        "groups", [Scenario(mechanism, {"n": 30})], [MaximumLikelihood(model, [OBSERVED])]
    )
    ours = batched.block(study, 0, 0, 40)["groups"]
    theirs = loop.block(study, 0, 0, 40)["groups"]
    assert_array_equal(ours.status, theirs.status)
    assert set(theirs.status.ravel()) == {Status.ok, Status.fit_error}
