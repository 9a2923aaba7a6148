"""What replicate 0 of every scenario gave, kept so that rows of two studies are told apart.

Code says what a study is, up to what no syntax tree shows: an environment variable, a file whose
name is put together, a module imported by a computed name, the time. Whatever it is, replicate 0
gives another answer then.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.arrays import Array
from simstudy.design.study import Study
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.records.block import Block
from simstudy.status import Status
from simstudy.store.fingerprint import versions

CLOSE = 1e-6
"""Share of a standard error by which answers may differ where their last bits are the same."""

ELSEWHERE = 1e-3
"""The same for estimates where the last bits may be others: it changes no verdict."""

CAUSE = (
    "an environment variable, a file, a module whose name is put together, or the time decide what "
    "the study's code does"
)

MOST_LINES = 5

Answers = dict[str, dict[str, Any]]


@functools.cache
def bits() -> str:
    """Hash what decides the last bits of numbers here: the processor, libraries, versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    except OSError:
        processor = [platform.processor(), platform.node()]
    built = np.show_config(mode="dicts")
    content = [processor, platform.libc_ver(), built.get("Build Dependencies"), versions()]
    return hashlib.blake2b(json.dumps(content, default=str).encode(), digest_size=8).hexdigest()


def answers(study: Study, blocks: Mapping[int, Mapping[str, Block]], made: str) -> Answers:
    """Write the first replicates of blocks in plain values, by scenario and estimator.

    Parameters
    ----------
    study : Study
    blocks : mapping of int to mapping of str to Block
        By number of the scenario and name of the estimator.
    made : str
        What decided the last bits; "" where that is not known.
    """
    by_name = {estimator.name: estimator for estimator in study.estimators}
    plain = [e.name for e in study.estimators if isinstance(e, MaximumLikelihood) and e.as_is]
    return {
        study.scenarios[index].key: {
            name: {
                "bits": made,
                "plain": name in plain,
                "parameters": list(by_name[name].parameters),
                "fit": Status(int(block.audit["status"][0])).name,
                "estimate": _plain(block.estimate[0]),
                "methods": {
                    label: {
                        "status": Status(int(block.status[0, m])).name,
                        **{ends: _plain(getattr(block, ends)[0, m])
                           for ends in ("se", "lower", "upper")},
                    }
                    for m, label in enumerate(by_name[name].labels)
                },
            }
            for name, block in own.items()
        }
        for index, own in blocks.items()
    }  # fmt: skip


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Answers:
    """Return what is known together; where both know a scenario's estimator or method, the first.

    Examples
    --------
    >>> from simstudy.store.witness import merged
    >>> merged({"a": {"mle": {"bits": "", "methods": {"x": 1}}}},
    ...        {"a": {"mle": {"bits": "", "methods": {"x": 2, "y": 3}}}, "b": {}})
    {'a': {'mle': {'bits': '', 'methods': {'x': 1, 'y': 3}}}, 'b': {}}
    """
    every = {key: {**other.get(key, {}), **one.get(key, {})} for key in (*one, *other)}
    for key, own in every.items():
        for name, entry in own.items():
            also = other.get(key, {}).get(name)
            if also and also["bits"] == entry["bits"]:
                own[name] = entry | {"methods": also["methods"] | entry["methods"]}
    return every


def differing_answers(
    stored: Mapping[str, Any], now: Mapping[str, Any], *, fits: bool = True
) -> list[str]:
    """Name what two looks at the same replicates answered otherwise.

    Where their last bits are not known to be the same, the estimates of fits alone are compared:
    some methods (a plain optimizer's inverse Hessian, differences with a small step) answer what
    the last bits decide, as do estimators that take a plain optimizer's word.

    Parameters
    ----------
    stored, now : mapping
        As `answers` writes them; what one of them lacks is not compared.
    fits : bool
        Compare whether fits succeeded, too; otherwise only those that did.
    """
    found: list[str] = []
    for key, estimators in stored.items():
        for name, one in estimators.items():
            other = now.get(key, {}).get(name)
            if other is None:
                continue
            same = bool(one["bits"]) and one["bits"] == other["bits"]
            if one["plain"] and not same:
                continue
            where = f"scenario {key!r}, estimator {name!r}"
            if one["fit"] != other["fit"]:
                if fits:
                    found.append(_differs(f"{where}, the fit", one["fit"], other["fit"]))
                continue
            scale = _scale(one)
            edge = (CLOSE if same else ELSEWHERE) * scale
            found += _far(where, "estimate", one["parameters"], one, other, edge)
            if same:
                found += _methods(where, one, other, scale)
    return found


def refusal(folder: Path, lines: Sequence[str], newer: Sequence[str]) -> str:
    """Say that the study of a folder gives other answers than before, and what to do.

    Parameters
    ----------
    folder : Path
    lines : sequence of str
        As `differing_answers` returns them.
    newer : sequence of str
        Versions that changed.
    """
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    shown = "\n  ".join([*lines[:MOST_LINES], *more])
    why = f"other versions ({', '.join(newer)}), or {CAUSE}" if newer else CAUSE
    return (
        f"{folder} holds other answers than the study gives now, and results are never mixed:\n  "
        f"{shown}\nno code that can be seen was changed; it may be that "
        f"{why}. Give back what was changed, give another folder with --out, begin anew with "
        "--fresh, or go on with --accept-code where both answers are right"
    )


def _differs(where: str, stored: str, now: str) -> str:
    return f"replicate 0, {where}: first {stored}, now {now}"


def _methods(
    where: str, stored: Mapping[str, Any], now: Mapping[str, Any], scale: Array
) -> Iterator[str]:
    """Yield where methods that both know answered otherwise, of each the first number."""
    for label, one in stored["methods"].items():
        other = now["methods"].get(label, one)
        here = f"{where}, method {label!r}"
        if one["status"] != other["status"]:
            yield _differs(here, one["status"], other["status"])
            continue
        edge = np.abs(_numbers(one["se"]))
        edge[~np.isfinite(edge)] = scale[~np.isfinite(edge)]
        edge *= CLOSE
        for ends in ("se", "lower", "upper"):
            found = next(_far(here, ends, stored["parameters"], one, other, edge), None)
            if found:
                yield found
                break


def _scale(entry: Mapping[str, Any]) -> Array:
    """Return what errors of estimates are measured by: the least standard errors."""
    ses = [_numbers(m["se"]) for m in entry["methods"].values() if m["status"] == Status.ok.name]
    own = np.abs(_numbers(entry["estimate"]))
    least = np.min([np.where(se > 0, se, np.inf) for se in ses], axis=0) if ses else own
    return np.where(np.isfinite(least), least, own)


def _far(
    where: str,
    column: str,
    parameters: list[str],
    stored: Mapping[str, Any],
    now: Mapping[str, Any],
    edge: Array,
) -> Iterator[str]:
    """Yield the parameters whose numbers differ."""
    one, other = _numbers(stored[column]), _numbers(now[column])
    finite = np.isfinite(one) & np.isfinite(other)
    with np.errstate(invalid="ignore"):
        near = finite & (np.abs(one - other) <= edge + 1e-12 * np.abs(one))
    alike = near | (one == other) | (np.isnan(one) & np.isnan(other))
    for j in np.flatnonzero(~alike):
        here = f"{where}, {column} of {parameters[j]}"
        yield _differs(here, f"{one[j]:.10g}", f"{other[j]:.10g}")


def _plain(values: Array) -> list[Any]:
    """Write numbers; what JSON has no number for is a word."""
    return [float(v) if math.isfinite(v) else str(float(v)) for v in values]


def _numbers(values: list[Any]) -> Array:
    """Read what `_plain` wrote."""
    return np.array([float(value) for value in values])
