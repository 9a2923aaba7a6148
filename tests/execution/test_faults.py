"""Whatever happens on the way, every replicate has one status and all others their numbers.

Each study below disturbs some of its replicates; the table of the rest is equal to the bit to that
of a run without any disturbance, by local workers and by a Dask cluster of real processes.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import simstudy.execution.workers
import simstudy.store.journal
from checks import dead
from simstudy import Result, load
from simstudy.command import main as cli
from simstudy.errors import StudyError
from simstudy.execution.dask_cluster import Dask, connected
from simstudy.execution.progress import Failing, Stopped
from simstudy.execution.runner import run
from simstudy.store.journal import Store

pytestmark = pytest.mark.timeout(240)

FILE = '''"""A study in which some replicates misbehave, by the environment."""
import ctypes
import json
import os
import signal
import sys
import time
import warnings
from multiprocessing import current_process
from pathlib import Path

import numpy as np

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential


class TwoArguments(Exception):
    def __init__(self, one, other):
        super().__init__(one)


class NoPickle(Exception):
    def __init__(self):
        super().__init__("here")
        self.held = lambda: 1


class NoText(Exception):
    def __str__(self):
        raise ValueError("no text")


class Own(BaseException):
    pass


def swallow():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def loop():
    while True:
        pass


def recurse():
    return recurse()


def throw(error):
    raise error


def talk():
    for i in range(20_000):
        print("talk", i)
    print("talk", file=sys.stderr)
    os.write(1, b"talk")
    os.write(2, b"talk")


def warn():
    for i in range(20_000):
        warnings.warn("again", stacklevel=1)


def lapack():
    rng = np.random.default_rng(1)
    while True:
        np.linalg.svd(rng.normal(size=(2000, 2000)))


FAULTS = {
    "SystemExit": lambda: sys.exit(3),
    "GeneratorExit": lambda: throw(GeneratorExit()),
    "own BaseException": lambda: throw(Own("mine")),
    "two arguments": lambda: throw(TwoArguments(1, 2)),
    "no pickle": lambda: throw(NoPickle()),
    "no text": lambda: throw(NoText()),
    "recursion": recurse,
    "memory": lambda: np.empty(1 << 60),
    "StopIteration": lambda: throw(StopIteration()),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "talk": talk,
    "warn": warn,
    "exit": lambda: os._exit(9),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segmentation": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "loop": loop,
    "swallow": swallow,
    "sleep": lambda: time.sleep(600),
    "a long LAPACK call": lapack,
    "in C, lock held": lambda: ctypes.PyDLL(None).sleep(600),
}
ASKED = json.loads(os.environ.get("FAULTS", "{}"))


def disturb(place, replicate):
    kind, where, once = ASKED.get(str(replicate), ("", "", ""))
    if where != place or os.getpid() == int(os.environ["HOME_PID"]):
        return
    if kind.startswith("in C") and current_process().name == "MainProcess":
        return
    if once:
        try:
            Path(once, str(replicate)).touch(exist_ok=False)
        except FileExistsError:
            return
    FAULTS[kind]()


def draw(rng, n):
    replicate = int(rng.bit_generator.state["state"]["counter"][2])
    data = rng.exponential(size=n)
    disturb("draw", replicate)
    data[0] += replicate * 1e-9  # by which the log-likelihood knows
    return {"x": data, "replicate": np.full(n, replicate)}


def loglik(theta, data):
    disturb("loglik", int(data["replicate"][0]))
    return np.log(theta[0]) - theta[0] * data["x"]


MODEL = Model("mine", {"rate": "positive"}, lambda data: np.ones(1), loglik,
              score=lambda theta, data: (1 / theta[0] - data["x"])[:, None],
              hessian=lambda theta, data: -np.array([[len(data["x"]) / theta[0] ** 2]]))
STUDY = Study("faulty", [Scenario(Mechanism("m", draw, lambda n: {"rate": 1.0}), {"n": 6})],
              [MaximumLikelihood(MODEL, [OBSERVED, OPG])], replicates=24, seed=5)
'''
LABELS = ["scenario", "replicate", "estimator", "method", "parameter"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Write the study and run it undisturbed."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "faulty.py").write_text(FILE)
    os.environ["HOME_PID"] = str(os.getpid())
    os.environ.pop("FAULTS", None)
    study, reference = load(folder / "faulty.py")
    run(study, reference=reference, out=folder / "undisturbed", jobs=1, quiet=True)
    return folder


def rows(folder):
    return Result(folder).table().astype({name: str for name in LABELS if name != "replicate"})


def disturbed(home, folder, monkeypatch, faults, on="loky", **options):
    """Run with faults by replicate: (kind, where, once); return statuses and messages of those."""
    monkeypatch.setenv("FAULTS", json.dumps(faults))
    study, reference = load(home / "faulty.py")
    with connected("local", 2) if on == "dask" else nullcontext() as executor:
        outcome = run(study, reference=reference, out=folder, jobs=2, size=4, quiet=True,
                      executor=executor, **options)  # fmt: skip
    assert (outcome.done, outcome.asked) == (24, 24)
    whole, found = rows(home / "undisturbed"), rows(folder)
    lasting = [int(replicate) for replicate, fault in faults.items() if not fault[2]]
    pd.testing.assert_frame_equal(
        found[~found["replicate"].isin(lasting)].sort_values(LABELS).reset_index(drop=True),
        whole[~whole["replicate"].isin(lasting)].sort_values(LABELS).reset_index(drop=True),
        check_exact=True, check_categorical=False,
    )  # fmt: skip
    assert len(found) == len(whole)
    audit = Result(folder).audit().set_index("replicate")
    return {str(i): (str(audit["status"][i]), audit["message"][i]) for i in lasting}


RAISED = ["SystemExit", "GeneratorExit", "own BaseException", "two arguments", "no pickle",
          "no text", "recursion", "memory", "StopIteration"]  # fmt: skip
ON = pytest.mark.parametrize("on", ["loky", "dask"])


@ON
def test_whatever_user_code_raises_is_a_status(home, tmp_path, monkeypatch, on):
    faults = {str(2 + i): (kind, "draw", "") for i, kind in enumerate(RAISED)}
    faults |= {str(12 + i): (kind, "loglik", "") for i, kind in enumerate(RAISED)}
    found = disturbed(home, tmp_path / "r", monkeypatch, faults, on)
    for replicate, (kind, where, _) in faults.items():
        status, message = found[replicate]
        assert status == {"draw": "data_error", "loglik": "fit_error"}[where], kind
        word = {"own BaseException": "Own", "two arguments": "TwoArguments",
                "no pickle": "NoPickle", "no text": "NoText", "recursion": "RecursionError",
                "memory": "Error"}  # fmt: skip
        assert word.get(kind, kind) in message
        assert re.search(r"\(\S+, line \d+ of faulty\.py(; in [^()]+)?\)$", message), message


@ON
def test_a_worker_that_dies_once_leaves_no_trace(home, tmp_path, monkeypatch, capfd, on):
    """One that prints or warns without end does not either, but for a word in the audit."""
    kinds = {"1": "exit", "5": "abort", "9": "kill", "17": "segmentation", "20": "warn",
             "22": "talk"}  # fmt: skip
    faults = {i: (kind, "draw", str(tmp_path)) for i, kind in kinds.items()}
    assert disturbed(home, tmp_path / "r", monkeypatch, faults, on) == {}
    said = "".join(capfd.readouterr())
    assert "a worker died" in said
    assert "talk" not in said
    assert all((tmp_path / i).exists() for i in kinds)
    heard = Result(tmp_path / "r").audit().set_index("replicate")["warnings"]
    assert set(heard[heard != ""].items()) <= {(20, "UserWarning: again")}


@ON
def test_a_replicate_that_always_kills_its_worker_is_set_aside(home, tmp_path, monkeypatch, on):
    faults = {"5": ("exit", "draw", "")}
    if on == "loky":  # a cluster takes its time to replace a worker, and there are ten to replace
        faults["14"] = ("KeyboardInterrupt", "loglik", "")
    found = disturbed(home, tmp_path / "r", monkeypatch, faults, on)
    for status, message in found.values():
        assert status == "crashed"
        assert "died 2 times while it ran this alone" in message


@pytest.mark.parametrize("kind", ["segmentation", "exit", "kill"])
def test_the_first_replicate_may_end_its_process_even_of_a_study_of_one_task(
    home, tmp_path, monkeypatch, kind
):
    monkeypatch.setenv("FAULTS", json.dumps({"0": (kind, "draw", "")}))
    study, reference = load(home / "faulty.py")
    outcome = run(study, reference=reference, out=tmp_path / "r", jobs=2, quiet=True, replicates=5)
    assert (outcome.done, outcome.asked) == (5, 5)
    audit = Result(tmp_path / "r").audit()
    assert audit["status"].astype(str).tolist() == ["crashed", *["ok"] * 4]
    assert "died 2 times while it ran this alone" in audit["message"][0]


def test_code_that_always_ends_its_process_is_refused_with_a_sentence(home, tmp_path, monkeypatch):
    faults = {str(i): ("segmentation", "draw", "") for i in range(24)}
    monkeypatch.setenv("FAULTS", json.dumps(faults))
    study, reference = load(home / "faulty.py")
    with pytest.raises(StudyError, match=r"'m n=6': the study's code ends its process in each"):
        run(study, reference=reference, out=tmp_path / "r", jobs=2, quiet=True)
    assert not (tmp_path / "r").exists()


def test_workers_that_cannot_be_started_are_not_the_folder_s_fault(home, tmp_path, monkeypatch):
    def full(jobs):
        raise OSError(28, "No space left on device")  # as /dev/shm is full

    study, reference = load(home / "faulty.py")
    options = {"reference": reference, "out": tmp_path / "r", "jobs": 2, "size": 4, "quiet": True}
    says = r"workers cannot be started \(.*No space left on device: /dev/shm.*--jobs"
    for module, error in (("collecting", Stopped), ("first_look", StudyError)):
        monkeypatch.setattr(f"simstudy.execution.{module}.start", full)
        with pytest.raises(error, match=says):
            run(study, **options)


def test_workers_whose_thread_ended_are_not_waited_for(home, tmp_path, monkeypatch):
    """Where no further thread may start, loky's own ends and tells nobody."""
    begin = simstudy.execution.workers.start

    def mortal(jobs):
        executor = begin(jobs)
        monkeypatch.setattr(executor, "_executor_manager_thread", threading.Thread())
        monkeypatch.setattr(executor, "submit", lambda *given: Future())
        return executor

    study, reference = load(home / "faulty.py")
    monkeypatch.setattr("simstudy.execution.collecting.start", mortal)
    monkeypatch.setattr("simstudy.execution.supervisor.CHECK", 0.1)
    with pytest.raises(Stopped, match=r"workers cannot be kept at work.*--jobs"):
        run(study, reference=reference, out=tmp_path / "r", jobs=2, size=4, quiet=True)


@ON
def test_a_replicate_that_hangs_ends_with_the_place(home, tmp_path, monkeypatch, on):
    kinds = ["loop", "swallow", "a long LAPACK call"]
    kinds += ["in C, lock held"] if on == "loky" else []
    faults = {str(1 + 4 * i): (kind, "draw", "") for i, kind in enumerate(kinds)}
    found = disturbed(home, tmp_path / "r", monkeypatch, faults, on, timeout=3.0)
    for replicate, (status, message) in found.items():
        assert status == "timeout", faults[replicate]
        assert re.match(r"no answer within 3 s \(\S+, line \d+ of faulty\.py", message), message


def test_a_task_that_failed_on_dask_is_run_again_though_its_failure_is_still_known(tmp_path):
    from distributed import Client

    def fails_once(task):
        if not (tmp_path / "fell").exists():
            (tmp_path / "fell").touch()
            raise ValueError("fallen")
        return task

    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        pool = Dask(client.get_executor(), None)
        first = pool.submit(fails_once, (0, 0, 4), alone=False)
        assert str(first.exception()) == "fallen"
        assert pool.submit(fails_once, (0, 0, 4), alone=False).result() == (0, 0, 4)


# --- the parent ----------------------------------------------------------------------------------


def start(home, folder, *options, faults="{}"):
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "simstudy", "run", str(home / "faulty.py"), "--out",
               str(folder), "--quiet", "--replicates", "400", "--block", "2", *options]  # fmt: skip
    package = Path(cli.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(package), "HOME_PID": "0", "FAULTS": faults}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for_blocks(folder, process, count):
    late = time.monotonic() + 60
    while len(Store(folder).pieces()) < count and time.monotonic() < late:
        assert process.poll() is None
        time.sleep(0.02)
    assert len(Store(folder).pieces()) >= count


def test_a_second_run_in_one_folder_is_refused_and_a_dead_one_taken_over(home, tmp_path):
    folder = tmp_path / "r"
    process = start(home, folder, "--jobs", "1", faults='{"300": ["sleep", "draw", ""]}')
    try:
        wait_for_blocks(folder, process, 1)
        study, reference = load(home / "faulty.py")
        (worker,) = children(process.pid)
        says = rf"in use by another run, process {worker} on \S+ since \d{{4}}-.*--out"
        with pytest.raises(StudyError, match=says):
            run(study, reference=reference, out=folder, jobs=1, quiet=True)
    finally:
        process.kill()
        process.communicate()
    outcome = run(study, reference=reference, out=folder, jobs=1, quiet=True, replicates=24)
    assert outcome.done == 24
    assert_undisturbed(home, folder)


def assert_undisturbed(home, folder):
    """Hold the rows against those of the undisturbed run; nothing else was left behind."""
    found = rows(folder)
    pd.testing.assert_frame_equal(
        found[found["replicate"] < 24].reset_index(drop=True), rows(home / "undisturbed"),
        check_exact=True, check_categorical=False,
    )  # fmt: skip
    assert not list(folder.rglob("*.part"))
    assert not list(folder.glob(".lock*"))


def resumed(home, folder, on="loky"):
    """Run to the end, undisturbed; hold the rows against those of the undisturbed run."""
    study, reference = load(home / "faulty.py")
    with connected("local", 2) if on == "dask" else nullcontext() as executor:
        outcome = run(study, reference=reference, out=folder, jobs=2, size=4, quiet=True,
                      executor=executor)  # fmt: skip
    assert (outcome.done, outcome.asked) == (24, 24)
    assert_undisturbed(home, folder)
    return outcome


@pytest.mark.parametrize(
    ("where", "how"),
    [(["--jobs", "1"], signal.SIGTERM), (["--dask", "local", "--jobs", "2"], signal.SIGINT)],
    ids=["SIGTERM at home", "Ctrl-C on Dask"],
)
def test_ctrl_c_saves_what_is_finished_and_says_how_to_go_on(home, tmp_path, where, how):
    folder = tmp_path / "r"
    process = start(home, folder, *where, faults='{"300": ["sleep", "draw", ""]}')
    wait_for_blocks(folder, process, 3)
    os.killpg(process.pid, how)  # a terminal sends it to the whole group
    _, said = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert "to go on: simstudy run" in said
    assert "Traceback" not in said
    assert not list(folder.glob(".lock*"))
    resumed(home, folder, "dask" if "--dask" in where else "loky")


def test_a_second_ctrl_c_ends_even_what_swallows_the_first(home, tmp_path):
    folder = tmp_path / "r"
    process = start(home, folder, "--jobs", "1", faults='{"310": ["swallow", "draw", ""]}')
    wait_for_blocks(folder, process, 155)
    time.sleep(0.3)  # to be in the loop
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == cli.INTERRUPTED
    resumed(home, folder)


def harm(home, folder, tmp_path):
    """Damage a folder in many ways; return how many files must be moved aside."""
    other = tmp_path / "other seed"
    study, reference = load(home / "faulty.py")
    run(study, reference=reference, out=other, jobs=1, size=2, quiet=True, seed=9)
    paths = [piece.path for piece in Store(folder).pieces()]
    flipped, truncated, empty, zeros, foreign, moved, removed, replaced = paths[:8]
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 4
    flipped.write_bytes(content)
    truncated.write_bytes(truncated.read_bytes()[:-1])
    empty.write_bytes(b"")
    zeros.write_bytes(bytes(len(zeros.read_bytes())))
    np.savez(foreign, replicate=np.array([None]))
    moved.rename(moved.with_name(moved.name.replace("000000010-000000012", "000000400-000000402")))
    removed.unlink()
    replaced.unlink()
    (foreigner,) = [piece.path for piece in Store(other).pieces() if piece.first == 14]
    shutil.copy(foreigner, replaced.parent)
    part = f"{dead()}.01234567.part"
    (replaced.parent / f"000000000-000000002.0123456789abcdef.npz.{part}").write_bytes(b"half")
    (folder / f"manifest.json.{part}").write_bytes(b"{")
    (folder / f".lock-1-of-2.{dead()}.01234567").write_bytes(b"{")
    return 7


@ON
def test_a_killed_parent_takes_its_workers_along_and_damaged_files_are_run_again(
    home, tmp_path, capfd, on
):
    """The workers are busy in C and hold the interpreter's lock."""
    folder = tmp_path / "r"
    faults = '{"40": ["in C, lock held", "draw", ""], "60": ["in C, lock held", "draw", ""]}'
    where = ["--dask", "local"] if on == "dask" else []
    process = start(home, folder, "--jobs", "2", *where, faults=faults)
    wait_for_blocks(folder, process, 20)
    time.sleep(1)  # for both workers to hang
    below = descendants(process.pid)
    assert len(below) >= 3
    process.kill()
    process.communicate()
    late = time.monotonic() + 2
    while any(alive(pid) for pid in below) and time.monotonic() < late:
        time.sleep(0.05)
    assert [pid for pid in below if alive(pid)] == []
    aside = harm(home, folder, tmp_path)
    assert resumed(home, folder, on).computed == 16
    assert capfd.readouterr().err.count("damaged block moved aside") == aside


def children(pid):
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children")
            for child in path.read_text().split()]  # fmt: skip


def descendants(pid):
    return [found for child in children(pid) for found in (child, *descendants(child))]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_full_disk_loses_nothing_and_the_run_goes_on_later(home, tmp_path, monkeypatch):
    study, reference = load(home / "faulty.py")
    save, count = simstudy.store.journal.save_bytes, iter(range(1000))

    def full(content, path):
        if "blocks" in path.parts and next(count) >= 3:
            raise OSError(28, "No space left on device")
        return save(content, path)

    with monkeypatch.context() as patched:
        patched.setattr(simstudy.store.journal, "save_bytes", full)
        with pytest.raises(Stopped, match="No space left on device; what is stored stays"):
            run(study, reference=reference, out=tmp_path / "r", jobs=2, quiet=True, size=4)
    assert resumed(home, tmp_path / "r").computed == 12


def test_what_hung_in_an_earlier_run_on_the_same_cluster_is_not_blamed():
    """The scheduler keeps what workers told it; a client in its place says the same."""
    told = [(0.0, {"label": (0, 5), "words": "hung"})]
    client = SimpleNamespace(get_events=lambda topic: list(told), status="running")
    pool = Dask(SimpleNamespace(_client=client), 1.0)
    assert pool.renew() == {}
    told.append((1.0, {"label": (0, 7), "words": "hung here"}))
    assert pool.renew() == {(0, 7): "hung here"}
    assert pool.renew() == {}


def test_a_scheduler_that_dies_costs_what_was_in_flight(home, tmp_path, monkeypatch):
    study, reference = load(home / "faulty.py")
    save, count = Store.save, iter(range(1000))
    with monkeypatch.context() as patched, connected("local", 2) as executor:

        def saving(*arguments):
            save(*arguments)
            if next(count) == 2:
                executor._client.cluster.close()

        patched.setattr(Store, "save", saving)
        with pytest.raises(Stopped, match=r"scheduler is gone; what is stored stays"):
            run(study, reference=reference, out=tmp_path / "r", jobs=2, quiet=True, size=1,
                executor=executor)  # fmt: skip
    assert 3 <= 24 - resumed(home, tmp_path / "r", "dask").computed < 24


def test_fresh_moves_the_old_results_aside(home, tmp_path):
    study, reference = load(home / "faulty.py")
    options = {"reference": reference, "out": tmp_path / "r", "jobs": 1, "quiet": True}
    run(study, **options, seed=9)
    old = rows(tmp_path / "r")
    assert run(study, **options, fresh=True).computed == 24
    (aside,) = tmp_path.glob("r.before-*")
    pd.testing.assert_frame_equal(rows(aside), old, check_exact=True)
    pd.testing.assert_frame_equal(
        rows(tmp_path / "r"), rows(home / "undisturbed"), check_exact=True, check_categorical=False
    )


def test_shares_together_are_the_whole(home, tmp_path, capsys):
    study, reference = load(home / "faulty.py")
    options = {"reference": reference, "out": tmp_path / "r", "jobs": 1, "quiet": True}
    for part in (3, 1, 2):
        assert run(study, **options, shard=(part, 3)).computed == 8
    assert cli.main(["status", str(home / "faulty.py"), "--out", str(tmp_path / "r")]) == 0
    assert "24 of 24 replicates  m n=6" in capsys.readouterr().out
    assert cli.main(["collect", str(home / "faulty.py"), "--out", str(tmp_path / "r")]) == 0
    assert len(Result(tmp_path / "r").manifest()["runs"]) == 3
    pd.testing.assert_frame_equal(
        rows(tmp_path / "r"), rows(home / "undisturbed"), check_exact=True, check_categorical=False
    )


# --- stopping early ------------------------------------------------------------------------------


def test_a_study_in_which_everything_fails_stops_early_and_counts_why(home, tmp_path, monkeypatch):
    faults = {str(i): ("two arguments" if i % 2 else "SystemExit", "draw", "") for i in range(24)}
    with pytest.raises(Failing, match=r"all of the first 20 replicates failed:\n  10 times .*"):
        disturbed(home, tmp_path / "r", monkeypatch, faults, timeout=60.0)
    assert sum(piece.last - piece.first for piece in Store(tmp_path / "r").pieces()) >= 20


def test_too_large_a_share_of_failures_stops_the_run(home, tmp_path, monkeypatch):
    faults = {str(i): ("no text", "draw", "") for i in range(4, 24, 2)}
    with pytest.raises(Failing, match=r"of \d+ fits failed, more than the share of 0\.3"):
        disturbed(home, tmp_path / "r", monkeypatch, faults, max_fail=0.3)


def test_threads_may_be_the_executor_and_no_signal_is_taken_there(home, tmp_path):
    outcomes = []
    study, reference = load(home / "faulty.py")

    def aside():
        outcomes.append(run(study, reference=reference, out=tmp_path / "r", jobs=1, quiet=True))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=aside)
    thread.start()
    thread.join()
    assert outcomes[0].done == 24
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_whose_parent_died_before_it_began_ends_at_once():
    """Else nobody would tell it: its parent is already another one."""
    code = "import os, time; from simstudy.execution.workers import settle; settle(os.getpid()); "
    words = [sys.executable, "-c", code + "time.sleep(30)"]
    assert subprocess.run(words, capture_output=True, timeout=20).returncode == 1
