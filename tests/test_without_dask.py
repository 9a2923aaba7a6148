"""Without Dask nothing changes but --dask, which says what to install."""

import sys

import pytest

from simstudy.errors import StudyError
from simstudy.execution.dask_cluster import connected


def test_dask_that_is_not_installed_is_told(monkeypatch):
    for name in ("dask", "distributed", *sys.modules):
        if name.split(".")[0] in ("dask", "distributed"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StudyError, match=r"pip install 'simstudy\[dask\]'"), connected("local", 1):
        pass
