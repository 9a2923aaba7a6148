"""Why a row has an answer or none: one word from a fixed list, with its sentence."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Why a row has an answer or none: one word, with a sentence. Stored as its number.

    Examples
    --------
    >>> from simstudy.records.block import Status
    >>> Status.saddle.sentence
    'The fit stopped where the Hessian is not positive definite: a saddle point, not a maximum.'
    """

    ok = 0
    data_error = 1
    fit_error = 2
    not_converged = 3
    no_maximum = 4
    saddle = 5
    not_an_optimum = 6
    rounding_noise = 7
    step_too_large = 8
    not_positive_definite = 9
    negative_variance = 10
    not_finite = 11
    refits_failed = 12
    method_error = 13
    timeout = 14
    crashed = 15
    not_asked = 16
    doubtful = 17
    not_identified = 18
    degenerate = 19
    not_smooth = 20
    noisy = 21
    no_step = 22
    crossed_limits = 23
    unconfirmed = 24

    @property
    def sentence(self) -> str:
        """The sentence that explains the word."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.ok: "The method answered.",
    Status.data_error: "Drawing the data set failed; the audit's message says how.",
    Status.fit_error: "The fit failed with an exception; the audit's message says which.",
    Status.not_converged: "The fit ended away from a maximum: the estimated distance to it "
    "is 1e-3 log-likelihood units or more.",
    Status.no_maximum: "The log-likelihood keeps rising, or stays level, while a parameter runs "
    "off, as in separated or collinear data: there is no finite estimate, or no single one.",
    Status.saddle: "The fit stopped where the Hessian is not positive definite: a saddle point, "
    "not a maximum.",
    Status.not_an_optimum: "The Hessian is not positive definite, so variances come out "
    "negative, because the estimate is not an optimum of the likelihood.",
    Status.rounding_noise: "The difference Hessian is not positive definite: rounding noise "
    "exceeds the curvature because the step is too small for this parameter.",
    Status.step_too_large: "The difference Hessian is not positive definite: the step is larger "
    "than the standard error of the parameter.",
    Status.not_positive_definite: "The matrix to invert is not positive definite.",
    Status.negative_variance: "A variance on the diagonal of the matrix, or a standard error, is "
    "negative.",
    Status.not_finite: "The matrix, a standard error or a limit is not finite, or a standard error "
    "is zero.",
    Status.refits_failed: "Too many refits failed: more than one in twenty of a bootstrap's, "
    "or any of a jackknife's.",
    Status.method_error: "The method raised an exception; the audit's message says which.",
    Status.timeout: "The replicate took longer than its time limit.",
    Status.crashed: "The worker died twice while it ran this replicate alone.",
    Status.not_asked: "The study asks this method for fewer replicates.",
    Status.doubtful: "The fit may not have reached the maximum: the estimated distance to it is "
    "between 1e-6 and 1e-3 log-likelihood units, up to 4 % of a standard error in the estimate.",
    Status.not_identified: "The log-likelihood is level along a line or a curve through the "
    "estimate: the data tell nothing about that combination of parameters; drop or fix one.",
    Status.degenerate: "The maximum is degenerate: the log-likelihood is flatter there than any "
    "parabola, so no standard error comes from its curvature; use a profile likelihood.",
    Status.not_smooth: "The log-likelihood has kinks, jumps or a wall within a standard error of "
    "the estimate, so differences give no curvature; use a bootstrap, or a smooth likelihood.",
    Status.noisy: "The log-likelihood is noisy, so differences give no curvature; fix its random "
    "numbers, or tighten its inner iterations.",
    Status.no_step: "The optimizer took no step: its matrix is still the identity it started "
    "from, and says nothing of the curvature.",
    Status.crossed_limits: "The lower limit lies above the upper one.",
    Status.unconfirmed: "Of the searches from several starts one alone ended at the highest "
    "maximum found, so there may be a higher one; ask for more restarts, or a better start.",
}
