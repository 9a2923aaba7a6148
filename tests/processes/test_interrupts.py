"""One Ctrl-C or SIGTERM ends the command within three seconds, whatever it is doing.

`make chaos` does this at many more moments, with more workers.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simstudy.command import main as cli

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="watches processes in /proc"),
]
BOUND = 3.0
FILE = '''"""A study that takes its time."""
import ctypes
import os
import time
from collections import deque
from itertools import repeat

from simstudy import MaximumLikelihood, Mechanism, Scenario, Study
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential


def draw(rng, n):
    replicate = int(rng.bit_generator.state["state"]["counter"][2])
    if replicate == int(os.environ.get("HANGS", -1)):
        deque(repeat(None, 10**12), maxlen=0)  # in C, with the interpreter's lock
    if replicate == int(os.environ.get("FAULT", -1)):
        ctypes.string_at(0)
    if replicate == int(os.environ.get("ENDS", -1)):
        os._exit(9)
    time.sleep(0.002)
    return rng.exponential(size=n)


STUDY = Study(
    "slow",
    [Scenario(Mechanism("slow", draw, lambda n: {"rate": 1.0}), {"n": n}) for n in (5, 6)],
    [MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG])],
    replicates=20_000,
    seed=4,
)
'''


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(FILE)
    (tmp_path / "tmp").mkdir()
    return path


def start(path, *options, **environment):
    command = [sys.executable, "-m", "simstudy", "run", str(path), "--out", str(path.parent / "r"),
               *map(str, options)]  # fmt: skip
    places = {"PYTHONPATH": str(Path(cli.__file__).parents[1]), "TMPDIR": str(path.parent / "tmp")}
    return subprocess.Popen(
        command, env=os.environ | places | environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def session(leader):
    """List the command lines of the processes of a session that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == leader and state not in "ZX":
                found.append(stat.with_name("cmdline").read_text())
    return found


def stopped(path, process, how, group):
    """Interrupt a run; return its last words once it is held against all that is promised."""
    (os.killpg if group else os.kill)(process.pid, how)
    sent = time.monotonic()
    try:
        _, said = process.communicate(timeout=20)
        took = time.monotonic() - sent
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert took < BOUND
    assert process.returncode == 130
    assert "Traceback" not in said
    late = time.monotonic() + 2  # for what tidies up semaphores
    while session(process.pid) and time.monotonic() < late:
        time.sleep(0.02)
    assert session(process.pid) == []
    assert list((path.parent / "tmp").iterdir()) == []
    assert not list(path.parent.glob("r/.lock*"))
    return said


@pytest.mark.parametrize(
    ("after", "jobs", "engine", "how", "group"),
    [
        (0.3, 2, "loop", signal.SIGINT, True),  # the first imports
        (1.2, 16, "batched", signal.SIGTERM, False),
        (2.4, 2, "batched", signal.SIGTERM, False),  # JAX
        (3.5, 16, "loop", signal.SIGINT, True),  # workers start
        (4.5, 4, "loop", signal.SIGTERM, True),
    ],
)
def test_one_signal_ends_it_whatever_it_does(path, after, jobs, engine, how, group):
    process = start(path, "--jobs", jobs, "--engine", engine)
    time.sleep(after)
    said = stopped(path, process, how, group)
    assert "\ninterrupted" in said
    assert f"to go on: simstudy run {path}" in said


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_signal_ends_a_call_into_c_that_holds_the_interpreter(path, jobs):
    process = start(path, "--jobs", jobs, "--block", 10, "--engine", "loop", "--quiet",
                    HANGS="300")  # fmt: skip
    late = time.monotonic() + 60
    pieces = path.parent / "r" / "blocks"
    while len(list(pieces.rglob("*.npz"))) < 30 and time.monotonic() < late:
        time.sleep(0.05)
    time.sleep(0.5)
    said = stopped(path, process, signal.SIGINT, True)
    words = r"interrupted; ([\d,]+) of 40,000 replicates are stored"
    stored = int(re.search(words, said)[1].replace(",", ""))
    assert stored == len(list(pieces.rglob("*.npz"))) * 10 >= 300


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"FAULT": "300"}, "died of SIGSEGV"), ({"ENDS": "300"}, "ended the process with status 9")],
)
def test_code_that_ends_the_process_is_a_sentence_that_says_how_to_go_on(path, fault, words):
    process = start(path, "--jobs", "1", "--block", "10", "--engine", "loop", "--quiet", **fault)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 1
    assert words in said
    assert "300 of 40,000 replicates are stored" in said
    assert f"to go on: simstudy run {path}" in said
    if "FAULT" in fault:
        assert f"in draw, line 18 of {path}" in said
    assert list((path.parent / "tmp").iterdir()) == []


def test_what_a_killed_run_left_in_the_temporary_folder_is_swept_up_by_the_next(path):
    process = start(path, "--jobs", "2")
    late = time.monotonic() + 60
    while not list((path.parent / "tmp").glob("simstudy-run-*")) and time.monotonic() < late:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    left = list((path.parent / "tmp").glob("simstudy-run-*"))
    assert left
    process = start(path, "--replicates", "3", "--jobs", "2", "--quiet")
    assert process.communicate(timeout=100) == (None, "")
    assert list((path.parent / "tmp").iterdir()) == []


def test_output_that_nobody_reads_any_more_is_no_traceback(path):
    command = f"{sys.executable} -m simstudy run {path} --replicates 3 --jobs 1 --out r | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True,
        cwd=path.parent, env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "what reads the output has ended; what is stored stays" in done.stderr
