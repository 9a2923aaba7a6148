"""What holds for every test: no display, JAX on the CPU, the same Hypothesis examples each time."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from hypothesis import settings

# programs that made the reference values: kept to be read and rerun, not to be imported
collect_ignore_glob = ["reference/*"]

# derandomize: a test that fails must fail again; no deadline: the machine may be busy
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")
