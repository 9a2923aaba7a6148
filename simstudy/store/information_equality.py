"""The tests of the mechanisms in a results folder: written by a run, read by the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simstudy.design.findings import COLUMNS, FINDINGS, NUMBERS
from simstudy.design.information_equality import DRAWS, SECONDS, equality_rows, likelihood_cells
from simstudy.design.study import Study
from simstudy.files.folder_lock import lock_manifest
from simstudy.files.writing import read_csv, save_rows

if TYPE_CHECKING:
    import pandas as pd

FILE = "information_equality.csv"


def write_tests(study: Study, folder: Path) -> None:
    """Write `information_equality.csv` into a folder, unless it holds what would be written.

    One that is damaged, or of an older version, is made again. Of shards that begin at the same
    time each tests for itself, and what the first has written stays. Without pandas where there is
    no such file yet: a run begins with this, and loads pandas when its workers work.
    """
    path = folder / FILE
    if _is_enough(path, study):
        return
    rows = equality_rows(study, DRAWS, SECONDS)
    with lock_manifest(folder):
        if not _is_enough(path, study):  # meanwhile
            save_rows(rows, COLUMNS, path)


def read_tests(folder: Path) -> pd.DataFrame:
    """Return what `write_tests` wrote into a folder; an empty frame where it did not.

    Where that is damaged, or of an older version, a line on standard error says so.
    """
    import pandas as pd

    path = folder / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    stored = _read(path)
    if stored is None:
        print(
            f"{path} cannot be read, or is of another version: the report does without it, and the "
            "next run makes it again",
            file=sys.stderr,
        )
        return pd.DataFrame(columns=list(COLUMNS))
    return stored


def _is_enough(path: Path, study: Study) -> bool:
    """Tell whether a file holds every cell of a study, of as many data sets as there would be."""
    stored = _read(path) if path.exists() else None
    if stored is None or not len(stored):
        return False
    cells = {(row.scenario, row.estimator) for row in stored.itertuples()}
    enough = stored["available"].max() >= min(DRAWS, study.replicates)
    return bool(enough) and cells >= {(s.key, e.name) for s, e in likelihood_cells(study)}


def _read(path: Path) -> pd.DataFrame | None:
    """Read what `write_tests` wrote; None where it is not that."""
    import pandas as pd

    try:
        found = read_csv(path)
    except (OSError, ValueError):  # pandas' own errors are ValueErrors
        return None
    if list(found) != list(COLUMNS) or not found["finding"].isin(FINDINGS).all():
        return None
    whole = bool(found.drop(columns=list(NUMBERS[2:])).notna().to_numpy().all())
    # columns without a row have no type
    numeric = found.empty or all(pd.api.types.is_numeric_dtype(found[name]) for name in NUMBERS)
    return found if whole and numeric else None
