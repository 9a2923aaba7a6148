"""What two runs must share to belong together: the study in plain values, with a hash of its code.

Comments, layout and docstrings do not count, nor does what is compared field by field. Functions
count with all that they are bound to: closures, defaults, arguments of a partial.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from simstudy.estimators import Estimator, MaximumLikelihood
from simstudy.study import Reference, Study

PACKAGES = ("simstudy", "numpy", "scipy", "pandas", "statsmodels", "joblib", "jax", "jaxlib")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe(study: Study, reference: Reference | None) -> dict[str, Any]:
    """Describe a study in plain values: what two runs must share to belong together."""
    return {
        "name": study.name,
        "aims": study.aims,
        "seed": int(study.seed),
        "level": float(study.level),
        "replicates": int(study.replicates),
        "fewer": {label: int(count) for label, count in study.fewer.items()},
        "scenarios": [
            {
                "key": scenario.key,
                "mechanism": scenario.mechanism.name,
                "factors": {name: _plain(value) for name, value in scenario.factors.items()},
                "truth": {name: float(value) for name, value in scenario.truth.items()},
                "only": list(scenario.only),
            }
            for scenario in study.scenarios
        ],
        "estimators": [_estimator(estimator) for estimator in study.estimators],
        "code": code(study, reference),
    }


def code(study: Study, reference: Reference | None) -> str:
    """Hash the study's code: its file without the STUDY statement, and what it hands over."""
    digest = hashlib.blake2b(digest_size=8)
    path = "" if reference is None else reference.path
    if reference is not None:
        tree = ast.parse(Path(path).read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]):
                del body[0]
        statements = [node for node in tree.body if _is_study(node)]
        tree.body = [node for node in tree.body if not _is_study(node)]
        digest.update(ast.dump(tree).encode())
        for node in (node for statement in statements for node in ast.walk(statement)):
            if isinstance(node, ast.Lambda):
                digest.update(ast.dump(node).encode())
    for words in sorted({_words(function, path) for function in _functions(study)}):
        digest.update(words.encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which the numbers depend."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Name the fields in which a stored study differs from the one asked for, with both values.

    Replicates may differ: more of them extend a study. Aims are words.
    """
    lines = []
    for name in ("name", "seed", "level", "fewer", "code"):
        if stored.get(name) != asked[name]:
            lines.append(f"{name}: stored {stored.get(name)!r}, asked {asked[name]!r}")
    for name, key in (("scenarios", "key"), ("estimators", "name")):
        before = {entry[key]: entry for entry in stored.get(name, [])}
        now = {entry[key]: entry for entry in asked[name]}
        for label in before | now:
            # as text too: nan differs from itself
            if before.get(label) != now.get(label) and _short(before.get(label)) != _short(
                now.get(label)
            ):
                lines.append(
                    f"{name}, {label!r}: stored {_short(before.get(label))}, "
                    f"asked {_short(now.get(label))}"
                )
    return lines


def _short(entry: Mapping[str, Any] | None) -> str:
    return (
        "nothing" if entry is None else json.dumps({k: v for k, v in entry.items() if k != "key"})
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _estimator(estimator: Estimator) -> dict[str, Any]:
    """Describe an estimator in plain values."""
    entry: dict[str, Any] = {
        "name": estimator.name,
        "parameters": list(estimator.parameters),
        "methods": list(estimator.labels),
    }
    if isinstance(estimator, MaximumLikelihood):
        entry |= {
            "model": estimator.model.name,
            "supports": list(estimator.model.supports),
            "optimizer": estimator.optimizer,
            "as_is": estimator.as_is,
            "made": [_ADDRESS.sub("", repr(method)) for method in estimator.methods],
        }
    return entry


def _functions(study: Study) -> Iterator[Any]:
    """Go through the functions that a study hands over."""
    for scenario in study.scenarios:
        yield scenario.mechanism.draw
        yield scenario.mechanism.truth
    for estimator in study.estimators:
        model = getattr(estimator, "model", None)
        for name in ("start", "loglik", "score", "hessian"):
            yield getattr(model, name, None)
        yield getattr(estimator, "estimate", None)
        for method in getattr(estimator, "methods", ()):
            yield method
            yield from method.sources


def _words(value: Any, path: str, seen: frozenset[CodeType] = frozenset()) -> str:
    """Write a value in words that are the same in the next process.

    A function is its code and what binds it; where its code stands in the study's file, at `path`,
    or comes with a package, what binds it is enough.
    """
    write = functools.partial(_words, path=path, seen=seen)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype} {value.shape} {hashlib.blake2b(value.tobytes()).hexdigest()}"
    if isinstance(value, functools.partial):
        return write([value.func, *value.args, value.keywords])
    if isinstance(value, Mapping):
        return str(sorted(f"{name}: {write(held)}" for name, held in value.items()))
    if isinstance(value, list | tuple):
        return str([write(held) for held in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return write([type(value).__qualname__, type(value), fields])
    if isinstance(value, type):
        return f"{value.__qualname__} {write(value.__dict__.get('__call__'))}"
    function = inspect.unwrap(value) if callable(value) else value
    compiled = getattr(function, "__code__", None)
    if compiled is None:
        return _ADDRESS.sub("", repr(value)) + (write(type(value)) if callable(value) else "")
    if compiled in seen:
        return str(compiled.co_name)
    write = functools.partial(_words, path=path, seen=seen | {compiled})
    bound: list[Any] = [function.__defaults__, function.__kwdefaults__]
    bound += [cell.cell_contents for cell in function.__closure__ or ()]
    module = function.__module__ or ""
    if module.startswith("simstudy.") or "site-packages" in compiled.co_filename:
        return f"{module}.{function.__qualname__} {write(bound)}"
    if compiled.co_filename == path:
        return write(bound)
    known = function.__globals__
    bound += [known[name] for name in compiled.co_names if _is_own(known.get(name), known)]
    return f"{_compiled(compiled, function.__doc__)} {write(bound)}"


def _is_own(value: Any, known: Mapping[str, Any]) -> bool:
    """Tell whether a global is a plain value, or a function written beside the one that uses it."""
    plain = isinstance(value, bool | int | float | str | np.ndarray)
    return plain or getattr(value, "__globals__", None) is known


def _compiled(compiled: CodeType, docstring: str | None) -> str:
    """Write compiled code without its docstring and without line numbers."""
    constants = [
        _compiled(constant, None) if isinstance(constant, CodeType) else repr(constant)
        for constant in compiled.co_consts
        if docstring is None or constant != docstring
    ]
    return f"{compiled.co_code.hex()} {compiled.co_names} {constants}"


def _is_docstring(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def _is_study(node: ast.AST) -> bool:
    targets = [*getattr(node, "targets", ()), getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(
        getattr(target, "id", "") == "STUDY" for target in targets
    )
