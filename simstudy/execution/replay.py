"""One replicate again: its fits and matrices, a file of its data, the debugger where it raises."""

from __future__ import annotations

import pdb
import traceback
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from simstudy.arrays import Array, Data
from simstudy.design.drawing import draw
from simstudy.design.study import Study
from simstudy.engines.loop import block, draws_of
from simstudy.errors import StudyError
from simstudy.estimators.answering import fitted_of
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Draws
from simstudy.files.writing import atomic_path
from simstudy.likelihood.fit import Fit
from simstudy.methods.protocol import Fitted, Source
from simstudy.records.block import Block
from simstudy.status import Status
from simstudy.user_code.time_limit import STOPS


@dataclass(frozen=True, slots=True)
class Replay:
    """One replicate again: the data, and for each estimator its fit and each method's matrix.

    `data` is the exception where there is none. `matrices` maps (estimator, method) to the
    covariance, for the methods that have one.
    """

    data: Data | Exception
    fits: dict[str, Fit | None]
    blocks: dict[str, Block]
    matrices: dict[tuple[str, str], Any]


def replay(study: Study, index: int, replicate: int, engine: str = "loop") -> Replay:
    """Run one replicate again, with the same numbers, and keep everything.

    Parameters
    ----------
    study : Study
    index, replicate : int
        Numbers of scenario and replicate.
    engine : {"loop", "batched"}
        The one that wrote the row: the last bits are its own.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        answered: Callable[..., dict[str, Block]] = block
        fit_of: Callable[..., tuple[Fitted, dict[Source, Any]] | None] = _loop_fit
        if engine == "batched":
            from simstudy.engines import batched

            answered, fit_of = batched.block, partial(batched.fit_of, study, index)
        blocks = answered(study, index, replicate, replicate + 1)
        data: Data | Exception = RuntimeError("no estimator is asked")
        fits: dict[str, Fit | None] = {}
        matrices: dict[tuple[str, str], Any] = {}
        for estimator, draws in draws_of(study, index, replicate, replicate + 1):
            answer, data = blocks[estimator.name], draws.data[0]
            fits[estimator.name] = None
            failed = answer.audit["status"][0] in (Status.data_error, Status.fit_error)
            if isinstance(estimator, MaximumLikelihood) and not failed:
                fitted, sourced = fit_of(estimator, draws) or _loop_fit(estimator, draws)
                fits[estimator.name] = fitted.fit
                if fitted.fit.status == Status.ok:
                    matrices |= _matrices(estimator, fitted, sourced, answer.status[0])
    return Replay(data, fits, blocks, matrices)


def _loop_fit(estimator: MaximumLikelihood, draws: Draws) -> tuple[Fitted, dict[Source, Any]]:
    """Fit as the loop engine does."""
    target = estimator.bind(draws.data[0])
    return fitted_of(draws, 0, target, estimator.fit(target, draws.stream_of(0))), {}


def _matrices(
    estimator: MaximumLikelihood, fitted: Fitted, found: dict[Source, Any], status: Array
) -> dict[tuple[str, str], Array]:
    """Return the covariance matrix of each method that answered and has one."""
    matrices = {}
    for m, method in enumerate(estimator.methods):
        if status[m] in (Status.method_error, Status.not_asked):
            continue
        matrix = getattr(method, "matrix", None)
        if matrix is not None:
            sourced = [
                found[source] if source in found else source(fitted) for source in method.sources
            ]
            matrices[estimator.name, method.name] = matrix(fitted, *sourced)
    return matrices


def save(study: Study, index: int, replicate: int, path: Path) -> None:
    """Save the data of one replicate as `.npz`: by their names, or as `data`.

    Parameters
    ----------
    study : Study
    index, replicate : int
        Numbers of scenario and replicate.
    path : Path
        Read it again with `numpy.load`; nothing in it is pickled.

    Raises
    ------
    StudyError
        When the path does not end in .npz, or the data are no arrays of numbers or words.
    """
    if path.suffix != ".npz":
        raise StudyError(f"cannot save data to {str(path)!r}: give a name that ends in .npz")
    data = draw(study, study.scenarios[index], replicate)
    parts = data if isinstance(data, Mapping) else {"data": data}
    try:
        with atomic_path(path) as draft, zipfile.ZipFile(draft, "w") as archive:
            for name, values in parts.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)
    except ValueError as error:
        raise StudyError(
            f"the data cannot be saved without a pickle ({error}); let draw return arrays of "
            "numbers or words"
        ) from error
    except OSError as error:
        raise StudyError(f"cannot write to {path}: {error.strerror}") from error


def debug(study: Study, index: int, replicate: int) -> None:
    """Run one replicate again and open Python's debugger at the first exception in it.

    Parameters
    ----------
    study : Study
    index, replicate : int
        Numbers of scenario and replicate.
    """
    try:
        block(study, index, replicate, replicate + 1, strict=True)
    except STOPS:
        raise
    except BaseException as error:
        traceback.print_exception(error)
        pdb.post_mortem(error.__traceback__)
    else:
        print("nothing was raised: there is no place to open the debugger at")
