"""What a worker needs, imported once by the server that workers are forked from."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os

from simstudy.processes import guardian

guardian.end_with_parent()
gc.disable()  # until all is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no thread that a fork would lose

import joblib.externals.loky  # noqa: E402, F401

import simstudy.execution.first_look  # noqa: E402
import simstudy.execution.work  # noqa: E402
from simstudy.engines import programs  # noqa: E402

if importlib.util.find_spec("jax") is not None:
    import simstudy.engines.batched  # noqa: F401

    with contextlib.suppress(Exception):  # who needs it will say what is wrong with it
        programs.load()

gc.enable()
gc.freeze()  # what is here stays: workers share its memory, and never search it
