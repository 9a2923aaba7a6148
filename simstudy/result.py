"""A study's results: the table, the audit, and what is made of them. Knows folders, not models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from simstudy import performance as measures
from simstudy import records, report
from simstudy.store import Store
from simstudy.verdicts import explain, verdicts

IN_FIGURES = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """The results folder of a study, read anew at every call.

    Parameters
    ----------
    folder : Path
        Such as `results/gamma`.
    """

    folder: Path

    def manifest(self) -> dict[str, Any]:
        """Return what was run: design, versions, engine, runs."""
        return Store(self.folder).manifest()

    def table(self, most: int | None = None) -> pd.DataFrame:
        """Return the long table, one row per replicate, estimator, method and parameter.

        `most` limits it to the first so many replicates of every scenario.
        """
        return self._gather(records.table, most)

    def audit(self, most: int | None = None) -> pd.DataFrame:
        """Return the diagnosis of every fit, one row per replicate and estimator."""
        return self._gather(records.audit, most)

    def costs(self, most: int | None = None) -> pd.DataFrame:
        """Return the mean seconds each method took beyond the fit, by scenario."""
        return self._gather(records.seconds, most)

    def performance(self, *, mcse: str = "robust") -> pd.DataFrame:
        """Return every measure with its Monte Carlo standard error, scenario by scenario."""
        level = float(self.manifest()["study"]["level"])
        frames = [
            measures.summarize(records.table(parts), level=level, mcse=mcse)
            for parts in Store(self.folder).read()
        ]
        frame: pd.DataFrame = pd.concat(frames, ignore_index=True)
        return frame

    def verdicts(self) -> pd.DataFrame:
        """Return the verdict on every method in every scenario."""
        return verdicts(self.performance(), level=float(self.manifest()["study"]["level"]))

    def report(self) -> Path:
        """Write report, figures, performance and rows beside the store; return the report."""
        manifest = self.manifest()
        performance = self.performance()
        found = verdicts(performance, level=float(manifest["study"]["level"]))
        performance.to_csv(self.folder / "performance.csv", index=False)
        self._rows("replicates", self.table())
        self._rows("audit", self.audit())
        return report.write(
            self.folder,
            self.table(IN_FIGURES),
            self.audit(),
            performance,
            found,
            manifest,
            why=explain(performance, found),
        )

    def _gather(self, rows: Callable[[Any], pd.DataFrame], most: int | None) -> pd.DataFrame:
        """Make rows of every scenario's blocks."""
        return rows(part for parts in Store(self.folder).read(most) for part in parts)

    def _rows(self, name: str, frame: pd.DataFrame) -> None:
        """Write rows as parquet, or as CSV without pyarrow."""
        try:
            frame.to_parquet(self.folder / f"{name}.parquet", index=False)
        except ImportError:
            frame.to_csv(self.folder / f"{name}.csv", index=False)
