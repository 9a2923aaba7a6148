"""The commands about tables: `simstudy performance` measures anybody's, `export` writes ours."""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from simstudy.evidence.columns import Columns

_DONE = 0

PERFORMANCE_EXAMPLE = """\
simstudy performance estimates.csv --estimate b --se se --truth 0.5
  simstudy performance estimates.dta --estimate b --se se --truth theta --method method \\
      --by dgm --replicate id --reference CC --out performance.csv report.html
  simstudy performance wide.csv --estimate 'b_{method}' --se 'se_{method}' --truth 0.5 \\
      --wide ml mm --replicate id --out performance.csv"""

EXPORT_EXAMPLE = """\
simstudy export gamma --format rsimsum --out gamma.csv
  simstudy export gamma --format simsum --out gamma.dta"""


def describe_performance(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy performance`."""
    from simstudy.evidence.reading import readable

    add = command.add_argument
    add("table", type=Path, metavar="TABLE", help=f"a file ending in {readable()}")
    add("--estimate", required=True, metavar="COL", help="column of the estimates")
    add("--truth", required=True, metavar="X", help="the true value: a number, or a column")
    add("--se", metavar="COL", help="column of the standard errors")
    add("--lower", metavar="COL", help="column of the lower limits; without, Wald's are taken")
    add("--upper", metavar="COL", help="column of the upper limits")
    add("--df", metavar="X", help="degrees of freedom of Wald's limits: a number, or a column")
    add("--truth-mcse", metavar="X", help="Monte Carlo error of a truth that is itself simulated: "
        "a number, or a column")  # fmt: skip
    add("--method", metavar="COL", help="column that tells methods apart")
    add("--wide", nargs="+", metavar="METHOD",
        help="the table has one column per method: names of the methods, which stand where the "
        "names of columns say {method}")  # fmt: skip
    add("--by", nargs="+", action="extend", default=[], metavar="COL",
        help="columns that tell groups (scenarios, parameters) apart")  # fmt: skip
    add("--replicate", metavar="COL", help="column that numbers the data sets; comparing methods "
        "needs it, because replicates are paired by it, never by the order of rows")  # fmt: skip
    add("--pool", action="store_true", help="rows of a group and method are replicates of one "
        "estimand, although a column that is not named here tells them apart")  # fmt: skip
    add("--reference", metavar="NAME", help="the method that relprec, and the paired comparison "
        "in the report, compare with")  # fmt: skip
    add("--exact", default="observed", metavar="NAME", help="the method that seratio divides by")
    add("--level", type=float, default=0.95, metavar="P", help="nominal level (default: 0.95)")
    add("--null", type=float, default=0.0, metavar="X", help="what power tests (default: 0)")
    add("--mcse", choices=("robust", "morris"), default="robust",
        help="Monte Carlo errors that hold for any estimates, or those of Morris et al. (2019), "
        "which rsimsum and simsum print")  # fmt: skip
    add("--out", nargs="+", type=Path, default=[], metavar="FILE",
        help="files to write: .csv the measures, .html the report; without, the measures go to "
        "standard output as CSV")  # fmt: skip


def describe_export(command: argparse.ArgumentParser) -> None:
    """Add the options of `simstudy export`."""
    command.add_argument("study", metavar="STUDY",
                         help="a name in studies/, or the folder of its results")  # fmt: skip
    command.add_argument("--format", required=True, choices=("rsimsum", "simsum"),
                         help="for R's rsimsum, or for Stata's simsum")  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="FILE",
                         help="file to write, ending in .csv or .dta")  # fmt: skip


def export(folder: Path, form: str, path: Path) -> int:
    """Write a study's table for another tool, and say how that reads it."""
    from simstudy.errors import StudyError
    from simstudy.report.export import call, exported, save
    from simstudy.result import Result

    _writable(path, (".csv", ".dta"))
    table = Result(folder).table()
    if table.empty:
        raise StudyError(f"{folder} holds no replicates yet; run the study first")
    try:
        save(exported(table, form), path)
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror or error}") from error
    methods = list(map(str, table["method"].unique()))
    print(f"{path}: {len(table):,} rows. To read it:")
    print(call(form, path, "observed" if "observed" in methods else methods[0]))
    return _DONE


def performance(options: argparse.Namespace) -> int:
    """Measure the performance of a table; write what was asked for."""
    from simstudy.errors import StudyError
    from simstudy.evidence.long_table import long_table
    from simstudy.evidence.performance import warn_of_units
    from simstudy.evidence.reading import read, stem
    from simstudy.evidence.summary import summarize
    from simstudy.files.writing import escape_formulas, printable, save_csv

    for path in options.out:
        _writable(path, (".csv", ".html"))
        if path.exists() and options.table.exists() and path.samefile(options.table):
            raise StudyError(f"--out {str(path)!r} is the table itself; give another name")
    asked = ("level", "reference", "exact", "null", "mcse")
    settings = {name: getattr(options, name) for name in asked}
    with _refusals():
        columns = _columns(options)
        names = [name for name in (options.method, *options.by) if name is not None]
        table = long_table(read(options.table, names), columns, level=options.level)
        found = summarize(table, by=columns.groups, **settings)
        warn_of_units(found)
        for path in options.out:
            if path.suffix == ".csv":
                save_csv(found, path)
            else:
                _report(path, table, columns, settings, printable(stem(options.table)))
            print(path)
    if not options.out:
        escape_formulas(found).to_csv(sys.stdout, index=False)
    return _DONE


def _columns(options: argparse.Namespace) -> Columns:
    """Take from the options what the columns of the table hold."""
    from simstudy.evidence.columns import Columns

    return Columns(
        estimate=options.estimate,
        truth=_number_or_column(options.truth),
        se=options.se,
        method=options.method,
        by=options.by,
        replicate=options.replicate,
        lower=options.lower,
        upper=options.upper,
        df=options.df and _number_or_column(options.df),
        truth_mcse=options.truth_mcse and _number_or_column(options.truth_mcse),
        wide=options.wide,
        pool=options.pool,
    )


def _report(
    path: Path, table: pd.DataFrame, columns: Columns, settings: dict[str, Any], name: str
) -> None:
    """Write the report that a study of one's own would get, as one file."""
    from simstudy.evidence.calibration import calibration
    from simstudy.evidence.comparison import compare
    from simstudy.evidence.summary import summarize
    from simstudy.evidence.verdicts import explain, verdicts
    from simstudy.report import page as report

    level, exact, reference = (settings[name] for name in ("level", "exact", "reference"))
    table = _as_a_study(table, columns, name)
    by = [*dict.fromkeys(["scenario", *_factors(columns), "estimator", "parameter"])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `performance` has warned of it
        measured = summarize(table, by=by, **settings)
        limited = {"se", "lower"} & {*table.columns}
        paired = compare(table, reference, by=by) if reference and limited else None
        levels = None if columns.se is None else calibration(table, by=by, level=level)
    found = verdicts(measured, level=level, exact=exact)
    manifest = {"study": {"name": name, "level": level}}
    with tempfile.TemporaryDirectory() as folder:
        if "replicate" not in table:
            table["replicate"] = range(len(table))
        page = report.write(
            Path(folder),
            table,
            None,
            measured,
            found,
            manifest,
            why=explain(measured, found, level=level, exact=exact),
            comparison=paired,
            calibration=levels,
        )
        path.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")


def _as_a_study(table: pd.DataFrame, columns: Columns, name: str) -> pd.DataFrame:
    """Add the columns that the long table of a study has and anybody's has not."""
    from simstudy.evidence.answers import answers

    factors = _factors(columns)
    words = [f"{factor}=" + table[factor].astype(str) for factor in factors]
    scenario = functools.reduce(lambda one, other: one + " " + other, words) if words else name
    kept = table["scenario"].astype(str) if factors == ["scenario"] else scenario
    answered = answers(table, quiet=True)["ok"]
    table = table.assign(scenario=kept, status=["ok" if ok else "missing" for ok in answered])
    for column, value in (("estimator", name), ("parameter", columns.estimate)):
        if column not in columns.groups:
            table[column] = value
    return table


def _factors(columns: Columns) -> list[str]:
    """Return the group columns that make the scenario."""
    return [name for name in columns.groups if name not in ("estimator", "parameter")]


def _number_or_column(text: str) -> float | str:
    """Take a text that is a number as a number, every other as the name of a column."""
    try:
        return float(text)
    except ValueError:
        return text


def _writable(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file that cannot be written, before any work."""
    from simstudy.errors import StudyError

    if path.suffix not in endings:
        raise StudyError(
            f"cannot write {str(path)!r}: give a name ending in {' or '.join(endings)}"
        )
    if not path.parent.is_dir():
        raise StudyError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")


@contextmanager
def _refusals() -> Iterator[None]:
    """Say warnings in one line each; turn what is wrong with the input into a refusal."""
    from simstudy.errors import StudyError
    from simstudy.files.writing import printable

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except ValueError as error:
            raise StudyError(str(error)) from error
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"simstudy: warning: {printable(text)}", file=sys.stderr)
