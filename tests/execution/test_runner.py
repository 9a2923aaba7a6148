"""The table is the same bit for bit whatever happened; with wrong input nothing starts."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import simstudy.execution.collecting
import simstudy.execution.plan
import simstudy.execution.progress
import simstudy.execution.tasks
from simstudy import (
    FunctionEstimator,
    MaximumLikelihood,
    Mechanism,
    Model,
    Scenario,
    Study,
    StudyError,
    grid,
    load,
)
from simstudy.execution.first_look import Look
from simstudy.execution.runner import run
from simstudy.methods import (
    BFGS_INVERSE,
    OBSERVED,
    OBSERVED_CENTRAL,
    OBSERVED_LOG_WALD,
    OPG,
    SANDWICH,
    ExactHessian,
    Multinomial,
    Resampling,
    Wald,
)
from simstudy.models import exponential, gamma
from simstudy.records import rows as tables
from simstudy.status import Status
from simstudy.store.journal import Store

LABELS = ["scenario", "replicate", "estimator", "method", "parameter"]
METHODS = [OBSERVED, OBSERVED_LOG_WALD, OBSERVED_CENTRAL, OPG, SANDWICH, BFGS_INVERSE,
           Resampling("bootstrap", Multinomial(5))]  # fmt: skip
# parts of the audit that are measured, not computed
CLOCKS = ["seconds"]
# one with which every kind of failure below happens
SEED = 13


def rare(rng, n):
    """Draw gamma values, or raise for one data set in ten."""
    data = rng.gamma(2.0, size=n)
    if data[0] > 3.9:
        raise ValueError("no data today")
    return data


def undisturbed():
    """Make the study of all tests of identity; it has failures of every stage, all by lambdas."""
    model = Model(
        "own", {"shape": "positive", "rate": "positive"}, lambda data: np.ones(2),
        lambda theta, data: np.where(data[1] > 3.5, np.nan, gamma.loglik(theta, data)),
    )  # fmt: skip
    return Study(
        "identity",
        [
            *grid(gamma.MECHANISM, n=8, shape=0.5, rate=2.0),
            Scenario(Mechanism("rare", rare, lambda n: {"shape": 2.0, "rate": 1.0}), {"n": 10}),
        ],
        [
            MaximumLikelihood(gamma.MODEL, METHODS),
            MaximumLikelihood(model, [OBSERVED_CENTRAL]),
            FunctionEstimator(
                "moments", ["rate"], lambda data: {"rate": (data.mean() / data.var(), data.std())}
            ),
        ],
        replicates=10,
        fewer={"bootstrap": 3},
        seed=SEED,
    )


def rows(folder):
    """Return the table and the audit of a folder, in the order of their labels."""
    store = Store(folder)
    found = []
    for make, labels in ((tables.table, LABELS), (tables.audit, LABELS[:3])):
        frame = make(part for parts in store.read() for part in parts)
        keys = [frame[name].astype(str) if name != "replicate" else frame[name] for name in labels]
        order = np.lexsort([np.asarray(key) for key in keys[::-1]])
        found.append(frame.iloc[order].drop(columns=CLOCKS, errors="ignore").reset_index(drop=True))
    return found


def digest(frame):
    """Hash every column of a frame: words as words, numbers by their bits."""
    hashed = hashlib.sha256()
    for name in sorted(frame):
        values = frame[name].to_numpy()
        if values.dtype.kind not in "fiub":
            values = np.array([str(value) for value in values])
        hashed.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
    return hashed.hexdigest()


def assert_same(folder, expected):
    """Hold the rows of a folder against the expected ones, column by column and by their hash."""
    for found, due in zip(rows(folder), expected, strict=True):
        assert list(found) == list(due)
        for name in due:
            as_type = float if due[name].dtype.kind in "fiub" else str
            one, other = (frame[name].to_numpy(dtype=as_type) for frame in (found, due))
            assert_array_equal(one, other, err_msg=name)
        assert digest(found) == digest(due)


def execute(study, folder, jobs=1, **options):
    return run(study, out=folder, jobs=jobs, quiet=True, engine="loop", **options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "results"
    outcome = execute(undisturbed(), folder, size=10)
    assert (outcome.done, outcome.asked, outcome.computed) == (20, 20, 20)
    return rows(folder)


def interrupt_after(monkeypatch, saves):
    """Let Ctrl-C arrive after so many blocks were saved."""
    save, count = Store.save, iter(range(10**6))

    def saving(*arguments):
        save(*arguments)
        if next(count) == saves - 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "save", saving)


# --- the same table ------------------------------------------------------------------------------


def test_the_study_has_answers_and_failures_and_every_row_that_was_asked(expected):
    table, audit = expected
    counts = table["status"].value_counts()
    assert {"ok", "data_error", "fit_error"} <= set(counts[counts > 0].index)
    assert len(audit) == 2 * 10 * 3
    ours = 2 * 2 * (6 * 10 + 3)
    assert len(table) == ours + 2 * 2 * 10 + 2 * 10
    assert not table.duplicated(LABELS).any()
    bad = audit["status"] != "ok"
    assert (audit.loc[bad, "message"].str.len() > 10).all()


@pytest.mark.parametrize("size", [1, 4])
def test_the_size_of_blocks_changes_no_bit(tmp_path, expected, size):
    execute(undisturbed(), tmp_path / "r", size=size)
    assert len(Store(tmp_path / "r").pieces()) == 2 * -(-10 // size)
    assert_same(tmp_path / "r", expected)


def test_a_study_of_lambdas_gives_the_same_with_two_workers(tmp_path, expected):
    outcome = execute(undisturbed(), tmp_path / "r", jobs=2, size=3)
    assert outcome.computed == 20
    assert_same(tmp_path / "r", expected)


def test_an_executor_of_ones_own_gives_the_same(tmp_path, expected):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        execute(undisturbed(), tmp_path / "r", jobs=2, size=3, executor=executor)
    assert_same(tmp_path / "r", expected)


def test_more_replicates_extend_what_is_there(tmp_path, expected):
    first = execute(undisturbed(), tmp_path / "r", replicates=4, size=3)
    second = execute(undisturbed(), tmp_path / "r", size=5)
    third = execute(undisturbed(), tmp_path / "r")
    assert (first.computed, second.computed, third.computed) == (8, 12, 0)
    assert_same(tmp_path / "r", expected)


def smaller(scenarios, methods):
    """Make the study of all tests of identity with less in it."""
    study = undisturbed()
    first = replace(study.estimators[0], methods=methods)
    fewer = {label: count for label, count in study.fewer.items() if label in first.labels}
    return replace(study, scenarios=study.scenarios[:scenarios], estimators=[first], fewer=fewer)


@pytest.mark.parametrize("jobs", [1, 2])
def test_more_methods_scenarios_and_estimators_extend_what_is_there(tmp_path, expected, jobs):
    """Also where an extension was interrupted, and where methods come before the stored ones."""
    options = {"size": 3, "jobs": jobs}
    begun = smaller(1, [OBSERVED_CENTRAL, BFGS_INVERSE])
    assert execute(begun, tmp_path / "r", replicates=4, **options).computed == 4
    more = smaller(2, [OBSERVED, OBSERVED_CENTRAL, BFGS_INVERSE, METHODS[-1]])
    outcome = execute(more, tmp_path / "r", replicates=7, scenarios=[0], **options)
    # 3 new replicates of everything, 4 old ones of what is new
    assert (outcome.computed, outcome.done) == (7, 7)
    outcome = execute(undisturbed(), tmp_path / "r", **options)
    # scenario 0: replicates 0-6 lack the third extension, the rest everything
    assert (outcome.computed, outcome.done, outcome.asked) == (20, 20, 20)
    assert_same(tmp_path / "r", expected)
    assert execute(undisturbed(), tmp_path / "r").computed == 0
    assert sum(Store(tmp_path / "r").done().values()) == 20
    with pytest.raises(StudyError, match=r"scenarios, 'rare n=10': stored, but not asked for\n  "
                       r"estimators, 'gamma', method 'observed': stored, but not"):  # fmt: skip
        execute(smaller(1, METHODS[1:]), tmp_path / "r")


def test_an_estimator_may_come_with_a_scenario_of_its_own(tmp_path):
    own = FunctionEstimator("own", ["rate"], lambda data: {"rate": (1 / data.mean(), 0.1)})
    begun = exponentials(replicates=4)
    old = replace(begun.scenarios[0], only=["exponential"])
    new = Scenario(replace(old.mechanism, name="new"), {}, only=["own"])
    begun = replace(begun, scenarios=[old])
    whole = replace(begun, scenarios=[new, old], estimators=[own, *begun.estimators])
    assert execute(begun, tmp_path / "r").computed == 4
    assert execute(whole, tmp_path / "r").computed == 4
    execute(whole, tmp_path / "whole")
    assert_same(tmp_path / "r", rows(tmp_path / "whole"))
    assert Store(tmp_path / "r").done() == {"new": 4, "mine": 4}


def test_methods_extend_a_batched_run_too(tmp_path):
    """Its programs differ with the methods; the bits of the fit do not."""
    pytest.importorskip("jax")
    refits = Resampling("bootstrap", Multinomial(5))
    scenarios = grid(gamma.MECHANISM, n=10, shape=0.5, rate=2.0)
    for folder, steps in (
        ("r", [[OPG], [SANDWICH, OPG, refits]]),
        ("whole", [[SANDWICH, OPG, refits]]),
    ):
        for methods in steps:
            study = Study("b", scenarios, [MaximumLikelihood(gamma.MODEL, methods)], 40, seed=2)
            run(study, out=tmp_path / folder, jobs=1, quiet=True, engine="batched")
    assert len(Store(tmp_path / "r").pieces()) == 2
    assert_same(tmp_path / "r", rows(tmp_path / "whole"))


def test_an_interrupted_extension_has_the_rows_that_are_there_and_goes_on(
    tmp_path, expected, monkeypatch
):
    begun = smaller(2, METHODS[1:3])
    execute(begun, tmp_path / "r", size=4)
    with monkeypatch.context() as patched:
        interrupt_after(patched, saves=2)
        assert execute(undisturbed(), tmp_path / "r", size=2).interrupted
    assert Store(tmp_path / "r").done() == {key.key: done for key, done in
                                            zip(begun.scenarios, (4, 0), strict=True)}  # fmt: skip
    table, audit = rows(tmp_path / "r")
    due = expected[0]
    old = due["method"].isin(begun.estimators[0].labels) & (due["estimator"] == "gamma")
    new = (due["scenario"] == begun.scenarios[0].key) & (due["replicate"] < 4)
    assert digest(table) == digest(due[old | new].reset_index(drop=True))
    assert len(audit) == 20 + 2 * 4
    execute(undisturbed(), tmp_path / "r", size=3)
    assert_same(tmp_path / "r", expected)


def test_a_damaged_block_of_an_extended_study_is_run_again(tmp_path, expected):
    execute(smaller(2, METHODS[:2]), tmp_path / "r", size=5)
    execute(undisturbed(), tmp_path / "r", size=5)
    pieces = Store(tmp_path / "r").pieces()
    assert len(pieces) == 8
    assert [(piece.first_extension, piece.last_extension) for piece in pieces[:2]] == [
        (0, 0),
        (1, 1),
    ]
    for piece in (pieces[0], pieces[-1]):
        content = piece.path.read_bytes()
        piece.path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert execute(undisturbed(), tmp_path / "r", size=5).computed == 10
    assert_same(tmp_path / "r", expected)


def test_what_crashed_before_an_extension_stays_so_with_every_method(tmp_path):
    from simstudy.engines.loop import unanswered

    study = smaller(1, METHODS[:2])
    store = Store(tmp_path / "r")
    store.open(study, None, {"engine": "loop", "engine_why": "", "jobs": 1, "command": ""})
    store.save(study.scenarios[0].key, 3, 4, unanswered(study, 0, 3, Status.crashed, "so"))
    execute(study, tmp_path / "r", size=4)
    execute(smaller(1, METHODS), tmp_path / "r", size=4)
    table, audit = rows(tmp_path / "r")
    assert set(table["status"][table["replicate"] == 3]) == {"crashed"}
    assert table[table["replicate"] == 3][["estimate", "se", "lower"]].isna().all(axis=None)
    assert (audit["status"] == "crashed").sum() == 1
    assert audit["message"][audit["status"] == "crashed"].tolist() == ["so"]
    assert "crashed" not in set(table["status"][table["replicate"] != 3])


def test_changed_code_goes_on_where_that_is_accepted_by_name_and_is_kept(tmp_path):
    study = exponentials(lambda rng: rng.exponential(size=10), replicates=4)
    other = exponentials(lambda rng: rng.exponential(size=10) + 0.0, replicates=6)
    execute(study, tmp_path / "r")
    with pytest.raises(StudyError, match=r"'mine', code: stored .*\n.*--fresh.*--accept-code"):
        execute(other, tmp_path / "r")
    assert execute(other, tmp_path / "r", accept_code=True).computed == 2
    assert execute(other, tmp_path / "r").computed == 0
    (line,) = Store(tmp_path / "r").manifest()["accepted"]
    assert line.startswith("scenarios, 'mine', code: stored")
    with pytest.raises(StudyError, match="seed: stored 3, asked 4"):
        execute(replace(other, seed=4), tmp_path / "r", accept_code=True)


def test_fewer_replicates_than_stored_leave_the_rest(tmp_path, expected):
    execute(undisturbed(), tmp_path / "r", size=10)
    outcome = execute(undisturbed(), tmp_path / "r", replicates=5)
    assert (outcome.computed, outcome.done, outcome.asked) == (0, 10, 10)
    assert_same(tmp_path / "r", expected)


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, expected, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_after(patched, saves=4)
        outcome = execute(undisturbed(), tmp_path / "r", size=4)
    assert outcome.interrupted
    assert (outcome.done, outcome.asked) == (14, 20)  # blocks of 4, 4, 2 and 4
    outcome = execute(undisturbed(), tmp_path / "r", size=3)
    assert not outcome.interrupted
    assert outcome.computed == 6
    assert_same(tmp_path / "r", expected)
    assert len(Store(tmp_path / "r").manifest()["runs"]) == 2


def test_scenarios_may_be_run_one_after_another(tmp_path, expected):
    first = execute(undisturbed(), tmp_path / "r", scenarios=[1])
    assert (first.done, first.computed, first.asked) == (10, 10, 20)
    execute(undisturbed(), tmp_path / "r", scenarios=[0])
    assert_same(tmp_path / "r", expected)


def test_the_order_of_scenarios_methods_and_estimators_changes_no_bit(tmp_path, expected):
    study = undisturbed()
    first = replace(study.estimators[0], methods=METHODS[::-1])
    turned = replace(
        study,
        scenarios=study.scenarios[::-1],
        estimators=[*study.estimators[:0:-1], first],
    )
    execute(turned, tmp_path / "r", size=7)
    assert_same(tmp_path / "r", expected)


def test_an_added_estimator_and_an_added_scenario_change_no_bit_of_the_others(tmp_path, expected):
    study = undisturbed()
    added = MaximumLikelihood(gamma.MODEL, [Resampling("bootstrap", Multinomial(5))], name="added")
    scenarios = [*grid(gamma.MECHANISM, n=9, shape=0.5, rate=2.0), *study.scenarios]
    more = replace(study, scenarios=scenarios, estimators=[added, *study.estimators])
    execute(more, tmp_path / "r", size=6)
    for found, due in zip(rows(tmp_path / "r"), expected, strict=True):
        old = (found["estimator"] != "added") & (found["scenario"] != scenarios[0].key)
        assert digest(found[old].reset_index(drop=True)) == digest(due)
        assert len(found) > len(due)


def test_damaged_files_are_run_again_and_the_table_is_the_same(tmp_path, expected, capsys):
    execute(undisturbed(), tmp_path / "r", size=4)
    flipped, _, truncated, _, foreign = (piece.path for piece in Store(tmp_path / "r").pieces()[:5])
    content = flipped.read_bytes()
    flipped.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    truncated.write_bytes(truncated.read_bytes()[:-100])
    np.savez(foreign, x=np.ones(3))
    outcome = execute(undisturbed(), tmp_path / "r")
    assert outcome.computed == 4 + 2 + 4
    said = capsys.readouterr().err
    assert said.count(f"moved aside, to be run again: {tmp_path / 'r' / 'damaged'}") == 3
    assert len(list((tmp_path / "r" / "damaged").iterdir())) == 3
    assert_same(tmp_path / "r", expected)


@pytest.mark.parametrize(("begun", "asked"), [("loop", "batched"), ("batched", "loop")])
def test_engines_are_not_mixed_in_one_folder(tmp_path, begun, asked):
    """They agree to rounding, not to the bit."""
    pytest.importorskip("jax")
    study = exponentials(replicates=2)
    run(study, out=tmp_path / "r", jobs=1, quiet=True, engine=begun)
    with pytest.raises(StudyError, match=rf"begun with the {begun} engine.*--engine.*--out"):
        run(study, out=tmp_path / "r", jobs=1, quiet=True, engine=asked)
    run(study, out=tmp_path / "r", jobs=1, quiet=True, replicates=3)
    assert Store(tmp_path / "r").manifest()["engine"] == begun
    assert len(rows(tmp_path / "r")[0]) == 3


@pytest.mark.parametrize(
    ("n", "fewer", "most", "soon"), [(10, {}, 1250, 1250), (20_000, {}, 64, 8), (10, 199, 163, 20)]
)
def test_blocks_of_the_batched_engine_are_small_where_replicates_take_long(n, fewer, most, soon):
    """Lanes are padded to 64 and 32,768 observations; 200 fits are 200 times the work."""
    methods = [OBSERVED, Resampling("bootstrap", Multinomial(199))] if fewer else [OBSERVED]
    mechanism = Mechanism("m", lambda rng: rng.exponential(size=n), lambda: {"rate": 1})
    estimators = [MaximumLikelihood(exponential.MODEL, methods)]
    study = Study("s", [Scenario(mechanism, {})], estimators, replicates=5000, seed=1)
    assert simstudy.execution.tasks.block_sizes("batched", study, 0.1, 2) == (most, soon)


def test_what_workers_begin_with_is_stored_soon():
    tasks = [(0, 0, 50), (0, 50, 100), (0, 100, 150)]
    assert simstudy.execution.tasks.begun_small(tasks, 10, 2) == [
        (0, 0, 10), (0, 50, 60), (0, 10, 50), (0, 60, 100), (0, 100, 150)
    ]  # fmt: skip
    assert simstudy.execution.tasks.begun_small(tasks[:1], 50, 2) == tasks[:1]
    assert simstudy.execution.tasks.begun_small([], 50, 2) == []


def test_a_share_does_not_mix_engines_with_one_that_begins_meanwhile(tmp_path, monkeypatch):
    """It looks again when nobody else can begin: jobs of an array start at the same time."""
    study, first = exponentials(replicates=2), simstudy.execution.plan.first_look

    def meanwhile(*arguments, **options):
        Store(tmp_path / "r").open(study, None, {"engine": "batched", "engine_why": "", "jobs": 1})
        return first(*arguments, **options)

    monkeypatch.setattr(simstudy.execution.plan, "first_look", meanwhile)
    with pytest.raises(StudyError, match="begun with the batched engine"):
        run(study, out=tmp_path / "r", jobs=1, quiet=True, engine="loop", shard=(1, 2))
    assert Store(tmp_path / "r").pieces() == []


def test_another_seed_is_another_table_and_refused_in_the_same_folder(tmp_path, expected):
    execute(undisturbed(), tmp_path / "r", seed=12, replicates=3)
    assert np.intersect1d(rows(tmp_path / "r")[0]["estimate"], expected[0]["estimate"]).size == 0
    with pytest.raises(StudyError, match="seed: stored 12, asked 13"):
        execute(undisturbed(), tmp_path / "r")


# --- signals -------------------------------------------------------------------------------------

FILE = '''"""A study that takes its time, where the environment says so."""
import os
import time

from simstudy import MaximumLikelihood, Mechanism, Scenario, Study
from simstudy.methods import OBSERVED, OPG
from simstudy.models import exponential


def draw(rng, n):
    time.sleep(PAUSE)  # seconds
    return rng.exponential(size=n)


PAUSE = float(os.environ.get("PAUSE", 0))
STUDY = Study(
    "slow",
    [Scenario(Mechanism("slow", draw, lambda n: {"rate": 1.0}), {"n": n}) for n in (5, 6)],
    [MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG])],
    replicates=40,
    seed=4,
)
'''


def members(group):
    """List the processes of a group that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="watches processes in /proc")
@pytest.mark.parametrize("kind", ["Ctrl-C", "kill -9"])
def test_a_stopped_process_loses_nothing_that_was_stored(tmp_path, kind):
    path, folder = tmp_path / "slow.py", tmp_path / "r"
    path.write_text(FILE)
    command = [sys.executable, "-m", "simstudy", "run", str(path), "--out", str(folder),
               "--jobs", "2", "--block", "3", "--quiet"]  # fmt: skip
    home = Path(simstudy.__file__).parents[1]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(home), "PAUSE": "0.05"},
    )  # fmt: skip
    store = Store(folder)
    try:
        late = time.monotonic() + 60
        while len(store.pieces()) < 6 and time.monotonic() < late and process.poll() is None:
            time.sleep(0.02)
        if kind == "Ctrl-C":  # a terminal sends it to the whole group
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(process.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        late = time.monotonic() + 2
        while members(process.pid) and time.monotonic() < late:
            time.sleep(0.05)
        assert members(process.pid) == []
    finally:
        if members(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    if kind == "Ctrl-C":
        assert process.returncode == 130
        assert f"to go on: simstudy run {path} --out {folder}" in said
        assert "Traceback" not in said
    else:
        assert process.returncode == -signal.SIGKILL
    study, reference = load(path)
    done = sum(piece.last - piece.first for piece in store.pieces())
    assert 18 <= done < 80
    outcome = execute(study, folder, reference=reference)
    assert (outcome.computed, outcome.done) == (80 - done, 80)
    execute(study, tmp_path / "whole", reference=reference)
    assert_same(folder, rows(tmp_path / "whole"))


# --- statuses of a whole run -------------------------------------------------------------------


def exponentials(draw=None, loglik=exponential.loglik, **changes):
    """Make a study of one scenario with its own functions."""
    mechanism = Mechanism(
        "mine", draw or (lambda rng: rng.exponential(size=10)), lambda: {"rate": 1}
    )
    model = replace(exponential.MODEL, loglik=loglik)
    given = {"seed": 3, "replicates": 20, "estimators": [MaximumLikelihood(model, [OBSERVED])]}
    return Study("mine", [Scenario(mechanism, {})], **given | changes)


@pytest.mark.parametrize("where", ["draw", "loglik"])
def test_a_programming_error_stops_with_its_own_traceback_and_writes_nothing(tmp_path, where):
    def mistaken(*arguments):
        return arguments[0].no_such_attribute

    with pytest.raises(AttributeError, match="no_such_attribute") as caught:
        execute(exponentials(**{where: mistaken}), tmp_path / "r")
    assert caught.traceback[-1].name == "mistaken"
    assert not (tmp_path / "r").exists()


def test_a_log_likelihood_that_fails_away_from_the_truth_stops_with_its_own_traceback(tmp_path):
    def mistaken(theta, data):
        if theta[0] != 1:
            raise RuntimeError("only at one")
        return exponential.loglik(theta, data)

    derivatives = replace(exponential.MODEL, loglik=mistaken)
    estimators = [MaximumLikelihood(derivatives, [OBSERVED])]
    with pytest.raises(RuntimeError, match="only at one") as caught:
        execute(exponentials(estimators=estimators), tmp_path / "r")
    assert caught.traceback[-1].name == "mistaken"
    assert not (tmp_path / "r").exists()


def test_a_method_that_always_raises_stops_with_its_own_traceback(tmp_path):
    def mistaken(curvature):
        return curvature.no_such_attribute

    method = Wald("mistaken", covariance=mistaken, hessian=ExactHessian())
    estimators = [MaximumLikelihood(exponential.MODEL, [OBSERVED, method])]
    with pytest.raises(AttributeError, match="no_such_attribute") as caught:
        execute(exponentials(estimators=estimators), tmp_path / "r")
    assert caught.traceback[-1].name == "mistaken"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("where", ["draw", "loglik"])
def test_an_exception_of_replicate_0_alone_is_a_status(tmp_path, where):
    """The seed is the first for which replicate 0 has a large first value and the next ones not."""

    def failing(rng):
        data = rng.exponential(size=10)
        if where == "draw" and data[0] > 2:
            raise ValueError("too large")
        return data

    def failing_too(theta, data):
        if where == "loglik" and data[0] > 2:
            raise ValueError("too large")
        return exponential.loglik(theta, data)

    from simstudy.streams import stream

    def large(seed, replicate):
        return stream(seed, "mine", replicate, "data").exponential(size=10)[0] > 2

    seed = next(s for s in range(1000) if large(s, 0) and not large(s, 1))
    study = exponentials(failing, failing_too, seed=seed)
    execute(study, tmp_path / "r")
    table, audit = rows(tmp_path / "r")
    word = {"draw": "data_error", "loglik": "fit_error"}[where]
    assert table["status"].tolist() == [word if large(seed, i) else "ok" for i in range(20)]
    assert "ValueError: too large" in audit["message"][0]


@pytest.mark.parametrize(
    "loglik",
    [lambda theta, data: -1 / theta[0] + 0 * data, lambda theta, data: theta[0] + 0 * data],
    ids=["to a bound", "without bound"],
)
def test_where_the_likelihood_only_rises_every_row_says_that_nothing_was_fitted(tmp_path, loglik):
    model = Model("rising", {"rate": "positive"}, lambda data: np.ones(1), loglik)
    estimators = [MaximumLikelihood(model, [OBSERVED_CENTRAL])]
    outcome = execute(exponentials(estimators=estimators, replicates=3), tmp_path / "r")
    assert (outcome.fits, outcome.done) == (0, 3)
    table, audit = rows(tmp_path / "r")
    assert table["status"].tolist() == audit["status"].tolist()
    assert set(table["status"]) <= {"no_maximum", "not_converged", "saddle"}
    assert table["estimate"].isna().all()


# --- wrong input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"jobs": 0}, ("jobs is 0", "at least 1", "-1")),
        ({"jobs": -3}, ("jobs is -3", "at least 1", "-1")),
        ({"replicates": 0}, ("replicates is 0", "at least 1")),
        ({"replicates": -5}, ("replicates is -5", "at least 1")),
        ({"seed": -1}, ("seed is -1", "at least 0")),
        ({"jobs": 100_000}, ("jobs is 100,000", "cores", "at most", "-1")),
        ({"size": 0}, ("size is 0", "at least 1")),
        ({"size": -2}, ("size is -2", "at least 1")),
        ({"timeout": 0}, ("timeout is 0", "more than 0")),
        ({"timeout": -1, "engine": "loop"}, ("timeout is -1", "more than 0")),
        ({"timeout": float("nan"), "engine": "loop"}, ("timeout is nan", "more than 0")),
        ({"scenarios": [1]}, ("no scenario 1", "0: mine")),
        ({"scenarios": [-1]}, ("no scenario -1", "0: mine")),
        ({"scenarios": []}, ("scenarios is empty", "0: mine")),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, options, fragments):
    with pytest.raises(StudyError) as caught:
        run(exponentials(), **{"out": tmp_path / "r", "jobs": 1, "quiet": True} | options)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_no_worker_starts_when_the_input_is_wrong(tmp_path, monkeypatch):
    def workers(jobs):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(simstudy.execution.collecting, "start", workers)
    monkeypatch.setattr(simstudy.execution.plan, "isolated_look", lambda *given: Look(1.0, {}))
    (tmp_path / "file").write_text("")
    constant = exponentials(lambda rng: np.ones(10))
    for study, folder in ((constant, tmp_path / "r"), (exponentials(), tmp_path / "file")):
        with pytest.raises(StudyError):
            execute(study, folder, jobs=2, size=1)
    with pytest.raises(AssertionError, match="a worker was started"):
        execute(exponentials(), tmp_path / "r", jobs=2, size=1)


def test_a_file_that_changes_during_the_run_is_refused(tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(FILE)
    study, reference = load(path)
    path.write_text(FILE + "# changed\n")
    with pytest.raises(
        StudyError, match=r"slow\.py, or a module that it imports, was changed while"
    ):
        execute(study, tmp_path / "r", reference=reference, replicates=4, size=2)


def test_a_module_that_changes_during_the_run_is_refused(tmp_path, monkeypatch):
    """Workers that start later would import another version of it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "slow.py"
    path.write_text(FILE.replace("import", "import beside_slow\nimport", 1))
    (tmp_path / "beside_slow.py").write_text("X = 1\n")
    study, reference = load(path)
    (tmp_path / "beside_slow.py").write_text("X = 20\n")
    with pytest.raises(StudyError, match=r"or a module that it imports, was changed while"):
        execute(study, tmp_path / "r", reference=reference, replicates=4, size=2)


def test_a_changed_file_is_refused_and_a_changed_comment_is_not(tmp_path):
    path = tmp_path / "slow.py"

    def again(text):
        path.write_text(text)
        study, reference = load(path)
        return execute(study, tmp_path / "r", reference=reference, replicates=2).computed

    assert again(FILE) == 4
    assert again(FILE.replace("# seconds", "# a change in words")) == 0
    with pytest.raises(StudyError, match=r"code, 'draw': stored '\w+', asked '\w+'"):
        again(FILE.replace("size=n)", "size=n + 1)"))


# --- the rest ------------------------------------------------------------------------------------


def test_the_default_folder_is_named_after_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run(exponentials(), jobs=1, quiet=True, replicates=1)
    assert outcome.folder == tmp_path / "results" / "mine"
    assert (outcome.folder / "manifest.json").is_file()


def test_one_replicate_is_a_study(tmp_path):
    outcome = execute(exponentials(), tmp_path / "r", replicates=1)
    assert (outcome.done, outcome.asked, outcome.fits) == (1, 1, 1)
    assert len(rows(tmp_path / "r")[0]) == 1


def test_progress_holds_its_rate_back_until_there_are_seconds_of_answers(monkeypatch, capsys):
    """What came before the first answer is the start of workers, and no rate."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = simstudy.execution.progress.Progress(100_100, quiet=False)
    for now in (40.0, 44.0, 60.0):
        clock[0] = now
        progress.add(100, 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "100 of 100,100 replicates, failed fits 0",
        "300 of 100,100 replicates, 10.0 per second, 2.8 h left, failed fits 0",
    ]


def test_progress_in_a_log_has_rate_time_left_and_failures(tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 10**6, 11))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    run(exponentials(), out=tmp_path / "r", jobs=1, size=5, replicates=10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("5 of 10 replicates, ")
    for word in ("per second", "s left", "failed fits 0"):
        assert word in lines[1]


def test_quiet_says_nothing(tmp_path, capsys):
    execute(exponentials(), tmp_path / "r")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_what_the_studys_code_prints_does_not_reach_the_terminal(tmp_path, capsys):
    """But for what is tried at the beginning, which may be looked at."""

    def talking(rng):
        print("talk")
        print("talk", file=sys.stderr)
        return rng.exponential(size=10)

    said = []
    for replicates in (20, 40):
        execute(exponentials(talking), tmp_path / f"{replicates}", replicates=replicates)
        captured = capsys.readouterr()
        said.append((captured.out, captured.err))
    assert said[0] == said[1]
    print("still there")
    assert capsys.readouterr().out == "still there\n"


def test_printing_and_warning_code_does_not_disturb_the_run(tmp_path):
    """Warnings are errors in these tests: none may leave a block."""
    import warnings

    def warning(theta, data):
        warnings.warn("again", stacklevel=1)
        return np.log(theta[0] - 0 * data) - theta[0] * data

    execute(exponentials(loglik=warning), tmp_path / "r", replicates=3)
    assert (rows(tmp_path / "r")[0]["status"] == "ok").all()


# --- start-up -----------------------------------------------------------------------------------


def imported(module):
    """List what is imported by importing one module, in an interpreter of its own."""
    code = f"import sys, {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              check=True).stdout.split())  # fmt: skip


def test_workers_import_neither_tables_nor_figures():
    """They know arrays only; a second of every worker's start."""
    assert imported("simstudy.execution.work").isdisjoint(
        {"pandas", "matplotlib", "jax", "scipy.optimize"}
    )


def test_the_server_of_workers_has_all_they_need_but_no_device():
    """A backend of JAX has threads, which a fork would lose."""
    pytest.importorskip("jax")
    found = imported("simstudy.execution.preload")
    assert {
        "joblib.externals.loky",
        "simstudy.execution.work",
        "simstudy.engines.batched",
        "jax",
    } <= found
    assert found.isdisjoint({"pandas", "matplotlib"})
    code = ("import simstudy.execution.preload, jax\n"
            "print(jax._src.xla_bridge.backends_are_initialized())")  # fmt: skip
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no server")
def test_the_commands_workers_are_forked_from_a_server(tmp_path):
    path, seen = tmp_path / "mine.py", tmp_path / "parents"
    path.write_text(
        "import os\n"
        "from simstudy import MaximumLikelihood, Mechanism, Scenario, Study\n"
        "from simstudy.methods import OBSERVED\n"
        "from simstudy.models import exponential\n"
        "def draw(rng):\n"
        f"    with open({str(seen)!r}, 'a') as file:\n"
        "        words = open(f'/proc/{os.getppid()}/cmdline').read()\n"
        "        file.write(f'{\"forkserver\" in words}\\n')\n"
        "    return rng.exponential(size=10)\n"
        "STUDY = Study('mine', [Scenario(Mechanism('m', draw, lambda: {'rate': 1.0}), {})],\n"
        "              [MaximumLikelihood(exponential.MODEL, [OBSERVED])], replicates=40, seed=1)\n"
    )
    command = [sys.executable, "-m", "simstudy", "run", str(path), "--out", str(tmp_path / "r"),
               "--jobs", "2", "--block", "5", "--quiet"]  # fmt: skip
    subprocess.run(command, check=True, cwd=Path(simstudy.__file__).parents[1])
    assert seen.read_text().split().count("True") == 40 + 2  # and the first look
