"""How many replicates a precision takes, and that a run which stops by itself keeps its error."""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from scipy.stats import norm

import simstudy
from simstudy import MaximumLikelihood, Result, Study, grid
from simstudy.command import main as cli
from simstudy.evidence.measures import MEASURES, relerror
from simstudy.evidence.montecarlo import share
from simstudy.evidence.sample_size import errors, pilot, summary, target, theory
from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import RULE
from simstudy.execution import sequential as until
from simstudy.execution.options import Options
from simstudy.execution.runner import run
from simstudy.execution.sequential import goal, run_until
from simstudy.methods import OBSERVED, OPG, Inference
from simstudy.models import exponential
from simstudy.status import Status
from simstudy.store import looks
from simstudy.store.manifest import sealed


def found_row(found):
    """Make a performance row of a coverage."""
    return {"method": "a", "measure": "cover", "value": found.value, "mcse": found.mcse,
            "lower": found.lower, "upper": found.upper, "n": found.n}  # fmt: skip


def rates(replicates=100, methods=(OBSERVED,), n=(10, 200), **options):
    return Study(
        "rates",
        grid(exponential.MECHANISM, n=list(n), rate=1.0),
        [MaximumLikelihood(exponential.MODEL, methods)],
        replicates=replicates,
        seed=5,
        **options,
    )


# --- theory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        (("cover", 0.005), 1900),  # Morris, White & Crowther (2019), section 5.3
        (("cover", 0.01), 475),
        (("power", 0.01), 2500),
        (("miss_left", 0.005), 975),
        (("relerror", 1.0), 5001),
    ],
)
def test_numbers_of_the_textbook(arguments, due):
    assert theory(*arguments) == due


@pytest.mark.parametrize("measure", ["bias", "mean", "median", "empse", "rmse", "mse", "relerror"])
def test_theory_is_what_the_measure_reports(measure):
    """Normal estimates, sd 3, constant se: the reported MCSE at the planned n is the target.

    20 studies of 2,000 or more: the mean MCSE of each lies within 5 % of it (a median's by order
    statistics within 10 %); false alarm below 1e-4 each.
    """
    sd, size = 3.0, 4000
    errors = {
        "mse": sd**2 * math.sqrt(2 / size),
        "relerror": 100 / math.sqrt(2 * size),
        "empse": sd / math.sqrt(2 * size),
        "rmse": sd / math.sqrt(2 * size),
        "median": sd * math.sqrt(math.pi / 2 / size),
    }
    mcse = errors.get(measure, sd / math.sqrt(size))
    n = theory(measure, mcse, sd=sd)
    t = np.random.default_rng(1).normal(0, sd, size=(20, n))
    columns = {"estimate": t, "truth": np.zeros_like(t), "se": np.full_like(t, sd)}
    names = {"relerror": ("estimate", "se")}.get(
        measure, ("estimate", "truth") if measure in ("bias", "mse", "rmse") else ("estimate",)
    )
    found = MEASURES[measure](*(columns[name] for name in names))
    assert_allclose(np.mean(found.mcse), mcse, rtol=0.1 if measure == "median" else 0.05)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cover", 0.0), "above 0"),
        (("cover", float("nan")), "above 0"),
        (("covr", 0.1), "did you mean 'cover'"),
        (("n", 0.1), "is a count"),
        (("bias", 0.1), "needs sd"),
        (("corr", 0.1), "run a pilot"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        theory(*arguments)


# --- from a pilot ---------------------------------------------------------------------------------


def table(n, seed=1, failing=0.0):
    """Normal estimates of one scenario under two methods."""
    rng = np.random.default_rng(seed)
    t = rng.normal(size=n)
    rows = {"scenario": "s", "replicate": np.arange(n), "truth": 0.0, "estimate": t}
    parts = []
    for method, se in (("a", 1.0), ("b", 2.0)):
        s = np.where(rng.random(n) < failing, np.nan, se * np.exp(0.1 * rng.normal(size=n)))
        parts.append(pd.DataFrame(rows | {"method": method, "se": s, "lower": t - 2 * s,
                                          "upper": t + 2 * s}))  # fmt: skip
    return pd.concat(parts)


@pytest.mark.parametrize("measure", ["bias", "relerror", "cover", "ciwidth"])
def test_a_pilot_foretells_its_own_continuation(measure):
    """Twice the target of four times as many: within 10 % (chi-square error of 2,000 pilots)."""
    performance = summarize(table(2000))
    needed = pilot(performance, measure, 0.01).set_index("method")["needed"]
    rows = performance[performance["measure"] == measure].set_index("method")
    assert_allclose(needed, np.ceil(2000 * (rows["mcse"] / 0.01) ** 2), atol=1)
    longer = summarize(table(8000, seed=2))
    later = longer[longer["measure"] == measure].set_index("method")["mcse"]
    # method b covers nearly always: its few misses are not enough to foretell anything
    assert_allclose(later["a"], rows["mcse"]["a"] / 2, rtol=0.15)


def test_a_coverage_of_one_is_not_taken_for_known():
    found = share([True] * 50)
    rows = pd.DataFrame([found_row(found)])
    assert errors(rows)[0] > 0.01
    assert pilot(rows, "cover", 0.005)["needed"][0] > 200


def test_the_summary_is_the_worst_method_of_each_scenario():
    frame = pd.DataFrame({"scenario": list("aabb"), "method": list("xyxy"),
                          "needed": [10.0, 20.0, np.nan, 5.0]})  # fmt: skip
    assert summary(frame)["method"].tolist() == ["y", "x"]


@pytest.mark.parametrize("text", ["cover", "cover:", "cover:x", ":0.1", "cover:-1", "covr:0.1"])
def test_wrong_targets_are_refused(text):
    with pytest.raises(ValueError, match=r"give a measure|above 0|no measure"):
        target(text)


# --- looks ----------------------------------------------------------------------------------------


def test_looks_are_spaced_and_share_the_error():
    aim = goal("verdict", 3000)
    assert aim.looks == (250, 500, 1000, 2000, 3000)
    assert_allclose(1 - aim.rule.confidence, (1 - RULE.confidence) / 5, rtol=1e-12)
    assert goal("verdict", 100).looks == (100,)
    ratios = np.divide(goal("cover:0.01", 10_000).looks[1:], goal("cover:0.01", 10_000).looks[:-1])
    assert ratios.max() < 1.26
    with pytest.raises(ValueError, match="at least 1"):
        goal("verdict", 0)


def condemned(confidence, looks, studies=600):
    """Share of studies that condemn a standard error right at the tolerance, 5 % too small."""
    z, found = norm.ppf(confidence), 0
    rng = np.random.default_rng(3)
    for _ in range(studies):
        t, se = rng.standard_normal(looks[-1]), np.full(looks[-1], 0.95)
        for n in looks:
            number = relerror(t[:n], se[:n])
            if number.value + z * number.mcse < -RULE.relerror[0]:
                found += 1
                break
            if number.value - z * number.mcse > -RULE.relerror[1]:
                break
    return found / studies


def test_verdicts_keep_their_error_over_all_looks():
    """Shared error: at most 5 %, with 600 studies 8 % (false alarm 1e-3); else 10 %."""
    aim = goal("verdict", 2000)
    assert condemned(aim.rule.confidence, aim.looks) <= 0.08
    assert condemned(RULE.confidence, aim.looks) > 0.075


def test_the_interval_at_the_stop_holds_as_often_as_it_says():
    """Coverage .95 to an error of .01, stopped by its own error: 95 % intervals hold.

    2,000 studies: within .935 and .975, where false alarms are below 1e-3.
    """
    aim, hold, sizes = goal("cover:0.01", 5000), 0, []
    rng = np.random.default_rng(4)
    for _ in range(2000):
        hits, look = rng.random(5000) < 0.95, 0
        while True:
            following = next_look(int(hits[: aim.looks[look]].sum()), aim, look)
            if following is None or following >= len(aim.looks):
                break
            look = following
        found = share(hits[: aim.looks[look]])
        hold += found.lower <= 0.95 <= found.upper
        sizes.append(found.n)
    assert 0.935 < hold / 2000 < 0.975
    assert 475 <= np.mean(sizes) < 700


@cache
def next_look(hits, aim, look):
    """Ask the module about one row of coverage."""
    found = share(np.arange(aim.looks[look]) < hits)
    rows = pd.DataFrame([found_row(found)])
    return until.following(rows, aim, look)


# --- in a run -------------------------------------------------------------------------------------


def executed(study, aim, folder):
    return run_until(study, aim, Options(out=folder, jobs=1, engine="loop", quiet=True))


def test_scenarios_stop_when_their_verdict_has_fallen(tmp_path):
    """n = 200 is decided at once or soon, n = 10 (misses on one side) needs no more than asked."""
    study = rates()
    outcome = executed(study, goal("verdict", 500), tmp_path / "a")
    looks = json.loads((tmp_path / "a" / "looks.json").read_text())
    sizes = {key: end["replicates"] for key, end in looks["scenarios"].items()}
    table = Result(tmp_path / "a").table()
    counts = table.groupby("scenario", observed=True)["replicate"].nunique()
    assert counts.to_dict() == sizes
    assert set(sizes.values()) <= {250, 500}
    assert outcome.computed == sum(sizes.values())
    assert_allclose(looks["confidence"], 1 - 0.05 / 2, rtol=1e-12)
    # a plain run has the same replicates
    plain = simstudy.run(
        study, out=tmp_path / "b", replicates=250, jobs=1, engine="loop", quiet=True
    )
    first = table[table["replicate"] < 250].reset_index(drop=True)
    assert_frame_equal(first, plain.table(), check_exact=True)


def test_an_uneven_store_reads_reports_and_goes_on(tmp_path):
    study, folder = rates(), tmp_path / "r"
    options = {"out": folder, "jobs": 1, "engine": "loop", "quiet": True}
    simstudy.run(study, replicates=40, scenarios=[1], **options)
    simstudy.run(study, replicates=20, **options)
    result = Result(folder)
    sizes = result.table().groupby("n")["replicate"].nunique()
    assert_array_equal(sizes, [20, 40])
    page = result.report().read_text(encoding="utf-8")
    assert "20 to 40 replicates of 2 scenarios" in page
    simstudy.run(study, replicates=40, **options)
    assert_array_equal(result.table().groupby("n")["replicate"].nunique(), [40, 40])


@pytest.mark.parametrize("most", [20, 250])
def test_a_costly_method_is_not_waited_for(tmp_path, most):
    """Its error after 250 replicates is 0.00045, that of the other method 0.0003."""
    study = rates(methods=[OBSERVED, OPG], n=[200], fewer={"opg": most})
    outcome = executed(study, goal("modelse:0.0004", 2000), tmp_path / "r")
    assert outcome.computed == 250
    assert outcome.done == outcome.asked == 250


def test_from_python_it_is_the_command(tmp_path):
    """The same looks, the same rows; begun anew only once, however many looks there are."""
    study, options = rates(), {"jobs": 1, "engine": "loop", "quiet": True}
    executed(study, goal("verdict", 500), tmp_path / "a")
    found = simstudy.run(study, until="verdict", max_replicates=500, out=tmp_path / "b", **options)
    again = simstudy.run(
        study, until="verdict", max_replicates=500, out=tmp_path / "b", fresh=True, **options
    )
    for result in (found, again):
        assert_frame_equal(result.table(), Result(tmp_path / "a").table(), check_exact=True)
        looks = (result.folder / "looks.json").read_text()
        assert looks == (tmp_path / "a" / "looks.json").read_text()
    assert len(list(tmp_path.iterdir())) == 3  # one was moved aside
    with pytest.raises(ValueError, match="as cover:0"):
        simstudy.run(study, until="cover", out=tmp_path / "c", **options)
    with pytest.raises(ValueError, match="max_replicates"):
        simstudy.run(study, until="verdict", replicates=9, out=tmp_path / "c", **options)


def test_what_does_not_reach_its_goal_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from simstudy import MaximumLikelihood, Study, grid\n"
        "from simstudy.methods import OBSERVED\n"
        "from simstudy.models import exponential\n"
        'STUDY = Study("mine", grid(exponential.MECHANISM, n=20, rate=1.0),\n'
        "    [MaximumLikelihood(exponential.MODEL, [OBSERVED])], seed=1)\n"
    )
    asked = ["run", "mine.py", "--until", "cover:0.001", "--max-replicates", "60", "--jobs", "1"]
    assert cli.main([*asked, "--quiet"]) == cli.INCOMPLETE
    assert "not reached everywhere with 60 replicates" in capsys.readouterr().err
    result = Result(Path("results/mine"))
    assert "--until cover:0.001 --max-replicates 60" in result.manifest()["command"]
    assert "Not reached at the most replicates" in Path("results/mine/report.md").read_text()
    for wrong, says in (
        (["--until", "cover"], "as cover:0.005"),
        (["--until", "verdict", "--shard", "1/2"], "leave until out, or the share"),
        (["--until", "verdict", "--replicates", "5"], "(--max-replicates) instead"),
    ):
        assert cli.main(["run", "mine.py", *wrong]) == cli.WRONG_INPUT
        assert says in capsys.readouterr().err
    plan = ["plan", "mine.py", "--out", "results/mine"]
    assert cli.main([*plan, "--measure", "corr", "--mcse", "0.01"]) == 0
    assert "by the results in results/mine" in capsys.readouterr().out
    assert cli.main(["plan", "--measure", "cover", "--mcse", "0.005"]) == 0
    assert "1,900 replicates, by theory" in capsys.readouterr().out
    assert cli.main(["plan", "--measure", "bias", "--mcse", "0.005"]) == cli.WRONG_INPUT
    assert "needs sd" in capsys.readouterr().err


@dataclass(frozen=True)
class Never:
    """A method that has no answer, whatever the data."""

    name: str = "never"
    sources: tuple = ()

    def __call__(self, fitted):
        nothing = np.full(1, np.nan)
        return Inference(nothing, nothing, nothing, np.int8(Status.not_finite))


def test_a_method_that_never_answers_is_not_waited_for(tmp_path):
    """The other one is precise at the first look, and the report says what was left out."""
    study = rates(methods=[OBSERVED, Never()], n=[200])
    outcome = executed(study, goal("cover:0.02", 2000), tmp_path / "r")
    assert (outcome.computed, outcome.done, outcome.asked) == (250, 250, 250)
    said = Result(tmp_path / "r").report().with_suffix(".md").read_text(encoding="utf-8")
    assert "Never precise, and not waited for: exponential n=200 rate=1: never." in said
    alone = executed(rates(methods=[Never()], n=[200]), goal("cover:0.02", 2000), tmp_path / "s")
    assert (alone.computed, alone.done, alone.asked) == (250, 0, 250)


def test_a_verdict_that_can_never_fall_is_not_waited_for():
    """Neither standard errors nor limits: undecided for ever, and no replicate would change it."""
    table = pd.DataFrame({
        "scenario": "a", "replicate": range(250), "estimator": "e", "method": "m",
        "parameter": "rate", "truth": 1.0, "estimate": np.linspace(0.9, 1.1, 250), "status": "ok",
    })  # fmt: skip
    assert until._next(table, goal("verdict", 1000), 0, rates()) == (None, ())


def test_the_engine_is_chosen_for_what_the_goal_may_need(tmp_path):
    """250 replicates are no work for a compiler; 5,000, to which they may lead, are."""
    pytest.importorskip("jax")
    study = rates(n=[200])
    run_until(study, goal("cover:0.02", 5000), Options(out=tmp_path / "a", jobs=1, quiet=True))
    assert Result(tmp_path / "a").manifest()["engine"] == "batched"
    run_until(study, goal("cover:0.02", 1000), Options(out=tmp_path / "b", jobs=1, quiet=True))
    assert Result(tmp_path / "b").manifest()["engine"] == "loop"


def test_a_finished_goal_is_complete_though_scenarios_have_other_sizes(tmp_path, capsys):
    """Each scenario has what it needed; a later request asks for more, and a lower one does not."""
    study, folder = rates(n=[10, 500]), tmp_path / "r"
    outcome = executed(study, goal("bias:0.02", 1000), folder)
    sizes = {part.scenario: part.there for part in looks.extent(folder)}
    assert len(set(sizes.values())) == 2  # n = 10 scatters seven times as widely
    assert outcome.done == outcome.asked
    assert cli.main(["status", str(folder)]) == cli.DONE
    assert cli.main(["report", str(folder)]) == cli.DONE
    assert looks.lacking(folder) == ""
    capsys.readouterr()
    run(study, out=folder, replicates=10_000, scenarios=[0], jobs=1, engine="loop", quiet=True,
        command="simstudy run r.py --scenario 0")  # fmt: skip
    assert cli.main(["status", str(folder)]) == cli.INCOMPLETE
    assert "250 of 10,000 replicates  exponential n=500" in capsys.readouterr().out
    assert looks.lacking(folder).startswith("Incomplete: 1 of 2 scenarios have all replicates.")
    assert looks.lacking(folder).endswith("To run the rest: simstudy run r.py")


def test_an_unreached_goal_is_open_though_all_was_run(tmp_path, capsys):
    executed(rates(n=[10]), goal("cover:0.001", 300), tmp_path / "r")
    assert cli.main(["status", str(tmp_path / "r")]) == cli.INCOMPLETE
    assert "300 of 300 replicates, cover:0.001 not reached" in capsys.readouterr().out
    assert looks.lacking(tmp_path / "r") == ""


@pytest.mark.parametrize("content", ["", "[]", '{"scenarios": 3, "confidence": 1}', "[" * 100_000])
def test_a_damaged_file_of_looks_is_a_sentence(tmp_path, content):
    (tmp_path / "looks.json").write_text(content)
    assert looks.rule_of(tmp_path) == RULE
    (said,) = looks.notes(tmp_path)
    assert "looks.json cannot be read" in said
    assert "run --until again" in said


@pytest.mark.parametrize(("ends", "count"), [((250, 250), "250"), ((250, 1000), "250 to 1,000")])
def test_a_range_of_replicates_has_two_ends(tmp_path, ends, count):
    run_on = {
        str(k): {"replicates": size, "until": "verdict", "reached": True}
        for k, size in enumerate(ends)
    }
    written = {"scenarios": run_on, "confidence": RULE.confidence}
    (tmp_path / "looks.json").write_bytes(sealed(written))
    (said,) = looks.notes(tmp_path)
    assert said.endswith(f"its goal (verdict), with {count} replicates.")
