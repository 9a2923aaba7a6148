"""Kill the parent and workers of a run at random and flip bits in what it stored, again and again.

    python benchmarks/chaos.py --rounds 20

Every round ends with a run that is left alone; its table must be that of the undisturbed run, bit
for bit.
"""

import argparse
import contextlib
import hashlib
import os
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
from simstudy.store import Store

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
    shutil.rmtree(home)
    return 0 if equal == given.rounds else 1


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
    """List the worker processes of a run: its children that run loky's worker."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            try:
                words = Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue
            if "popen_loky" in words:
                found.append(int(child))
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
