"""A table's file beside the store, written scenario by scenario: no more than one is in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd

from simstudy.files.writing import atomic_path, escape_formulas


class RowFile:
    """A file of rows written part by part: parquet, or CSV without pyarrow; never both.

    Parameters
    ----------
    path : Path
        Without its ending.
    """

    def __init__(self, path: Path) -> None:
        """Remember where; the file is made with the first part."""
        ending, other = ".parquet", ".csv"
        if importlib.util.find_spec("pyarrow") is None:
            ending, other = other, ending
        self.draft = atomic_path(path.with_suffix(ending))
        self.stale = path.with_suffix(other)
        self.parts = 0
        self.writer: Any = None

    def __enter__(self) -> RowFile:
        """Begin, beside what was there before."""
        self.path = self.draft.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the file, and let it take its place, and the other kind's, when all went well."""
        if self.writer is not None:
            self.writer.close()
        if self.parts and error[0] is None:
            self.stale.unlink(missing_ok=True)
        self.draft.__exit__(*error)

    def add(self, frame: pd.DataFrame) -> None:
        """Add a part: the rows of one scenario."""
        self.parts += 1
        if importlib.util.find_spec("pyarrow") is None:
            first = self.parts == 1
            with self.path.open("w" if first else "a", newline="") as file:
                escape_formulas(frame).to_csv(file, index=False, header=first)
            return
        import pyarrow
        import pyarrow.parquet

        part = pyarrow.Table.from_pandas(frame, preserve_index=False)
        if self.writer is None:
            word = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
            names = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
            schema = pyarrow.schema([
                field.with_type(word) if field.name in names else field for field in part.schema
            ])  # fmt: skip
            self.writer = pyarrow.parquet.ParquetWriter(self.path, schema, use_dictionary=names)
        self.writer.write_table(part.cast(self.writer.schema))
