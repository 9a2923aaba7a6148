"""Without pyarrow the rows are written as CSV, and nothing else changes."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from numpy.testing import assert_array_equal

import simstudy
from simstudy import Result

# In a process of its own: pandas decides at its import whether it uses pyarrow.
SCRIPT = """
import sys

for name in ("pyarrow", "fastparquet"):
    sys.modules[name] = None  # its import fails, and find_spec finds nothing
from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED
from simstudy.models import exponential

study = Study("rates", grid(exponential.MECHANISM, n=10, rate=1.0),
              [MaximumLikelihood(exponential.MODEL, [OBSERVED])], replicates=4, seed=1)
study.run(out=sys.argv[1], jobs=1, quiet=True, engine="loop").report()
assert sys.modules["pyarrow"] is None
"""


def test_the_rows_are_written_as_csv(tmp_path):
    home = Path(simstudy.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "r")],
        env=os.environ | {"PYTHONPATH": str(home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert {"replicates.csv", "audit.csv", "report.html"} <= names
    assert not {"replicates.parquet", "audit.parquet"} & names
    table = Result(tmp_path / "r").table()
    rows = pd.read_csv(tmp_path / "r" / "replicates.csv")
    assert list(rows) == list(table)
    for name in ("estimate", "se", "lower", "upper", "truth", "replicate", "n"):
        assert_array_equal(rows[name], table[name], err_msg=name)
    for name in ("scenario", "estimator", "method", "parameter", "status"):
        assert rows[name].tolist() == table[name].astype(str).tolist()
