"""The command line: wrong input is exit status 2 with nothing written; the rest works."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import simstudy
import simstudy.result
from simstudy import Result, __main__, run
from simstudy.command import main as cli
from simstudy.status import Status
from simstudy.store.block_files import scenario_folder
from simstudy.store.journal import Store

HOME = Path(simstudy.__file__).parents[1]
FILE = '''"""Does the rate hold?

More words.
"""
import numpy as np

from simstudy import MaximumLikelihood, Mechanism, Model, Scenario, Study, grid
from simstudy.methods import OBSERVED_CENTRAL


def draw(rng, n):
    return rng.exponential(size=n)


def truth(n):
    return {"rate": 1.0}


def loglik(theta, data):
    return np.log(theta[0]) - theta[0] * data


MODEL = Model("mine", {"rate": "positive"}, lambda data: np.ones(1), loglik)
STUDY = Study(
    name="mine",
    scenarios=grid(Mechanism("mine", draw, truth), n=[20, 30]),
    estimators=[MaximumLikelihood(MODEL, [OBSERVED_CENTRAL])],
    replicates=6,
    seed=1,
)
'''


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Write a study as studies/mine.py and stand beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "mine.py"
    path.write_text(FILE)
    return path


def execute(*arguments):
    return cli.main([*map(str, arguments)])


def run_mine(*arguments):
    return execute("run", "mine", "--jobs", "1", "--quiet", *arguments)


def hurried(monkeypatch):
    """Leave the report out where a test is not about it."""
    monkeypatch.setattr(
        "simstudy.report.page.write", lambda folder, *frames, **more: folder / "report.html"
    )


# --- wrong input ---------------------------------------------------------------------------------


def body(line):
    """Replace the body of the log-likelihood."""
    return ("    return np.log(theta[0]) - theta[0] * data", f"    {line}")


WRONG = {
    "a syntax error": (
        ("return rng.exponential(size=n)", "return rng.exponential(size=n"),
        ["studies/mine.py, line 12", "never closed", "correct the file and run again"]),
    "no STUDY": (
        ("STUDY = Study(", "OTHER = Study("),
        ["studies/mine.py exposes no study", "STUDY is missing", "STUDY = Study(...)"]),
    "two scenarios alike": (
        ("n=[20, 30]", "n=[20, 20.0]"),
        ["two scenarios called 'mine n=20'", "each needs its own factors or name"]),
    "an unknown truth": (
        ('{"rate": 1.0}', '{"rates": 1.0}'),
        ["'mine n=20'", "truth names 'rates'", "they have rate", "did you mean 'rate'?"]),
    "a truth outside its support": (
        ('{"rate": 1.0}', '{"rate": -1.0}'),
        ["truth of 'rate' is -1.0", "outside its support 'positive'", "'mine'"]),
    "a truth of the wrong length": (
        ('{"rate": 1.0}', '{"rate": [1.0, 2.0]}'),
        ["truth of 'rate' is [1.0, 2.0]", "due is one finite real number"]),
    "a scalar log-likelihood": (
        body("return np.sum(np.log(theta[0]) - theta[0] * data)"),
        ["model 'mine'", "rate=1", "has the shape ()", "(20,)", "the terms of the sum"]),
    "no log-likelihood": (
        body("np.log(theta[0]) - theta[0] * data"),
        ["model 'mine'", "rate=1", "returned None", "must return one number per observation"]),
    "a complex log-likelihood": (
        body("return np.log(theta[0] + 0j) - theta[0] * data"),
        ["model 'mine'", "rate=1", "of type complex128", "due are real numbers"]),
    "a log-likelihood of nan": (
        body("return np.nan * data"),
        ["model 'mine'", "rate=1", "not finite for any observation (the first is nan)", "must be"]),
    "one observation of nan": (
        body("return np.where(np.arange(len(data)) == 4, np.nan, -data)"),
        ["model 'mine'", "rate=1", "nan for observation 4 (the first of 1)", "must be possible"]),
    "a draw without its generator": (
        ("rng.exponential(size=n)", "np.arange(1.0, n + 1)"),
        ["'mine n=20'", "draw ignores its generator", "from the generator it is handed"]),
    "replicates 0": (
        ("replicates=6", "replicates=0"),
        ["replicates is 0", "give a whole number of at least 1"]),
    "replicates -5": (
        ("replicates=6", "replicates=-5"),
        ["replicates is -5", "give a whole number of at least 1"]),
    "an unknown estimator": (
        ("n=[20, 30]", 'n=20, only=["other"]'),
        ["'mine n=20' is for the estimator 'other'", "it has mine"]),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_study_is_refused_and_nothing_is_written(path, capsys, change, says):
    assert FILE.count(change[0]) >= 1
    path.write_text(FILE.replace(*change))
    assert run_mine() == cli.WRONG_INPUT == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("simstudy: ")
    assert "Traceback" not in captured.err
    for fragment in says:
        assert fragment in captured.err
    assert not Path("results").exists()


def test_the_version_is_that_of_the_project(capsys):
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert execute("--version") == 0
    assert capsys.readouterr().out == f"simstudy {project['version']}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--replicates", 0], ["replicates is 0", "at least 1"]),
        (["--replicates", -5], ["replicates is -5", "at least 1"]),
        (["--jobs", 0], ["jobs is 0", "at least 1, or -1"]),
        (["--jobs", -2], ["jobs is -2", "at least 1, or -1"]),
        (["--seed", -1], ["seed is -1", "at least 0"]),
        (["--block", 0], ["--block is 0", "at least 1"]),
        (["--scenario", 2], ["no scenario 2", "0: mine n=20", "1: mine n=30"]),
        (["--out", "studies/mine.py"], ["cannot write to /", "/studies/mine.py: ", "--out"]),
        (["--out", "studies/mine.py/r"], ["cannot write to /", "/studies/mine.py/r: ", "--out"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value[0], str) else "",
)
def test_wrong_options_are_refused_and_nothing_is_written(path, capsys, arguments, says):
    assert run_mine(*arguments) == 2
    said = capsys.readouterr().err
    for fragment in says:
        assert fragment in said
    assert not Path("results").exists()
    assert path.read_text() == FILE


@pytest.mark.parametrize(
    "arguments", [["--replicates", "many"], ["--jobs", "1.5"], ["--engine", "fast"], ["--no-such"]]
)
def test_options_that_cannot_be_read_are_refused_with_the_usage(path, capsys, arguments):
    with pytest.raises(SystemExit) as left:
        run_mine(*arguments)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: simstudy")
    assert arguments[0].lstrip("-") in said.splitlines()[-1]
    assert not Path("results").exists()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("name", "says"),
    [("mien", "did you mean 'mine'?"), ("elsewhere/x.py", "in studies/ there are: mine")],
)
@pytest.mark.parametrize("command", ["run", "replay", "report"])
def test_a_study_that_exists_nowhere(capsys, command, name, says):
    extra = ["--scenario", 0, "--replicate", 0] if command == "replay" else []
    assert execute(command, name, *extra) == 2
    assert says in capsys.readouterr().err
    assert not Path("results").exists()


@pytest.mark.parametrize("option", [[], ["--seed", "2"]], ids=["another study", "another seed"])
def test_results_of_another_study_are_refused_and_kept(path, capsys, monkeypatch, option):
    hurried(monkeypatch)
    assert run_mine() == 0
    before = {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()}
    if not option:
        path.write_text(FILE.replace("theta[0] * data", "theta[0] * data * 1.0"))
    assert run_mine(*option) == 2
    said = capsys.readouterr().err
    for fragment in ("results/mine holds another study", "stored", "asked", "--out"):
        assert fragment in said
    assert {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()} == before


def test_a_programming_error_shows_its_own_traceback(path, capsys):
    path.write_text(FILE.replace("np.log(theta[0])", "np.lgo(theta[0])"))
    assert run_mine() == 1
    said = capsys.readouterr().err
    for fragment in ("Traceback", "studies/mine.py", "in loglik", "lgo", "nothing is stored yet"):
        assert fragment in said
    assert said.count("  File ") == 1  # the user's line alone
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "line", "says"),
    [
        ('grid(Mechanism("mine", draw, truth), n=[20, 30])', 'Mechanism("mine", draw, truth)', 24,
         "scenarios came as Mechanism; due is a list, such as grid("),
        ("[MaximumLikelihood(MODEL, [OBSERVED_CENTRAL])]",
         "MaximumLikelihood(MODEL, [OBSERVED_CENTRAL])", 24, "estimators came as Maximum"),
        ('{"rate": "positive"}', '["rate"]', 23, "parameters is ['rate']; due is a mapping"),
        ('"positive"', '"postive"', 23, "has the support 'postive'; allowed are"),
        ('Mechanism("mine", draw, truth), n', "draw, n", 26, "mechanism came as function; "),
        ("[OBSERVED_CENTRAL]", "[]", 27, "has no methods; give at least one"),
        ("[OBSERVED_CENTRAL]", '["observed"]', 27, "'observed' is no method"),
        ("replicates=6", "replicate=6", 24, "takes no 'replicate'; it takes name, scenarios"),
    ],
)  # fmt: skip
def test_a_part_that_is_refused_is_a_sentence_with_the_users_line(
    path, capsys, right, wrong, line, says
):
    path.write_text(FILE.replace(right, wrong))
    assert run_mine() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"simstudy: studies/mine.py, line {line}: ")
    assert says in said
    assert said.count("\n") == 1


def test_a_worker_s_exception_shows_the_users_line_alone(path, capsys):
    method = (
        "def broken(*_):\n    return np.nothing\n\n\nOBSERVED_CENTRAL = replace(OBSERVED_CENTRAL"
    )
    made = FILE.replace("import numpy", "from dataclasses import replace\nimport numpy")
    path.write_text(made.replace("MODEL =", f"{method}, interval=broken)\nMODEL ="))
    assert execute("run", "mine", "--jobs", 2, "--quiet", "--engine", "loop") == 1
    assert capsys.readouterr().err.count("  File ") == 1


def test_what_an_exception_says_is_shown_and_not_obeyed(path, capsys):
    wrong = 'raise RuntimeError("\\x1b[31mred")'
    path.write_text(
        FILE.replace("return np.log(theta[0])", f"{wrong}\n    return np.log(theta[0])")
    )
    assert run_mine() == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "RuntimeError: \\x1b[31mred" in said


def test_what_a_study_prints_is_not_heard_before_the_work_either(path, capsys):
    path.write_text(
        FILE.replace("return np.log(theta[0])", 'print("hello")\n    return np.log(theta[0])')
    )
    assert run_mine("--replicates", "60") == 0
    assert "hello" not in "".join(capsys.readouterr())


def test_a_report_that_fails_loses_no_replicate(path, capsys, monkeypatch):
    def broken(*frames, **more):
        raise RuntimeError("no report today")

    monkeypatch.setattr("simstudy.report.page.write", broken)
    assert path.exists()
    assert run_mine() == 3
    said = capsys.readouterr().err
    assert "RuntimeError: no report today" in said
    assert "the report failed; all replicates are stored in results/mine" in said
    assert len(Result(Path("results/mine")).table()) == 12


# --- what works ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("path")
def test_a_run_writes_its_report_and_prints_the_verdicts(capsys):
    assert execute("run", "mine", "--jobs", "1", "--engine", "loop") == cli.DONE == 0
    said = capsys.readouterr().out
    assert "observed-central" in said
    assert "12 replicates in " in said
    assert said.rstrip().endswith(f"report: {Path('results/mine/report.html')}")
    assert Path("results/mine/report.html").is_file()
    manifest = Result(Path("results/mine")).manifest()
    assert manifest["study"]["aims"] == "Does the rate hold? More words."
    assert manifest["command"] == "simstudy run mine --engine loop"


@pytest.mark.usefixtures("path")
def test_quiet_prints_nothing(capsys, monkeypatch):
    hurried(monkeypatch)
    assert run_mine() == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.usefixtures("path")
def test_more_replicates_extend(monkeypatch):
    hurried(monkeypatch)
    assert run_mine("--replicates", 2) == 0
    first = Result(Path("results/mine")).table()
    assert run_mine("--replicates", 9, "--block", 2) == 0
    table = Result(Path("results/mine")).table()
    assert len(table) == 18
    expected = table[table["replicate"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, expected, check_exact=True)


@pytest.mark.usefixtures("path")
def test_part_of_the_scenarios_is_incomplete_and_the_rest_is_told(capsys, monkeypatch):
    hurried(monkeypatch)
    assert run_mine("--scenario", 1) == cli.INCOMPLETE == 3
    said = capsys.readouterr().err
    assert "Incomplete: 1 of 2 scenarios have all replicates. Without any: mine n=20." in said
    command = said.strip().rpartition("To run the rest: ")[2]
    assert command == "simstudy run mine"
    assert execute(*command.split()[1:], "--jobs", 1, "--quiet") == 0
    assert len(Result(Path("results/mine")).table()) == 12


@pytest.mark.usefixtures("path")
def test_what_is_missing_stands_on_the_first_screen(capsys):
    """One of two scenarios was run, then all; then a block of the first is lost."""
    missing = "Incomplete: 1 of 2 scenarios have all replicates. Without any: mine n=20."
    assert execute("run", "mine", "--jobs", "1", "--scenario", 1) == cli.INCOMPLETE
    out, err = capsys.readouterr()
    assert missing in err
    assert "6 replicates in" in out
    assert "by the loop engine (12 fits are done before a program is compiled)" in out
    for name in ("report.html", "report.md"):
        page = (Path("results/mine") / name).read_text(encoding="utf-8")
        assert missing in page.partition("<h2 id" if "html" in name else "###")[0]
        assert "6 replicates of 1 of the 2 scenarios" in page
    assert execute("report", "mine") == cli.INCOMPLETE
    assert missing in capsys.readouterr().err
    assert run_mine() == cli.DONE
    assert execute("report", "mine") == cli.DONE
    page = Path("results/mine/report.md").read_text(encoding="utf-8")
    assert "6 replicates of 2 scenarios" in page
    assert "Incomplete" not in page
    next(Path("results/mine/blocks").glob("mine_n=20*/*.npz")).unlink()
    assert execute("report", "mine") == cli.INCOMPLETE
    assert missing in capsys.readouterr().err
    assert execute("status", "mine") == cli.INCOMPLETE


def test_a_mechanism_that_does_not_match_is_said_at_the_end_of_a_run(path, capsys):
    """In one sentence, though there are two such scenarios, and also of a quiet run."""
    path.write_text(FILE.replace("rng.exponential(size=n)", "2 * rng.exponential(size=n)"))
    assert run_mine("--replicates", 100) == cli.DONE
    said = capsys.readouterr().err
    assert said.count("The mechanism does not match the likelihood") == 1
    assert "So it is in 1 more: see Mechanism in the report." in said


@pytest.mark.usefixtures("path")
def test_a_folder_begun_small_says_that_it_stays_in_the_loop(capsys, monkeypatch):
    """Once with 6 replicates, and for ever by the loop: so it is said where it costs."""
    from simstudy.execution import engine_choice

    hurried(monkeypatch)
    assert run_mine() == cli.DONE
    monkeypatch.setattr(engine_choice, "WORTH_COMPILING", 20)
    assert run_mine("--replicates", 12) == cli.DONE
    why = Result(Path("results/mine")).manifest()["engine_why"]
    assert why == (
        "the folder was begun with it; another one, by --out, may be quicker by the batched engine"
    )


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("until", [[], ["--until", "verdict", "--max-replicates", 300]], ids=str)
def test_a_dry_run_says_what_would_be_run_and_writes_nothing(capsys, until):
    assert run_mine("--dry-run", *until) == cli.DONE
    lines = capsys.readouterr().out.splitlines()
    count = 500 if until else 12
    assert lines[0] == f"study    mine: {count} of {count} replicates to run, 0 stored"
    assert ("goal     verdict, in steps up to 300 replicates; this is the first" in lines) == bool(
        until
    )
    assert "folder   results/mine (is begun)" in lines
    assert lines[-1] == "nothing was written; the same command without --dry-run runs it"
    assert not Path("results").exists()


def test_nothing_could_be_fitted(path, capsys, monkeypatch):
    hurried(monkeypatch)
    path.write_text(FILE.replace("np.log(theta[0]) - theta[0] * data", "-1 / theta[0] + 0 * data"))
    assert run_mine() == cli.NOTHING_FITTED == 4
    assert "nothing could be fitted" in capsys.readouterr().err
    assert not Result(Path("results/mine")).table()["status"].eq("ok").any()


@pytest.mark.usefixtures("path")
def test_an_interrupted_run_says_how_to_go_on(capsys, monkeypatch):
    hurried(monkeypatch)
    from simstudy.store.journal import Store

    save = Store.save

    def saving(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "save", saving)
        assert run_mine("--block", 2, "--seed", 5, "--out", "a folder") == cli.INTERRUPTED == 130
    said = capsys.readouterr().err
    assert "2 of 12 replicates are stored in a folder" in said
    command = said.strip().rpartition("to go on: ")[2]
    assert command == "simstudy run mine --seed 5 --out 'a folder'"
    assert run_mine("--seed", 5, "--out", "a folder") == 0
    assert len(Result(Path("a folder")).table()) == 12


@pytest.mark.usefixtures("path")
def test_ctrl_c_before_and_after_the_work_is_130_too(capsys, monkeypatch):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("simstudy.execution.plan.validate", stop)
        assert run_mine() == 130
    assert not Path("results").exists()
    monkeypatch.setattr("simstudy.report.page.write", stop)
    assert run_mine() == 130
    assert capsys.readouterr().err.split("\n\n") == [
        "\ninterrupted; nothing is stored yet\nto go on: simstudy run mine",
        "interrupted; 12 of 12 replicates are stored in results/mine\n"
        "to go on: simstudy run mine\n",
    ]
    assert len(Result(Path("results/mine")).table()) == 12


def test_list_reads_names_and_aims_without_importing(path, capsys):
    (path.parent / "broken.py").write_text("def (\n")
    (path.parent / "bare.py").write_text("raise RuntimeError('imported')\n")
    (path.parent / "loud.py").write_text('"""Loud aims."""\nraise RuntimeError("imported")\n')
    assert execute("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"mine", "broken", "bare", "loud"}
    assert lines["mine"].split(maxsplit=1)[1] == "Does the rate hold?"
    assert lines["loud"].split(maxsplit=1)[1] == "Loud aims."
    assert "no docstring" in lines["bare"]
    assert "line 1" in lines["broken"]


def test_list_without_studies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute("list") == 2
    assert "no studies" in capsys.readouterr().err


def test_report_needs_only_the_folder(path, capsys, monkeypatch):
    hurried(monkeypatch)
    assert run_mine("--out", "elsewhere") == 0
    assert run_mine() == 0
    path.unlink()
    hurried(monkeypatch)
    for arguments in (["mine", "--out", "elsewhere"], ["mine"], ["elsewhere"], ["results/mine"]):
        assert execute("report", *arguments) == 0
        folder = {"mine": "results/mine"}.get(arguments[-1], arguments[-1])
        assert capsys.readouterr().out == f"report: {Path(folder) / 'report.html'}\n"


@pytest.mark.usefixtures("path")
def test_report_before_the_run_says_what_to_do(capsys):
    assert execute("report", "mine") == 2
    assert "run the study first" in capsys.readouterr().err
    assert not Path("results").exists()


@pytest.mark.usefixtures("path")
def test_replay_gives_the_numbers_of_the_table(capsys, monkeypatch):
    hurried(monkeypatch)
    assert run_mine() == 0
    table = Result(Path("results/mine")).table()
    row = table.query("n == 30 and replicate == 4").iloc[0]
    assert execute("replay", "mine", "--scenario", 1, "--replicate", 4) == 0
    said = capsys.readouterr().out
    assert "mine, scenario 1 (mine n=30), replicate 4, seed 1" in said
    for number in (row.estimate, row.se, row.lower, row.upper):
        assert f"{number:.10g}" in said
    assert Status.ok.sentence in said


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("engine", ["loop", "batched"])
def test_replay_answers_with_the_engine_of_the_row_and_compares_with_it(capsys, engine):
    mine = Path("studies/mine.py")
    mine.write_text(FILE.replace("np.log", "log").replace("OBSERVED_CENTRAL", "BOOTSTRAP, OBSERVED")
                    .replace("import Max", "import arrays, Max", 1)
                    .replace("\nMODEL", "\nlog = arrays.log\nMODEL")
                    .replace("import BOOTSTRAP", "import Multinomial, Resampling")
                    .replace("[BOOTSTRAP", "[Resampling('b', Multinomial(20))"))  # fmt: skip
    where = ["replay", "mine", "--scenario", 1, "--replicate", 4]
    assert execute(*where) == 0
    assert "by the loop engine; nothing is stored of it in results/mine" in capsys.readouterr().out
    assert execute("run", "mine", "--jobs", 1, "--engine", engine, "--replicates", 6) == 0
    capsys.readouterr()
    assert execute(*where) == 0
    said = capsys.readouterr().out
    assert f"by the {engine} engine; the same as what is stored, bit for bit" in said
    rows = Result(Path("results/mine")).table().query("n == 30 and replicate == 4")
    assert len(rows) == 2
    for se in rows["se"]:
        assert f"{se:.10g}" in said
        assert f"covariance {se**2:16.10g}" in said
    assert execute(*where[:-1], 7) == 0
    assert "nothing is stored of it" in capsys.readouterr().out


@pytest.mark.usefixtures("path")
def test_replay_of_changed_code_says_what_is_stored_and_what_changed(capsys):
    mine = Path("studies/mine.py")
    assert "import numpy as np\n" in mine.read_text()
    mine.write_text(mine.read_text().replace(
        "import numpy as np\n", "import numpy as np\nimport mine_scale\n", 1
    ).replace("rng.exponential(size=n)", "rng.exponential(size=n) * mine_scale.SCALE"))  # fmt: skip
    assert "mine_scale.SCALE" in mine.read_text()
    Path("studies/mine_scale.py").write_text("SCALE = 1.0\n")
    assert execute("run", "mine", "--jobs", 1, "--replicates", 6, "--engine", "loop") == 0
    stored = Result(Path("results/mine")).table().query("n == 30 and replicate == 4").iloc[0]
    Path("studies/mine_scale.py").write_text("SCALE = 2.000\n")
    capsys.readouterr()
    assert execute("replay", "mine", "--scenario", 1, "--replicate", 4) == 2
    said = capsys.readouterr().out
    assert "NOT WHAT IS STORED" in said
    assert f"rate, estimate: stored {float(stored.estimate)!r}, now " in said
    assert "what changed:\n  code, 'mine_scale.py: SCALE': stored " in said


@pytest.mark.usefixtures("path")
def test_replay_of_what_changes_by_itself_says_that_nothing_known_changed(capsys):
    """As a study that looks at the clock."""
    assert execute("run", "mine", "--jobs", 1, "--replicates", 6, "--engine", "loop") == 0
    (piece, *_) = Store(Path("results/mine")).pieces()
    store = Store(Path("results/mine"))
    blocks = store.load(piece)
    (name, found), = blocks.items()  # fmt: skip
    found.se[2] *= 1 + 2**-52
    piece.path.unlink()
    store._save(piece.scenario, piece.first, piece.last, {name: found}, 0)
    index = [scenario_folder(s["key"]) for s in store.manifest()["study"]["scenarios"]].index(
        piece.scenario
    )
    capsys.readouterr()
    assert execute("replay", "mine", "--scenario", index, "--replicate", 2) == 2
    said = capsys.readouterr().out
    assert "rate, se: stored " in said
    assert "no code, data file or version that simstudy knows of changed" in said


@pytest.mark.usefixtures("path")
def test_replay_saves_the_data_and_opens_the_debugger_where_something_is_raised(
    capsys, monkeypatch
):
    opened = []
    monkeypatch.setattr("pdb.post_mortem", opened.append)
    where = ["--scenario", 0, "--replicate", 3]
    assert execute("replay", "mine", *where, "--save", "data.npz", "--pdb") == 0
    said = capsys.readouterr().out
    assert "data: data.npz" in said
    assert "nothing was raised" in said
    with np.load("data.npz", allow_pickle=False) as saved:
        assert f"mean {saved['data'].mean():g}" in said
    mine = Path("studies/mine.py")
    mine.write_text(mine.read_text() + "\n\nSTUDY.scenarios[0].factors['n'] = 'no number'\n")
    execute("replay", "mine", *where, "--pdb")
    assert len(opened) == 1
    assert execute("replay", "mine", *where, "--save", "data.txt") == 2


@pytest.mark.usefixtures("path")
def test_changed_code_is_refused_unless_it_is_accepted(capsys):
    assert run_mine() == 0
    mine = Path("studies/mine.py")
    mine.write_text(mine.read_text() + "\nif True:\n    x = 1\n")
    capsys.readouterr()
    assert run_mine() == 2
    assert "code, 'other statements': stored " in capsys.readouterr().err
    assert run_mine("--accept-code") == 0
    page = Path("results/mine/report.html").read_text(encoding="utf-8")
    assert "Changed between the runs of this study: code, &#39;other statements&#39;" in page


@pytest.mark.usefixtures("path")
def test_replay_of_a_folder_takes_its_seed(capsys, monkeypatch):
    hurried(monkeypatch)
    assert run_mine("--seed", 9, "--out", "elsewhere") == 0
    row = Result(Path("elsewhere")).table().query("n == 20 and replicate == 3").iloc[0]
    for option in (["--seed", 9], ["--out", "elsewhere"]):
        assert execute("replay", "mine", "--scenario", 0, "--replicate", 3, *option) == 0
        said = capsys.readouterr().out
        assert "seed 9" in said
        assert f"{row.se:.10g}" in said


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("scenario", "replicate", "says"),
    [(2, 0, "no scenario 2; there are\n  0: mine n=20\n  1: mine n=30"),
     (-1, 0, "no scenario -1"), (0, -1, "--replicate is -1; replicates count from 0")],
)  # fmt: skip
def test_replay_of_what_does_not_exist(capsys, scenario, replicate, says):
    assert execute("replay", "mine", "--scenario", scenario, "--replicate", replicate) == 2
    assert says in capsys.readouterr().err


def test_a_study_anywhere_is_run_by_its_path(path, monkeypatch, tmp_path):
    hurried(monkeypatch)
    other = tmp_path / "other place"
    other.mkdir()
    monkeypatch.chdir(other)
    assert execute("run", path, "--jobs", 1, "--quiet") == 0
    assert Result(other / "results" / "mine").manifest()["command"] == f"simstudy run {path}"


# --- help and processes --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "run", "report", "list", "replay"])
def test_help_shows_examples(capsys, command):
    with pytest.raises(SystemExit) as left:
        execute(*command.split(), "--help")
    assert left.value.code == 0
    said = capsys.readouterr().out
    _, _, examples = said.partition("example")
    assert f"simstudy {command}".strip() in examples
    if not command:
        for word in ("run", "report", "list", "replay"):
            assert f"simstudy {word}" in examples
        for code in (
            "0 done",
            "1 stopped",
            "2 wrong input",
            "3 incomplete",
            "4 nothing",
            "130 interrupted",
        ):
            assert code in said.replace("\n", " ")


def test_no_command_prints_the_help(capsys):
    assert execute() == 2
    assert "usage: simstudy" in capsys.readouterr().out


def process(*arguments, **options):
    command = [sys.executable, "-m", "simstudy", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HOME)},
        **options,
    )


def test_python_m_simstudy_is_the_command(capsys, tmp_path, monkeypatch):
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["simstudy"].partition(":")
    command = getattr(import_module(module), name)
    assert command is __main__.command
    monkeypatch.chdir(tmp_path)
    done = process("run", "no-such-study")
    assert done.returncode == cli.main(["run", "no-such-study"]) == 2
    captured = capsys.readouterr()
    assert (done.stdout, done.stderr) == (captured.out, captured.err)
    assert "no study 'no-such-study'" in done.stderr


def test_help_is_quick_because_it_imports_nothing_heavy(tmp_path):
    """Not timed, as the machine may be busy: what takes time is the import of these."""
    done = process("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: simstudy")
    script = (
        "import sys\nfrom simstudy.command.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'joblib', 'jax', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=environment)


def test_the_row_of_every_asked_replicate_is_there(path, monkeypatch):
    """A data set in three fails; counts sum to what was asked, and the message is kept."""
    hurried(monkeypatch)
    failing = (
        "    data = rng.exponential(size=n)\n    if data[0] > 1.1:\n"
        "        raise ValueError('no data today')\n    return data"
    )
    path.write_text(FILE.replace("    return rng.exponential(size=n)", failing))
    assert run_mine("--replicates", 30) == 0
    result = Result(Path("results/mine"))
    table, audit = result.table(), result.audit()
    assert_array_equal(table.groupby("n").size(), [30, 30])
    assert set(table["status"]) == {"ok", "data_error"}
    bad = audit["status"] == "data_error"
    assert 5 <= bad.sum() <= 40
    assert audit.loc[bad, "message"].str.contains("ValueError: no data today").all()


# --- folders and files that are not as they should be ---------------------------------------------


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_does_not_fill_the_folder_one_stands_in(capsys, name):
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as caught:
        execute("run", "mine", "--out", name)
    assert caught.value.code == 2
    assert "the name is empty; leave --out out" in capsys.readouterr().err
    with pytest.raises(simstudy.StudyError, match="the results folder is"):
        run(simstudy.load("mine")[0], out=name, jobs=1, quiet=True)
    assert sorted(p for p in Path().rglob("*") if "__pycache__" not in p.parts) == before


@pytest.mark.parametrize("place", ["at import", "in draw"])
@pytest.mark.parametrize("until", [[], ["--until", "cover:0.2", "--max-replicates", 6]])
def test_a_study_that_leaves_its_folder_takes_no_results_along(
    path, tmp_path, monkeypatch, capsys, place, until
):
    hurried(monkeypatch)
    (tmp_path / "elsewhere").mkdir()
    leave = f"__import__('os').chdir({str(tmp_path / 'elsewhere')!r})"
    if place == "at import":
        path.write_text(FILE + f"\n{leave}\n")
    else:
        path.write_text(FILE.replace("    return rng", f"    {leave}\n    return rng"))
    assert execute("run", "mine", "--jobs", 1, *until) == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(Result(tmp_path / "results" / "mine").table()) == 12
    assert "report: results/mine/report.html" in capsys.readouterr().out


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "selftest.csv cannot be read"),
        (b"\xff\xfe", "selftest.csv cannot be read"),
        (b"a,b\n1,2\n", "selftest.csv cannot be read"),
        (b"passed\nTrue\nFblse\n", "selftest.csv cannot be read"),
        (b"passed\n1\n1\n", "selftest.csv cannot be read"),
        (b"passed\nTrue\nFalse\n", "falls short in 1 of 2 checks"),
        (b"passed\nTrue\n", "holds in all of its 1 checks"),
    ],
)
def test_a_damaged_outcome_of_the_selftest_is_told(content, says):
    Path("results").mkdir()
    Path("results/selftest.csv").write_bytes(content)
    (line,) = simstudy.result._selftested(Path("results/mine"))
    assert says in line


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("name", ["performance.csv", "report.html", "report.md"])
def test_a_result_that_cannot_be_written_is_a_sentence(capsys, name):
    """A folder stands in its place; a file without permission would not stop root."""
    assert run_mine() == 0
    Path("results/mine", name).unlink()
    Path("results/mine", name, "x").mkdir(parents=True)
    capsys.readouterr()
    assert execute("report", "mine") == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"cannot write results/mine/{name}: Is a directory; what is stored stays" in said
    assert run_mine("--replicates", 7) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"{name}: Is a directory; what is stored stays" in said
    assert Store(Path("results/mine")).done() == {"mine n=20": 7, "mine n=30": 7}


@pytest.mark.usefixtures("path")
def test_export_without_blocks_or_to_a_folder_is_a_sentence(capsys):
    assert run_mine() == 0
    Path("taken.csv").mkdir()
    assert execute("export", "mine", "--format", "rsimsum", "--out", "taken.csv") == 2
    shutil.rmtree("results/mine/blocks")
    assert execute("export", "mine", "--format", "rsimsum", "--out", "mine.csv") == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "cannot write taken.csv: Is a directory" in said
    assert "holds no replicates yet; run the study first" in said


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("change", ["edited", "lost", "nested"])
def test_every_command_reads_a_damaged_manifest_from_the_blocks(capsys, change):
    assert run_mine() == 0
    manifest = Path("results/mine/manifest.json")
    text = manifest.read_text()
    expected = Result(Path("results/mine")).table()
    manifest.unlink()
    if change == "edited":
        manifest.write_text(text.replace('"rate": 1.0', '"rate": 5.0'))
    elif change == "nested":
        manifest.write_text("[" * 100_000)
    pd.testing.assert_frame_equal(Result(Path("results/mine")).table(), expected)
    for command in (["report", "mine"], ["collect", "mine"], ["status", "mine"],
                    ["export", "mine", "--format", "rsimsum", "--out", "mine.csv"],
                    ["replay", "mine", "--scenario", 0, "--replicate", 1]):  # fmt: skip
        assert execute(*command) == 0, command
    page = Path("results/mine/report.html").read_text(encoding="utf-8")
    assert "made again from the blocks" in page
    assert run_mine() == 0
    pd.testing.assert_frame_equal(Result(Path("results/mine")).table(), expected)
    assert "Traceback" not in capsys.readouterr().err
