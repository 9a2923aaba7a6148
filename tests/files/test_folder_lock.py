"""One holder of a results folder, however starts interleave, wherever the holders live."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import simstudy.files.folder_lock
import simstudy.processes.names
from checks import dead, named
from simstudy.errors import StudyError
from simstudy.files.folder_lock import WHOLE, holders, lock_folder, move_aside
from simstudy.files.writing import DAY, atomic_path, remove_leftovers, save_bytes
from simstudy.processes.names import has_ended, process_name, unique_name

ROOT = Path(__file__).parents[2]


def ran(*command, **options):
    return subprocess.run([*command], capture_output=True, text=True, timeout=120, **options)


def test_a_lock_is_held_by_one(tmp_path):
    with lock_folder(tmp_path), pytest.raises(StudyError, match="in use"), lock_folder(tmp_path):
        pass
    with lock_folder(tmp_path, "1-of-2"), lock_folder(tmp_path, "2-of-2"):
        for share in (WHOLE, "1-of-2"):
            with pytest.raises(StudyError, match="in use"), lock_folder(tmp_path, share):
                pass
    assert list(tmp_path.iterdir()) == []


def test_shares_that_overlap_exclude_each_other(tmp_path):
    with lock_folder(tmp_path, "2-of-4"):
        for share in ("1-of-2", "2-of-3", "5-of-12"):
            with (
                pytest.raises(StudyError, match=r"in use.*\.lock-2-of-4"),
                lock_folder(tmp_path, share),
            ):
                pass
        with lock_folder(tmp_path, "1-of-4"), lock_folder(tmp_path, "2-of-2"):
            assert len(holders(tmp_path)) == 3


@pytest.mark.parametrize(("first", "second"), [(WHOLE, "1-of-2"), ("1-of-2", WHOLE), (WHOLE,) * 2])
def test_who_looked_before_another_announced_itself_sees_it_nevertheless(
    tmp_path, monkeypatch, first, second
):
    """The second takes the folder in the middle of the first's start, after its first look."""
    inside, done, said = threading.Event(), threading.Event(), []
    glob, turns = Path.glob, iter(range(1000))

    def other():
        with lock_folder(tmp_path, second):
            inside.set()
            assert done.wait(60)

    thread = threading.Thread(target=other)

    def late(self, pattern, **options):
        found = list(glob(self, pattern, **options))
        if threading.current_thread() is threading.main_thread() and next(turns) == 0:
            thread.start()
            assert inside.wait(60)
        return found

    monkeypatch.setattr(Path, "glob", late)
    try:
        with pytest.raises(StudyError, match="in use"), lock_folder(tmp_path, first):
            said.append("two inside")
    finally:
        done.set()
        thread.join(60)
    assert said == []


def test_no_two_hold_a_folder_after_many_starts_at_a_dead_lock():
    """Of a lock that is looked at first and made then, 6 in 100 starts let two in."""
    found = ran(sys.executable, str(ROOT / "benchmarks" / "locks.py"), "--starts", "100")
    assert "100 starts at a dead lock: 0 double holders, 0 without any" in found.stdout
    assert found.returncode == 0


IN_ANOTHER_SPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
TAKES = """
import sys
from pathlib import Path
from simstudy.files.folder_lock import lock_folder
from simstudy.processes.names import process_name
print(process_name())
with lock_folder(Path(sys.argv[1])):
    print("inside")
"""


def spaces():
    """Tell whether PID namespaces can be made here."""
    try:
        return ran(*IN_ANOTHER_SPACE, "true").returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not spaces(), reason="unshare cannot make a PID namespace here")
def test_a_live_lock_is_not_stolen_from_another_pid_namespace(tmp_path):
    command = (*IN_ANOTHER_SPACE, sys.executable, "-c", TAKES, str(tmp_path))
    with lock_folder(tmp_path):
        found = ran(*command)
    assert "inside" not in found.stdout
    assert f"in use by another run, process {os.getpid()} on" in found.stderr
    assert ran(*command).stdout.endswith("inside\n")
    assert list(tmp_path.iterdir()) == []


def held_by(folder, owner, words='{"pid": 7, "host": "h", "since": "s"}', share=WHOLE):
    """Put a lock of somebody into a folder."""
    (folder / f".lock-{share}.{owner}.0123abcd").write_text(words)


ELSEWHERE = {
    "another PID namespace": {"space": "0" * 12, "pid": "4000000"},
    "another machine": {"machine": "0" * 12, "boot": "0" * 12},
    "another container": {"machine": "0", "boot": "0" * 12, "pid": "4000000"},
    "no Linux": {"machine": "0" * 12, "boot": "", "space": "", "start": ""},
}


@pytest.mark.parametrize("changes", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_who_may_be_alive_elsewhere_keeps_its_lock(tmp_path, changes):
    held_by(tmp_path, named(**changes))
    says = r"in use by another run, process 7 on h since s; .*if that run is dead, remove \S+abcd"
    with pytest.raises(StudyError, match=says), lock_folder(tmp_path):
        pass
    assert len(holders(tmp_path)) == 1


ENDED = {
    "its number is another's": {"start": "1"},
    "its number is free": {"pid": dead().split("-")[3]},
}


@pytest.mark.skipif(sys.platform != "linux", reason="a start time and a boot are read from /proc")
@pytest.mark.parametrize("changes", ENDED.values(), ids=ENDED.keys())
def test_who_is_known_to_be_dead_is_no_holder(tmp_path, changes):
    held_by(tmp_path, named(**changes))
    assert holders(tmp_path) == []
    with lock_folder(tmp_path):
        assert len(holders(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_boot_ends_every_process_of_its_machine_but_not_those_of_containers(monkeypatch):
    here = ("a1", "b1", "c1")
    monkeypatch.setattr(simstudy.processes.names, "_machine", lambda pid: here)
    assert has_ended("a1-b0-c1-7-8")
    assert not has_ended("a2-b0-c1-7-8")
    here = ("0", "b1", "c1")
    assert not has_ended("0-b0-c1-7-8")


@pytest.mark.skipif(sys.platform != "linux", reason="a zombie is told by /proc")
def test_a_zombie_and_a_hidden_process_are_told_apart(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        zombie = named(pid=str(child.pid))
        assert has_ended(zombie)
    assert has_ended(zombie)
    # with hidepid the processes of others are not in /proc; that they exist can be asked
    mine = named()
    monkeypatch.setattr(simstudy.processes.names, "_read", lambda path: "")
    assert not has_ended(mine)


def test_a_lock_that_says_nothing_is_not_taken_over(tmp_path):
    lock = tmp_path / ".lock-whole"
    lock.write_text("{")
    says = rf"in use .* remove {re.escape(str(lock))}\)"
    with pytest.raises(StudyError, match=says), lock_folder(tmp_path, "1-of-2"):
        pass
    assert lock.exists()


def test_who_has_announced_itself_and_does_not_go_on_is_waited_for_and_then_told(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(simstudy.files.folder_lock, "PATIENCE", 0.2)
    held_by(tmp_path, named(), words="")
    with (
        pytest.raises(StudyError, match="in use by another run, whose file"),
        lock_folder(tmp_path),
    ):
        pass
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_moved_aside_while_it_is_held_and_not_after(tmp_path, monkeypatch):
    """In between another run could begin in it, and be moved along."""
    folder, rename, said = tmp_path / "r", Path.rename, []
    folder.mkdir()
    (folder / "a").touch()

    def moved(self, target):
        said.append(holders(folder))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", moved)
    aside = move_aside(folder)
    assert [len(found) for found in said] == [1]
    assert [path.name for path in aside.iterdir()] == ["a"]
    assert not folder.exists()


COUNTS = """
import sys
from pathlib import Path
from simstudy.files.folder_lock import lock_manifest
counter = Path(sys.argv[1]) / "counter"
for _ in range(10):
    with lock_manifest(counter.parent):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_processes_take_turns(tmp_path):
    (tmp_path / "counter").write_text("0")
    words = [sys.executable, "-c", COUNTS, str(tmp_path)]
    with lock_folder(tmp_path):
        counting = [subprocess.Popen(words) for _ in range(3)]
        assert [process.wait(120) for process in counting] == [0] * 3
        assert len(holders(tmp_path)) == 1
    assert (tmp_path / "counter").read_text() == "30"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


# --- files that are being written -----------------------------------------------------------------


def test_two_hosts_with_one_process_number_write_the_same_file(tmp_path, monkeypatch):
    """Each has its own draft, and one of them is there in the end."""
    path = tmp_path / "manifest.json"
    with atomic_path(path) as one:
        one.write_text("one")
        with monkeypatch.context() as patched:
            patched.setattr(simstudy.processes.names, "_machine", lambda pid: ("5", "6", "7"))
            with atomic_path(path) as other:
                other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert [found.name for found in tmp_path.iterdir()] == ["manifest.json"]
    assert unique_name() != unique_name()


def test_only_what_dead_writers_left_is_swept(tmp_path):
    (tmp_path / "blocks" / "b").mkdir(parents=True)
    kept = [
        tmp_path / f"a.{process_name()}.0123abcd.part",
        tmp_path / f"a.{named(space='0')}.0123abcd.part",
        tmp_path / "somebody's.part",
    ]
    gone_ones = [
        tmp_path / f"a.{dead()}.0123abcd.part",
        tmp_path / "blocks" / "b" / f"a.npz.{dead()}.0123abcd.part",
        tmp_path / f"old.{named(space='0')}.0123abcd.part",
    ]
    for path in (*kept, *gone_ones):
        path.touch()
    now = kept[0].stat().st_mtime
    os.utime(gone_ones[-1], (now - DAY - 60,) * 2)
    os.utime(kept[-1], (now - DAY - 60,) * 2)
    remove_leftovers(tmp_path, now)
    assert sorted(path for path in tmp_path.rglob("*.part")) == sorted(kept)


KILLED = """
import os, signal, sys
from pathlib import Path
from simstudy.files.folder_lock import lock_folder
from simstudy.files.writing import atomic_path
folder = Path(sys.argv[1])
with lock_folder(folder), atomic_path(folder / "table.csv") as draft:
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_holder_sweeps_what_a_kill_left(tmp_path):
    assert ran(sys.executable, "-c", KILLED, str(tmp_path)).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.part"))) == 1
    with lock_folder(tmp_path):
        assert list(tmp_path.glob("*.part")) == []


def test_a_file_is_saved_whole(tmp_path):
    save_bytes(b"a", tmp_path / "f")
    save_bytes(b"b", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"b"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
