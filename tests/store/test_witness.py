"""Rows of two studies never stand in one folder, whatever makes them two."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from simstudy import MaximumLikelihood, Study, grid, load
from simstudy.engines.loop import block
from simstudy.errors import StudyError
from simstudy.execution.runner import run
from simstudy.methods import BFGS_INVERSE, OBSERVED, OPG
from simstudy.models import exponential
from simstudy.status import Status
from simstudy.store.journal import Store
from simstudy.store.manifest import sealed
from simstudy.store.witness import answers, bits, differing_answers

FILE = """
import glob
import importlib
import os
import sys
from pathlib import Path
from simstudy import FunctionEstimator, Mechanism, Scenario, Study

HERE = Path(__file__).parent
{binds}


def estimate(data):
    return {{"mean": (K * data.mean(), data.std() / len(data) ** 0.5)}}


normal = Mechanism("normal", lambda rng: rng.normal(5, size=20), lambda: {{"mean": 5.0}})
mine = FunctionEstimator("mine", ["mean"], estimate)
STUDY = Study("s", [Scenario(normal, {{}})], [mine], seed=1)
"""
VARIABLE = 'K = float(os.environ["SCALE"])'
ANEW = 'K = 1 + int.from_bytes(os.urandom(6), "big") / 2**48'  # twice alike once in 10^5 tries
UNSEEN = {
    "a variable of the environment": VARIABLE,
    "a module by a computed name":
        'sys.path.insert(0, str(HERE))\nK = importlib.import_module("hel" + "per").K',
    "files found by a pattern": 'K = float(Path(glob.glob(str(HERE / "*.num"))[0]).read_text())',
    "a name that is put together": 'K = float(Path(f"{HERE}/scale.{"n" + "um"}").read_text())',
    "a name with another suffix":
        'K = float((HERE / "scale").with_suffix("." + "num").read_text())',
}  # fmt: skip


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Return a function that loads a study under a value that its code does not show."""

    def loading(value, binds=VARIABLE):
        monkeypatch.setenv("SCALE", str(value))
        (tmp_path / "helper.py").write_text(f"K = {value}\n{'#' * value}")
        (tmp_path / "scale.num").write_text(str(value))
        monkeypatch.delitem(sys.modules, "helper", raising=False)
        path = tmp_path / "mine.py"
        path.write_text(FILE.format(binds=binds.replace('{"n" + "um"}', "{'n' + 'um'}")))
        return load(str(path))

    monkeypatch.setattr(sys, "path", list(sys.path))
    yield loading
    sys.modules.pop("helper", None)


def execute(given, folder, **options):
    study, reference = given if isinstance(given, tuple) else (given, None)
    options = {"jobs": 1, "engine": "loop", "quiet": True, "replicates": 20} | options
    return run(study, reference=reference, out=folder, **options)


@pytest.mark.parametrize("how", UNSEEN)
def test_what_no_code_shows_is_refused_with_both_numbers(tmp_path, loaded, how):
    folder = tmp_path / "r"
    execute(loaded(1, UNSEEN[how]), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.npz")}
    manifest = (folder / "manifest.json").read_bytes()
    with pytest.raises(StudyError, match="results are never mixed") as caught:
        execute(loaded(2, UNSEEN[how]), folder, replicates=40)
    for words in (
        "replicate 0, scenario 'normal', estimator 'mine', estimate of mean: first ",
        ", now ", "environment variable", "--fresh", "--out", "--accept-code",
    ):  # fmt: skip
        assert words in str(caught.value)
    assert {path: path.read_bytes() for path in folder.rglob("*.npz")} == before
    assert (folder / "manifest.json").read_bytes() == manifest


def test_the_same_answers_go_on_and_others_where_they_are_accepted(tmp_path, loaded):
    execute(loaded(1), tmp_path)
    assert execute(loaded(1), tmp_path, replicates=30).computed == 10
    assert execute(loaded(2), tmp_path, replicates=40, accept_code=True).computed == 10
    said = Store(tmp_path).manifest()["accepted"][0]
    assert said.startswith("replicate 0, scenario 'normal', estimator 'mine', estimate of mean")
    assert execute(loaded(2), tmp_path, replicates=50).computed == 10
    with pytest.raises(StudyError, match="results are never mixed"):
        execute(loaded(1), tmp_path, replicates=60)


def test_shards_of_two_studies_share_no_folder(tmp_path, loaded):
    execute(loaded(1), tmp_path, shard=(2, 2))
    with pytest.raises(StudyError, match="results are never mixed"):
        execute(loaded(2), tmp_path, shard=(1, 2))
    assert execute(loaded(1), tmp_path, shard=(1, 2)).computed == 10


def test_a_lost_manifest_takes_nothing_of_it_along(tmp_path, loaded):
    execute(loaded(1), tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(StudyError, match="results are never mixed"):
        execute(loaded(2), tmp_path, replicates=30)


def test_a_folder_that_says_nothing_of_it_goes_on_and_says_it_then(tmp_path, loaded):
    execute(loaded(1), tmp_path)
    path = tmp_path / "manifest.json"
    said = json.loads(path.read_text())
    path.write_bytes(sealed({name: value for name, value in said.items() if name != "first"}))
    execute(loaded(1), tmp_path, replicates=30)
    with pytest.raises(StudyError, match="results are never mixed"):
        execute(loaded(2), tmp_path, replicates=40)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_answers_otherwise_ends_the_run(tmp_path, loaded, jobs):
    with pytest.raises(StudyError, match="otherwise each time it is loaded") as caught:
        execute(loaded(1, ANEW), tmp_path, jobs=jobs, size=5)
    assert "replicate 0, scenario 'normal', estimator 'mine'" in str(caught.value)


def rates(methods, n, **changes):
    scenarios = grid(exponential.MECHANISM, n=n, rate=1.0)
    return Study("s", scenarios, [MaximumLikelihood(exponential.MODEL, methods)], seed=1, **changes)


def test_what_is_added_is_known_from_then_on(tmp_path):
    execute(rates([OBSERVED], [10]), tmp_path)
    execute(rates([OBSERVED, OPG], [10, 20]), tmp_path)
    first = Store(tmp_path).manifest()["first"]
    assert [list(own["exponential"]["methods"]) for own in first.values()] == [
        ["observed", "opg"]
    ] * 2
    assert execute(rates([OBSERVED, OPG], [10, 20]), tmp_path, replicates=30).computed == 20


# --- what counts as another answer -------------------------------------------------------------


def seen(study, made="here", **changed):
    """Return the answers of the first scenario, with numbers of the only block changed."""
    found = {name: replace(own, **changed) for name, own in block(study, 0, 0, 1).items()}
    return answers(study, {0: found}, made)


def test_a_millionth_of_a_standard_error_is_close_on_one_machine_and_more_is_not():
    study = rates([OBSERVED, OPG], [10])
    (own,) = block(study, 0, 0, 1).values()
    se = own.se[:, 0]
    for share, count in ((5e-7, 0), (5e-6, 1)):
        assert (
            len(differing_answers(seen(study), seen(study, estimate=own.estimate + share * se)))
            == count
        )
        (method,) = [differing_answers(seen(study), seen(study, se=own.se * (1 + share)))]
        assert len(method) == 2 * count
    lines = differing_answers(
        seen(study), seen(study, status=np.full_like(own.status, Status.method_error))
    )
    for line, label in zip(lines, ["observed", "opg"], strict=True):
        assert line.endswith(f"method {label!r}: first ok, now method_error")


def test_on_another_machine_estimates_alone_are_compared():
    study = rates([OBSERVED, BFGS_INVERSE], [10])
    (own,) = block(study, 0, 0, 1).values()
    here, se = seen(study), own.se[:, 0]
    assert differing_answers(here, seen(study, "there", se=own.se * 1.5)) == []
    assert differing_answers(here, seen(study, "there", estimate=own.estimate + 1e-4 * se)) == []
    (line,) = differing_answers(here, seen(study, "there", estimate=own.estimate + 1e-2 * se))
    assert line.startswith("replicate 0, scenario 'exponential n=10 rate=1', estimator")
    assert "estimate of rate: first " in line


def test_numbers_that_are_missing_or_infinite_are_alike():
    study = rates([OBSERVED], [10])
    (own,) = block(study, 0, 0, 1).values()
    blank = {"se": own.se * np.nan, "upper": own.upper * np.inf, "estimate": own.estimate * np.nan}
    once = json.loads(json.dumps(seen(study, **blank)))
    assert differing_answers(once, seen(study, **blank)) == []
    assert len(differing_answers(once, seen(study))) == 2
    assert bits() == bits()


def nudged(data, rng):
    """Change measured numbers by a unit of the last place, or not."""
    if isinstance(data, dict):
        return {name: nudged(values, rng) for name, values in data.items()}
    values = np.asarray(data)
    if values.dtype.kind != "f" or set(np.unique(values)) <= {0.0, 1.0}:
        return values
    return values * (1 + 2.0**-52 * rng.integers(-1, 2, size=values.shape))


@pytest.mark.parametrize("name", ["gamma", "spector", "question"])
def test_other_last_bits_are_the_same_study(name):
    """Those of the shipped studies change an optimizer's inverse Hessian by whole errors."""
    study, _ = load(name)
    scenarios = study.scenarios[:: 1 if name == "question" else len(study.scenarios)]
    for index in map(study.scenarios.index, scenarios):
        scenario = study.scenarios[index]

        def other(rng, own=scenario.mechanism.draw, **factors):
            return nudged(own(rng, **factors), np.random.default_rng(1))

        mechanism = replace(scenario.mechanism, draw=other)
        changed = list(study.scenarios)
        changed[index] = replace(scenario, mechanism=mechanism)
        nearly = replace(study, scenarios=changed)
        one = answers(study, {index: block(study, index, 0, 1)}, "here")
        other = answers(study, {index: block(nearly, index, 0, 1)}, "there")
        assert differing_answers(one, other) == []
