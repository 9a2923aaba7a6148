"""A results folder answers with table, performance, verdicts and report, whatever is in it."""

import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Mechanism,
    Result,
    Scenario,
    Study,
    StudyError,
    grid,
    run,
)
from simstudy.design import findings
from simstudy.evidence.summary import summarize
from simstudy.files.writing import read_csv
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential
from simstudy.records.row_file import RowFile
from simstudy.result import _with_sandwiches

RATE = MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG])


def executed(study, folder, **options):
    """Run a study by the loop engine in this process."""
    return run(study, **{"out": folder, "jobs": 1, "quiet": True, "engine": "loop"} | options)


def rates(**changes):
    return Study(
        **{
            "name": "rates",
            "scenarios": grid(exponential.MECHANISM, n=[10, 20], rate=1.0),
            "estimators": [RATE],
            "replicates": 40,
            "seed": 1,
        }
        | changes
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return executed(rates(), tmp_path_factory.mktemp("rates") / "r")


# --- frames --------------------------------------------------------------------------------------


def test_a_run_returns_its_result(result):
    assert isinstance(result, Result)
    assert result.manifest()["study"]["name"] == "rates"
    assert len(result.table()) == 2 * 40 * 2
    assert len(result.audit()) == 2 * 40
    costs = result.costs()
    assert costs["n"].tolist() == [40] * 4
    assert (costs["seconds"] > 0).all()


def test_a_result_is_read_from_any_folder_by_path_or_string(result, tmp_path):
    again = Result(str(result.folder))
    pd.testing.assert_frame_equal(again.table(), result.table(), check_exact=True)
    assert again.folder == result.folder


@pytest.mark.parametrize("most", [1, 7, 40, 100])
def test_most_takes_the_first_replicates_of_every_scenario(result, most):
    table = result.table(most)
    expected = result.table().query("replicate < @most").reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_performance_is_that_of_the_table(result):
    performance = result.performance()
    expected = summarize(result.table())
    key = ["scenario", "method", "measure"]
    for frame in (performance, expected):
        frame[key] = frame[key].astype(str)
    merged = performance.merge(expected, on=key, suffixes=("", "_of_table"))
    assert len(merged) == len(performance) == len(expected) > 0
    for name in ("value", "mcse", "lower", "upper", "n"):
        assert_array_equal(merged[name], merged[f"{name}_of_table"], err_msg=name)


def test_performance_of_the_level_of_the_study(tmp_path, monkeypatch):
    """The Winkler score charges 2 / (1 - level) for a miss, so that it tells the level."""
    result = executed(rates(level=0.5), tmp_path / "r")
    performance, table = result.performance(), result.table()
    monkeypatch.setattr("simstudy.report.page.write", lambda folder, *frames, **more: folder)
    result.report()
    written = read_csv(tmp_path / "r" / "performance.csv")
    assert_array_equal(written["value"], performance["value"])
    rows = table[(table["method"] == "observed") & (table["n"] == 10)]
    width = rows["upper"] - rows["lower"]
    miss = np.maximum(rows["lower"] - 1, 0) + np.maximum(1 - rows["upper"], 0)
    found = performance.query("method == 'observed' and measure == 'wscore'")["value"].iloc[0]
    assert (miss > 0).any()
    assert_allclose(found, (width + 2 / 0.5 * miss).mean(), rtol=1e-12)


def test_verdicts_have_a_word_and_a_sentence_for_each_method_and_scenario(result):
    found = result.verdicts()
    assert len(found) == 2 * 2
    assert (found["sentence"].str.len() > 20).all()
    assert found["n"].tolist() == [40] * 4


def test_scenarios_with_other_factors_stand_in_one_frame(tmp_path):
    def heavy(rng, n, tail):
        return rng.exponential(size=n) * (2 if tail == "heavy" else 1)

    mixed = Mechanism("tails", heavy, lambda n, tail: {"rate": 1.0})
    scenarios = [
        *grid(exponential.MECHANISM, n=10, rate=1.0),
        *grid(mixed, n=10, tail=["heavy", "light"]),
    ]
    result = executed(rates(scenarios=scenarios, replicates=5), tmp_path / "r")
    table, performance = result.table(), result.performance()
    lacks_rate = table["rate"].isna()
    assert set(table.loc[lacks_rate, "tail"]) == {"heavy", "light"}
    assert not table.loc[~lacks_rate, "tail"].isin(["heavy", "light"]).any()
    assert performance.groupby("scenario", observed=True).size().nunique() == 1
    assert len(result.verdicts()) == 6


def test_an_estimator_that_answers_for_one_scenario_only(tmp_path):
    mean = FunctionEstimator("mean", ["rate"], lambda data: {"rate": (1 / data.mean(), 0.2)})
    scenarios = [
        *grid(exponential.MECHANISM, only=["exponential"], n=10, rate=1.0),
        *grid(exponential.MECHANISM, n=20, rate=1.0),
    ]
    result = executed(
        rates(scenarios=scenarios, estimators=[RATE, mean], replicates=3), tmp_path / "r"
    )
    table = result.table()
    assert set(table.loc[table["estimator"] == "mean", "n"]) == {20}
    assert len(table) == 3 * (2 + 2 + 1)


def test_a_folder_without_results_is_refused(tmp_path):
    for ask in ("table", "performance", "report"):
        with pytest.raises(StudyError, match="run the study first"):
            getattr(Result(tmp_path), ask)()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_is_finished_yet_is_refused(tmp_path, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("simstudy.store.journal.Store.save", stopped)
        with pytest.raises(KeyboardInterrupt):
            executed(rates(), tmp_path / "r")
    assert len(Result(tmp_path / "r").table()) == 0
    for ask in ("performance", "verdicts", "report"):
        with pytest.raises(StudyError, match=r"no replicates yet.*run the study"):
            getattr(Result(tmp_path / "r"), ask)()


def test_an_interrupted_run_from_python_is_not_taken_for_a_finished_one(tmp_path, monkeypatch):
    """In a notebook the next cell must not go on with half of the replicates."""
    from simstudy.store.journal import Store

    save = Store.save

    def saving(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "save", saving)
    with pytest.raises(KeyboardInterrupt):
        executed(rates(), tmp_path / "r", size=10)
    assert len(Result(tmp_path / "r").audit()) == 10


# --- the report ----------------------------------------------------------------------------------

NASTY = "<script>alert('a')</script> & $\\bad$ größe 推定 " + "x" * 300


class Tags(HTMLParser):
    """Collect tags and addresses of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]


def test_the_report_has_all_its_files(result):
    path = result.report()
    assert path == result.folder / "report.html"
    found = {p.relative_to(result.folder).as_posix() for p in result.folder.rglob("*.*")}
    assert {"manifest.json", "report.html", "report.md", "performance.csv",
            "replicates.parquet", "audit.parquet"} <= found  # fmt: skip
    drawn = {p.stem for p in (result.folder / "figures").iterdir()}
    assert drawn == {"coverage", "model_se_against_empirical_se", "se_ratio", "zip_plot",
                     "pit_ecdf", "cost"}  # fmt: skip
    table = result.table()
    rows = pd.read_parquet(result.folder / "replicates.parquet")
    pd.testing.assert_frame_equal(rows, table, check_exact=True, check_categorical=False)
    measures = read_csv(result.folder / "performance.csv")
    assert_array_equal(measures["value"], result.performance()["value"])
    text = (result.folder / "report.md").read_text(encoding="utf-8")
    for method in ("observed", "opg"):
        assert method in text


def test_warnings_stand_in_the_audit_and_in_both_reports(tmp_path):
    def draw(rng):
        data = rng.exponential(size=9)
        if data[0] > 1:
            warnings.warn(f"the first of {data[0]:.3f} is <large>", stacklevel=1)
        return data

    mechanism = Mechanism("m", draw, lambda: {"rate": 1.0})
    result = executed(rates(scenarios=[Scenario(mechanism, {})]), tmp_path / "r")
    heard = result.audit()["warnings"]
    large = heard != ""
    assert 0 < large.sum() < 40
    first = int(np.flatnonzero(large)[0])
    page = result.report().read_text(encoding="utf-8")
    assert f"<td>{large.sum()}</td>" in page
    assert "UserWarning: the first of #.# is &lt;large&gt;" in page
    assert f"m, replicate {first}<" in page
    text = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert f"{large.sum()}, first in m, replicate {first}\n" in text


def test_a_report_that_fails_leaves_the_files_that_were_there(tmp_path, monkeypatch):
    result = executed(rates(), tmp_path / "r")
    result.report()
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").glob("*.*")}
    add, count = RowFile.add, iter(range(10))

    def failing(self, frame):
        add(self, frame)
        if next(count) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(RowFile, "add", failing)
    with pytest.raises(StudyError, match="No space left on device; what is stored stays"):
        result.report()
    assert {path.name: path.read_bytes() for path in (tmp_path / "r").glob("*.*")} == before


def test_what_is_said_of_sandwiches_is_their_verdict():
    """A mechanism that is wrong on purpose sends nobody to a sandwich that is too small."""
    labels = {"scenario": "a", "estimator": "ml"}
    agreed = pd.DataFrame([
        {**labels, "finding": "as-intended", "sentence": "Wrong on purpose."},
        {**labels, "finding": "agrees", "sentence": "It matches."},
        {**labels, "scenario": "b", "finding": "wrong-likelihood", "sentence": "It does not."},
    ])  # fmt: skip
    found = pd.DataFrame([
        {**labels, "method": method, "parameter": name, "verdict": word}
        for method, name, word in (
            ("sandwich", "mu", "too-small"), ("sandwich", "sigma", "trust"),
            ("sandwich-log-wald", "mu", "too-small"), ("observed", "mu", "trust"),
        )
    ])  # fmt: skip
    assert _with_sandwiches(agreed, found)["sentence"].tolist() == [
        "Wrong on purpose. The verdicts on sandwiches here: sandwich too small (mu); sandwich "
        "trust (sigma); sandwich-log-wald too small (mu).",
        "It matches.",
        "It does not. No sandwich was tried here.",
    ]
    words = [value for name, value in vars(findings).items() if name.startswith("_")]
    assert not [said for said in words if isinstance(said, str) and "to trust" in said]


def test_costs_of_the_batched_engine_are_not_drawn(result, monkeypatch):
    """Its methods are computed together and have no times of their own."""
    drawn = {}
    monkeypatch.setattr("simstudy.report.page.write", lambda *_, **options: drawn.update(options))
    result.report()
    assert (drawn["costs"]["seconds"] > 0).all()
    manifest = Result.manifest
    monkeypatch.setattr(Result, "manifest", lambda self: manifest(self) | {"engine": "batched"})
    result.report()
    assert drawn["costs"] is None


def test_a_report_survives_hostile_names_and_one_replicate(tmp_path):
    mechanism = Mechanism(NASTY, lambda rng, **_: rng.exponential(size=9), lambda **_: {NASTY: 1.0})
    own = FunctionEstimator(
        NASTY, [NASTY], lambda data: {NASTY: (data.mean(), 0.3)}, methods=[NASTY]
    )
    factors = {"<b>größe</b>": "=1+1", "$x": 2}
    study = Study(
        "nasty", [Scenario(mechanism, factors)], [own], replicates=1, aims="Aims & <i>words</i>"
    )
    result = executed(study, tmp_path / "r")
    page = Tags()
    content = result.report().read_text(encoding="utf-8")
    page.feed(content)
    assert "script" not in page.tags
    for wild in ("<script", "<b>größe", "<i>words"):
        assert wild not in content
    assert not [a for a in page.addresses if a and not re.match(r"#|data:", a)]
    assert "Content-Security-Policy" in content
    table = result.table()
    assert len(table) == 1
    assert table["method"].astype(str).iloc[0] == NASTY


@pytest.mark.parametrize(
    ("factors", "column"),
    [
        ([{"x": 3}, {"x": "none"}], ["3", "none"]),
        ([{"x": 1}, {"x": 0.5}], [1.0, 0.5]),
        ([{"x": 1}, {}], [1.0, np.nan]),
        ([{}, {"x": "heavy"}], ["", "heavy"]),
    ],
    ids=["number and word", "whole and not", "number and none", "none and word"],
)
def test_factors_that_differ_in_type_are_written_too(tmp_path, monkeypatch, factors, column):
    def draw(rng, x=0):
        return rng.exponential(size=9)

    mechanism = Mechanism("t", draw, lambda x=0: {"rate": 1.0})
    scenarios = [Scenario(mechanism, given) for given in factors]
    result = executed(rates(scenarios=scenarios, replicates=1), tmp_path / "r")
    monkeypatch.setattr("simstudy.report.page.write", lambda folder, *frames, **more: folder)
    result.report()
    rows = pd.read_parquet(result.folder / "replicates.parquet")
    assert_array_equal(rows["x"].to_numpy()[::2], column)
    assert_array_equal(result.table()["x"].to_numpy()[::2], column)
