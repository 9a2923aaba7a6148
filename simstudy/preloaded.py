"""What a worker needs, imported once by the server that workers are forked from."""

from __future__ import annotations

import contextlib
import importlib.util
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no thread that a fork would lose

import joblib.externals.loky  # noqa: F401

import simstudy.run
from simstudy import programs, workers

workers.end_with_parent()

if importlib.util.find_spec("jax") is not None:
    import simstudy.batched  # noqa: F401

    with contextlib.suppress(Exception):  # who needs it will say what is wrong with it
        programs.load()
