"""What two runs must share to belong together: the study in plain values, with hashes of its code.

What is new extends a study; what was changed is named field by field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.design.loading import Reference
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.estimators.function import FunctionEstimator
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.estimators.protocol import Estimator
from simstudy.likelihood.supports import SHORT
from simstudy.user_code.code_hash import canonical_repr, hash_values
from simstudy.user_code.dependencies import hash_statements, modules
from simstudy.user_code.syntax import OTHER

SOURCE = "simstudy's source"
PACKAGES = ("simstudy", "numpy", "scipy", "pandas", "statsmodels", "joblib", "jax", "jaxlib")


def describe(study: Study, reference: Reference | None) -> dict[str, Any]:
    """Describe a study in plain values: what two runs must share to belong together.

    Code is hashed part by part, so that what is new can be told from what was changed.
    """
    known = [] if reference is None else [str(m.path) for m in modules(reference.path)]
    write = functools.partial(hash_values, known=known)
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
                "truth": {name: float(value) for name, value in study.truth(scenario).items()},
                "only": list(scenario.only),
                "code": write(
                    [scenario.mechanism.draw, scenario.mechanism.truth, *_texts(scenario)]
                ),
            }
            for scenario in study.scenarios
        ],
        "estimators": [_estimator(estimator, write) for estimator in study.estimators],
        "code": {} if reference is None else hash_statements(reference.path),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which the numbers depend, and a hash of our own.

    One that was patched has the version that it had before.
    """
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found | {SOURCE: _source()}


@functools.cache
def _source() -> str:
    """Hash the files of this package."""
    home = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(home.rglob("*.py")):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(home).as_posix()} {len(content)} ".encode() + content)
    return digest.hexdigest()


def renewed(
    stored: Mapping[str, str], now: Mapping[str, str], where: tuple[str, str] = ("stored", "now")
) -> list[str]:
    """Name the packages whose versions differ from those of the run before, or of elsewhere."""
    one, other = where
    return [
        f"{name}: {one} {stored.get(name, 'nothing')}, {other} {now.get(name, 'nothing')}"
        for name in {**stored, **now}
        if stored.get(name) != now.get(name)
    ]


def differences(
    stored: Mapping[str, Any], asked: Mapping[str, Any], *, code: bool = True
) -> list[str]:
    """Name the fields in which a stored study differs from the one asked for, with both values.

    More replicates, scenarios, estimators and methods extend a study, as do statements that bind
    new names in its file. Aims are words.

    Parameters
    ----------
    stored, asked : mapping
        As `describe` returns them.
    code : bool
        Compare code too.
    """
    lines: list[str] = []

    def compare(where: str, before: Any, now: Any) -> None:
        # as text: nan differs from itself
        one, other = ("nothing" if v is None else repr(v) for v in (before, now))
        if one != other:
            lines.append(f"{where}: stored {one}, asked {other}")

    def compare_parts(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name, value in before.items():
            compare(f"{where}, {name!r}", value, now.get(name))

    for name in ("name", "seed", "level"):
        compare(name, stored.get(name), asked[name])
    if code:
        compare_parts("code", {OTHER: None} | dict(stored["code"]), asked["code"])
    known = [entry["name"] for entry in stored["estimators"]]
    labels = {label for entry in stored["estimators"] for label in entry["methods"]}
    fewer = [{label: study["fewer"].get(label) for label in sorted(labels)}
             for study in (stored, asked)]  # fmt: skip
    compare_parts("fewer", *fewer)
    for name, key in (("scenarios", "key"), ("estimators", "name")):
        now = {entry[key]: entry for entry in asked[name]}
        for before in stored[name]:
            label = f"{name}, {before[key]!r}"
            if before[key] not in now:
                lines.append(f"{label}: stored, but not asked for")
                continue
            after = now[before[key]]
            both = [one for one in before.get("methods", ()) if one in after.get("methods", ())]
            one, other = (_comparable(entry, known, both) for entry in (before, after))
            for method in before.get("methods", ()):
                if "made" in before and method not in both:
                    lines.append(f"{label}, method {method!r}: stored, but not asked for")
            for field in one | other:
                if code or not field.startswith("code"):
                    compare(f"{label}, {field}", one.get(field), other.get(field))
    return lines


def _comparable(
    entry: Mapping[str, Any], known: Sequence[str], both: Sequence[str]
) -> dict[str, Any]:
    """Leave out of a scenario or an estimator what came with an extension, or is told elsewhere."""
    comparable = dict(entry)
    if "only" in entry:
        comparable["only"] = [name for name in known if not entry["only"] or name in entry["only"]]
    comparable.pop("since", None)
    for field in ("made", "code of methods"):
        found = comparable.pop(field, {})
        comparable |= {f"{field}, {label!r}": found[label] for label in both if label in found}
    if "made" in entry:
        comparable["methods"] = [label for label in entry["methods"] if label in both]
    return comparable


def _texts(scenario: Scenario) -> list[str]:
    """List the factors that may name a file."""
    return [value for value in scenario.factors.values() if isinstance(value, str)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _estimator(estimator: Estimator, write: Callable[[Any], str]) -> dict[str, Any]:
    """Describe an estimator in plain values."""
    code: list[Any] = [estimator]
    if isinstance(estimator, FunctionEstimator):
        code = [estimator.estimate]
    elif isinstance(estimator, MaximumLikelihood):
        model = estimator.model
        handed = [getattr(model, field.name) for field in dataclasses.fields(model)]
        code = [value for value in handed if callable(value)]
        code += list(model.estimands.values())
        code += [support for support in model.supports if support.name not in SHORT]
    entry: dict[str, Any] = {
        "name": estimator.name,
        "parameters": list(estimator.parameters),
        "methods": list(estimator.labels),
        "code": write(code),
    }
    if isinstance(estimator, MaximumLikelihood):
        entry |= {
            "model": estimator.model.name,
            "supports": [support.name for support in estimator.model.supports],
            "optimizer": estimator.optimizer,
            "as_is": estimator.as_is,
            **({"restarts": estimator.restarts} if estimator.restarts else {}),
            "made": {method.name: canonical_repr(method) for method in estimator.methods},
            "code of methods": {
                method.name: write([method, *method.sources]) for method in estimator.methods
            },
        }
    return entry
