"""Files that other programs open: written atomically, and no text in them is a formula."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simstudy.processes.names import NAME, has_ended, unique_name

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
DAY = 86_400.0
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)\s*", re.A | re.I)
_DRAFT = re.compile(rf".+\.({NAME})\.[0-9a-f]+\.part")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces the file when all went well.

    Examples
    --------
    >>> import tempfile
    >>> from simstudy.files.writing import atomic_path
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with atomic_path(path) as draft:
    ...     _ = draft.write_text("a")
    >>> [file.name for file in path.parent.iterdir()]
    ['table.csv']
    """
    draft = path.with_name(f"{path.name}.{unique_name()}.part")
    try:
        yield draft
        if draft.exists():
            os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def printable(text: str) -> str:
    r"""Write what a terminal or a browser would obey instead of showing it: an escape as \x1b.

    The one place that cleans words which are not ours before anybody sees them; spaces of any kind
    and line ends become a space.

    Examples
    --------
    >>> from simstudy.files.writing import printable
    >>> printable("red \x1b[31m\nnext")
    'red \\x1b[31m next'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def save_bytes(content: bytes, path: Path) -> None:
    """Write bytes atomically and durably: a loss of power leaves the old file or the new one."""
    with atomic_path(path) as draft, draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_leftovers(folder: Path, now: float) -> None:
    """Remove what dead processes left behind that were writing to a folder.

    Parameters
    ----------
    folder : Path
    now : float
        By the clock of the disk. Where it is not known whether a process is dead, what it left is
        removed after a day.
    """
    for path in folder.rglob("*.part"):
        found = _DRAFT.fullmatch(path.name)
        with contextlib.suppress(OSError):  # finished meanwhile, or not ours to remove
            if found and (has_ended(found[1]) or now - path.stat().st_mtime > DAY):
                path.unlink()


def save_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a table whose text may come from users; options as of `DataFrame.to_csv`."""
    with atomic_path(path) as draft:
        escape_formulas(frame).to_csv(draft, index=False, **options)


def save_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as `save_csv` writes a frame of them, without pandas; nan is left empty."""
    with atomic_path(path) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = (row[name] for name in columns)
            writer.writerow("" if value != value else _escape(value) for value in values)


def parse_csv(source: Any, **options: Any) -> pd.DataFrame:
    r"""Read a table as `pandas.read_csv` does, its numbers to the last digit in every pandas.

    Parameters
    ----------
    source : path or file
    **options
        As of `pandas.read_csv`.

    Examples
    --------
    >>> import io
    >>> from simstudy.files.writing import parse_csv
    >>> parse_csv(io.StringIO("b\n1.0202339663590723\n1e400"))["b"].tolist()
    [1.0202339663590723, inf]
    """
    import pandas as pd

    if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1):
        frame: pd.DataFrame = pd.read_csv(source, **options)
        return frame
    # by default older ones are a digit off, and take a column with a number like 1e400 for words
    frame = pd.read_csv(source, float_precision="round_trip", **options)
    for name in _text_columns(frame) if "dtype" not in options else ():
        with contextlib.suppress(ValueError):  # words indeed
            frame[name] = [parse_number(word) for word in frame[name]]
    return frame


def parse_number(word: Any) -> float:
    """Read a number to the last digit, of any size; raise ValueError for other words."""
    if isinstance(word, bool) or (isinstance(word, str) and not _NUMBER.fullmatch(word)):
        raise ValueError(f"{word!r} is not a number")
    return float(word)


def read_csv(path: Path) -> pd.DataFrame:
    """Read what `save_csv` wrote, with the text as it was."""
    frame = parse_csv(path)
    return frame.assign(**{name: frame[name].map(_unescape) for name in _text_columns(frame)})


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.files.writing import escape_formulas
    >>> frame = pd.DataFrame({"method": ["=1+1", "opg"], "value": [-1.0, 2.0]})
    >>> escape_formulas(frame)["method"].tolist()
    ["'=1+1", 'opg']
    """
    escaped = frame.assign(**{name: frame[name].map(_escape) for name in _text_columns(frame)})
    return escaped.rename(columns=_escape)


def _text_columns(frame: pd.DataFrame) -> list[str]:
    import pandas as pd

    return [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]


def _escape(word: Any) -> Any:
    return f"'{word}" if isinstance(word, str) and word.startswith(FORMULA) else word


def _unescape(word: Any) -> Any:
    return word[1:] if isinstance(word, str) and _escape(word[1:]) == word else word


def relative_path(path: Path, home: Path) -> Path:
    """Return a path relative to a folder if it lies below it, else as it is.

    Examples
    --------
    >>> from pathlib import Path
    >>> from simstudy.files.writing import relative_path
    >>> print(relative_path(Path("/study/results/gamma"), Path("/study")))
    results/gamma
    >>> print(relative_path(Path("/x"), Path("/study")))
    /x
    """
    return path.relative_to(home) if path.is_relative_to(home) else path


def duration(seconds: float) -> str:
    """Write a time in the unit one would say.

    Examples
    --------
    >>> from simstudy.files.writing import duration
    >>> [duration(seconds) for seconds in (2.04, 1407, 102_237)]
    ['2.0 s', '23.4 min', '28.4 h']
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
