"""Tables that other programs wrote, read by pandas as the ending of their name says."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simstudy.files.writing import parse_csv

if TYPE_CHECKING:
    import pandas as pd

_KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    ".csv": ("read_csv", {}, ""),
    ".tsv": ("read_csv", {"sep": "\t"}, ""),
    ".json": ("read_json", {"dtype": False}, ""),
    ".jsonl": ("read_json", {"dtype": False, "lines": True}, ""),
    ".dta": ("read_stata", {}, ""),
    ".parquet": ("read_parquet", {}, "pyarrow"),
    ".feather": ("read_feather", {}, "pyarrow"),
    ".orc": ("read_orc", {}, "pyarrow"),
    ".xlsx": ("read_excel", {"engine": "openpyxl"}, "openpyxl"),
    ".xls": ("read_excel", {"engine": "xlrd"}, "xlrd"),
    ".ods": ("read_excel", {"engine": "odf"}, "odfpy"),
    ".sas7bdat": ("read_sas", {"encoding": "infer"}, ""),
    ".xpt": ("read_sas", {"encoding": "infer"}, ""),
    ".sav": ("read_spss", {}, "pyreadstat"),
}
"""What pandas reads by the ending of a name: its reader, options, and what must be installed.

A pickle is not among them: reading one runs what it holds.
"""
_PACKABLE = (".csv", ".tsv", ".json", ".jsonl", ".dta")
_PACKED = {".gz": "", ".bz2": "", ".xz": "", ".zip": "", ".zst": "zstandard"}
_WITH_WORDS = ("read_csv", "read_excel")  # where NA is a word or a missing entry


def read(path: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table as the ending of its name says, by pandas.

    Parameters
    ----------
    path : Path
        The file; text and Stata's may be packed.
    names : sequence of str
        Columns of labels: among words, `NA` and `None` are words there.

    Returns
    -------
    pandas.DataFrame
        The table; of a workbook, its first sheet.

    Raises
    ------
    ValueError
        When the file is missing, of another kind, empty or not readable; when it needs a package
        that is not installed.
    """
    import pandas as pd

    kind, packed = _kind(path)
    if kind not in _KINDS or (packed and kind not in _PACKABLE):
        hint = ""
        if kind == ".txt":
            hint = (
                "; of a text, the name says what separates its fields: rename it to .tsv for tabs "
                "or .csv for commas, in R write.csv(x, file, row.names = FALSE) for write.table"
            )
        raise ValueError(f"cannot read {str(path)!r}: give a file ending in {readable()}{hint}")
    reader, options, package = _KINDS[kind]
    call = parse_csv if reader == "read_csv" else getattr(pd, reader)
    load = functools.partial(call, path, **options)
    with _sentences(path, kind, _PACKED.get(packed) or package):
        frame: pd.DataFrame = load()
        if reader in _WITH_WORDS:
            worded = [name for name in names if name in frame and _has_words(frame[name])]
            if worded:
                words = load(usecols=worded, keep_default_na=False, na_values=[""], dtype=str)
                frame = frame.assign(**{name: words[name] for name in worded})
            # pandas gives the second of two equal names another one
            heads = load(header=None, nrows=1, dtype=str)
    if reader in _WITH_WORDS and len(heads):
        _check_names(path, heads.iloc[0].dropna())
    if kind == ".csv" and len(frame.columns) == 1:
        _check_separator(path, str(frame.columns[0]))
    return frame


@contextmanager
def _sentences(path: Path, kind: str, package: str) -> Iterator[None]:
    """Say in a sentence why a file cannot be read, and what to do."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}") from None
    except ImportError as error:
        needs = package or str(error)
        install = "'simstudy[parquet]'" if needs == "pyarrow" else needs
        raise ValueError(
            f"reading {path.name!r} needs {needs}: pip install {install}, or give a CSV file"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); "
            "save it as UTF-8: in a spreadsheet 'CSV UTF-8', in R write.csv(x, file, "
            'fileEncoding = "UTF-8"), in a shell iconv -f LATIN1 -t UTF-8, or -f UTF-16'
        ) from error
    except Exception as error:  # every reader has its own kinds
        raise ValueError(f"{path} cannot be read as {kind[1:]}: {error}") from error


def _check_names(path: Path, names: pd.Series[str]) -> None:
    """Refuse two columns of one name."""
    if names.duplicated().any():
        raise ValueError(
            f"{path} has two columns {names[names.duplicated()].iloc[0]!r}; the names of columns "
            "must differ"
        )


def _check_separator(path: Path, head: str) -> None:
    """Refuse a table of one column in whose name another separator stands."""
    commas = "save it with commas, and points in decimal numbers"
    tabs = "let its name end in .tsv instead of .csv"
    for mark, what, cure in ((";", "semicolons", commas), ("\t", "tabs", tabs)):
        if mark in head:
            raise ValueError(
                f"{path} has one column, {head!r}: its fields seem to be separated by {what}; "
                f"{cure}"
            )


def readable() -> str:
    """List the endings of tables that can be read."""
    return f"{', '.join(_KINDS)} ({', '.join(_PACKABLE)} also packed: {', '.join(_PACKED)})"


def stem(path: Path) -> str:
    """Return the name of a table without its endings."""
    return path.name[: len(path.name) - len("".join(_kind(path)))]


def _kind(path: Path) -> tuple[str, str]:
    """Return the ending that says the kind of a table, and that of what it is packed in."""
    endings = [ending.lower() for ending in path.suffixes]
    packed = endings.pop() if endings and endings[-1] in _PACKED else ""
    return endings[-1] if endings else "", packed


def _has_words(labels: pd.Series[Any]) -> bool:
    """Return whether labels of which some seem to be missing are words."""
    import pandas as pd

    present = labels.dropna()
    return len(present) < len(labels) and not (
        len(present) and pd.api.types.is_numeric_dtype(present)
    )
