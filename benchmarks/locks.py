"""Let processes race for a results folder whose last holder was killed; count double holders.

    python benchmarks/locks.py --starts 1000

In each start a process is killed while it holds the folder, and then others, some for the whole
folder and some for one share, all try to hold it at the same moment.
"""

import argparse
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from simstudy.errors import StudyError
from simstudy.files.folder_lock import lock_folder

SHARES = ("whole", "whole", "1-of-2", "1-of-2", "2-of-2", "whole")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--starts", type=int, default=1000)
    starts = options.parse_args().starts
    context = multiprocessing.get_context("fork")
    begin, end = (context.Barrier(len(SHARES) + 1) for _ in range(2))
    double, entered = context.Value("i", 0), context.Value("i", 0)
    with tempfile.TemporaryDirectory(prefix="simstudy-locks-") as home:
        folders = [Path(home) / str(number) for number in range(starts)]
        racers = [context.Process(target=race, args=(folders, share, begin, end, double, entered))
                  for share in SHARES]  # fmt: skip
        for racer in racers:
            racer.start()
        nobody = 0
        for folder in folders:
            leave_a_dead_lock(folder)
            before = entered.value
            begin.wait()
            end.wait()
            nobody += entered.value == before
        for racer in racers:
            racer.join()
    print(f"{starts} starts at a dead lock: {double.value} double holders, {nobody} without any, "
          f"{entered.value / starts:.2f} holders each")  # fmt: skip
    return int(bool(double.value or nobody))


def race(folders, share, begin, end, double, entered):
    """Try to hold each folder; note where somebody else is inside who must not be."""
    for folder in folders:
        begin.wait()
        try:
            with lock_folder(folder, share):
                mine = folder / f"inside-{share}-{os.getpid()}"
                mine.touch()
                for _ in range(3):
                    beside = {path.name.removeprefix("inside-").rpartition("-")[0]
                              for path in folder.glob("inside-*") if path != mine}  # fmt: skip
                    wrong = bool(beside) and (share in beside or "whole" in {share, *beside})
                    with double.get_lock():
                        double.value += wrong
                    time.sleep(0.001)
                mine.unlink()
                with entered.get_lock():
                    entered.value += 1
        except StudyError:
            pass
        end.wait()


def leave_a_dead_lock(folder):
    """Kill a process that holds a folder."""
    pid = os.fork()
    if not pid:
        with lock_folder(folder):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert next(itertools.islice(folder.glob(".lock-*"), 1)).exists()


if __name__ == "__main__":
    sys.exit(main())
