"""Functions of arrays answer in double precision, whatever numbers come, on NumPy and on JAX."""

import importlib.util

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import arrays

ONE = (
    "log", "log1p", "exp", "expm1", "sqrt", "softplus", "gammaln",
    "digamma", "trigamma", "expit", "log_expit", "log_ndtr", "erfcx",
)  # fmt: skip
KINDS = [np.int64, np.int32, np.int8, np.uint8, np.uint64, bool, np.float16, np.float32]
COUNTS = np.array([1, 2, 3, 5])
RATE = np.array([0.7, 1.2, 3.0, 0.1])
T = np.array(1.7)  # where derivatives are taken


@pytest.fixture(scope="module")
def jax():
    """JAX as the engines load it, in float64."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs JAX")
    from simstudy.engines import programs

    return programs.load()


def numbers(kind):
    """Return the same numbers of a kind, and in double precision."""
    of_kind = COUNTS.astype(kind)
    return of_kind, of_kind.astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ONE)
def test_any_numbers_are_taken_in_double_precision_by_numpy(name, kind):
    """In less, a logarithm is wrong by 1e-3, and -x of uint8 is 256 - x."""
    given, exact = numbers(kind)
    function = getattr(arrays, name)
    pairs = [(function(given), function(exact))]
    for value, number in zip(given.tolist(), exact.tolist(), strict=True):
        pairs.append((function(value), function(number)))  # Python's own int, bool or float
    pairs.append((arrays.xlogy(given, exact), arrays.xlogy(exact, exact)))
    pairs.append((arrays.xlogy(exact, given), arrays.xlogy(exact, exact)))
    pairs.append((arrays.xlogy(given, 2), arrays.xlogy(exact, 2.0)))
    for found, expected in pairs:
        assert found.dtype == np.float64
        assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool, np.float32])
def test_any_numbers_are_taken_in_double_precision_by_jax(jax, kind):
    """Values, and first and second derivatives by a parameter beside them."""
    given, exact = numbers(kind)

    def every(data):
        return {name: getattr(arrays, name)(data) for name in ONE}

    def beside(t, data):
        mixed = {name: getattr(arrays, name)(data * t).sum() for name in ONE}
        return mixed | {
            "xlogy by y": arrays.xlogy(data, t * RATE).sum(),
            "xlogy by x": arrays.xlogy(t * RATE, data).sum(),
            "of_scalar": arrays.of_scalar(lambda y, a: arrays.gammaln(y + a), data, t).sum(),
            "where": arrays.where(data > 2, arrays.log(data) * t, t**2 * data).sum(),
            "stack": (arrays.stack([data, t * RATE]) ** 2).sum(),
        }

    values = jax.jit(every)
    found, expected = values(given), values(exact)
    scalars = values(given.tolist()[0])
    for name in ONE:
        assert found[name].dtype == scalars[name].dtype == np.float64, name
        # to rounding: compiled for other numbers, steps are put together otherwise
        assert_allclose(found[name], expected[name], rtol=1e-13, atol=1e-14, err_msg=name)
        assert_allclose(scalars[name], expected[name][0], rtol=1e-13, atol=1e-14, err_msg=name)
        # SciPy's are of another library: 1e-12 is a thousand times the rounding of either
        by_numpy = getattr(arrays, name)(given)
        assert_allclose(found[name], by_numpy, rtol=1e-12, atol=1e-13, err_msg=name)
    derivatives = jax.jit(
        lambda t, data: (jax.jacfwd(beside)(t, data), jax.hessian(beside)(t, data))
    )
    for one, other in zip(derivatives(T, given), derivatives(T, exact), strict=True):
        for name in one:
            assert one[name].dtype == np.float64, name
            assert_allclose(one[name], other[name], rtol=1e-12, err_msg=name)
    first = derivatives(T, given)[0]
    assert_allclose(first["xlogy by y"], exact.sum() / T, rtol=1e-12)


def test_what_is_neither_is_left_to_the_library():
    """Complex numbers keep their imaginary part, and a column of pandas its index."""
    pandas = pytest.importorskip("pandas")
    assert arrays.exp(1j) == np.exp(1j)
    found = arrays.log(pandas.Series([1, 2], index=[5, 6]))
    assert_allclose(found, np.log([1.0, 2.0]), rtol=1e-15)
    assert list(found.index) == [5, 6]
