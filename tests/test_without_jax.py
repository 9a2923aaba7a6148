"""Without JAX all works that needs no automatic derivatives; the rest says what to install."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simstudy import MaximumLikelihood, Study, StudyError, grid, run
from simstudy.command import main as cli
from simstudy.likelihood.objective import objective
from simstudy.methods import OBSERVED, OBSERVED_CENTRAL, OPG, SANDWICH
from simstudy.models import exponential

BARE = replace(exponential.MODEL, name="bare", score=None, hessian=None)
ADVICE = r"pip install 'simstudy\[jax\]'.*observed-central"


@pytest.fixture(autouse=True)
def no_jax(monkeypatch):
    """None in the place of a module makes its import fail, and `find_spec` find nothing."""
    for name in ("jax", "jaxlib", "optimistix", *sys.modules):
        if name.split(".")[0] in ("jax", "jaxlib", "optimistix"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError):
        __import__("jax")


def rates(model, methods, **changes):
    scenarios = grid(exponential.MECHANISM, n=10, rate=1.0)
    return Study(
        "rates", scenarios, [MaximumLikelihood(model, methods)], replicates=5, seed=1, **changes
    )


def execute(study, folder, **options):
    return run(study, **{"out": folder, "jobs": 1, "quiet": True} | options)


def test_models_with_their_own_derivatives_need_no_jax(tmp_path):
    table = execute(rates(exponential.MODEL, [OBSERVED, OPG, SANDWICH]), tmp_path / "r").table()
    assert len(table) == 15
    assert (table["status"] == "ok").all()


def test_methods_by_differences_need_no_jax(tmp_path):
    table = execute(rates(BARE, [OBSERVED_CENTRAL]), tmp_path / "r").table()
    # truncation of the differences at their step of 0.14 standard errors: about a ten-thousandth
    assert_allclose(table["se"], table["estimate"] / np.sqrt(10), rtol=2e-3)


@pytest.mark.parametrize(
    ("method", "need"), [(OBSERVED, "hessian"), (OPG, "score"), (SANDWICH, "hessian and score")]
)
def test_a_method_that_needs_derivatives_says_what_to_install(tmp_path, method, need):
    study = rates(BARE, [OBSERVED_CENTRAL, method])
    says = rf"'bare': method {method.name!r} needs the exact {need}, .*model 'bare'.*{ADVICE}"
    with pytest.raises(StudyError, match=says):
        execute(study, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_asking_for_automatic_derivatives_directly_says_the_same():
    with pytest.raises(ModuleNotFoundError, match=ADVICE):
        objective(
            replace(BARE, loglik=lambda theta, data: -theta[0] * data), np.ones(3), autodiff=True
        )


def test_auto_takes_the_loop_however_many_fits_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr("simstudy.execution.engine_choice.WORTH_COMPILING", 2)
    result = execute(rates(exponential.MODEL, [OBSERVED]), tmp_path / "r")
    assert result.manifest()["engine"] == "loop"
    assert "simstudy[jax]" in result.manifest()["engine_why"]
    assert len(result.table()) == 5


def test_the_batched_engine_says_what_to_install(tmp_path):
    study = rates(exponential.MODEL, [OBSERVED])
    with pytest.raises(StudyError, match=r"batched engine .*pip install 'simstudy\[jax\]'"):
        execute(study, tmp_path / "r", engine="batched")
    assert not (tmp_path / "r").exists()


def test_the_command_line_says_it_with_exit_status_2(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from simstudy import MaximumLikelihood, Study, grid\n"
        "from simstudy.methods import OBSERVED\n"
        "from simstudy.models import exponential\n"
        "model = replace(exponential.MODEL, score=None, hessian=None)\n"
        "STUDY = Study('mine', grid(exponential.MECHANISM, n=10, rate=1.0),\n"
        "              [MaximumLikelihood(model, [OBSERVED])])\n"
    )
    assert cli.main(["run", str(path), "--out", str(tmp_path / "r")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("simstudy: estimator 'exponential'")
    assert "pip install 'simstudy[jax]'" in said
    assert not (tmp_path / "r").exists()
