"""Blocks become rows in one place: every asked row is there, answered or not, with its labels."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from simstudy.records import block as records
from simstudy.records import rows as tables
from simstudy.records.block import AUDIT, Block, Cell
from simstudy.status import Status

BASE = ["scenario", "n", "replicate", "estimator", "method", "parameter"]
NUMBERS = ["truth", "estimate", "se", "lower", "upper"]


def cell(scenario="one", parameters=("a", "b"), methods=("m1", "m2"), factors=None, **truth):
    return Cell(
        scenario,
        {"n": 10} if factors is None else factors,
        truth or {"a": 1.0, "b": 2.0},
        "ml",
        parameters,
        methods,
    )


def filled(replicates=(0, 1, 2), methods=2, parameters=2):
    """Make a block in which every number tells its own place."""
    block = records.empty(replicates, methods, parameters)
    i, m, p = (np.arange(k) for k in (len(replicates), methods, parameters))
    block.estimate[:] = 100 * i[:, None] + p
    block.se[:] = 0.5 + 100 * i[:, None, None] + 10 * m[:, None] + p
    block.lower[:], block.upper[:] = -block.se, block.se
    block.status[:] = Status.ok
    return block


def test_every_status_has_one_sentence_and_a_number_that_never_changes():
    assert {status.name: int(status) for status in Status} == {
        "ok": 0, "data_error": 1, "fit_error": 2, "not_converged": 3, "no_maximum": 4, "saddle": 5,
        "not_an_optimum": 6, "rounding_noise": 7, "step_too_large": 8, "not_positive_definite": 9,
        "negative_variance": 10, "not_finite": 11, "refits_failed": 12, "method_error": 13,
        "timeout": 14, "crashed": 15, "not_asked": 16, "doubtful": 17,
            "not_identified": 18, "degenerate": 19, "not_smooth": 20, "noisy": 21, "no_step": 22,
            "crossed_limits": 23, "unconfirmed": 24,
    }  # fmt: skip
    sentences = [status.sentence for status in Status]
    assert all(s.endswith(".") and s[0].isupper() for s in sentences)
    assert len(set(sentences)) == len(Status)


def test_one_row_for_each_replicate_method_and_parameter():
    table = tables.table([(cell(), filled())])
    assert list(table) == [*BASE, *NUMBERS, "status"]
    assert len(table) == 3 * 2 * 2
    row = table.query("replicate == 2 and method == 'm2' and parameter == 'b'").iloc[0]
    assert (row.estimate, row.se, row.lower, row.upper) == (201.0, 211.5, -211.5, 211.5)
    assert (row.scenario, row.n, row.estimator, row.truth, row.status) == (
        "one",
        10,
        "ml",
        2.0,
        "ok",
    )


def test_labels_are_categories_and_numbers_are_numbers():
    table = tables.table([(cell(), filled())])
    for name in ("scenario", "estimator", "method", "parameter", "status"):
        assert isinstance(table[name].dtype, pd.CategoricalDtype), name
    assert all(table[name].dtype == float for name in NUMBERS)
    assert table["replicate"].dtype == table["n"].dtype == np.int64


def test_an_unanswered_row_stays_with_its_status():
    block = filled()
    block.status[1, 0] = Status.saddle
    block.se[1, 0] = block.lower[1, 0] = block.upper[1, 0] = np.nan
    table = tables.table([(cell(), block)])
    bad = table[table["status"] == "saddle"]
    assert len(table) == 12
    assert_array_equal(bad["replicate"], [1, 1])
    assert bad[["se", "lower", "upper"]].isna().all(axis=None)
    assert bad["estimate"].notna().all()


def test_a_method_that_was_not_asked_has_no_row():
    block = filled()
    block.status[2:, 1] = Status.not_asked
    table = tables.table([(cell(), block)])
    assert table.groupby("method", observed=True)["replicate"].unique().map(list).to_dict() == {
        "m1": [0, 1, 2],
        "m2": [0, 1],
    }
    assert "not_asked" not in set(table["status"])


def test_a_parameter_without_truth_has_no_row_and_shifts_no_other():
    table = tables.table([(cell(b=2.0), filled())])
    assert set(table["parameter"]) == {"b"}
    assert_array_equal(table["estimate"], [1, 1, 101, 101, 201, 201])
    assert_array_equal(table["se"], [1.5, 11.5, 101.5, 111.5, 201.5, 211.5])


def test_truth_may_name_its_parameters_in_any_order():
    table = tables.table([(cell(b=2.0, a=1.0), filled())])
    assert table.groupby("parameter", observed=True)["truth"].unique().map(list).to_dict() == {
        "a": [1.0],
        "b": [2.0],
    }


def test_factors_are_columns_after_the_scenario_in_every_mixture_of_scenarios():
    parts = [
        (cell("one", factors={"n": 10, "tail": "heavy"}), filled()),
        (cell("two", factors={"share": 0.1, "n": 20}), filled()),
    ]
    table = tables.table(parts)
    names = ["scenario", "n", "tail", "share", "replicate", "estimator", "method", "parameter"]
    assert list(table) == [*names, *NUMBERS, "status"]
    first, second = table[table["scenario"] == "one"], table[table["scenario"] == "two"]
    assert set(first["tail"]) == {"heavy"}
    assert second["tail"].isna().all()
    assert first["share"].isna().all()
    assert set(second["share"]) == {0.1}
    assert_array_equal(table["n"], np.repeat([10, 20], 12))


def test_a_factor_of_words_stays_categorical_where_a_scenario_lacks_it():
    parts = [
        (cell("one", factors={"tail": "heavy"}), filled()),
        (cell("two", factors={}), filled()),
    ]
    for order in (parts, parts[::-1]):
        assert isinstance(tables.table(order)["tail"].dtype, pd.CategoricalDtype)


def test_a_factor_of_numbers_and_words_is_a_column_of_words():
    """Such as df = 3, 10, "normal"; a column of both could not be written as parquet."""
    parts = [
        (cell("one", factors={"df": 3}), filled()),
        (cell("two", factors={"df": "inf"}), filled()),
    ]
    table = tables.table(parts)
    assert isinstance(table["df"].dtype, pd.CategoricalDtype)
    assert set(table["df"]) == {"3", "inf"}


def test_an_estimator_without_a_parameter_of_the_truth_has_no_rows():
    """In every scenario, or in one of them; a factor of numbers and words loses nothing by it."""
    known = cell(parameters=("a", "z"), a=1.0)
    alone = cell("two", parameters=("z",), factors={"n": "many"}, a=1.0)
    table = tables.table([(alone, filled(parameters=1)), (known, filled()), (known, filled())])
    assert len(table) == 2 * 3 * 2
    assert set(table["scenario"]) == {"one"}
    assert set(table["parameter"]) == {"a"}
    assert isinstance(table["n"].dtype, pd.CategoricalDtype)
    mixed = [(cell("two", parameters=("z",), a=1.0), filled(parameters=1))]
    mixed += [(cell(factors={"n": "many"}), filled())]
    assert set(tables.table(mixed)["n"]) == {"many"}
    assert len(tables.table([(alone, filled(parameters=1))])) == 0


def test_truth_values_and_numpy_numbers_as_factors():
    factors = {"paired": True, "n": np.int64(5), "x": np.float64(0.5)}
    table = tables.table([(cell(factors=factors), filled())])
    assert set(table["paired"]) == {"True"}
    assert table["n"].dtype == np.int64
    assert table["x"].dtype == float


def test_names_in_other_alphabets_and_of_300_characters_are_kept():
    names = ("ß", "ü" * 300)
    block = filled(methods=1)
    label = Cell("ålder <b>&", {"größe": 1}, dict.fromkeys(names, 1.0), "推定", names, ("m,\n;",))
    table = tables.table([(label, block)])
    assert tuple(table["parameter"].cat.categories) == names
    assert list(table)[1] == "größe"
    assert set(table["scenario"]) == {"ålder <b>&"}
    assert set(table["estimator"]) == {"推定"}
    assert set(table["method"]) == {"m,\n;"}


def test_no_blocks_make_an_empty_table_with_the_usual_columns():
    assert list(tables.table([])) == [n for n in [*BASE, *NUMBERS, "status"] if n != "n"]
    assert len(tables.table([])) == 0
    assert list(tables.audit([])) == ["scenario", "replicate", "estimator", *AUDIT]


def test_the_audit_has_one_row_for_each_replicate_with_its_message():
    block = filled()
    block.audit["status"][:] = [Status.ok, Status.fit_error, Status.ok]
    block.audit["message"] = np.array(["", "ValueError: <no> data", ""])
    block.audit["edm"][:] = [1e-9, np.nan, 1e-12]
    audit = tables.audit([(cell(), block), (cell("two"), filled())])
    assert list(audit) == ["scenario", "replicate", "estimator", *AUDIT]
    assert_array_equal(audit["replicate"], [0, 1, 2, 0, 1, 2])
    assert audit["status"].tolist()[:3] == ["ok", "fit_error", "ok"]
    assert audit["message"].tolist()[:3] == ["", "ValueError: <no> data", ""]
    assert_array_equal(audit["edm"][:3], [1e-9, np.nan, 1e-12])


def test_seconds_are_means_over_the_replicates_that_were_asked():
    block = filled()
    block.seconds[:] = [[1, 4], [2, 5], [3, 0]]
    block.status[2, 1] = Status.not_asked
    costs = tables.seconds([(cell(), block)])
    assert costs[["method", "seconds", "n"]].to_numpy().tolist() == [["m1", 2.0, 3], ["m2", 4.5, 2]]


def test_arrays_rebuild_a_block_to_the_bit():
    block = filled()
    again = Block.from_arrays(block.arrays())
    assert set(block.arrays()) == {
        "replicate", "estimate", "se", "lower", "upper", "status", "seconds",
        *(f"audit.{name}" for name in AUDIT),
    }  # fmt: skip
    for name, values in block.arrays().items():
        assert_array_equal(again.arrays()[name], values, err_msg=name, strict=True)


def test_joined_blocks_are_the_block_of_all_replicates():
    whole = filled(range(7))
    parts = [
        Block.from_arrays({name: values[part] for name, values in whole.arrays().items()})
        for part in (slice(0, 1), slice(1, 5), slice(5, 7))
    ]
    parts[1].audit["message"] = np.array(["a long message"] * 4)
    joined = records.join(parts)
    for name, values in whole.arrays().items():
        if name != "audit.message":
            assert_array_equal(joined.arrays()[name], values, err_msg=name, strict=True)
    assert joined.audit["message"].tolist() == ["", *["a long message"] * 4, "", ""]


def test_an_empty_block_promises_nothing():
    block = records.empty([3, 4], 2, 1)
    assert np.isnan(block.estimate).all()
    assert np.isnan(block.se).all()
    assert np.isnan(block.lower).all()
    assert np.isnan(block.upper).all()
    assert_array_equal(block.status, Status.fit_error)
    assert_array_equal(block.replicate, [3, 4])


@pytest.mark.parametrize("size", [0, 1])
def test_blocks_of_no_or_one_replicate_are_tables_too(size):
    block = Block.from_arrays({name: values[:size] for name, values in filled().arrays().items()})
    assert len(tables.table([(cell(), block)])) == size * 4
    assert len(tables.audit([(cell(), block)])) == size
