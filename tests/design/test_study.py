"""A study refuses to contradict itself, with messages that say what came and what to do."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

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
from simstudy.design.checks import validate
from simstudy.design.drawing import draw
from simstudy.methods import BOOTSTRAP, OBSERVED, OBSERVED_CENTRAL, OPG
from simstudy.models import exponential, gamma, normal

RATE = MaximumLikelihood(exponential.MODEL, [OBSERVED])


def one(mechanism=exponential.MECHANISM, estimators=(RATE,), **changes):
    """Make a study of one scenario."""
    scenarios = [Scenario(mechanism, {"n": 10, "rate": 1.0})]
    return Study(**{"name": "one", "scenarios": scenarios, "estimators": estimators} | changes)


def drawing(function, truth=exponential.truth):
    return Mechanism("mine", function, truth)


def with_truth(**truth):
    return drawing(exponential.draw, lambda **_: truth)


def with_loglik(loglik, **derivatives):
    model = Model("mine", {"rate": "positive"}, lambda data: np.ones(1), loglik, **derivatives)
    return [MaximumLikelihood(model, [OBSERVED_CENTRAL])]


def raises_saying(*fragments):
    """Expect a StudyError whose message holds all fragments, in their order."""
    return pytest.raises(StudyError, match="(?s)" + ".*".join(map(re.escape, fragments)))


# --- data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_data_in_less_than_double_precision_are_taken_to_it_where_they_are_drawn(kind):
    """The same numbers; whole numbers, words and float64 stay what they are."""
    values = np.array([0.1, 1 / 3, 2.5], dtype=kind)
    table = pd.DataFrame({"y": values, "k": [1, 2, 3]})
    others = {"k": np.arange(3), "x": np.ones(3), "flag": np.ones(3, dtype=bool)}

    def drawn(data):
        scenario = one(drawing(lambda rng, **_: data)).scenarios[0]
        return draw(one(), scenario, 0)

    for found in (
        drawn(values),
        drawn({"y": values, **others})["y"],
        drawn({"deep": {"y": values}})["deep"]["y"],
        drawn(table)["y"],
        drawn({"y": table["y"]})["y"],
    ):
        assert found.dtype == np.float64
        assert_array_equal(found, values.astype(np.float64))
    kept = drawn({"y": values, **others})
    assert {name: kept[name].dtype for name in others} == {n: v.dtype for n, v in others.items()}
    assert drawn(table)["k"].dtype == np.int64
    assert values.dtype == table["y"].dtype == kind


# --- scenarios ---------------------------------------------------------------------------------


def test_grid_crosses_lists_and_fixes_the_rest():
    scenarios = grid(gamma.MECHANISM, n=range(20, 60, 20), shape=np.array([0.5, 2.0]), rate=1)
    assert [scenario.key for scenario in scenarios] == [
        "gamma n=20 shape=0.5 rate=1",
        "gamma n=20 shape=2 rate=1",
        "gamma n=40 shape=0.5 rate=1",
        "gamma n=40 shape=2 rate=1",
    ]
    assert scenarios[1].truth == {"shape": 2.0, "rate": 1}


def test_a_string_is_one_value_of_a_factor_not_a_list_of_letters():
    mechanism = Mechanism("words", lambda rng, tail: rng.normal(size=3), lambda tail: {"mu": 0.0})
    assert [s.key for s in grid(mechanism, tail=["heavy", "light"])] == [
        "words tail=heavy",
        "words tail=light",
    ]
    assert [s.key for s in grid(mechanism, tail="heavy")] == ["words tail=heavy"]


@pytest.mark.parametrize(
    ("one_value", "other"), [(2, 2.0), (np.int64(2), 2), (np.float64(0.1), 0.1), (0.0, -0.0)]
)
def test_equal_factor_values_give_one_key_and_so_one_data_set(one_value, other):
    keys = {Scenario(with_truth(rate=1.0), {"x": value}).key for value in (one_value, other)}
    assert len(keys) == 1


def test_close_factor_values_give_different_keys():
    near = [0.1, np.nextafter(0.1, 1), 1e15, 1e15 + 1, 1e-300]
    assert len({s.key for s in grid(with_truth(rate=1.0), x=near)}) == len(near)


def test_a_mechanism_without_factors_is_a_scenario():
    mechanism = Mechanism("plain", lambda rng: rng.exponential(size=5), lambda: {"rate": 1.0})
    scenario = Scenario(mechanism, {})
    assert scenario.key == "plain"
    assert grid(mechanism) == [scenario]
    assert draw(one(scenarios=[scenario]), scenario, 0).shape == (5,)


def test_a_scenario_keeps_its_factors_when_the_callers_dictionary_changes():
    factors = {"n": 10, "rate": 1.0}
    scenario = Scenario(exponential.MECHANISM, factors)
    factors["rate"] = 2.0
    assert scenario.factors["rate"] == 1.0


def test_a_factor_that_is_no_number_or_string_is_refused():
    with raises_saying("factor 'x'", "[1, 2]", "a number or a string", "inside the mechanism"):
        Scenario(with_truth(rate=1.0), {"x": [1, 2]})


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_whole_number_that_no_column_holds_is_refused(value):
    with raises_saying("factor 'x'", str(value), "64 bits", "float or a string"):
        Scenario(with_truth(rate=1.0), {"x": value})
    assert Scenario(with_truth(rate=1.0), {"x": 2**63 - 1}).key == "mine x=9223372036854775807"


def test_a_factor_that_is_no_number_at_all_is_refused():
    with raises_saying("factor 'x'", "nan", "a number or a string"):
        Scenario(with_truth(rate=1.0), {"x": float("nan")})


def test_a_factor_and_what_it_is_called_in_tables_are_refused_together():
    """Both would be the column factor_n of performance.csv, which failed after the whole run."""
    with raises_saying("'n' and 'factor_n'", "another name"):
        one(scenarios=[Scenario(with_truth(rate=1.0), {"n": 5, "factor_n": 2})])
    one(scenarios=[Scenario(with_truth(rate=1.0), {"factor_n": 2})])


@pytest.mark.parametrize("word", ["NA", "None", "nan", "NULL", "", None, 3])
def test_names_that_a_reader_takes_for_a_missing_value_are_refused(word):
    fragments = (repr(word), "missing value", "another name")
    with raises_saying("a method of 'exponential'", *fragments):
        one(estimators=[replace(RATE, methods=[replace(OBSERVED, name=word)])])
    own = FunctionEstimator("own", ["rate"], lambda y: {"rate": (1.0, 1.0)}, methods=[word])
    with raises_saying("a method of 'own'", *fragments):
        one(estimators=[own])
    if isinstance(word, str):
        with raises_saying("factor 'tail'", *fragments):
            one(scenarios=[Scenario(with_truth(rate=1.0), {"tail": word})])


@pytest.mark.parametrize(
    "name", ["truth", "replicate", "scenario", "estimator", "status", "se", "df", "rng"]
)
def test_a_factor_whose_name_has_a_meaning_already_is_refused(name):
    """A column `df` would be read as the degrees of freedom of each row."""
    with raises_saying(f"factor {name!r}", "another name"):
        one(scenarios=[Scenario(with_truth(rate=1.0), {name: 1.0})])


def test_truth_that_does_not_take_the_factors_is_refused():
    with raises_saying("'mine n=10'", "truth of mechanism 'mine'", "by name"):
        Scenario(drawing(exponential.draw, lambda size: {"rate": 1.0}), {"n": 10})


def test_truth_that_is_no_mapping_is_refused():
    with raises_saying("truth returned 1.0", "mapping from parameter to true value"):
        Scenario(drawing(exponential.draw, lambda n: 1.0), {"n": 10})


# --- names and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words", "größe", None])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with raises_saying(f"name is {name!r}", "letters, digits", "results folder"):
        one(name=name)


@pytest.mark.parametrize("replicates", [0, -5, 10.0, "10", None])
def test_replicates_must_be_a_whole_positive_number(replicates):
    with raises_saying(f"replicates is {replicates!r}", "whole number of at least 1"):
        one(replicates=replicates)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1"])
def test_seed_must_be_a_whole_number(seed):
    with raises_saying(f"seed is {seed!r}", "whole number of at least 0"):
        one(seed=seed)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, float("nan"), "0.95"])
def test_level_must_lie_between_0_and_1(level):
    with raises_saying(f"level is {level!r}", "between 0 and 1", "0.95"):
        one(level=level)


@pytest.mark.parametrize(
    ("what", "empty"), [("scenarios", {"scenarios": []}), ("estimators", {"estimators": []})]
)
def test_a_study_needs_scenarios_and_estimators(what, empty):
    with raises_saying("'one'", f"no {what}", "at least one"):
        one(**empty)


def test_two_scenarios_alike_are_refused_even_when_one_says_2_and_the_other_2_0():
    with raises_saying("two scenarios", "'exponential n=2 rate=1'", "its own"):
        one(scenarios=grid(exponential.MECHANISM, n=[2, 2.0], rate=1.0))


def test_two_estimators_of_one_name_are_refused():
    with raises_saying("two estimators", "'exponential'", "its own"):
        one(estimators=[RATE, replace(RATE, optimizer="L-BFGS-B")])


def test_two_methods_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two methods named observed.*dataclasses\.replace"):
        MaximumLikelihood(exponential.MODEL, [OBSERVED, OPG, OBSERVED])


def test_a_model_in_the_place_of_an_estimator_is_refused():
    with raises_saying("Model", "no estimator", "MaximumLikelihood"):
        one(estimators=[exponential.MODEL])


def test_a_mechanism_in_the_place_of_a_scenario_is_refused():
    with raises_saying("Mechanism", "no scenario", "grid"):
        one(scenarios=[exponential.MECHANISM])


@pytest.mark.parametrize("fewer", [{"bootstrap": 5}, {"observed": 0}, {"observed": 2.5}])
def test_fewer_names_methods_of_the_study_and_whole_counts(fewer):
    with raises_saying(f"fewer is {fewer!r}", "observed", "at least 1"):
        one(fewer=fewer)


@pytest.mark.parametrize("count", [3, 50])
def test_fewer_asks_a_method_for_the_first_replicates_only(count):
    estimator = MaximumLikelihood(exponential.MODEL, [OBSERVED, BOOTSTRAP])
    study = one(estimators=[estimator], fewer={"bootstrap": count}, replicates=5)
    assert_array_equal(study.asked(estimator, range(1, 5))[:, 0], True)
    assert_array_equal(study.asked(estimator, range(1, 5))[:, 1], np.arange(1, 5) < count)


# --- truth ---------------------------------------------------------------------------------------


def test_truth_with_an_unknown_name_is_refused_with_the_nearest():
    with raises_saying("truth names 'rat'", "they have rate", "did you mean 'rate'"):
        one(with_truth(rat=1.0))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_truth_outside_its_support_is_refused(value):
    with raises_saying(
        "truth of 'rate'", repr(value), "outside its support 'positive'", "'exponential'"
    ):
        one(with_truth(rate=value))


@pytest.mark.parametrize(
    "value", [[1.0, 2.0], [1.0], float("nan"), float("inf"), 1j, None, "1"], ids=repr
)
def test_truth_that_is_not_one_finite_real_number_is_refused(value):
    with raises_saying("truth of 'rate'", repr(value), "one finite real number"):
        one(with_truth(rate=value))


def test_an_empty_truth_is_refused():
    with raises_saying("empty truth", "at least one of rate"):
        one(with_truth())


def test_every_estimator_is_scored_on_the_parameters_that_it_has():
    mean = FunctionEstimator("mean", ["mu"], lambda data: {"mu": (data.mean(), 1.0)})
    study = one(with_truth(rate=1.0, mu=1.0), estimators=[RATE, mean])
    assert [cell.parameters for cell in study.cells(0)] == [("rate",), ("mu",)]


def test_truth_for_a_parameter_of_an_estimator_that_does_not_answer_is_refused():
    mean = FunctionEstimator("mean", ["mu"], lambda data: {"mu": (data.mean(), 1.0)})
    mechanism, factors = with_truth(rate=1.0, mu=1.0), {"n": 10, "rate": 1.0}
    with raises_saying("truth names 'mu'", "they have rate"):
        one(
            scenarios=[Scenario(mechanism, factors, only=["exponential"])],
            estimators=[RATE, mean],
        )


def test_only_chooses_the_estimators_of_a_scenario():
    other = replace(RATE, name="other")
    scenarios = [
        Scenario(exponential.MECHANISM, {"n": 10, "rate": 1.0}, only=["other"]),
        Scenario(exponential.MECHANISM, {"n": 20, "rate": 1.0}),
    ]
    study = one(scenarios=scenarios, estimators=[RATE, other])
    names = [[e.name for e in study.answering(scenario)] for scenario in scenarios]
    assert names == [["other"], ["exponential", "other"]]


def test_only_with_an_unknown_estimator_is_refused():
    scenario = Scenario(exponential.MECHANISM, {"n": 10, "rate": 1.0}, only=["gamma"])
    with raises_saying("'exponential n=10 rate=1'", "'gamma'", "it has exponential"):
        one(scenarios=[scenario])


def test_only_takes_a_list_and_refuses_a_bare_string():
    with raises_saying("only", "'exponential'", "list"):
        one(scenarios=[Scenario(exponential.MECHANISM, {"n": 10, "rate": 1.0}, "exponential")])


# --- what check() tries ------------------------------------------------------------------------


def test_a_sound_study_passes():
    validate(one())
    validate(one(estimators=with_loglik(exponential.loglik)))
    assert one().scenarios[0].truth == {"rate": 1.0}


def test_draw_that_ignores_its_generator_is_refused():
    constant = drawing(lambda rng, n, rate: np.arange(1.0, n + 1))
    with raises_saying("draw ignores its generator", "identical", "generator it is handed"):
        validate(one(constant))


def test_draw_that_takes_numbers_from_elsewhere_is_refused():
    elsewhere = np.random.default_rng(1)
    own = drawing(lambda rng, n, rate: elsewhere.exponential(size=n))
    with raises_saying("draw gave two data sets for the same generator", "only the generator"):
        validate(one(own))


def test_rare_events_may_give_some_identical_data_sets():
    rare = drawing(lambda rng, n, rate: 1.0 + (rng.uniform(size=n) < 0.02))
    validate(one(rare))
    assert len({draw(one(rare), one(rare).scenarios[0], i).tobytes() for i in range(5)}) < 5


@pytest.mark.parametrize(
    ("data", "fragments"),
    [
        (lambda rng: rng.normal(), ("draw returned", "first axis")),
        (lambda rng: {"y": rng.normal(size=3), "x": np.ones(2)}, ("'y': 3", "'x': 2", "the same")),
        (lambda rng: {"y": rng.normal(size=3), "x": 1.0}, ("draw returned in 'x' float",)),
        (lambda rng: {}, ("lengths {}",)),
        (lambda rng: csr_array(rng.normal(size=(3, 3))), ("csr_array, a sparse", ".toarray()")),
        (lambda rng: {"x": csr_array(np.eye(3))}, ("in 'x' csr_array, a sparse", ".toarray()")),
        (lambda rng: [[1.0], [2.0, 3.0]], ("draw returned list, whose rows differ in length",)),
        (lambda rng: {"y": [[1.0], [2.0, 3.0]]}, ("in 'y' list, whose rows differ in length",)),
    ],
    ids=[
        "a number",
        "a ragged mapping",
        "a number in a mapping",
        "nothing",
        "sparse",
        "sparse in a mapping",
        "ragged",
        "ragged in a mapping",
    ],
)
def test_data_without_a_common_first_axis_is_refused(data, fragments):
    with raises_saying(*fragments):
        validate(one(drawing(lambda rng, n, rate: data(rng))))


def test_arrays_of_objects_are_compared_by_their_values():
    def labeled(rng, n, rate):
        groups = [f"group {number}" for number in rng.integers(9, size=n)]
        return {"y": rng.exponential(size=n), "group": np.array(groups, dtype=object)}

    estimators = with_loglik(lambda theta, data: np.log(theta[0]) - theta[0] * data["y"])
    study = one(drawing(labeled), estimators=estimators)
    validate(study)
    assert draw(study, study.scenarios[0], 0)["group"].dtype == object


@pytest.mark.parametrize(
    ("loglik", "fragments"),
    [
        (lambda theta, data: np.sum(np.log(theta[0]) - theta[0] * data),
         ("shape ()", "(10,)", "not the sum")),
        (lambda theta, data: None, ("returned None", "one number per observation, (10,)")),
        (lambda theta, data: -theta[0] * data[:-1], ("shape (9,)", "(10,)")),
        (lambda theta, data: -theta[0] * data + 0j, ("complex128", "real numbers")),
        (lambda theta, data: data * np.nan, ("not finite for any observation", "nan", "possible")),
        (lambda theta, data: np.where(np.arange(10) < 7, -data, -np.inf),
         ("-inf for observation 7", "first of 3", "possible")),
        (lambda theta, data: (-theta[0] * data).astype(np.float32), ("precision", "float64")),
        (lambda theta, data: (-theta[0] * data).astype(np.float16), ("precision", "float64")),
    ],
    ids=["scalar", "None", "too short", "complex", "all nan", "some infinite", "f32", "f16"],
)  # fmt: skip
def test_a_wrong_log_likelihood_is_refused_with_parameters_and_observation(loglik, fragments):
    with raises_saying("'exponential n=10 rate=1'", "'mine'", "rate=1", *fragments):
        validate(one(estimators=with_loglik(loglik)))


def test_a_wrong_score_is_refused():
    wrong = with_loglik(
        exponential.loglik, score=lambda theta, data: -exponential.score(theta, data)
    )
    with raises_saying("score at rate=1", "differs from numerical differences", "leave it out"):
        validate(one(estimators=wrong))


def test_a_wrong_hessian_is_refused():
    wrong = with_loglik(
        exponential.loglik,
        score=exponential.score,
        hessian=lambda theta, data: 1.1 * exponential.hessian(theta, data),
    )
    with raises_saying("hessian at rate=1", "differs", "leave it out"):
        validate(one(estimators=wrong))


def test_a_score_of_the_wrong_shape_is_refused():
    wrong = with_loglik(
        exponential.loglik, score=lambda theta, data: exponential.score(theta, data)[:, 0]
    )
    with raises_saying("score at rate=1", "shape (10,)", "(10, 1)"):
        validate(one(estimators=wrong))


def test_the_right_derivatives_pass_in_any_units():
    mechanism = Mechanism(
        "money", lambda rng, n: rng.normal(5e4, 3e3, n), lambda n: {"mu": 5e4, "sigma": 3e3}
    )
    study = Study(
        "money", [Scenario(mechanism, {"n": 50})], [MaximumLikelihood(normal.MODEL, [OBSERVED])]
    )
    validate(study)
    assert study.scenarios[0].truth["sigma"] == 3e3


def test_a_nuisance_parameter_needs_no_truth():
    mechanism = Mechanism("half", lambda rng, n: rng.normal(size=n), lambda n: {"mu": 0.0})
    study = Study(
        "half", [Scenario(mechanism, {"n": 20})], [MaximumLikelihood(normal.MODEL, [OBSERVED])]
    )
    validate(study)
    assert set(study.cells(0)[0].truth) == {"mu"}


def test_a_data_set_that_cannot_be_drawn_does_not_stop_the_check():
    """Replicate 0 fails by chance, the others do not: that is a status, not a wrong study."""
    calls = iter(range(10**6))

    def sometimes(rng, n, rate):
        if next(calls) == 0:
            raise ValueError("no data today")
        return rng.exponential(size=n)

    validate(one(drawing(sometimes)))
    assert next(calls) > 1


# --- files ---------------------------------------------------------------------------------------

FILE = '''"""Does the rate of
an exponential hold?"""
from simstudy import MaximumLikelihood, Study, grid
from simstudy.methods import OBSERVED
from simstudy.models import exponential

STUDY = Study(
    name="mine",
    scenarios=grid(exponential.MECHANISM, n=10, rate=1.0),
    estimators=[MaximumLikelihood(exponential.MODEL, [OBSERVED])],
)
'''


def test_load_takes_a_path_or_a_name_and_the_docstring_as_aims(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "mine.py"
    path.write_text(FILE)
    monkeypatch.chdir(tmp_path)
    by_name, reference = load("mine")
    by_path, _ = load(path)
    assert by_name.aims == by_path.aims == "Does the rate of an exponential hold?"
    assert reference.path == str(path)
    path.write_text(FILE + "# changed\n")
    assert load("mine")[1].digest != reference.digest


@pytest.mark.parametrize(
    ("asked", "fragments"),
    [
        ("gama", ("'gama'", "studies/gama.py", "did you mean 'gamma'", "gamma, poisson")),
        ("unheard", ("'unheard'", "in studies/ there are: gamma, poisson")),
        ("other/gamma.py", ("'other/gamma.py'", "gamma, poisson")),
    ],
)
def test_a_study_that_exists_nowhere_is_refused_with_what_there_is(
    tmp_path, monkeypatch, asked, fragments
):
    (tmp_path / "studies").mkdir()
    for name in ("gamma", "poisson"):
        (tmp_path / "studies" / f"{name}.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    with raises_saying("no study", *fragments):
        load(asked)


def test_a_file_without_the_ending_py_is_refused_by_its_ending(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(FILE)
    with raises_saying("mine.txt", ".py"):
        load(path)


def test_a_syntax_error_is_told_with_file_and_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE + "STUDY = (\n")
    with raises_saying(str(path), "line 12", "never closed", "correct the file"):
        load(path)


def test_a_syntax_error_in_an_imported_file_names_that_file(tmp_path):
    (tmp_path / "neighbor_of_mine.py").write_text("x = 1\nx = (\n")
    path = tmp_path / "mine.py"
    path.write_text("import neighbor_of_mine\n" + FILE)
    with raises_saying("neighbor_of_mine.py", "line 2"):
        load(path)


@pytest.mark.parametrize(
    ("last_line", "came"), [("", "missing"), ("STUDY = 3", "int"), ("STUDY = Study", "type")]
)
def test_a_file_without_a_study_is_refused(tmp_path, last_line, came):
    path = tmp_path / "mine.py"
    path.write_text(FILE.split("STUDY")[0] + last_line)
    with raises_saying(str(path), "no study", f"STUDY is {came}", "STUDY = Study(...)"):
        load(path)


def test_an_error_in_the_file_keeps_its_own_traceback(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE + "\n1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        load(path)
    assert caught.traceback[-1].path == path


def test_a_file_may_import_its_neighbors(tmp_path):
    (tmp_path / "close_to_mine.py").write_text("SIZE = 12\n")
    path = tmp_path / "mine.py"
    path.write_text("from close_to_mine import SIZE\n" + FILE.replace("n=10", "n=SIZE"))
    assert load(path)[0].scenarios[0].factors["n"] == 12
