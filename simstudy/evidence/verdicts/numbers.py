"""From a performance frame to one row of numbers per method and case."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from simstudy.evidence.montecarlo import FEWEST, wilson
from simstudy.evidence.summary import RESULTS

Floats = npt.NDArray[np.float64]

OWN = (
    "verdict", "sentence", "cover", "cover_mcse", "cover_lower", "cover_upper", "cover_all",
    "relerror", "relerror_mcse", "fail", "n", "asked", "more",
)  # fmt: skip

_MEASURES = (
    "n", "fail", "bias", "empse", "relerror", "cover", "becover", "cover_all", "miss_left",
    "miss_right", "corr", "ciwidth", "seratio_p05", "seratio_median", "seratio_p95",
)  # fmt: skip


def spread(performance: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the frame into labels and numbers, one row each per case and method."""
    missing = {"method", "measure", "value", "mcse", "n"} - set(performance.columns)
    if missing:
        raise ValueError(
            f"the performance frame has no column {', '.join(sorted(missing))}; give what "
            "simstudy.evidence.summary.summarize returns"
        )
    if performance.empty:
        raise ValueError("the performance frame has no rows; there is nothing to judge")
    cases = [name for name in performance.columns if name not in {*RESULTS, "method"}]
    keys = [*cases, "method"]
    at = case_numbers(performance, keys)
    twice = pd.DataFrame({"at": at, "measure": performance["measure"].astype(str)}).duplicated()
    if twice.any():
        row = performance.loc[twice.to_numpy(), [*keys, "measure"]].iloc[0]
        which = ", ".join(f"{name}={value}" for name, value in row.items())
        raise ValueError(f"a measure occurs twice for one method in one case: {which}")
    labels = performance.loc[~pd.Series(at).duplicated().to_numpy(), keys].reset_index(drop=True)
    numbers = _columns(performance, at, len(labels))
    left, right = numbers["miss_left"], numbers["miss_right"]
    numbers["misses"] = left - right
    # multinomial: the two shares exclude each other
    numbers["misses_mcse"] = np.sqrt((left + right - (left - right) ** 2) / numbers["miss_left_n"])
    known = numbers[["relerror_n", "cover_n"]].max(axis=1).fillna(0)
    numbers["n"] = numbers["n"].fillna(known)
    cover, covered = (numbers[name].to_numpy(dtype=float) for name in ("cover", "cover_n"))
    for name, end in zip(("lower", "upper"), wilson(cover, covered), strict=True):
        numbers[f"cover_{name}"] = numbers[f"cover_{name}"].fillna(pd.Series(end))
    numbers["asked"] = numbers["fail_n"].fillna(numbers["n_n"]).fillna(numbers["n"])
    few = numbers["relerror_n"] < FEWEST
    numbers.loc[few, ["relerror", "relerror_mcse"]] = np.nan
    own = {name: f"factor_{name}" for name in cases if name in OWN}
    return labels.rename(columns=own), numbers


def _columns(performance: pd.DataFrame, at: npt.NDArray[np.int64], size: int) -> pd.DataFrame:
    """Turn measures into columns: value, and with _mcse and _n what belongs to it."""
    measure = pd.Index(_MEASURES).get_indexer(pd.Index(performance["measure"].astype(str)))
    mine = measure >= 0
    columns: dict[str, Floats] = {}
    suffixes = {"value": "", "mcse": "_mcse", "n": "_n", "lower": "_lower", "upper": "_upper"}
    for name, suffix in suffixes.items():
        matrix = np.full((size, len(_MEASURES)), np.nan)
        if name not in performance:
            columns |= {f"{of}{suffix}": matrix[:, k] for k, of in enumerate(_MEASURES)}
            continue
        matrix[at[mine], measure[mine]] = performance[name].to_numpy(dtype=float)[mine]
        columns |= {f"{of}{suffix}": matrix[:, k] for k, of in enumerate(_MEASURES)}
    return pd.DataFrame(columns)


def case_numbers(frame: pd.DataFrame, columns: list[str]) -> npt.NDArray[np.int64]:
    """Number the combinations of the columns in order of appearance; missing is a value too."""
    if not columns:
        return np.zeros(len(frame), dtype=np.int64)
    groups = frame.groupby(columns, sort=False, observed=True, dropna=False)
    return np.asarray(groups.ngroup(), dtype=np.int64)
