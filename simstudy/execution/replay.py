"""One replicate again: in words, as a file of its data, or in the debugger where it raises."""

from __future__ import annotations

import pdb
import traceback
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from simstudy.arrays import Array, Data, observations
from simstudy.design.drawing import draw
from simstudy.design.loading import Reference
from simstudy.design.study import Study
from simstudy.engines.loop import block, draws_of
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood, fitted_of
from simstudy.estimators.protocol import Draws, describe
from simstudy.files.writing import atomic_path
from simstudy.likelihood.fit import Fit
from simstudy.methods.covariance import place_of
from simstudy.methods.optimizer import OptimizerInverse
from simstudy.methods.protocol import Fitted, Source
from simstudy.methods.resampling import Bootstrap
from simstudy.methods.wald import Wald
from simstudy.records.block import Block, Cell
from simstudy.status import Status
from simstudy.store.fingerprint import describe as describe_study
from simstudy.store.fingerprint import differences, renewed, versions
from simstudy.store.journal import Store
from simstudy.user_code.time_limit import STOPS

MOST_LINES = 12


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

            answered, fit_of = batched.block, batched.fit_of
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
    return fitted_of(draws, 0, target, estimator.fit(target)), {}


def _matrices(
    estimator: MaximumLikelihood, fitted: Fitted, found: dict[Source, Any], status: Array
) -> dict[tuple[str, str], Array]:
    """Return the covariance matrix of each method that answered and has one."""
    matrices = {}
    for m, method in enumerate(estimator.methods):
        if status[m] in (Status.method_error, Status.not_asked):
            continue
        sourced = tuple(
            found[source] if source in found else source(fitted) for source in method.sources
        )
        if isinstance(method, Wald):
            value = method.matrix(place_of(fitted.fit), sourced)[0]
        elif isinstance(method, OptimizerInverse):
            value = sourced[0].inverse
        elif isinstance(method, Bootstrap):
            value = _spread(sourced[0])
        else:
            continue
        matrices[estimator.name, method.name] = value
    return matrices


def _spread(refits: Array) -> Array:
    """Covariance of the refits that succeeded."""
    return np.atleast_2d(np.cov(refits[np.isfinite(refits).all(axis=-1)], rowvar=False))


def show(study: Study, index: int, replicate: int, again: Replay | None = None) -> str:
    """Describe one replicate, run again with the same numbers.

    Parameters
    ----------
    study : Study
    index, replicate : int
        Numbers of scenario and replicate.
    again : Replay, optional
        Where it was run already; by the loop engine otherwise.
    """
    again = again or replay(study, index, replicate)
    scenario = study.scenarios[index]
    lines = [
        f"{study.name}, scenario {index} ({scenario.key}), replicate {replicate}, seed "
        f"{study.seed}",
        "truth  " + ", ".join(f"{name} {value:g}" for name, value in scenario.truth.items()),
        "",
        *_data(again.data),
    ]
    for estimator in study.answering(scenario):
        answer = again.blocks[estimator.name]
        lines += ["", f"estimator {estimator.name}", *_fit(answer, again.fits[estimator.name])]
        for m, label in enumerate(estimator.labels):
            matrix = again.matrices.get((estimator.name, label))
            lines += ["", *_method(answer, m, label, tuple(estimator.parameters), matrix)]
    return "\n".join(lines)


def unlike_stored(
    study: Study,
    reference: Reference | None,
    index: int,
    replicate: int,
    again: Replay,
    store: Store,
) -> list[str] | None:
    """Hold a replicate that was run again against its stored rows, bit for bit.

    Parameters
    ----------
    study : Study
    reference : Reference, optional
        Its file.
    index, replicate : int
        Numbers of scenario and replicate.
    again : Replay
        By the engine that the store was begun with.
    store : Store

    Returns
    -------
    list of str or None
        None where nothing of it is stored; nothing where all is the same; else what differs, and
        after it what changed since.
    """
    stored = store.rows(study.scenarios[index].key, replicate)
    if not stored:
        return None
    lines = [
        line
        for cell, block in stored
        for line in _unlike(cell, block, again.blocks.get(cell.estimator), study)
    ]
    if not lines:
        return []
    more = [f"  and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    manifest = store.manifest()
    changed = differences(manifest["study"], describe_study(study, reference))
    changed += renewed(manifest["versions"], versions())
    changed += [f"{line} (an earlier run went on in spite of it)" for line in manifest["accepted"]]
    why = ["what changed:", *(f"  {line}" for line in changed)] if changed else [
        "no code, data file or version that simstudy knows of changed: the study takes numbers "
        "from elsewhere, such as a clock, a file or a generator of its own, or the row was written "
        "on another machine"
    ]  # fmt: skip
    return [*(f"  {line}" for line in lines[:MOST_LINES]), *more, *why]


def _unlike(cell: Cell, stored: Block, again: Block | None, study: Study) -> list[str]:
    """Name the numbers of one estimator that differ, with both."""
    if again is None:
        return [f"{cell.estimator}: stored, but not asked for"]
    estimator = next(e for e in study.estimators if e.name == cell.estimator)
    if tuple(estimator.parameters) != cell.parameters:
        return [f"{cell.estimator}: parameters stored {cell.parameters}, now "
                f"{tuple(estimator.parameters)}"]  # fmt: skip
    lines, seen = [], False
    for m, label in enumerate(cell.methods):
        if stored.status[0, m] == Status.not_asked or label not in estimator.labels:
            continue
        k = estimator.labels.index(label)
        words = [Status(int(block.status[0, at])).name for block, at in ((stored, m), (again, k))]
        if words[0] != words[1]:
            lines.append(f"{cell.estimator}, {label}: stored {words[0]}, now {words[1]}")
        for j, name in enumerate(cell.parameters):
            pairs = {"se": (stored.se[0, m, j], again.se[0, k, j]),
                     "lower": (stored.lower[0, m, j], again.lower[0, k, j]),
                     "upper": (stored.upper[0, m, j], again.upper[0, k, j])}  # fmt: skip
            if not seen:
                pairs = {"estimate": (stored.estimate[0, j], again.estimate[0, j])} | pairs
            lines += [
                f"{cell.estimator}, {label}, {name}, {what}: stored {float(one)!r}, now "
                f"{float(other)!r}"
                for what, (one, other) in pairs.items()
                if float(one).hex() != float(other).hex()
            ]
        seen = True
    return lines


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


def _data(data: Data | Exception) -> list[str]:
    """Summarize the data set."""
    if isinstance(data, Exception):
        return [f"data   none: {describe(data)}"]
    parts = data if isinstance(data, Mapping) else {"data": data}
    lines = [f"data   {observations(data)} observations"]
    for name, values in parts.items():
        array = np.asarray(values)
        text = f"  {name} {array.dtype} {array.shape}"
        if array.dtype.kind in "fiub" and array.size:
            low, middle, high = np.quantile(array, [0, 0.5, 1])
            text += f": min {low:g}, median {middle:g}, mean {array.mean():g}, max {high:g}"
        lines.append(text)
    return lines


def _fit(block: Block, fit: Fit | None) -> list[str]:
    """Describe the fit."""
    status = Status(int(block.audit["status"][0]))
    lines = [f"  fit: {status.name}. {status.sentence}"]
    if block.audit["message"][0]:
        lines.append(f"  message: {block.audit['message'][0]}")
    if block.audit["warnings"][0]:
        lines.append(f"  warnings: {block.audit['warnings'][0]}")
    if fit is not None:
        lines += [
            f"  theta {_row(fit.theta)}",
            f"  log-likelihood {fit.loglik:.10g}, EDM {fit.edm:.3g}, optimizer's own flag "
            f"{'success' if fit.success else 'failed'}",
            f"  unit-diagonal Hessian: smallest eigenvalue {fit.smallest:.3g}, condition "
            f"{fit.condition:.3g}; {fit.iterations} iterations, {fit.evaluations} evaluations",
        ]
    return lines


def _method(block: Block, m: int, label: str, names: tuple[str, ...], matrix: Any) -> list[str]:
    """Describe a method's answer."""
    status = Status(int(block.status[0, m]))
    lines = [f"  {label}: {status.name}. {status.sentence}"]
    if matrix is not None:
        lines += ["    covariance " + _row(row) for row in np.atleast_2d(matrix)]
    if status == Status.ok:
        lines += [
            f"    {name}: se {block.se[0, m, j]:.10g}, interval [{block.lower[0, m, j]:.10g}, "
            f"{block.upper[0, m, j]:.10g}]"
            for j, name in enumerate(names)
        ]
    return lines


def _row(values: Any) -> str:
    return " ".join(f"{value:16.10g}" for value in np.asarray(values, dtype=float))
