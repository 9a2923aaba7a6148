"""Without pyarrow the rows are written as CSV, and nothing else changes."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import simstudy
from simstudy import Result

# In a process of its own: pandas decides at its import whether it uses pyarrow.
SCRIPT = """
import sys

for name in ("pyarrow", "fastparquet") if sys.argv[3] == "without" else ():
    sys.modules[name] = None  # its import fails, and find_spec finds nothing
from simstudy import MaximumLikelihood, Study, grid, run
from simstudy.methods import OBSERVED
from simstudy.models import exponential

study = Study("rates", grid(exponential.MECHANISM, n=10, rate=1.0),
              [MaximumLikelihood(exponential.MODEL, [OBSERVED])],
              replicates=int(sys.argv[2]), seed=1)
run(study, out=sys.argv[1], jobs=1, quiet=True, engine="loop").report()
"""


def written(folder, replicates, how):
    """Run up to so many replicates and write the report; return the names of the files."""
    home = Path(simstudy.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(replicates), how],
        env=os.environ | {"PYTHONPATH": str(home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.name for path in folder.iterdir()}


def test_the_rows_are_written_as_csv(tmp_path):
    names = written(tmp_path / "r", 4, "without")
    assert {"replicates.csv", "audit.csv", "report.html"} <= names
    assert not {"replicates.parquet", "audit.parquet"} & names
    table = Result(tmp_path / "r").table()
    rows = pd.read_csv(tmp_path / "r" / "replicates.csv")
    assert list(rows) == list(table)
    for name in ("estimate", "se", "lower", "upper", "truth", "replicate", "n"):
        assert_array_equal(rows[name], table[name], err_msg=name)
    for name in ("scenario", "estimator", "method", "parameter", "status"):
        assert rows[name].tolist() == table[name].astype(str).tolist()


def test_rows_of_another_kind_do_not_stay_beside_newer_ones(tmp_path):
    """A study begun with pyarrow, extended without it, and with it again."""
    pytest.importorskip("pyarrow")
    kinds = {"with": "parquet", "without": "csv"}
    for replicates, how in (4, "with"), (5, "without"), (6, "with"):
        names = written(tmp_path / "r", replicates, how)
        rows = {name for name in names if name.startswith(("replicates.", "audit."))}
        assert rows == {f"replicates.{kinds[how]}", f"audit.{kinds[how]}"}
    assert pd.read_parquet(tmp_path / "r" / "replicates.parquet")["replicate"].max() == 5
