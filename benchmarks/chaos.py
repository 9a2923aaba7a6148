"""Kill the parent and workers of a run at random and flip bits in what it stored, again and again.

    python benchmarks/chaos.py --rounds 20 --interrupts 10

Every round ends with a run that is left alone; its table must be that of the undisturbed run, bit
for bit. Then so many runs are interrupted at random moments for each number of workers and each
engine: each must end within three seconds, with exit status 130, what is stored and how to go on,
and nothing of it may be left running.
"""

import argparse
import contextlib
import hashlib
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from simstudy import Result
from simstudy.store.journal import Store

STUDY = '''"""A small study that takes its time."""
import time

import numpy as np

from simstudy import MaximumLikelihood, Mechanism, Scenario, Study
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential


def draw(rng, n):
    time.sleep(0.005)
    return rng.exponential(size=n)


STUDY = Study(
    "chaos",
    [Scenario(Mechanism("m", draw, lambda n: {"rate": 1.0}), {"n": n}) for n in (5, 50)],
    [MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG])],
    replicates=REPLICATES,
    seed=8,
)
'''
LABELS = ["scenario", "replicate", "estimator", "method", "parameter"]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--replicates", type=int, default=300)
    options.add_argument("--interrupts", type=int, default=10, help="of each kind of run")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)
    home = Path(tempfile.mkdtemp(prefix="simstudy-chaos-"))
    study = home / "chaos.py"
    study.write_text(STUDY.replace("REPLICATES", str(given.replicates)))
    finish(study, home / "undisturbed")
    expected, equal = digest(home / "undisturbed"), 0
    for number in range(1, given.rounds + 1):
        deeds = disturb(study, home / "round", chance)
        finish(study, home / "round")
        same = digest(home / "round") == expected
        equal += same
        print(f"round {number:2}: {'equal' if same else 'DIFFERENT'} after {', '.join(deeds)}",
              flush=True)  # fmt: skip
        shutil.rmtree(home / "round")
    print(f"{equal} of {given.rounds} rounds equal")
    good = interrupt_all(study, home, given.interrupts, chance)
    shutil.rmtree(home)
    return 0 if good and equal == given.rounds else 1


def interrupt_all(study: Path, home: Path, count: int, chance: random.Random) -> bool:
    """Interrupt runs at random; print what came of it by workers and engine."""
    study.write_text(STUDY.replace("REPLICATES", "20_000").replace("0.005", "0.001"))
    print(f"\n{'jobs':>4} {'engine':<8} {'sent':>5} {'good':>5} {'over':>5} {'worst':>8}")
    perfect = True
    for jobs in (1, 2, 4, 16):
        for engine in ("loop", "batched"):
            seen = [interrupt(study, home / "r", jobs, engine, chance) for _ in range(count)]
            sent = [one for one in seen if one is not None]
            good = [seconds for seconds, trouble in sent if not trouble]
            worst = max((seconds for seconds, _ in sent), default=0.0)
            print(f"{jobs:4} {engine:<8} {len(sent):5} {len(good):5} {count - len(sent):5} "
                  f"{worst:6.2f} s", flush=True)  # fmt: skip
            for _, trouble in sent:
                if trouble:
                    print(f"     {trouble}", flush=True)
            perfect &= len(good) == len(sent)
    return perfect


def interrupt(
    study: Path, folder: Path, jobs: int, engine: str, chance: random.Random
) -> tuple[float, str] | None:
    """Interrupt one run; return the seconds until its end, and what was wrong; None if too late."""
    shutil.rmtree(folder, ignore_errors=True)
    how = chance.choice([signal.SIGINT, signal.SIGTERM])
    send = chance.choice([os.kill, os.killpg])
    terminal, after = chance.random() < 0.5, chance.uniform(0.15, 15)
    command = [sys.executable, "-m", "simstudy", "run", str(study), "--out", str(folder),
               "--jobs", str(jobs), "--engine", engine]  # fmt: skip
    here, there = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        command, stdout=there, stderr=there, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    os.close(there)
    os.set_blocking(here, False)
    said, sent = b"", 0.0
    began = time.monotonic()
    while process.poll() is None and not (sent and time.monotonic() - sent > 20):
        if not sent and time.monotonic() - began > after:
            sent = time.monotonic()
            send(process.pid, how)
        with contextlib.suppress(OSError):  # nothing yet, or nobody there any more
            said += os.read(here, 1 << 16)
        time.sleep(0.005)
    ended = time.monotonic()
    with contextlib.suppress(OSError):
        while part := os.read(here, 1 << 16):
            said += part
    os.close(here)
    if not sent:
        return None
    time.sleep(1.0)  # for what tidies up semaphores
    trouble = []
    if ended - sent > 3:
        trouble.append(f"{ended - sent:.1f} s")
    if process.poll() != 130:
        trouble.append(f"status {process.poll()}")
    if b"to go on: simstudy run" not in said or b"Traceback" in said:
        trouble.append(f"said {said[-2500:]!r}")
    if left := session(process.pid):
        trouble.append(f"left {left}")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kind = f"{how.name} {'to all' if send is os.killpg else 'to one'} after {after:.2f} s: "
    return ended - sent, kind + ", ".join(trouble) if trouble else ""


def session(leader: int) -> list[int]:
    """List the processes of a session that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == leader and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def start(study: Path, folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "simstudy", "run", study, "--out", folder, "--jobs", "2",
               "--block", "7", "--quiet"]  # fmt: skip
    package = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [str(word) for word in command], env=os.environ | {"PYTHONPATH": package},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def finish(study: Path, folder: Path) -> None:
    if start(study, folder).wait() != 0:
        raise RuntimeError(f"the last run in {folder} did not end well")


def disturb(study: Path, folder: Path, chance: random.Random) -> list[str]:
    """Start a run twice; kill workers, then the parent; flip bits between."""
    deeds = []
    for _ in range(2):
        process = start(study, folder)
        before = len(Store(folder).pieces())
        while len(Store(folder).pieces()) == before and process.poll() is None:
            time.sleep(0.05)
        for _ in range(chance.randrange(3)):
            time.sleep(chance.uniform(0, 1))
            workers = children(process.pid)
            if workers:
                end(chance.choice(workers), signal.SIGKILL)
                deeds.append("worker killed")
        time.sleep(chance.uniform(0, 1.5))
        how = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        deeds.append(f"parent {how.name}" if process.poll() is None else "parent done")
        end(process.pid, how)
        process.wait()
        pieces = Store(folder).pieces()
        for piece in chance.sample(pieces, min(len(pieces), chance.randrange(3))):
            flip(piece.path, chance)
            deeds.append("bit flipped")
    return deeds


def end(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def children(pid: int) -> list[int]:
    """List the workers of a run, below its guardian, the process that works, and their server."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_text()
                below = children(child)
                server = "forkserver" in Path(f"/proc/{pid}/cmdline").read_text()
                found += [child] if "popen_loky" in words or server else below
    return found


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def digest(folder: Path) -> str:
    table = Result(folder).table().astype({name: str for name in LABELS if name != "replicate"})
    table = table.sort_values(LABELS).astype({"status": str})
    return hashlib.sha256(
        pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()
    ).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
