"""simstudy tells which standard errors can be trusted."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Answer": "estimators",
    "FunctionEstimator": "estimators",
    "MaximumLikelihood": "estimators",
    "Mechanism": "design.mechanism",
    "Model": "likelihood.model",
    "Options": "execution.options",
    "Result": "result",
    "Scenario": "design.scenario",
    "Study": "design.study",
    "StudyError": "errors",
    "execute": "execution.runner",
    "grid": "design.scenario",
    "interval": "likelihood.supports",
    "load": "design.loading",
    "performance": "evidence.performance",
    "preflight": "execution.plan",
    "run": "running",
    "validate": "design.checks",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `simstudy --help` stays quick."""
    if name not in _WHERE:
        raise AttributeError(f"module 'simstudy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simstudy.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
