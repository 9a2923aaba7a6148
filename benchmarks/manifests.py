"""Flip bits of a manifest and of the small files beside it, one at a time.

    python benchmarks/manifests.py --flips 400

Every flip must be found or harmless: the table, the study and the level are what they were. A side
file may cost a sentence, never a traceback.
"""

import argparse
import random
import shutil
import tempfile
from pathlib import Path

from chaos import digest, flip
from simstudy import MaximumLikelihood, Result, Study, StudyError, grid, run
from simstudy.methods import OBSERVED, OPG
from simstudy.models import gamma
from simstudy.store.journal import Store

SIDE = ("information_equality.csv", "looks.json", "../selftest.csv", "shares/1-of-2.20260101.json")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flips", type=int, default=400)
    options.add_argument("--side", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = random.Random(given.seed)
    home = Path(tempfile.mkdtemp(prefix="simstudy-manifests-"))
    folder = begun(home / "results")
    held = sum(flipped(folder, chance) for _ in range(given.flips))
    print(f"manifest: {held} of {given.flips} flips found or harmless")
    told = [told_of(folder, folder / name, chance) for name in SIDE for _ in range(given.side)]
    print(f"side files: {sum(told)} of {len(told)} flips end in a report or a sentence")
    shutil.rmtree(home)
    return 0 if held == given.flips and all(told) else 1


def begun(folder: Path) -> Path:
    """Run a small study until its verdicts have fallen; leave every kind of side file beside it."""
    scenarios = grid(gamma.MECHANISM, n=[20, 50], shape=2.0, rate=1.0)
    study = Study("s", scenarios, [MaximumLikelihood(gamma.MODEL, [OBSERVED, OPG])], seed=3)
    run(
        study, out=folder, until="cover:0.03", max_replicates=100, jobs=1, engine="loop", quiet=True
    )
    (folder.parent / "selftest.csv").write_text("part,passed\noracle,True\noracle,False\n")
    entry = {"started": "2026-01-01", "seconds": 1.0, "replicates": 2}
    Store(folder).note_share("1-of-2", entry)
    return folder


def flipped(folder: Path, chance: random.Random) -> bool:
    """Flip one bit of the manifest; tell whether nothing that is read has changed."""
    path = folder / "manifest.json"
    content = path.read_bytes()
    before, table = Result(folder).manifest(), digest(folder)
    flip(path, chance)
    after = Result(folder).manifest()
    same = all(after[name] == before[name] for name in ("study", "identity", "engine"))
    same &= digest(folder) == table
    path.write_bytes(content)
    return same


def told_of(folder: Path, path: Path, chance: random.Random) -> bool:
    """Flip one bit of a side file and gather and report again; tell whether that ends well."""
    content = path.read_bytes() if path.exists() else b""
    path.write_bytes(content)
    if content:
        flip(path, chance)
    try:
        Store(folder).manifest_file.gather_shares()
        Result(folder).report()
    except StudyError:
        pass
    except Exception as error:
        print(f"{path.name}: {type(error).__name__}: {error}")
        return False
    path.write_bytes(content)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
