"""Data sets: drawn from the stream of their names, and handed on so that nobody can change them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from simstudy.arrays import Data
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.streams import stream
from simstudy.warning_capture import suppressed_output


def draw(study: Study, scenario: Scenario, replicate: int) -> Data:
    """Draw one data set from the stream of its names."""
    rng = stream(study.seed, scenario.key, replicate, "data")
    return frozen(scenario.mechanism.draw(rng, **scenario.factors))


def example(study: Study, scenario: Scenario) -> Data:
    """Draw the first data set that can be drawn, of replicates 0 to 4."""
    with suppressed_output():
        for replicate in range(4):
            with contextlib.suppress(Exception):
                return draw(study, scenario, replicate)
        return draw(study, scenario, 4)


def frozen(data: Data) -> Data:
    """Return data whose arrays refuse to be changed: every estimator must see what was drawn.

    Floats of less than 64 bits become float64, exactly: functions of single precision differ
    between libraries, and so would the engines.
    """
    if isinstance(data, Mapping):
        return {name: frozen(values) for name, values in data.items()}
    if hasattr(data, "columns"):  # a table of pandas
        narrow = [name for name, kind in data.dtypes.items() if _narrow(kind)]
        return data.astype(dict.fromkeys(narrow, np.float64)) if narrow else data
    if hasattr(data, "dtype") and _narrow(data.dtype):
        data = data.astype(np.float64) if hasattr(data, "iloc") else np.asarray(data, np.float64)
    if isinstance(data, np.ndarray):
        data = data.view()
        data.setflags(write=False)
    return data


def _narrow(kind: Any) -> bool:
    """Tell whether a type of numbers is a float of less than 64 bits."""
    return getattr(kind, "kind", "") == "f" and kind.itemsize < 8
