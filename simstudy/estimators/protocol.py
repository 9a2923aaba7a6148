"""What an estimator is: what it is asked, what it answers, and how answers are looked at."""

from __future__ import annotations

import functools
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.methods.protocol import Inference
from simstudy.records.block import AnswerError, Block, judged, numbers_due
from simstudy.status import Status
from simstudy.user_code.tracebacks import location
from simstudy.warning_capture import SEPARATOR


@dataclass(frozen=True, slots=True)
class Draws:
    """The data sets of a block, and what is asked of them.

    Attributes
    ----------
    replicates : (B,) int
    data : sequence of B data sets
        An exception in the place of a data set that could not be drawn.
    asked : (B, M) bool
        Which methods answer for which replicate.
    stream : callable
        `stream(replicate, purpose) -> numpy.random.Generator`.
    level : float
    strict : bool
        Let exceptions through instead of recording them as a status.
    heard : mapping of int to dict
        The kinds of warnings heard so far, by the place of the replicate in the block.
    """

    replicates: Sequence[int]
    data: Sequence[Data | Exception]
    asked: Array
    stream: Callable[[int, str], np.random.Generator]
    level: float
    strict: bool = False
    heard: dict[int, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    def stream_of(self, b: int) -> Callable[[str], np.random.Generator]:
        """Return the streams of one data set, by their purpose."""
        return functools.partial(self.stream, self.replicates[b])

    def part(self, rows: Sequence[int]) -> Draws:
        """Return some of the data sets, each with its own warnings."""
        heard: dict[int, dict[str, None]] = defaultdict(dict)
        heard |= {place: dict(self.heard[b]) for place, b in enumerate(rows) if b in self.heard}
        return replace(
            self,
            replicates=[self.replicates[b] for b in rows],
            data=[self.data[b] for b in rows],
            asked=self.asked[list(rows)],
            heard=heard,
        )


@runtime_checkable
class Estimator(Protocol):
    """What a study calls an estimator."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the p parameters it estimates."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its M methods."""

    def answer(self, draws: Draws) -> Block:
        """Answer for every data set of a block; a failure is a status, never a missing row."""


def write(block: Block, rows: Array, m: int, inference: Inference) -> None:
    """Put a method's answers into its rows, as far as they are answers (`judged`).

    Raises
    ------
    AnswerError
        When it is no `Inference`, or a shape or type is not the one due.
    """
    if not isinstance(inference, Inference):
        raise AnswerError(
            f"it returned {type(inference).__name__}; due is Inference(se, lower, upper, status)"
        )
    p = block.estimate.shape[1]
    shape = (p,) if len(rows) == 1 and np.ndim(inference.se) < 2 else (len(rows), p)
    ends = {name: getattr(inference, name) for name in ("se", "lower", "upper")}
    found = {name: numbers_due(f"its {name}", values, shape) for name, values in ends.items()}
    status = numbers_due("its status", inference.status, shape[:-1])
    if not np.isin(status, list(Status)).all():
        raise AnswerError(f"its status is {inference.status!r}; due is a simstudy.status.Status")
    block.status[rows, m] = status = judged(**found, status=status)
    for name, values in found.items():
        getattr(block, name)[rows, m] = np.where((status == Status.ok)[..., None], values, np.nan)
    block.audit["se_error"][rows] = np.fmax(block.audit["se_error"][rows], inference.error)


def checked(estimator: Estimator, draws: Draws, block: Block) -> Block:
    """Return an estimator's block, looked at like the answers of a method.

    Raises
    ------
    AnswerError
        When it is no `Block`, or an array has not the shape or type that is due.
    """
    who = f"estimator {estimator.name!r}"
    if not isinstance(block, Block):
        raise AnswerError(f"{who} answered with {type(block).__name__}; due is a Block")
    size = len(draws.replicates), len(estimator.labels), len(estimator.parameters)
    due = {"replicate": size[:1], "estimate": size[::2], "status": size[:2], "seconds": size[:2]}
    due |= dict.fromkeys(("se", "lower", "upper"), size)
    found = {
        name: numbers_due(f"{who}: {name}", getattr(block, name), shape)
        for name, shape in due.items()
    }
    answered = block.status == Status.ok
    status = judged(found["se"], found["lower"], found["upper"], block.status)
    lost = answered & ~np.isfinite(found["estimate"]).all(axis=-1)[:, None]
    status = np.where(lost, Status.not_finite, status).astype(np.int8)
    blank = (answered & (status != Status.ok))[..., None]
    ends = {name: np.where(blank, np.nan, found[name]) for name in ("se", "lower", "upper")}
    return Block.from_arrays(block.arrays() | ends | {"status": status})


def finished(block: Block, draws: Draws, messages: Sequence[str]) -> Block:
    """Mark what was not asked; add the messages, and the warnings that were heard."""
    block.status[~draws.asked] = Status.not_asked
    for values in (block.se, block.lower, block.upper):
        values[~draws.asked] = np.nan
    heard = [SEPARATOR.join(draws.heard[b]) for b in range(len(messages))]
    words = {"message": messages, "warnings": heard}
    found = {name: np.array(texts, dtype=np.str_) for name, texts in words.items()}
    return replace(block, audit=dict(block.audit) | found)


def describe(error: BaseException) -> str:
    """Say in one line what was raised, and where."""
    if isinstance(error, AnswerError):
        return str(error)
    where = location(traceback.extract_tb(error.__traceback__))
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:
        text = "(it cannot be written as text)"
    return f"{type(error).__name__}: {text}" + (f" ({where})" if where else "")
