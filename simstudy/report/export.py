"""The long table as the tools that measured performance before simstudy read it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from simstudy.files.writing import save_csv

FORMATS = ("rsimsum", "simsum")

_LABELS = ("scenario", "estimator", "parameter", "replicate", "method")
_NUMBERS = ("truth", "estimate", "se", "lower", "upper")


def exported(table: pd.DataFrame, form: str) -> pd.DataFrame:
    """Lay out the long table for rsimsum (R) or simsum (Stata).

    Both read one row per replicate and method. A row without an answer stays, its numbers missing;
    the status itself goes, because neither tool knows one. For Stata, names are cut to 32 letters,
    digits and underscores, and infinite limits, which it cannot hold, become missing.

    Parameters
    ----------
    table : pandas.DataFrame
        A study's long table.
    form : {"rsimsum", "simsum"}
        The tool that is to read it.

    Returns
    -------
    pandas.DataFrame
        Columns scenario, estimator, parameter, replicate, method, truth, estimate, se, lower,
        upper, and the factors.

    Raises
    ------
    ValueError
        When the format is neither.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.report.export import exported
    >>> table = pd.DataFrame({"scenario": ["a n=5"], "true rate": [2.0], "replicate": [0],
    ...     "estimator": ["ml"], "method": ["observed"], "parameter": ["mu"], "truth": [1.0],
    ...     "estimate": [1.1], "se": [0.2], "lower": [0.7], "upper": [1.5], "status": ["ok"]})
    >>> list(exported(table, "simsum").columns)[-3:]
    ['lower', 'upper', 'true_rate']
    """
    if form not in FORMATS:
        raise ValueError(f"format is {form!r}; allowed are {', '.join(map(repr, FORMATS))}")
    own = [*_LABELS, *_NUMBERS]
    factors = [name for name in table.columns if name not in (*own, "status")]
    found = table[[*own, *factors]].copy()
    for name in found.columns:
        if isinstance(found[name].dtype, pd.CategoricalDtype):
            found[name] = found[name].astype(str)
    if form == "simsum":
        found = found.replace([np.inf, -np.inf], np.nan)
        found.columns = pd.Index(_stata_names(list(map(str, found.columns))))
    return found


def save(frame: pd.DataFrame, path: Path) -> None:
    """Write an exported table as the ending of the path says: `.csv`, or `.dta` for Stata.

    Raises
    ------
    ValueError
        When the ending is neither.
    """
    if path.suffix == ".dta":
        frame.to_stata(path, write_index=False, version=118)
    elif path.suffix == ".csv":
        save_csv(frame, path, float_format="%.17g")
    else:
        raise ValueError(f"cannot write {str(path)!r}: give a name that ends in .csv or .dta")


def call(form: str, path: Path, reference: str = "") -> str:
    """Write the command by which the tool reads the file."""
    if form == "rsimsum":
        return (
            f'rsimsum::simsum(data = read.csv("{path.name}"), estvarname = "estimate", se = "se", '
            f'true = "truth", methodvar = "method", ref = "{reference}", '
            'by = c("scenario", "estimator", "parameter"), ci.limits = c("lower", "upper"))'
        )
    verb = "use" if path.suffix == ".dta" else "import delimited using"
    return (
        f'{verb} "{path.name}", clear\n'
        "simsum estimate, true(truth) se(se) methodvar(method) id(replicate) "
        f'by(scenario estimator parameter) ref("{reference}")'
    )


def _stata_names(names: list[str]) -> list[str]:
    """Return names that Stata takes, all different."""
    taken: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)[:32]
        plain = f"_{plain}"[:32] if plain[:1].isdigit() else plain
        number = 1
        while plain in taken:
            number += 1
            plain = f"{plain[: 31 - len(str(number))]}_{number}"
        taken.append(plain)
    return taken
