"""How a study is run: every option of `simstudy run`, as one frozen value."""

from __future__ import annotations

import os
from pathlib import Path

from simstudy.errors import StudyError


def results_folder(out: str | Path | None, name: str) -> Path:
    """Return the absolute path of a results folder, so that no change of folder moves it.

    Raises
    ------
    StudyError
        When the given name is empty.
    """
    if out is not None and not str(out).strip():
        raise StudyError(
            f"the results folder is {str(out)!r}; give it a name, or leave it out for "
            f"{Path('results') / name}"
        )
    return Path(os.path.abspath(out if out is not None else Path("results") / name))
