"""A plan says what a run then does, and nothing is written before it is executed."""

from dataclasses import replace

import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal

from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Options,
    Result,
    Study,
    StudyError,
    execute,
    grid,
    preflight,
)
from simstudy.execution.first_look import Cost
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential


def rates(methods=(OBSERVED,), **changes):
    scenarios = grid(exponential.MECHANISM, n=[10, 20], rate=1.0)
    made = Study("mine", scenarios, [MaximumLikelihood(exponential.MODEL, methods)], 12, seed=1)
    return replace(made, **changes)


def planned(folder, study=None, **options):
    given = Options(**{"out": folder, "jobs": 1, "engine": "loop", "quiet": True} | options)
    return preflight(study or rates(), given)


def content(folder):
    """Return every file of a folder with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_is_printed_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = str(planned(None)).splitlines()
    assert lines[0] == "study    mine: 24 of 24 replicates to run, 0 stored"
    assert lines[1] == "folder   results/mine (is begun)"
    assert lines[2] == "engine   loop (asked for)"
    assert lines[3] == "workers  this process alone"
    assert lines[4].startswith("time     about ")
    assert [line.split() for line in lines[6:]] == [
        ["12", "of", "12", "exponential", f"n={n}", "rate=1"] for n in (10, 20)
    ]
    assert list(tmp_path.iterdir()) == []


SITUATIONS = {
    "nothing is stored": ({}, {}, [12, 12]),
    "a part is stored": ({"replicates": 5}, {}, [7, 7]),
    "all is stored": ({}, {}, [0, 0]),
    "one scenario is stored": ({"scenarios": [1]}, {}, [12, 0]),
    "one scenario is asked for": ({"replicates": 5}, {"scenarios": [1]}, [7]),
    "a share": ({"replicates": 5}, {"shard": (2, 2)}, [6, 6]),
    "a share of which a part is stored": ({"replicates": 8}, {"shard": (2, 2)}, [4, 4]),
    "more methods": ({}, {"study": rates([OBSERVED, OPG])}, [12, 12]),
    "begun anew": ({"replicates": 5}, {"fresh": True}, [12, 12]),
    "with a time limit": ({"replicates": 5}, {"timeout": 60.0, "jobs": 2}, [7, 7]),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_pending_is_what_is_then_run(tmp_path, situation):
    """Of every scenario, in the folder as it is; the folder stays as it was until then."""
    folder = tmp_path / "r"
    before, now, due = SITUATIONS[situation]
    if situation != "nothing is stored":
        execute(planned(folder, **before))
    stored = content(tmp_path)
    plan = planned(folder, **now)
    assert content(tmp_path) == stored
    assert [part.left for part in plan.pending] == due
    assert f"mine: {sum(due)} of {sum(part.asked for part in plan.pending)} " in str(plan)
    assert execute(plan).computed == sum(due)


@pytest.mark.parametrize(
    ("begun", "fresh", "said"),
    [
        (False, True, "is begun"),
        (True, False, "what it holds stays"),
        (True, True, "begun anew; what it holds is moved aside"),
    ],
)
def test_a_plan_says_what_becomes_of_the_folder(tmp_path, begun, fresh, said):
    if begun:
        execute(planned(tmp_path / "r", replicates=5))
    assert f"r ({said})\n" in str(planned(tmp_path / "r", fresh=fresh))


def test_a_plan_that_is_executed_gives_the_rows_of_a_run(tmp_path):
    execute(planned(tmp_path / "a", replicates=5))
    execute(planned(tmp_path / "a"))
    execute(planned(tmp_path / "b"))
    tables = [Result(tmp_path / name).table() for name in "ab"]
    assert_frame_equal(*tables, check_exact=True)


def test_what_a_folder_does_not_take_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "r"
    execute(planned(folder, replicates=5))
    stored = content(tmp_path)
    with pytest.raises(StudyError, match="seed: stored 1, asked 2"):
        planned(folder, seed=2)
    with pytest.raises(StudyError, match="begun with the loop engine"):
        planned(folder, engine="batched")
    assert content(tmp_path) == stored


def test_between_its_halves_a_run_sees_what_another_one_stored(tmp_path):
    """What is pending is asked again under the folder's lock."""
    plan = planned(tmp_path / "r")
    execute(planned(tmp_path / "r", replicates=5))
    assert sum(part.left for part in plan.pending) == 24
    outcome = execute(plan)
    assert (outcome.computed, outcome.done) == (14, 24)


def test_the_price_counts_methods_for_the_replicates_that_they_answer_for():
    """By hand: 15 replicates of 2 seconds, of which 5 have a method of 3 seconds."""
    study = rates(fewer={"observed": 10})
    cost = Cost(2.0, {"observed": 3.0})
    assert_allclose(cost.of(study, 5, 20), 15 * 2 + 5 * 3, rtol=1e-15)
    assert_allclose(cost.of(study, 12, 20), 8 * 2, rtol=1e-15)


def test_the_price_is_the_seconds_of_a_replicate_times_what_is_pending(tmp_path, monkeypatch):
    own = FunctionEstimator("own", ["rate"], lambda y: {"rate": (1 / y.mean(), 1.0)})
    monkeypatch.setattr("simstudy.execution.first_look._cost",
                        lambda study, index, blocks, seconds: Cost(1.0, {}))  # fmt: skip
    plan = planned(tmp_path / "r", rates(estimators=[own]))
    assert_allclose(plan.price, 24.0, rtol=1e-15)
    assert "about 24.0 s in one process" in str(plan)
