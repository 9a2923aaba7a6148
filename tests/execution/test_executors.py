"""Executors that somebody gives: what their workers run is compared, and threads are not ended."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

import simstudy
from simstudy import MaximumLikelihood, Result, Study, grid, load
from simstudy.errors import StudyError
from simstudy.execution.runner import run
from simstudy.methods import OBSERVED
from simstudy.models import exponential
from simstudy.store import fingerprint

STUDY = Study(
    "rates",
    grid(exponential.MECHANISM, n=[5, 10], rate=1.0),
    [MaximumLikelihood(exponential.MODEL, [OBSERVED])],
    replicates=12,
    seed=3,
)


def execute(folder, executor=None, **options):
    return run(STUDY, out=folder, jobs=1, quiet=True, engine="loop", size=3, executor=executor,
               **options)  # fmt: skip


def rows(folder):
    return Result(folder).table()


@contextmanager
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def dask_threads():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.mark.parametrize("workers", [threads, dask_threads])
def test_a_time_limit_is_refused_where_it_would_end_this_process(tmp_path, workers):
    with workers() as executor:
        says = r"runs tasks in this process \(threads\).*leave timeout out, or give an executor"
        with pytest.raises(StudyError, match=says):
            execute(tmp_path / "r", executor, timeout=30.0)
        assert not (tmp_path / "r").exists()
        assert execute(tmp_path / "r", executor).done == 24


def test_a_time_limit_holds_in_processes_of_ones_own(tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert execute(tmp_path / "r", executor, timeout=30.0).done == 24


@contextmanager
def elsewhere(folder, package):
    """Start a Dask cluster of one worker, in a folder and with a simstudy of its own."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        words = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address,
                 "--nthreads", "1", "--no-dashboard"]  # fmt: skip
        worker = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(package)}, cwd=folder,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            client.wait_for_workers(1, timeout=60)
            yield client.get_executor()
        finally:
            worker.terminate()
            worker.wait(30)


@pytest.fixture
def patched(tmp_path):
    """Start a Dask cluster of one worker whose simstudy doubles a standard error."""
    home = tmp_path / "patched"
    shutil.copytree(Path(simstudy.__file__).parent, home / "simstudy")
    file = home / "simstudy" / "likelihood" / "curvature.py"
    content = file.read_text()
    assert content.count("np.sqrt(") > 0
    file.write_text(content.replace("np.sqrt(", "2 * np.sqrt("))
    with elsewhere(tmp_path, home) as executor:
        yield executor


LAZY = """
from simstudy import MaximumLikelihood, Mechanism, Study, grid
from simstudy.methods import OBSERVED
from simstudy.models import exponential
def draw(rng, n, rate):
    from lib.waiting import times
    return times(rng, n, rate)
STUDY = Study("lazy", grid(Mechanism("m", draw, lambda n, rate: {"rate": rate}), n=5, rate=1.0),
              [MaximumLikelihood(exponential.MODEL, [OBSERVED])], replicates=12, seed=3)
"""


def test_modules_that_a_function_imports_travel_to_workers_without_files(tmp_path):
    """Also those that these import, of packages, where two runs have changed them in between."""
    home, far = tmp_path / "home", tmp_path / "far"
    (home / "lib").mkdir(parents=True)
    far.mkdir()
    (home / "lazy.py").write_text(LAZY)
    (home / "lib" / "__init__.py").write_text("")
    (home / "lib" / "waiting.py").write_text(
        "def times(rng, n, rate):\n    from .units import UNIT\n"
        "    return rng.exponential(UNIT / rate, n)\n"
    )
    package = Path(simstudy.__file__).parents[1]
    with elsewhere(far, package) as executor:
        for unit in (1.0, 2.0):
            (home / "lib" / "units.py").write_text(f"UNIT = {unit}\n")
            study, reference = load(home / "lazy.py")
            where = {"engine": "loop", "quiet": True, "jobs": 1, "size": 3}
            run(study, out=tmp_path / f"far{unit}", reference=reference, executor=executor, **where)
            run(study, out=tmp_path / f"near{unit}", reference=reference, **where)
            found, expected = rows(tmp_path / f"far{unit}"), rows(tmp_path / f"near{unit}")
            assert_frame_equal(found, expected, check_exact=True)
            assert (found["status"] == "ok").all()


def test_workers_with_another_simstudy_are_refused_or_accepted_by_name(tmp_path, patched):
    folder = tmp_path / "r"
    differs = r"simstudy's source: here [0-9a-f]{12}, on a worker [0-9a-f]{12}"
    with pytest.raises(StudyError, match=f"never mixed:\n  {differs}\n.*--accept-versions"):
        execute(folder, patched)
    assert not folder.exists()
    execute(folder, patched, accept_versions=True)
    (line,) = Result(folder).manifest()["accepted"]
    assert line.startswith("simstudy's source: here ")
    execute(tmp_path / "alone")
    assert not rows(folder).equals(rows(tmp_path / "alone"))


class Growing(Executor):
    """Answers here; from the fifth task on as a worker that came later, with another NumPy."""

    tasks = 0

    def submit(self, call, /, *arguments):
        self.tasks += 1
        future, versions = Future(), simstudy.execution.executors.versions
        with pytest.MonkeyPatch.context() as patched:
            if self.tasks > 4:  # one question, and what is in flight at first
                other = {**versions(), "numpy": "1.0"}
                patched.setattr(simstudy.execution.executors, "versions", lambda: other)
            try:
                future.set_result(call(*arguments))
            except Exception as error:
                future.set_exception(error)
        return future


def test_a_worker_that_comes_later_is_compared_with_its_first_task(tmp_path):
    folder = tmp_path / "r"
    with pytest.raises(StudyError, match=r"numpy: here .*, on a worker 1\.0"):
        execute(folder, Growing())
    assert 0 < len(rows(folder)) < 24
    assert Result(folder).manifest()["accepted"] == []
    execute(folder, Growing(), accept_versions=True)
    (line,) = Result(folder).manifest()["accepted"]
    assert line.endswith("on a worker 1.0")
    execute(tmp_path / "alone")
    assert_frame_equal(rows(folder), rows(tmp_path / "alone"))


class Deaf(Executor):
    """An executor whose workers know no simstudy."""

    def submit(self, call, /, *arguments):
        raise ModuleNotFoundError("No module named 'simstudy'")


def test_workers_that_cannot_say_what_they_run_are_refused(tmp_path):
    says = "no worker can say what it runs .*No module named 'simstudy'.*must be installed there"
    with pytest.raises(StudyError, match=says):
        execute(tmp_path / "r", Deaf())


def test_the_hash_of_the_source_sees_a_patch_that_leaves_the_version(tmp_path, monkeypatch):
    home = tmp_path / "simstudy"
    shutil.copytree(Path(simstudy.__file__).parent, home)

    def source():
        fingerprint._source.cache_clear()
        return fingerprint.versions()[fingerprint.SOURCE]

    with monkeypatch.context() as elsewhere:
        before = source()
        elsewhere.setattr(fingerprint, "__file__", str(home / "store" / "fingerprint.py"))
        assert source() == before
        (home / "arrays.py").write_bytes((home / "arrays.py").read_bytes() + b"\n")
        assert source() != before
    assert source() == before
