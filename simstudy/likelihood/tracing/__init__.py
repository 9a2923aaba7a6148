"""Log-likelihoods in plain NumPy and SciPy as JAX functions, unchanged.

One function is what the rest of the package needs: `traced` makes a JAX function of a
log-likelihood, and `hindrance` says what stands in the way, with the user's line, or how the JAX
function's values differ from the plain ones. Everything else here is how: arrays that stand in for
theta and data (`stand_in`), what NumPy's and SciPy's functions are in JAX (`functions`,
`special_functions`, `incomplete`, `families`), and how those are reached that do not ask their
arguments (`interception`, `distributions`).
"""

from simstudy.likelihood.tracing.agreement import (
    as_arrays,
    disagreement,
    hindrance,
    shape_hindrance,
)
from simstudy.likelihood.tracing.trace import TracingError, traced

__all__ = ["TracingError", "as_arrays", "disagreement", "hindrance", "shape_hindrance", "traced"]
