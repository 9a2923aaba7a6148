"""Time simstudy against the hand-written scripts, in one run on one machine.

    python benchmarks/bench.py                    # the table of all studies
    python benchmarks/bench.py gamma --scale 1    # one study, at the lengths of the bars

Every line is a process of its own, timed from its start to its end, a simstudy line to the finished
report. A throughput beyond start-up is the difference of two lengths over the difference of their
times. `cold` begins with an empty cache of compiled programs. Whole-run ratios hold a run of the
bar's length against the script's time at that length: its start-up plus length / throughput, since
the script is timed at shorter lengths. Memory is that of the largest process. The floor (floor.py)
is the time that the evaluations of the likelihood take alone.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of Linux
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Lengths(NamedTuple):
    """Replicates of the short and the long run of each contestant, and of the bar."""

    script: tuple[int, int]
    loop: tuple[int, int]
    batched: tuple[int, int]
    bar: int


LENGTHS = {
    "gamma": Lengths((2000, 8000), (1000, 5000), (20_000, 180_000), 20_000),
    "logit": Lengths((100, 500), (100, 500), (5000, 25_000), 5000),
    "weibull": Lengths((2000, 8000), (1000, 5000), (20_000, 180_000), 20_000),
    "negbin": Lengths((100, 500), (100, 500), (2000, 10_000), 5000),
    "bootstrap": Lengths((10, 40), (10, 40), (1000, 5000), 1000),
}


class Timing(NamedTuple):
    """Wall and CPU seconds of two lengths, and the largest process's memory."""

    lengths: tuple[int, int]
    seconds: tuple[float, float]
    cpu: tuple[float, float]
    megabytes: float

    @property
    def rate(self) -> float:
        """Replicates per second beyond start-up."""
        return (self.lengths[1] - self.lengths[0]) / (self.seconds[1] - self.seconds[0])

    def at(self, length: int) -> float:
        """Seconds of a run of this length."""
        return self.seconds[1] + (length - self.lengths[1]) / self.rate


def timed(command: list[str], cache: str) -> tuple[float, float, float]:
    """Run a command; return its wall seconds, CPU seconds and peak megabytes.

    With those of processes that it leaves behind, as the server that workers are forked from.
    """
    began = time.perf_counter()
    environment = os.environ | ONE_THREAD | {"SIMSTUDY_CACHE": cache}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds, usages = time.perf_counter() - began, [usage]
        with contextlib.suppress(ChildProcessError):
            while True:
                usages.append(os.wait4(-1, 0)[2])
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{output.read()}")
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return seconds, cpu, max(usage.ru_maxrss for usage in usages) / 1024


def script(study: str, lengths: tuple[int, int], jobs: int, exact: bool) -> Timing:
    """Time a hand-written script."""
    base = [sys.executable, str(HERE / "scripts.py"), study, "--jobs", str(jobs)]
    base += ["--exact"] if exact else []
    runs = [timed([*base, "--replicates", str(n)], "") for n in lengths]
    return _timing(lengths, runs)


def _timing(lengths: tuple[int, int], runs: list[tuple[float, float, float]]) -> Timing:
    """Put a short and a long run together."""
    (wall, cpu, peak), (longer, more, larger) = runs
    return Timing(lengths, (wall, longer), (cpu, more), max(peak, larger))


def simstudy(study: str, lengths: tuple[int, int], jobs: int, engine: str, cache: str) -> Timing:
    """Time simstudy from the shell to the finished report."""
    runs = []
    for n in lengths:
        out = tempfile.mkdtemp()
        command = [sys.executable, "-m", "simstudy", "run", str(HERE / "studies" / f"{study}.py")]
        command += ["--quiet", "--engine", engine, "--jobs", str(jobs), "--out", out]
        runs.append(timed([*command, "--replicates", str(n)], cache))
        shutil.rmtree(out)
    return _timing(lengths, runs)


def compare(study: str, jobs: int, scale: float) -> None:
    """Print the table of one study."""
    lengths = Lengths(*(
        tuple(max(2, int(n * scale)) for n in pair) if isinstance(pair, tuple) else pair
        for pair in LENGTHS[study]
    ))  # fmt: skip
    cache = tempfile.mkdtemp()
    lines = {
        "script, differences": script(study, lengths.script, jobs, exact=False),
        "script, exact gradients": script(study, lengths.script, jobs, exact=True),
        "simstudy loop, 1 job": simstudy(study, lengths.loop, 1, "loop", cache),
        f"simstudy loop, {jobs} jobs": simstudy(study, lengths.loop, jobs, "loop", cache),
    }
    cold = simstudy(study, (lengths.bar, lengths.bar), jobs, "batched", cache).seconds[0]
    warm = lines[f"simstudy batched, {jobs} jobs"] = simstudy(
        study, lengths.batched, jobs, "batched", cache
    )
    slow, fast = lines["script, differences"], lines["script, exact gradients"]
    print(f"\n{study}")
    print(f"{'':28}{'replicates/s':>14}{'x script':>10}{'x exact':>10}{'start-up s':>12}{'MB':>7}")
    for name, line in lines.items():
        start = line.seconds[1] - line.lengths[1] / line.rate
        times = f"{line.rate / slow.rate:10.1f}{line.rate / fast.rate:10.1f}"
        print(f"{name:28}{line.rate:14,.0f}{times}{start:12.1f}{line.megabytes:7.0f}")
    print(
        f"{lengths.bar:,} replicates to the finished report: cold {cold:.1f} s, warm "
        f"{warm.at(lengths.bar):.1f} s; script {slow.at(lengths.bar):.1f} s, exact "
        f"{fast.at(lengths.bar):.1f} s: {slow.at(lengths.bar) / cold:.1f} times the script cold, "
        f"{slow.at(lengths.bar) / warm.at(lengths.bar):.1f} times warm"
    )
    if study != "bootstrap":
        command = [sys.executable, str(HERE / "floor.py"), study]
        environment = os.environ | ONE_THREAD | {"SIMSTUDY_CACHE": cache}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        floor = float(done.stdout)
        whole = 1e6 * (warm.cpu[1] - warm.cpu[0]) / (warm.lengths[1] - warm.lengths[0])
        print(
            f"floor {floor:,.1f} us of CPU per replicate; simstudy takes {whole:,.1f} us, "
            f"{whole / floor:.1f} times the floor"
        )
    shutil.rmtree(cache)


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", nargs="*", help=f"of {', '.join(LENGTHS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="of the lengths")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1)
    for study in options.study or LENGTHS:
        compare(study, options.jobs, options.scale)


if __name__ == "__main__":
    main()
