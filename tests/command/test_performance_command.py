"""Anybody's table on the command line: the same numbers as from Python, and no silent ones."""

import io
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from simstudy import MaximumLikelihood, Study, grid, performance, run
from simstudy.command import main as cli
from simstudy.evidence.summary import summarize
from simstudy.files.writing import parse_csv
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential
from simstudy.report.export import exported, save

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
ESTIMATES = REFERENCE / "estimates.csv"
NAMED = [
    "--estimate", "estimate", "--se", "se", "--truth", "truth", "--method", "method",
    "--by", "scenario", "--replicate", "replicate",
]  # fmt: skip
PYTHON = {
    "estimate": "estimate", "se": "se", "truth": "truth", "method": "method", "by": "scenario",
    "replicate": "replicate",
}  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Run a small study of two scenarios and two methods."""
    study = Study(
        "rates",
        grid(exponential.MECHANISM, n=[10, 20], rate=2.0),
        [MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG])],
        replicates=30,
        seed=5,
    )
    folder = tmp_path_factory.mktemp("results") / "rates"
    return run(study, out=folder, jobs=1, quiet=True)


def execute(*arguments):
    return cli.main([*map(str, arguments)])


def measured(*arguments):
    """Run the command and read what it wrote."""
    assert execute("performance", *arguments, "--out", "p.csv") == 0
    return parse_csv("p.csv")


def check_alike(found, expected):
    """Compare frames; CSV has every digit, so the tolerance is rounding in the last."""
    plain = expected.astype({"measure": str})
    assert_frame_equal(found, plain, rtol=1e-15, check_dtype=False)


def test_the_command_is_the_function():
    found = measured(ESTIMATES, *NAMED, "--reference", "A", "--level", 0.9)
    frame = parse_csv(ESTIMATES)
    check_alike(found, performance(frame, **PYTHON, reference="A", level=0.9))


def test_morris_errors_are_those_of_rsimsum():
    """Digits of rsimsum's own; test_summary compares all of its answers."""
    found = measured(ESTIMATES, *NAMED, "--reference", "A", "--mcse", "morris")
    found = found.set_index(["scenario", "method", "measure"])
    answers = pd.read_csv(REFERENCE / "rsimsum.csv").query("how == 'wald'")
    for measure in ("bias", "empse", "relprec", "relerror", "cover", "power"):
        for row in answers[answers["stat"] == measure].to_dict("records"):
            if measure == "relprec" and row["method"] == "A":
                continue  # the reference with itself
            own = found.loc[(row["scenario"], row["method"], measure)]
            # both programs compute in double precision
            assert_allclose([own["value"], own["mcse"]], [row["est"], row["mcse"]], rtol=1e-9)


def test_without_out_the_measures_go_to_standard_output(capsys):
    assert execute("performance", ESTIMATES, *NAMED) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    check_alike(found, performance(parse_csv(ESTIMATES), **PYTHON))


def write(frame, name):
    """Write a table as the ending of its name says."""
    if name.endswith((".parquet", ".feather", ".orc")):
        pytest.importorskip("pyarrow")
        getattr(frame, f"to_{name.rpartition('.')[2]}")(name)
    elif ".dta" in name:
        # Stata's value labels come as categories
        frame.astype({"method": "category"}).to_stata(name, write_index=False)
    elif ".json" in name:
        frame.to_json(name, orient="records", lines=".jsonl" in name, double_precision=15)
    elif name.endswith((".xlsx", ".ods")):
        pytest.importorskip({"xlsx": "openpyxl", "ods": "odf"}[name.rpartition(".")[2]])
        frame.to_excel(name, index=False)
    else:
        frame.to_csv(name, index=False, sep="\t" if ".tsv" in name.lower() else ",")


@pytest.mark.parametrize(
    "name",
    [
        "t.csv", "t.csv.gz", "t.csv.zip", "t.CSV.xz", "t.tsv", "t.TSV.bz2", "t.json", "t.jsonl.gz",
        "t.parquet", "t.feather", "t.orc", "t.dta", "t.dta.gz", "t.xlsx", "t.ods",
    ],
)  # fmt: skip
def test_kinds_of_files(name):
    frame = parse_csv(ESTIMATES)
    write(frame, name)
    found = measured(name, *NAMED, "--reference", "C")
    expected = performance(parse_csv(ESTIMATES), **PYTHON, reference="C")
    # JSON and workbooks keep 15 to 16 digits; a relative error of nearly 0 has lost some of them
    plain = expected.astype({"measure": str})
    rtol, atol = (1e-9, 1e-9) if name.startswith(("t.json", "t.xlsx", "t.ods")) else (1e-15, 0)
    assert_frame_equal(found, plain, rtol=rtol, atol=atol, check_dtype=False)


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("t.parquet", "pyarrow", "pip install 'simstudy[parquet]'"),
        ("t.feather", "pyarrow", "pip install 'simstudy[parquet]'"),
        ("t.xlsx", "openpyxl", "pip install openpyxl"),
        ("t.ods", "odf", "needs odfpy: pip install odfpy"),
        ("t.sav", "pyreadstat", "pip install pyreadstat"),
        ("t.csv.zst", "zstandard", "pip install zstandard"),
    ],
)
def test_what_is_not_installed_is_named(capsys, monkeypatch, name, package, install):
    """Whatever is installed here."""
    monkeypatch.setitem(sys.modules, package, None)
    with zipfile.ZipFile(name, "w") as file:  # a workbook is one
        if name == "t.ods":
            file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    assert execute("performance", name, "--estimate", "b", "--truth", 1) == cli.WRONG_INPUT
    said = capsys.readouterr().err
    assert install in said
    assert "give a CSV file" in said


@pytest.mark.parametrize("names", [("NA", "None"), ("nan", "null"), ("NA", "x"), ("NA", "NA")])
@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz"])
def test_methods_may_be_called_as_what_is_missing(names, kind):
    """NA among words is one of them; among numbers, and as an empty field, it is missing."""
    frame = pd.read_csv(io.StringIO(CSV)).assign(m=np.repeat(names, 2), id=[1, 2, 3, 4])
    write(frame, f"t.{kind}")
    found = measured(f"t.{kind}", *PLAIN, "--replicate", "id", "--by", "truth")
    assert set(pd.read_csv("p.csv", keep_default_na=False)["method"].astype(str)) == {*names}
    assert set(found.loc[found["measure"] == "bias", "n"]) == {4 // len({*names})}


@pytest.mark.parametrize(("label", "column"), [("", "m"), ("NA", "id")])
def test_what_is_missing_is_missing(capsys, label, column):
    """A method that nobody named, and a group that was a number."""
    frame = pd.read_csv(io.StringIO(CSV)).astype({column: object})
    frame.loc[2, column] = label
    frame.to_csv("t.csv", index=False)
    named = [*PLAIN[:4], "--truth", 1, "--method", "m", "--by", "id"]
    assert execute("performance", "t.csv", *named) == cli.WRONG_INPUT
    assert f"column '{column}' is empty in row 3" in capsys.readouterr().err


def test_two_estimands_are_pooled_only_when_told(capsys):
    """The rows of one method are refused until the command says what they are."""
    frame = pd.concat([pd.read_csv(io.StringIO(CSV)).assign(what=w) for w in ("OR", "RR")])
    frame.to_csv("t.csv", index=False)
    assert execute("performance", "t.csv", *PLAIN) == cli.WRONG_INPUT
    said = capsys.readouterr().err
    assert "rows that differ in 'id' (2 values), 'what' (2 values) would be taken" in said
    for answer in (["--pool"], ["--by", "what"], ["--by", "what", "--replicate", "id"]):
        assert execute("performance", "t.csv", *PLAIN, *answer) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("b,se\nTrue,0.1\nFalse,0.2\n", "'b' holds true and false"),
        ("b,se\n,\n,\n", "estimate ('b') is empty in every row"),
        ("b,se\nNA,0.1\nnan,0.2\n", "estimate ('b') is empty in every row"),
        ("b\tse\n1\t2\n", "separated by tabs; let its name end in .tsv"),
        ("\n\n", "cannot be read as csv"),
    ],
)
def test_tables_without_estimates_are_refused(capsys, text, says):
    Path("t.csv").write_text(text)
    named = ["--estimate", "b", "--se", "se", "--truth", 1]
    assert execute("performance", "t.csv", *named) == cli.WRONG_INPUT
    assert says in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "méthode,b,se\nx,1,2\n".encode("latin1"), ("not in UTF-8", "save it as UTF-8")),
        ("t.csv", "method,b,se\nx,1,2\n".encode("utf-16"), ("not in UTF-8", "iconv")),
        ("t.txt", b"b se\n1 2\n", ("rename it to .tsv for tabs", "write.csv")),
    ],
    ids=["latin 1", "utf 16", "txt"],
)
def test_texts_of_other_kinds_are_told_how_to_be_saved(capsys, name, content, says):
    Path(name).write_bytes(content)
    named = ["--estimate", "b", "--se", "se", "--truth", 1]
    assert execute("performance", name, *named) == cli.WRONG_INPUT
    said = capsys.readouterr().err
    for fragment in says:
        assert fragment in said


def test_a_byte_order_mark_and_numbers_beyond_all_range_are_read(capsys):
    """1e400 is infinite: no estimate, and said."""
    Path("t.csv").write_text("\ufeff" + CSV.replace("1.2,", "1e400,"), encoding="utf-8")
    found = measured("t.csv", *PLAIN)
    assert list(found.query("measure == 'bias' and method == 'x'")["n"]) == [1]
    assert "(the first is row 2) the estimate is infinite" in capsys.readouterr().err


def test_what_a_browser_or_a_terminal_would_obey_is_shown(capsys):
    """Markup and escapes in names of columns, methods and of the file."""
    text = CSV.replace("b,se,m,", "b,se,m,<script>g</script>,", 1).replace(",x,", ",x\x1b[31m,<b>,")
    Path("t\x1b[2J.csv").write_text(text.replace(",y,", ",y,<i>,"))
    named = [*PLAIN, "--by", "<script>g</script>", "--out", "r.html", "p.csv"]
    assert execute("performance", "t\x1b[2J.csv", *named) == 0
    assert execute("performance", "t\x1b[2J.csv", *named[:-3]) == 0
    said = capsys.readouterr()
    page, table = (Path(name).read_text(encoding="utf-8") for name in ("r.html", "p.csv"))
    for shown in (page, table, said.out, said.err):
        assert "\x1b" not in shown
    assert r"x\x1b[31m" in table
    assert "<script>g" not in page
    assert "&lt;script&gt;g" in page


def test_a_wide_table_is_the_long_one():
    long = parse_csv(ESTIMATES)
    wide = long.pivot(index=["scenario", "replicate", "truth"], columns="method",
                      values=["estimate", "se"])  # fmt: skip
    wide.columns = [f"{what}_{method}" for what, method in wide.columns]
    wide.reset_index().to_csv("wide.csv", index=False)
    found = measured(
        "wide.csv", "--estimate", "estimate_{method}", "--se", "se_{method}", "--truth", "truth",
        "--wide", "A", "B", "C", "--by", "scenario", "--replicate", "replicate", "--reference", "B",
    )  # fmt: skip
    check_alike(found, performance(long, **PYTHON, reference="B"))


def test_the_order_of_rows_changes_nothing():
    frame = parse_csv(ESTIMATES)
    frame.sample(frac=1, random_state=1).to_csv("shuffled.csv", index=False)
    found = measured("shuffled.csv", *NAMED, "--reference", "A")
    assert_frame_equal(found, measured(ESTIMATES, *NAMED, "--reference", "A"), check_exact=True)


def test_truth_and_df_are_numbers_or_columns():
    frame = parse_csv(ESTIMATES).query("scenario == 2")
    frame.to_csv("two.csv", index=False)
    named = ["two.csv", "--estimate", "estimate", "--se", "se", "--method", "method"]
    found = measured(*named, "--truth", 2.0, "--df", 10)
    by_column = measured(*named, "--truth", "truth", "--df", "df")
    labels = {"estimate": "estimate", "se": "se", "method": "method"}
    check_alike(found, performance(frame, **labels, truth=2.0, df=10))
    check_alike(by_column, performance(frame, **labels, truth="truth", df="df"))


def test_the_report_of_anybodys_table(capsys):
    """It has the verdicts, the failures, the paired comparison and other levels, but no fits."""
    holes = REFERENCE / "estimates_with_holes.csv"
    limits = ["--lower", "lower", "--upper", "upper"]
    assert execute("performance", holes, *NAMED, *limits, "--reference", "A",
                   "--out", "report.html", "p.csv") == 0  # fmt: skip
    page = Path("report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in Path().iterdir()) == ["p.csv", "report.html"]
    for heading in ("Against A, on the same replicates", "Coverage at other levels",
                    "Failures by kind", "Every verdict, and why"):  # fmt: skip
        assert heading in page
    assert "The fits" not in page
    assert "simstudy replay" not in page
    assert "2,400 answers were asked for (replicates times methods); 2,385 came" in page
    assert re.search(r"missing</th><td>15</td>", page)
    assert "http" not in re.sub(r"Content-Security-Policy|http-equiv", "", page)


def test_a_table_without_standard_errors_or_groups_has_a_report_too():
    pd.DataFrame({"b": [0.9, 1.1, 1.3, 0.7]}).to_csv("bare.csv", index=False)
    assert execute("performance", "bare.csv", "--estimate", "b", "--truth", 1, "--out",
                   "bare.html") == 0  # fmt: skip
    assert "undecided" in Path("bare.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [["--se", "se"], []], ids=["one method", "no limits"])
def test_a_reference_without_pairs_is_no_obstacle_to_a_report(columns):
    """One method alone, or estimates alone: there is nothing to compare, and all else is there."""
    lines = CSV.splitlines()
    Path("t.csv").write_text("\n".join(lines[:3] if columns else lines))
    named = ["--estimate", "b", "--truth", 1, "--method", "m", "--replicate", "id", *columns]
    assert execute("performance", "t.csv", *named, "--reference", "x", "--out", "r.html") == 0
    assert "on the same replicates</h2>" not in Path("r.html").read_text(encoding="utf-8")


CSV = "b,se,m,id,truth\n1.0,0.1,x,1,1\n1.2,0.1,x,2,1\n0.9,0.2,y,1,1\n1.1,0.2,y,2,1\n"
PLAIN = ["--estimate", "b", "--se", "se", "--truth", "truth", "--method", "m"]
WRONG = {
    "an unknown column": (CSV, ["--estimate", "bb", "--truth", 1], ["'bb'", "did you mean 'b'"]),
    "text for a number": (
        CSV.replace("1.2,", "oops,"), PLAIN, ["'b'", "'oops'", "row 2", "must hold numbers"]),
    "a duplicated row": (
        CSV, [*PLAIN[:-2], "--replicate", "id"], ["rows 1 and 3", "name it in `by`"]),
    "no truth in a row": (
        CSV.replace("x,2,1", "x,2,"), PLAIN, ["truth ('truth') is nan in row 2"]),
    "a level of 95": (CSV, [*PLAIN, "--level", 95], ["level is 95", "did you mean 0.95"]),
    "a reference without replicates": (
        CSV, [*PLAIN, "--reference", "x"], ["paired by their id", "no replicate column"]),
    "an unknown reference": (
        CSV, [*PLAIN, "--replicate", "id", "--reference", "z"], ["no method 'z'", "x, y"]),
    "one limit": (CSV, [*PLAIN, "--lower", "se"], ["only one of lower and upper"]),
    "no rows": ("b,se\n", ["--estimate", "b", "--truth", 1], ["no rows"]),
    "an empty file": ("", ["--estimate", "b", "--truth", 1], ["cannot be read as csv"]),
    "semicolons": (
        CSV.replace(",", ";"), ["--estimate", "b", "--truth", 1], ["separated by semicolons"]),
    "another kind to write": (CSV, [*PLAIN, "--out", "p.xlsx"], ["p.xlsx", ".csv or .html"]),
    "no folder to write to": (CSV, [*PLAIN, "--out", "no/p.csv"], ["no folder 'no'"]),
    "two columns of one name": (
        CSV.replace("id,", "b,"), ["--estimate", "b", "--truth", 1], ["two columns 'b'"]),
    "the table itself to write": (CSV, [*PLAIN, "--out", "./t.csv"], ["is the table itself"]),
    "long and wide": (CSV, [*PLAIN, "--wide", "x"], ["both method and wide"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "arguments", "says"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_refused_and_nothing_is_written(capsys, text, arguments, says):
    Path("t.csv").write_text(text)
    assert execute("performance", "t.csv", *arguments) == cli.WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.err.startswith("simstudy: ")
    assert "Traceback" not in captured.err
    for fragment in says:
        assert fragment in captured.err
    assert captured.out == ""
    assert [path.name for path in Path().iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("t.rds", "give a file ending in .csv, .tsv, .json,"),
        ("t.pkl", "give a file ending in"),
        ("t", "give a file ending in"),
        ("t.gz", "give a file ending in"),
        ("t.parquet.gz", ".dta also packed: .gz, .bz2"),
        ("t.csv", "no file"),
        ("t.csv.gz", "no file"),
        ("t.dta", "no file"),
    ],
)
def test_a_file_that_is_not_there_or_of_another_kind(capsys, name, says):
    assert execute("performance", name, "--estimate", "b", "--truth", 1) == cli.WRONG_INPUT
    assert says in capsys.readouterr().err


def test_what_is_odd_is_said_in_one_line(capsys):
    Path("t.csv").write_text(CSV.replace("1.2,0.1", "1.2,-0.1"))
    assert execute("performance", "t.csv", *PLAIN) == 0
    said = capsys.readouterr().err
    assert said.startswith("simstudy: warning: in 1 of 4 rows (the first is row 2)")
    assert all(line.startswith("simstudy: warning: ") for line in said.splitlines())


# --- export ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "ending"), [("rsimsum", "csv"), ("simsum", "dta"),
                                              ("simsum", "csv")])  # fmt: skip
def test_an_exported_table_measures_the_same(capsys, result, form, ending):
    """What another tool reads has every number of ours, one row per replicate and method."""
    path = Path(f"rates.{ending}")
    assert execute("export", result.folder, "--format", form, "--out", path) == 0
    said = capsys.readouterr().out
    assert "120 rows" in said
    assert ("simsum(data" if form == "rsimsum" else "simsum estimate, true(truth)") in said
    found = measured(
        path, "--estimate", "estimate", "--se", "se", "--truth", "truth", "--lower", "lower",
        "--upper", "upper", "--method", "method", "--replicate", "replicate",
        "--by", "scenario", "n", "rate", "estimator", "parameter",
    )  # fmt: skip
    expected = summarize(result.table()).rename(columns={"factor_n": "n"})
    found = found.rename(columns={"factor_n": "n"})
    keys = ["scenario", "method", "measure"]
    assert len(found) == len(expected)
    both = found.merge(expected.astype(dict.fromkeys(keys, str)), on=keys, suffixes=("", "_own"))
    assert len(both) == len(expected)
    # the digits of Stata's doubles and of 17 decimals are ours
    assert_allclose(both["value"], both["value_own"], rtol=1e-14)
    assert_allclose(both["mcse"], both["mcse_own"], rtol=1e-10)


def test_labels_that_begin_a_formula_are_defused(capsys):
    Path("t.csv").write_text(CSV.replace(",x,", ",=cmd|x,"))
    for out in ([], ["--out", "p.csv"]):
        assert execute("performance", "t.csv", *PLAIN, *out) == 0
    said = capsys.readouterr().out
    for text in (said, Path("p.csv").read_text()):
        assert "\n'=cmd|x,n,2.0," in text
        assert "\n=cmd|x," not in text
    save(pd.DataFrame({"method": ["=1+1"], "estimate": [-1.5]}), Path("e.csv"))
    assert Path("e.csv").read_text() == "method,estimate\n'=1+1,-1.5\n"


def test_stata_names_differ_and_infinite_limits_are_missing():
    table = pd.DataFrame({
        "scenario": ["a"], "a" * 40: [1], "a" * 39 + "b": [2], "2 n": [3], "replicate": [0],
        "estimator": ["e"], "method": ["m"], "parameter": ["p"], "truth": [1.0], "estimate": [1.0],
        "se": [1.0], "lower": [-np.inf], "upper": [2.0], "status": ["ok"]})  # fmt: skip
    found = exported(table, "simsum")
    assert list(found.columns[10:]) == ["a" * 32, "a" * 30 + "_2", "_2_n"]
    assert np.isnan(found["lower"][0])
    save(found, Path("t.dta"))
    assert pd.read_stata("t.dta").shape == (1, 13)
    assert exported(table, "rsimsum")["lower"][0] == -np.inf


def test_export_refuses_what_it_cannot_write(capsys, result):
    assert execute("export", result.folder, "--format", "simsum", "--out", "x.rds") == 2
    assert ".csv or .dta" in capsys.readouterr().err
    with pytest.raises(ValueError, match="'sas'; allowed are 'rsimsum', 'simsum'"):
        exported(result.table(), "sas")


@pytest.mark.parametrize("command", ["performance", "export"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as left:
        execute(command, "--help")
    assert left.value.code == 0
    assert f"simstudy {command} " in capsys.readouterr().out.partition("example")[2]
