"""A study's results: the table, the audit, and what is made of them. Knows folders, not models."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from simstudy.design.findings import mismatches
from simstudy.errors import StudyError
from simstudy.evidence.calibration import calibration
from simstudy.evidence.comparison import compare
from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import explain, remedies, verdicts
from simstudy.files.writing import parse_csv, save_csv
from simstudy.records import rows as tables
from simstudy.records.row_file import RowFile
from simstudy.report import page as report
from simstudy.store import looks
from simstudy.store.information_equality import read_tests
from simstudy.store.journal import Store

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

    def __post_init__(self) -> None:
        """Take a folder by its name too."""
        object.__setattr__(self, "folder", Path(self.folder))

    def manifest(self) -> dict[str, Any]:
        """Return what was run: design, versions, engine, runs."""
        return Store(self.folder).manifest()

    def table(self, most: int | None = None) -> pd.DataFrame:
        """Return the long table, one row per replicate, estimator, method and parameter.

        `most` limits it to the first so many replicates of every scenario.
        """
        return self._gather(tables.table, most)

    def audit(self, most: int | None = None) -> pd.DataFrame:
        """Return the diagnosis of every fit, one row per replicate and estimator."""
        return self._gather(tables.audit, most)

    def costs(self, most: int | None = None) -> pd.DataFrame:
        """Return the mean seconds each method takes beyond the fit, by scenario.

        A Hessian that several methods share counts for each of them. The batched engine computes
        methods together: its times are of what is left for each.
        """
        return self._gather(tables.seconds, most)

    def performance(self, *, mcse: str = "robust") -> pd.DataFrame:
        """Return every measure with its Monte Carlo standard error, scenario by scenario."""
        level = float(self.manifest()["study"]["level"])
        frames = [
            summarize(tables.table(parts), level=level, mcse=mcse)
            for parts in Store(self.folder).read()
        ]
        if not frames:
            raise StudyError(f"{self.folder} holds no replicates yet; run the study first")
        frame: pd.DataFrame = pd.concat(frames, ignore_index=True)
        return frame

    def verdicts(self) -> pd.DataFrame:
        """Return the verdict on every method in every scenario."""
        level = float(self.manifest()["study"]["level"])
        return verdicts(self.performance(), level=level, rule=looks.rule_of(self.folder))

    def compare(self, reference: str | None = None) -> pd.DataFrame:
        """Compare every method with a reference on the same replicates, scenario by scenario.

        By default with `observed`, or where a scenario has not got it, with its first method.
        """
        frames = []
        for parts in Store(self.folder).read():
            table = tables.table(parts)
            against = reference or _reference(table)
            if against is not None:
                frames.append(compare(table, against))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def calibration(self) -> pd.DataFrame:
        """Return the coverage of every method's intervals at several levels, by scenario."""
        level = float(self.manifest()["study"]["level"])
        parts = Store(self.folder).read()
        frames = [calibration(tables.table(part), level=level) for part in parts]
        return pd.concat(frames, ignore_index=True)

    def information_equality(self) -> pd.DataFrame:
        """Return whether mechanisms match likelihoods, as the run found it; else an empty frame."""
        return read_tests(self.folder)

    def report(self) -> Path:
        """Write report, figures, performance and rows beside the store; return the report."""
        return self.publish().path

    def publish(self) -> Published:
        """Write everything, reading each scenario's blocks once; return what a terminal shows.

        Raises
        ------
        StudyError
            When there is nothing to report, or a file cannot be written.
        """
        try:
            return self._publish()
        except OSError as error:
            raise StudyError(
                f"cannot write {error.filename2 or error.filename or self.folder}: "
                f"{error.strerror or error}; what is stored stays: make it writable, or move it "
                "away, and write the report again"
            ) from error

    def _publish(self) -> Published:
        """Write everything."""
        manifest = self.manifest()
        level = float(manifest["study"]["level"])
        frames = self._frames(level)
        if not frames.performance:
            raise StudyError(f"{self.folder} holds no replicates yet; run the study first")
        whole = pd.concat(frames.performance, ignore_index=True)
        save_csv(whole, self.folder / "performance.csv")
        found = verdicts(whole, level=level, rule=looks.rule_of(self.folder))
        audit = tables.stack(frames.audits)
        fitted = {e["name"] for e in manifest["study"]["estimators"] if "model" in e}
        compared = pd.concat(frames.pairs, ignore_index=True) if frames.pairs else None
        if compared is not None:
            save_csv(compared, self.folder / "comparison.csv")
        agreed = _with_sandwiches(self.information_equality(), found)
        alarms, lacking = mismatches(agreed), looks.lacking(self.folder)
        notes = [*alarms, *looks.notes(self.folder), *_accepted(manifest["accepted"]),
                 *_selftested(self.folder)]  # fmt: skip
        path = report.write(
            self.folder,
            tables.stack(frames.few),
            audit,
            whole,
            found,
            manifest,
            why=explain(whole, found, level=level, likelihood=fitted),
            comparison=compared,
            calibration=pd.concat(frames.levels, ignore_index=True),
            information_equality=agreed,
            # the batched engine's methods have no times of their own
            costs=pd.concat(frames.costs) if manifest["engine"] == "loop" else None,
            lacking=lacking,
            notes=notes,
        )
        fine = bool((audit["status"] == "ok").any())
        return Published(path, found, fine, lacking, alarms)

    def _frames(self, level: float) -> _Frames:
        """Read every scenario once: write its rows, and keep what the report takes of them."""
        frames = _Frames()
        with (
            RowFile(self.folder / "replicates") as rows,
            RowFile(self.folder / "audit") as audit_rows,
        ):
            for parts in Store(self.folder).read():
                table, audit = tables.table(parts), tables.audit(parts)
                frames.costs.append(tables.seconds(parts))
                del parts  # a scenario's rows are large enough once
                frames.performance.append(summarize(table, level=level))
                frames.levels.append(calibration(table, level=level))
                reference = _reference(table)
                if reference is not None:
                    frames.pairs.append(compare(table, reference))
                rows.add(table)
                audit_rows.add(audit)
                frames.few.append(table[table["replicate"] < IN_FIGURES])
                frames.audits.append(audit)
        return frames

    def _gather(self, rows: Callable[[Any], pd.DataFrame], most: int | None) -> pd.DataFrame:
        """Make rows of every scenario's blocks."""
        return rows(part for parts in Store(self.folder).read(most) for part in parts)


@dataclass(frozen=True, slots=True)
class _Frames:
    """What a report takes of every scenario, one frame each; rows of replicates the first few."""

    performance: list[pd.DataFrame] = field(default_factory=list)
    audits: list[pd.DataFrame] = field(default_factory=list)
    few: list[pd.DataFrame] = field(default_factory=list)
    pairs: list[pd.DataFrame] = field(default_factory=list)
    levels: list[pd.DataFrame] = field(default_factory=list)
    costs: list[pd.DataFrame] = field(default_factory=list)


def _with_sandwiches(agreed: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Put what the verdicts say of a sandwich behind each sentence that sends a reader to one."""
    sentences = []
    for row in agreed.to_dict("records"):
        sentence = str(row["sentence"])
        if row["finding"] in ("as-intended", "wrong-likelihood"):
            here = (found["scenario"] == row["scenario"]) & (found["estimator"] == row["estimator"])
            sentence += f" {_of_sandwiches(found[here])}"
        sentences.append(sentence)
    return agreed.assign(sentence=sentences)


def _of_sandwiches(found: pd.DataFrame) -> str:
    """Say the verdicts on the sandwiches among methods, by parameter."""
    own = found[[remedies.kind(str(name)) == "sandwich" for name in found["method"]]]
    if own.empty:
        return "No sandwich was tried here."
    sentences = [
        f"{method} {str(word).replace('-', ' ')} ({', '.join(map(str, rows['parameter']))})"
        for (method, word), rows in own.groupby(["method", "verdict"], sort=False, observed=True)
    ]
    return f"The verdicts on sandwiches here: {'; '.join(sentences)}."


def _accepted(lines: list[str]) -> list[str]:
    """Say what was changed between the runs."""
    return [f"Changed between the runs of this study: {'; '.join(lines)}."] if lines else []


def _selftested(folder: Path) -> list[str]:
    """Say how the self-test ended whose outcome lies beside a results folder, if one does."""
    path = Path(folder).parent / "selftest.csv"
    try:
        passed = parse_csv(path)["passed"]
        if passed.dtype != bool or passed.empty:
            raise ValueError("passed is neither True nor False")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError) as error:
        return [f"{path} cannot be read ({type(error).__name__}): run simstudy selftest again."]
    if passed.all():
        return [f"The self-test of this installation holds in all of its {len(passed)} checks."]
    return [
        f"The self-test of this installation falls short in {(~passed).sum()} of {len(passed)} "
        "checks: see simstudy selftest."
    ]


def _reference(table: pd.DataFrame) -> str | None:
    """Return the method to compare the others with: the exact one, else the first; or none."""
    methods = [str(method) for method in table["method"].unique()]
    if len(methods) < 2:
        return None
    return "observed" if "observed" in methods else methods[0]


@dataclass(frozen=True, slots=True)
class Published:
    """What `Result.publish` wrote and found.

    The report, the verdicts, whether any fit succeeded, what is lacking, and where a mechanism does
    not match its likelihood.
    """

    path: Path
    verdicts: pd.DataFrame
    fitted: bool
    lacking: str
    alarms: list[str]


def prepare() -> None:
    """Load what `publish` takes; nothing else is changed by it."""
    if importlib.util.find_spec("pyarrow"):
        importlib.import_module("pyarrow.parquet")
    report.prepare()
