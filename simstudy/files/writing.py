"""Files that other programs open: there whole or not at all, and no word in them is a formula."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simstudy.processes.names import NAME, gone, unique

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
DAY = 86_400.0
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)\s*", re.A | re.I)
_DRAFT = re.compile(rf".+\.({NAME})\.[0-9a-f]+\.part")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield another name to write to; it becomes the file when all went well.

    Examples
    --------
    >>> import tempfile
    >>> from simstudy.files.writing import whole
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with whole(path) as draft:
    ...     _ = draft.write_text("a")
    >>> [file.name for file in path.parent.iterdir()]
    ['table.csv']
    """
    draft = path.with_name(f"{path.name}.{unique()}.part")
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


def save(content: bytes, path: Path) -> None:
    """Write bytes that a loss of power, too, leaves whole or as they were."""
    with whole(path) as draft, draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sweep(folder: Path, now: float) -> None:
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
            if found and (gone(found[1]) or now - path.stat().st_mtime > DAY):
                path.unlink()


def save_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """Write a table whose words are not all ours; options as of `DataFrame.to_csv`."""
    with whole(path) as draft:
        defused(frame).to_csv(draft, index=False, **options)


def save_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as `save_csv` writes a frame of them, without pandas; nan is left empty."""
    with whole(path) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = (row[name] for name in columns)
            writer.writerow("" if value != value else _mended(value) for value in values)


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
    for name in _words(frame) if "dtype" not in options else ():
        with contextlib.suppress(ValueError):  # words indeed
            frame[name] = [parse_number(word) for word in frame[name]]
    return frame


def parse_number(word: Any) -> float:
    """Read a number to the last digit, of any size; raise ValueError for other words."""
    if isinstance(word, bool) or (isinstance(word, str) and not _NUMBER.fullmatch(word)):
        raise ValueError(f"{word!r} is not a number")
    return float(word)


def read_csv(path: Path) -> pd.DataFrame:
    """Read what `save_csv` wrote, with the words as they were."""
    frame = parse_csv(path)
    return frame.assign(**{name: frame[name].map(_as_it_was) for name in _words(frame)})


def defused(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before words that a spreadsheet would run as a formula.

    Examples
    --------
    >>> import pandas as pd
    >>> from simstudy.files.writing import defused
    >>> defused(pd.DataFrame({"method": ["=1+1", "opg"], "value": [-1.0, 2.0]})).method.tolist()
    ["'=1+1", 'opg']
    """
    mended = frame.assign(**{name: frame[name].map(_mended) for name in _words(frame)})
    return mended.rename(columns=_mended)


def _words(frame: pd.DataFrame) -> list[str]:
    import pandas as pd

    return [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]


def _mended(word: Any) -> Any:
    return f"'{word}" if isinstance(word, str) and word.startswith(FORMULA) else word


def _as_it_was(word: Any) -> Any:
    return word[1:] if isinstance(word, str) and _mended(word[1:]) == word else word


def near(path: Path, home: Path) -> Path:
    """Write a path as one who stands in a folder does.

    Examples
    --------
    >>> from pathlib import Path
    >>> from simstudy.files.writing import near
    >>> print(near(Path("/study/results/gamma"), Path("/study")), near(Path("/x"), Path("/study")))
    results/gamma /x
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
