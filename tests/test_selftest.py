"""The self-test holds, says so, and falls short when something is wrong."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from simstudy import MaximumLikelihood, Study, grid, run, selftest
from simstudy.command import main as cli
from simstudy.evidence import measures
from simstudy.methods import OBSERVED
from simstudy.models import exponential


@pytest.fixture(scope="module")
def found():
    """Run the quick self-test once. Its seeds are fixed: what passes passes again."""
    return selftest.run_selftest(quick=True)


def test_all_checks_hold(found):
    assert found["passed"].all(), selftest.selftest_table(found[~found["passed"]])
    assert found.groupby("part").size().to_dict() == {
        "oracle": 40, "reference": 18, "repetition": 40}  # fmt: skip


def test_the_table_has_every_check(found):
    said = selftest.selftest_table(found)
    assert said.count("due") == len(found)
    bad = found.assign(passed=False)
    assert selftest.selftest_table(bad).count("FALLS SHORT") == len(found)


def test_a_normal_theory_error_falls_short(monkeypatch):
    """What the repetition is for: Morris' error of empse is half the truth for t5 estimates."""
    wrong = {**measures.MEASURES, "empse": lambda estimate: measures.empse(estimate, mcse="morris")}
    monkeypatch.setattr(measures, "MEASURES", wrong)
    checks = pd.DataFrame(selftest._repetition(quick=True))
    empse = checks[checks["measure"] == "empse"].set_index("case")["value"]
    assert empse["MCSE / true spread, t5"] < 0.7
    assert empse["MCSE / true spread, exponential"] < 0.7


def test_a_wrong_formula_falls_short_of_its_oracle(monkeypatch):
    """A rate's standard error 1.5 times too large is seen in coverage and in its size."""
    model = replace(
        exponential.MODEL, name="exponential",
        hessian=lambda theta, data: exponential.hessian(theta, data) / 2.25, score=None,
    )  # fmt: skip
    estimators = [
        replace(e, model=model) if e.name == "exponential" else e for e in selftest._ESTIMATORS
    ]
    monkeypatch.setattr(selftest, "_ESTIMATORS", estimators)
    monkeypatch.setattr("simstudy.execution.plan.validate", lambda study: None)
    checks = pd.DataFrame(selftest._oracles(100))
    apart = (checks["value"] - checks["due"]).abs() > checks["tolerance"]
    assert (apart & (checks["case"] == "rate, observed") & (checks["measure"] == "modelse")).any()


@pytest.mark.parametrize(("passed", "status"), [(True, 0), (False, 1)])
def test_the_command_says_it_and_reports_carry_it(tmp_path, monkeypatch, capsys, passed, status):
    monkeypatch.chdir(tmp_path)
    row = {"part": "oracle", "case": "rate", "measure": "cover", "value": math.pi, "due": 3.0,
           "tolerance": 0.2, "passed": passed}  # fmt: skip
    monkeypatch.setattr(selftest, "run_selftest", lambda quick: pd.DataFrame([row]))
    assert cli.main(["selftest", "--quick"]) == status
    said = capsys.readouterr()
    assert ("all 1 checks hold" in said.out) is passed
    assert ("1 of 1 checks fall short" in said.err) is not passed
    estimator = MaximumLikelihood(exponential.MODEL, [OBSERVED])
    study = Study("s", grid(exponential.MECHANISM, n=20, rate=1.0), [estimator], 20, seed=1)
    result = run(study, out=tmp_path / "results" / "s", jobs=1, engine="loop", quiet=True)
    page = result.report().read_text(encoding="utf-8")
    holds = "holds in all of its 1 checks" if passed else "falls short in 1 of 1 checks"
    assert f"The self-test of this installation {holds}" in page
