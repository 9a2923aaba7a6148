"""Tables against other programs, against brute force, against themselves in another order."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from simstudy.evidence import long_table as longtable
from simstudy.evidence.columns import Columns
from simstudy.evidence.measures import MEASURES
from simstudy.evidence.montecarlo import average
from simstudy.evidence.performance import performance
from simstudy.evidence.pooling import check_pooled
from simstudy.evidence.summary import summarize

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
LABELS = ["scenario", "method", "measure"]
COLUMNS = {
    "estimate": "estimate",
    "truth": "truth",
    "se": "se",
    "method": "method",
    "by": "scenario",
    "replicate": "replicate",
}
LIMITS = {"lower": "lower", "upper": "upper"}
NAN = float("nan")


def read(name):
    """Read a reference file."""
    return pd.read_csv(REFERENCE / f"{name}.csv")


def study(replicates=60, seed=1, missing=0.1):
    """Make a long table as a study stores it: two scenarios, two parameters, three methods."""
    rng = np.random.default_rng(seed)
    rows = []
    for scenario, n in (("gamma n=20", 20), ("gamma n=50", 50)):
        for replicate in range(replicates):
            for parameter, truth in (("rate", 1.0), ("shape", 2.0)):
                t = truth + rng.exponential() / math.sqrt(n)
                for method in ("observed", "opg", "sandwich"):
                    se = math.exp(0.2 * rng.normal()) / math.sqrt(n)
                    failed = rng.random() < missing
                    rows.append(
                        (scenario, n, replicate, "ml", method, parameter, truth, t)
                        + ((NAN,) * 3 if failed else (se, t - 2 * se, t + 2 * se))
                        + ("saddle" if failed else "ok",)
                    )
    names = ["scenario", "n", "replicate", "estimator", "method", "parameter", "truth", "estimate"]
    table = pd.DataFrame(rows, columns=[*names, "se", "lower", "upper", "status"])
    words = ["scenario", "estimator", "method", "parameter", "status"]
    return table.astype(dict.fromkeys(words, "category"))


def one(frame, measure, **labels):
    """Return the one row of a measure."""
    rows = frame[frame["measure"] == measure]
    for name, label in labels.items():
        rows = rows[rows[name] == label]
    assert len(rows) == 1
    return rows.iloc[0]


# --- other programs -----------------------------------------------------------------------------

RSIMSUM = {
    "thetamean": "mean", "thetamedian": "median", "bias": "bias", "rbias": "rbias",
    "empse": "empse", "mse": "mse", "relprec": "relprec", "modelse": "modelse",
    "relerror": "relerror", "cover": "cover", "becover": "becover", "power": "power", "nsim": "n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("how", "options"),
    [("wald", {}), ("t_df", {"df": "df"}), ("limits", LIMITS), ("wald90", {"level": 0.9})],
)
def test_matches_rsimsum(how, options):
    """All that rsimsum says under mcse="morris", to ten digits."""
    answers = read("rsimsum").query("how == @how and stat in @RSIMSUM").copy()
    answers["measure"] = answers["stat"].map(RSIMSUM)
    found = performance(read("estimates"), **COLUMNS, **options, reference="A", mcse="morris")
    both = found.merge(answers, on=LABELS, validate="one_to_one")
    assert len(both) == 2 * 3 * len(RSIMSUM)
    # 100 (r - 1) near 0 keeps the absolute digits of r
    assert_allclose(both["value"], both["est"], rtol=1e-10, atol=1e-12)
    # rsimsum's error of the reference against itself is its rounding, 2e-7; ours is 0
    told = both["mcse_y"].notna() & ~((both["measure"] == "relprec") & (both["method"] == "A"))
    assert told.sum() == 2 * (3 * 10 - 1)
    assert_allclose(both["mcse_x"][told], both["mcse_y"][told], rtol=1e-10)


def test_matches_rsimsum_on_mean_variances():
    """rsimsum's mean squared standard error is the square of `modelse`."""
    answers = read("rsimsum").query("how == 'wald' and stat == 'se2mean'")
    found = performance(read("estimates"), **COLUMNS, measures=["modelse"])
    both = found.merge(answers, on=["scenario", "method"], validate="one_to_one")
    assert_allclose(both["value"] ** 2, both["est"], rtol=1e-10)


@pytest.mark.parametrize(
    ("stat", "measure", "value", "mcse"),
    [
        ("bias", "bias", lambda x: x, True),
        ("stddev", "empse", lambda x: x, True),
        ("mse", "mse", lambda x: x, False),  # another divisor in its MCSE
        ("rmse", "rmse", lambda x: x, False),  # its MCSE is wrong
        ("rel_bias_var", "relerror", lambda x: (1 + x / 100) ** 2, False),
        ("rel_rmse_var", "relvar_rmse", lambda x: x, True),
        ("coverage", "cover", lambda x: x, True),
        ("width", "ciwidth", lambda x: x, True),
    ],
)
def test_matches_simhelpers(stat, measure, value, mcse):
    """Values, and robust MCSEs where simhelpers has the same definition, to ten digits."""
    answers = read("simhelpers").query("stat == @stat")
    found = performance(read("estimates"), **COLUMNS, **LIMITS, measures=[measure])
    both = found.merge(answers, on=["scenario", "method"], validate="one_to_one")
    assert len(both) == 6
    assert_allclose(value(both["value"]), both["est"], rtol=1e-10)
    if mcse:
        assert_allclose(both["mcse_x"], both["mcse_y"], rtol=1e-10)


def test_holes_are_filled_by_brute_force():
    """Ten missing standard errors and five missing estimates: each measure uses what it can."""
    table = read("estimates_with_holes")
    found = performance(table, **COLUMNS, **LIMITS, reference="A", exact="A")
    holes = 0
    for (scenario, method), rows in table.groupby(["scenario", "method"]):
        rows = rows.set_index("replicate")
        t, v = rows["estimate"].dropna(), rows["se"].dropna()
        holes += 400 - len(v)
        both, ends = rows.dropna(), rows.dropna(subset=["lower", "upper"])
        hits = (ends["lower"] <= ends["truth"]) & (ends["truth"] <= ends["upper"])
        center = (ends["lower"] <= t.mean()) & (t.mean() <= ends["upper"])
        first = table[(table["scenario"] == scenario) & (table["method"] == "A")]
        pair = pd.concat([t, first.set_index("replicate")["estimate"]], axis=1).dropna()
        scale = pd.concat([v, first.set_index("replicate")["se"]], axis=1).dropna()
        truth = rows["truth"].iloc[0]
        expected = {
            "n": (len(both), 400),
            "fail": (1 - len(both) / 400, 400),
            "mean": (t.mean(), len(t)),
            "bias": ((t - truth).mean(), len(t)),
            "empse": (t.std(), len(t)),
            "mse": (((t - truth) ** 2).mean(), len(t)),
            "modelse": (np.sqrt((v**2).mean()), len(v)),
            "relerror": (
                100 * (np.sqrt((both["se"] ** 2).mean()) / both["estimate"].std() - 1),
                len(both),
            ),
            "relprec": (100 * (pair.iloc[:, 1].var() / pair.iloc[:, 0].var() - 1), len(pair)),
            "seratio_median": ((scale.iloc[:, 0] / scale.iloc[:, 1]).median(), len(scale)),
            "corr": (both["estimate"].corr(both["se"]), len(both)),
            "cover": (hits.mean(), len(ends)),
            "becover": (center.mean(), len(ends)),
            "cover_all": (hits.sum() / 400, 400),
        }
        for measure, (value, n) in expected.items():
            row = one(found, measure, scenario=scenario, method=method)
            assert_allclose(row["value"], value, rtol=1e-10, atol=1e-12, err_msg=measure)
            assert row["n"] == n, measure
    assert holes == 15


# --- order and company --------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["numbers", "words", "none"])
def test_the_order_of_rows_changes_no_digit(ids):
    """Shuffled rows, bit for bit, with every kind of replicate id and without any."""
    table = study()
    options = {"reference": "opg"}
    if ids == "words":
        table["replicate"] = table["replicate"].map("data set {}".format)
    if ids == "none":
        table, options = table.drop(columns="replicate"), {}
    expected = summarize(table, **options)
    for seed in range(5):
        shuffled = table.sample(frac=1, random_state=seed)
        assert_frame_equal(summarize(shuffled, **options), expected, check_exact=True)


def test_a_group_does_not_see_the_others():
    """A scenario alone, or beside one with other replicates, has the same digits."""
    table = study()
    table = table[(table["scenario"] == "gamma n=20") | (table["replicate"] < 17)]
    expected = summarize(table, reference="opg")
    for key, rows in table.groupby("scenario", observed=True):
        alone = summarize(rows, reference="opg").reset_index(drop=True)
        there = expected[expected["scenario"] == key].reset_index(drop=True)
        assert_frame_equal(alone, there, check_exact=True)


def test_plain_words_are_as_good_as_categories():
    """A table from a file answers like the categorical one it was written from."""
    table = study()
    words = {name: str for name in table.columns if table[name].dtype == "category"}
    plain, coded = summarize(table.astype(words)), summarize(table)
    assert_array_equal(plain["value"], coded["value"])
    assert_array_equal(plain["method"].astype(str), coded["method"].astype(str))


def test_methods_are_paired_by_replicate():
    """The reference lacks every third replicate: pairs are by number, and complete ones count."""
    table = study(missing=0.0)
    first = (table["method"] == "opg") & (table["replicate"] % 3 == 0)
    row = one(
        summarize(table[~first], reference="opg", measures=["relprec"]),
        "relprec", scenario="gamma n=20", parameter="rate", method="sandwich",
    )  # fmt: skip
    assert row["n"] == 40
    assert row["value"] == 0.0  # the same fit: the same estimates


def test_methods_with_as_many_but_other_replicates():
    """Forty each, of which twenty are the same data sets."""
    table = study(missing=0.0)
    of_opg = table["method"] == "opg"
    kept = np.where(of_opg, table["replicate"] < 40, table["replicate"] >= 20)
    frame = summarize(table[kept], reference="opg")
    row = one(frame, "relprec", scenario="gamma n=50", parameter="shape", method="sandwich")
    assert (row["n"], row["value"]) == (20, 0.0)


def test_a_method_asked_for_fewer_replicates():
    """What is not asked is no failure."""
    table = study(missing=0.0)
    table = table[(table["method"] != "opg") | (table["replicate"] < 20)]
    row = one(summarize(table), "cover_all", scenario="gamma n=20", parameter="rate", method="opg")
    assert row["n"] == 20
    fail = one(summarize(table), "fail", scenario="gamma n=20", parameter="rate", method="opg")
    assert (fail["value"], fail["n"]) == (0.0, 20)


def test_seratio_divides_by_the_exact_method_of_the_same_fit():
    """Three times the exact standard error in every replicate, whatever their order."""
    table = study(missing=0.0)
    exact = table[table["method"] == "observed"]
    other = exact.assign(method="tripled", se=3 * exact["se"]).iloc[::-1]
    frame = summarize(pd.concat([exact, other]).astype({"method": str}))
    for measure in ("seratio_p05", "seratio_median", "seratio_p95"):
        row = one(frame, measure, scenario="gamma n=20", parameter="rate", method="tripled")
        assert_allclose(row["value"], 3.0, rtol=1e-15)
    others = table[table["method"] != "observed"]
    assert "seratio_median" not in set(summarize(others)["measure"])


# --- the frame ----------------------------------------------------------------------------------


def test_the_shape_of_the_frame():
    """Groups, method, measure, numbers; a factor called n does not hide the n of a measure."""
    found = summarize(study())
    assert list(found.columns) == [
        "scenario", "factor_n", "estimator", "parameter", "method", "measure",
        "value", "mcse", "lower", "upper", "n",
    ]  # fmt: skip
    names = [name for name in MEASURES if name != "relprec"]
    assert len(found) == 2 * 2 * 3 * len(names)
    assert list(found["measure"][: len(names)]) == names
    assert found["n"].dtype == np.int64
    assert set(found["factor_n"]) == {20, 50}


def test_by_names_the_groups():
    """Pooled over parameters, each replicate would count twice: refused unless told apart."""
    table = study()
    some = table[table["parameter"] == "rate"]
    found = summarize(some, by=["n"], measures=["bias"])
    assert list(found["factor_n"]) == [20, 20, 20, 50, 50, 50]
    with pytest.raises(ValueError, match=r"rows 1 and 4 are both n=20, method=observed, replicate"):
        summarize(table, by=["n"])


def test_a_missing_factor_is_a_group_of_its_own():
    """Scenarios of several mechanisms do not share all factors."""
    table = study()
    table["shape"] = np.where(table["scenario"] == "gamma n=20", 2.0, NAN)
    assert len(summarize(table, measures=["bias"])) == 2 * 2 * 3
    some = table.query("parameter == 'rate' and method == 'opg'")
    found = summarize(some, by=["shape"], measures=["bias"])
    assert_array_equal(found["shape"], [2.0, NAN])
    assert list(found["n"]) == [60, 60]


def test_methods_and_factors_may_be_numbers():
    """Numbered methods, pandas' own integers with a missing factor, numbers as text."""
    table = study()
    table["method"] = table["method"].cat.codes.astype(int)
    table["n"] = table["n"].astype("Int64").where(table["n"] == 20)
    table["se"] = table["se"].astype(object).where(table["se"].isna(), table["se"].astype(str))
    found, expected = (
        summarize(table, reference="1", exact="0"),
        summarize(study(), reference="opg"),
    )
    assert_array_equal(found["value"], expected["value"])
    with pytest.raises(ValueError, match="column 'estimate' holds the text 'x' in row 1"):
        summarize(table.assign(estimate="x"))


def test_a_factor_that_varies_within_scenarios_splits_them():
    """Numbers are group columns like words."""
    table = study()
    table["half"] = table["replicate"] % 2
    assert len(summarize(table, measures=["bias"])) == 2 * 2 * 2 * 3


def test_a_measure_of_ones_own():
    """One function; its arguments say what it gets."""

    def logscore(estimate, se, truth):
        z = (estimate - truth) / se
        return average(np.log(se) + z**2 / 2)

    table = study()
    found = summarize(table, measures={**MEASURES, "logscore": logscore})
    row = one(found, "logscore", scenario="gamma n=50", parameter="shape", method="opg")
    rows = table.query("scenario == 'gamma n=50' and parameter == 'shape' and method == 'opg'")
    z = (rows["estimate"] - rows["truth"]) / rows["se"]
    expected = np.log(rows["se"]) + z**2 / 2
    assert_allclose(row["value"], expected.mean(), rtol=1e-12)
    assert row["n"] == expected.count()

    with pytest.raises(ValueError, match="measure 'mine' needs seconds"):
        summarize(table, measures={"mine": lambda seconds: average(seconds)})
    with pytest.raises(ValueError, match="measure 'total' answered with shape"):
        summarize(table, measures={"total": lambda estimate: average(np.ravel(estimate))})


def test_the_null_of_power():
    """One number, or one by parameter."""
    table = study(missing=0.0)
    table = table[(table["parameter"] != "rate") | (table["replicate"] < 50)]
    ends = table.query("scenario == 'gamma n=20' and parameter == 'shape' and method == 'opg'")
    inside = (ends["lower"] <= 2.0) & (ends["upper"] >= 2.0)
    frame = summarize(table, null={"rate": 1.0, "shape": 2.0}, measures=["power"])
    row = one(frame, "power", scenario="gamma n=20", parameter="shape", method="opg")
    assert_allclose(row["value"], 1 - inside.mean(), rtol=1e-12)
    with pytest.raises(ValueError, match="no null for the parameter 'shape'"):
        summarize(table, null={"rate": 1.0})
    with pytest.raises(ValueError, match="no group column is called 'parameter'"):
        summarize(table.query("parameter == 'rate'"), by=["n"], null={"rate": 1.0})


def test_a_simulated_truth_brings_its_own_error():
    """Its variance is added: exactly to a bias, by its effect to a coverage."""
    table = study(missing=0.0).query("scenario == 'gamma n=50' and parameter == 'rate'")
    known = summarize(table, measures=["bias", "empse", "mse", "cover"])
    found = summarize(table.assign(truth_mcse=0.02), measures=["bias", "empse", "mse", "cover"])
    assert_array_equal(found["value"], known["value"])
    for method in ("observed", "opg"):
        before = {m: one(known, m, method=method) for m in ("bias", "mse", "empse", "cover")}
        after = {m: one(found, m, method=method) for m in before}
        bias = before["bias"]
        assert_allclose(after["bias"]["mcse"], np.hypot(bias["mcse"], 0.02), rtol=1e-12)
        # the mean squared error falls with the truth at twice the bias
        expected = np.hypot(before["mse"]["mcse"], 2 * bias["value"] * 0.02)
        assert_allclose(after["mse"]["mcse"], expected, rtol=1e-12)
        assert after["empse"]["mcse"] == before["empse"]["mcse"]
        assert after["cover"]["mcse"] > before["cover"]["mcse"]
        assert after["cover"]["lower"] < before["cover"]["lower"]
        assert_allclose(after["bias"]["upper"] - after["bias"]["value"],
                        1.959964 * after["bias"]["mcse"], rtol=1e-6)  # fmt: skip


def test_truth_by_row():
    """The error is each replicate's own."""
    frame = pd.DataFrame({"b": [1.0, 2.5, 3.0], "se": 1.0, "t": [1.0, 2.0, 4.0]})
    found = performance(frame, estimate="b", se="se", truth="t")
    assert_allclose(one(found, "bias")["value"], -0.5 / 3, rtol=1e-12)
    assert_allclose(one(found, "mse")["value"], 1.25 / 3, rtol=1e-12)


def two_truths(n=2000, apart=1.5):
    """Return a table of two truths, every standard error right at either: the spread is 1."""
    rng = np.random.default_rng(11)
    truth = np.repeat([0.0, apart], n)
    return pd.DataFrame({"id": np.arange(2 * n), "b": truth + rng.normal(size=2 * n), "se": 1.0,
                         "theta": truth})  # fmt: skip


def test_two_truths_in_a_cell_are_no_spread():
    """Standard errors that are right at each truth are right for both together.

    Within 4 MCSE of exact values: false alarm 1 in 5,000.
    """
    found = performance(two_truths(), estimate="b", se="se", truth="theta", replicate="id")
    for measure, exact in {"empse": 1.0, "relerror": 0.0, "becover": 0.95, "cover": 0.95}.items():
        row = one(found, measure)
        assert abs(row["value"] - exact) < 4 * row["mcse"], measure
    # sd of the truths .75: the spread of the estimates would be 1.25 and relerror -20
    assert one(found, "empse")["mcse"] < 0.02


def test_a_simulated_error_of_the_truth_is_not_counted_as_spread():
    """Each truth with an error of its own: what is not about the truth has no error from it."""
    table = two_truths(200).assign(error=np.repeat([0.1, 0.3], 200))
    options = {"estimate": "b", "se": "se", "truth": "theta", "replicate": "id", "pool": True}
    known, found = performance(table, **options), performance(table, **options, truth_mcse="error")
    for measure in ("mean", "median", "empse", "relerror", "relvar_rmse", "corr", "becover"):
        before, after = one(known, measure), one(found, measure)
        for part in ("value", "mcse", "lower", "upper"):
            assert_array_equal(after[part], before[part], err_msg=measure)
    # all truths move together: the mean of their errors
    expected = np.hypot(one(known, "bias")["mcse"], 0.2)
    assert_allclose(one(found, "bias")["mcse"], expected, rtol=1e-12)


def test_an_empty_table_has_no_cells():
    """No rows, no measures, and no error."""
    found = summarize(study().iloc[:0], measures=["bias", "cover"])
    assert len(found) == 0
    assert list(found.columns[-6:]) == ["measure", "value", "mcse", "lower", "upper", "n"]


# --- answers that are none ----------------------------------------------------------------------


def test_rows_without_status_ok_have_no_answer():
    """Even where numbers stand in them; the estimate counts."""
    table = study(missing=0.0)
    frame = summarize(table.assign(status="saddle"))
    row = {m: one(frame, m, scenario="gamma n=20", parameter="rate", method="opg") for m in MEASURES
           if m != "relprec"}  # fmt: skip
    assert (row["fail"]["value"], row["cover_all"]["value"]) == (1.0, 0.0)
    assert (row["bias"]["n"], row["cover"]["n"], row["modelse"]["n"]) == (60, 0, 0)


def test_an_interval_without_a_standard_error_is_an_answer():
    """Profile intervals have none: status ok is enough."""
    table = study(missing=0.0).assign(se=NAN)
    frame = summarize(table)
    assert set(frame[frame["measure"] == "fail"]["value"]) == {0.0}
    assert set(frame[frame["measure"] == "cover"]["n"]) == {60}
    assert set(frame[frame["measure"] == "modelse"]["n"]) == {0}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"se": 0.0}, "standard error is zero, negative or infinite"),
        ({"se": -1.0}, "standard error is zero, negative or infinite"),
        ({"se": np.inf}, "standard error is zero, negative or infinite"),
        ({"estimate": np.inf}, "estimate is infinite"),
        ({"lower": 3.0, "upper": 2.0}, "lower limit is above the upper one"),
    ],
)
@pytest.mark.parametrize("status", [True, False])
def test_impossible_answers_are_failures_and_said_to_be(bad, what, status):
    """Two of sixty rows: counted in a warning and in `fail`, and used by nothing else."""
    table = study(missing=0.0).query("scenario == 'gamma n=20' and parameter == 'rate'")
    table = table[table["method"] == "opg"].reset_index(drop=True)
    table.loc[[3, 40], list(bad)] = list(bad.values())
    if not status:
        table = table.drop(columns="status")
    with pytest.warns(
        UserWarning, match=f"in 2 of 60 rows .the first is row 4. the {what}"
    ) as said:
        frame = summarize(table)
    assert [warning.filename for warning in said] == [__file__]
    assert_allclose(one(frame, "fail")["value"], 2 / 60, rtol=1e-12)
    assert one(frame, "n")["value"] == 58
    assert one(frame, "cover")["n"] == one(frame, "modelse")["n"] == 58
    assert one(frame, "bias")["n"] == (58 if "estimate" in bad else 60)


# --- what one row is ----------------------------------------------------------------------------


def two_estimands(n=50):
    """Return what two estimands of the same data sets look like, without groups or numbers named.

    The columns after `se` are no design: what data sets brought about.
    """
    rng = np.random.default_rng(12)
    shift = np.tile([0.0, 0.3], n)
    return pd.DataFrame({
        "b": shift + rng.normal(0, 0.14, 2 * n), "se": 0.14, "rep": np.repeat(np.arange(n), 2),
        "iterations": rng.integers(4, 7, 2 * n), "seconds": rng.random(2 * n).round(2),
        "converged": rng.random(2 * n) < 0.5, "status": np.tile(["ok", "ok"], n), "theta": shift,
        "estimand": np.tile(["marginal", "conditional"], n), "size": np.tile([50, 100], n),
    })  # fmt: skip


PLAIN = {"estimate": "b", "se": "se"}


@pytest.mark.parametrize(
    ("spare", "options", "named"),
    [
        (["estimand"], {}, r"'estimand' .2 values"),
        (["size"], {}, r"'size' .2 values"),
        (["rep"], {}, r"'rep' .49 values"),
        (["estimand", "size", "rep"], {}, r"'estimand' .2 values., 'size' .2 values., 'rep'"),
        (["theta"], {"truth": "theta"}, r"'theta' .2 values"),
        (["estimand", "rep"], {"wide": ["b"], "estimate": "{method}"}, "'estimand'.*'rep'"),
    ],
)
def test_rows_of_two_estimands_are_not_pooled_without_a_word(spare, options, named):
    """Whatever tells them apart: the group, the numbers of the data sets, the truth.

    Every way that the message names ends it, and failed rows that were dropped hide nothing.
    """
    frame = two_estimands()[["b", "se", *spare]].drop(index=[7, 30, 31])
    asked = PLAIN | {"truth": 0.0} | options
    with pytest.raises(ValueError, match=f"rows that differ in {named}.* replicates of one"):
        performance(frame, **asked)
    found = performance(frame, **asked, pool=True)
    # both estimands in one: the spread of the bare estimates, but where the truths explain it
    exact = 0.14 if "truth" in options else np.hypot(0.14, 0.15)
    # ten percent is 1.4 MCSE of 97 rows, and the two differ by half
    assert_allclose(one(found, "empse")["value"], exact, rtol=0.1)
    apart = [name for name in spare if name != "rep"]
    if apart:
        by = performance(frame, **asked, by=apart, replicate="rep" if "rep" in spare else None)
        assert_allclose(by[by["measure"] == "empse"]["value"], 0.14, rtol=0.2)


def test_rows_that_failures_left_uneven_are_told_by_the_name_of_the_column():
    """A method with 6 of 100 rows, of a column that says what it is."""
    frame = two_estimands().rename(columns={"estimand": "method"})[["b", "se", "method"]]
    few = frame[(frame["method"] == "marginal") | (frame.index < 12)]
    with pytest.raises(ValueError, match=r"'method' .2 values"):
        performance(few, **PLAIN, truth=0.0)


def test_what_data_sets_bring_about_tells_no_estimands_apart():
    """Iterations, seconds, flags, status, a number for each data set: columns of every table."""
    frame = two_estimands().query("estimand == 'marginal'").drop(columns="theta")
    found = performance(frame, **PLAIN, truth=0.0)
    assert one(found, "bias")["n"] == 50
    # as many data sets as rows, each with a truth of its own
    theta = np.random.default_rng(3).normal(size=50)
    own = frame.assign(theta=theta, b=frame["b"] + theta)
    assert one(performance(own, **PLAIN, truth="theta"), "bias")["n"] == 50


def pooled(values):
    """Tell whether a column is taken for the mark of several estimands."""
    frame = pd.DataFrame({"b": 0.0, "x": values})
    try:
        check_pooled(frame, [], ["b"], [], None)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("words", [(0, 1), (False, True), ("no", "yes"), ("ns", "sig"), (3, 7)])
def test_flags_are_no_estimands(words):
    """Of 1,000 flags at 30 to 70 % fewer than 10 are refused: 2 to 5 are due, over 9 in 1 of 40.

    At 50 % exactly, where what is no yes or no may be even by chance, up to 2 % are.
    """
    rng = np.random.default_rng(31)
    refused = 0
    for _ in range(1000):
        flags = rng.random(rng.integers(100, 2001)) < rng.uniform(0.3, 0.7)
        refused += pooled(np.array(words)[flags.astype(int)])
    assert refused < 10
    if words in ((0, 1), (False, True), ("no", "yes")):
        halves = [rng.random(500) < 0.5 for _ in range(1000)]
        assert sum(pooled(np.array(words)[half.astype(int)]) for half in halves) < 10


@pytest.mark.parametrize("words", [(0, 1), ("RD", "OR"), (50, 100), (False, True)])
@pytest.mark.parametrize("order", ["blocked", "alternating", "shuffled"])
def test_two_estimands_are_seen_in_every_order(words, order):
    """With up to 5 % failures: dropped where the order tells, kept as empty cells in any case."""
    rng = np.random.default_rng(32)
    seen, tried = 0, 200
    for _ in range(tried):
        half = int(rng.integers(50, 1000))
        which = np.repeat([0, 1], half) if order == "blocked" else np.tile([0, 1], half)
        if order == "shuffled":
            which = rng.permutation(which)
        else:
            which = which[rng.random(2 * half) >= rng.uniform(0, 0.05)]
        seen += pooled(np.array(words)[which])
    by_number = words in (("RD", "OR"), (50, 100))
    if order != "shuffled":
        assert seen >= 0.99 * tried
    elif by_number:
        assert seen == tried
    else:  # 0 and 1, shuffled: nothing tells them from a flag
        assert seen < 0.05 * tried


def test_degrees_of_freedom_are_asked_for_where_there_is_an_estimate():
    """R leaves NA in the row of a failed replicate, where nothing needs them."""
    frame = pd.DataFrame({"b": [0.9, np.nan, 1.2, 1.0], "se": [0.1, np.nan, 0.1, np.nan],
                          "nu": [8.0, np.nan, 8.0, np.nan]})  # fmt: skip
    options = {"estimate": "b", "se": "se", "truth": 1.0, "df": "nu"}
    found = performance(frame, **options)
    assert (one(found, "fail")["value"], one(found, "cover")["n"]) == (0.5, 2)
    expected = performance(frame.assign(nu=8.0), **options)
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match=r"df .'nu'. is nan in row 3; .* that has an estimate"):
        performance(frame.assign(nu=[8.0, np.nan, np.nan, np.nan]), **options)


@pytest.mark.parametrize("name", ["estimates", "estimates_with_holes"])
def test_tables_of_other_programs_are_measured_without_numbers_of_data_sets(name):
    """Degrees of freedom, replicates and limits are columns that nobody named: no refusal."""
    options = {"estimate": "estimate", "truth": "truth", "method": "method"}
    assert len(performance(read(name), **options, by="scenario")) > 0
    with pytest.raises(ValueError, match=r"'truth' .2 values., 'scenario'"):
        performance(read(name), **options)


def test_data_sets_that_are_numbered_throughout_are_pooled_with_a_word():
    """Numbers of data sets that differ between scenarios cannot tell them apart."""
    frame = two_estimands().assign(rep=range(100))[["b", "se", "rep", "size"]]
    with pytest.warns(UserWarning, match="'size' .2 values. .* or set `pool`") as said:
        performance(frame, **PLAIN, truth=0.0, replicate="rep")
    assert [warning.filename for warning in said] == [__file__]
    performance(frame, **PLAIN, truth=0.0, replicate="rep", pool=True)  # a warning would fail


# --- anybody's table ----------------------------------------------------------------------------


def anybody(n=30):
    """Return a table as anybody writes it: R's names, words for methods, an id for data sets."""
    rng = np.random.default_rng(4)
    t = rng.normal(1.0, 0.2, size=(2, n))
    return pd.DataFrame(
        {
            "dgm": 1,
            "rep": np.tile(np.arange(1, n + 1), 2),
            "est.type": np.repeat(["CC", "MI"], n),
            "b": t.ravel(),
            "std_err": 0.2,
            "true": 1.0,
        }
    )


OPTIONS = {
    "estimate": "b",
    "se": "std_err",
    "truth": 1.0,
    "method": "est.type",
    "by": "dgm",
    "replicate": "rep",
}


def test_a_wide_table_is_the_long_one():
    """One column per method, with the row as replicate or with an id."""
    long = anybody()
    wide = long.pivot(index=["dgm", "rep"], columns="est.type", values=["b", "std_err"])
    wide.columns = [f"{a}_{m}" for a, m in wide.columns]
    wide = wide.reset_index().astype({"rep": int})
    expected = performance(long, **OPTIONS, reference="CC")
    options = {"estimate": "b_{method}", "se": "std_err_{method}", "truth": 1.0, "by": "dgm"}
    for extra in ({}, {"replicate": "rep"}):
        found = performance(wide, **options, **extra, wide=["CC", "MI"], reference="CC")
        found = found.rename(columns={"method": "est.type"})
        for part in ("value", "mcse", "lower", "upper", "n"):
            assert_array_equal(found[part], expected[part])


def test_without_limits_intervals_are_wald():
    """By the normal distribution, or by Student's t with df as a number or a column."""
    frame = anybody()
    z = 1.959963984540054
    normal = one(performance(frame, **OPTIONS), "ciwidth", method="CC")["value"]
    assert_allclose(normal, 2 * z * 0.2, rtol=1e-12)
    frame["nu"] = 4.0
    for df in (4, "nu"):
        student = one(performance(frame, **OPTIONS, df=df), "ciwidth", method="CC")["value"]
        assert_allclose(student, 2 * 2.7764451051977987 * 0.2, rtol=1e-12)


def test_an_estimate_alone_is_a_table():
    """No standard error, no method, no groups: what can be measured is."""
    found = performance(pd.DataFrame({"b": [0.5, 1.5]}), estimate="b", truth=1)
    assert set(found["method"]) == {"b"}
    assert one(found, "bias")["value"] == 0.0
    assert {"cover", "modelse", "relprec"}.isdisjoint(found["measure"])


def test_numbers_may_come_as_text_or_with_missing_entries():
    """Quoted numbers, empty entries and pandas' own missing values are read."""
    frame = pd.DataFrame({"b": ["0.5", " 1.5", "", None], "se": pd.array([1, 2, None, 4], "Int64")})
    found = performance(frame, estimate="b", se="se", truth=1.0)
    assert one(found, "bias")["n"] == 2
    assert one(found, "modelse")["n"] == 3
    assert one(found, "fail")["value"] == 0.5


def test_a_truth_column_may_also_tell_groups_apart():
    """Scenarios are often told apart by their truth."""
    frame = pd.concat([anybody(), anybody().assign(true=2.0)])
    options = OPTIONS | {"truth": "true", "by": ["true"]}
    found = performance(frame.rename(columns={"true": "truth"}), **options | {
        "truth": "truth", "by": ["truth"]}, measures=["bias"])  # fmt: skip
    assert list(found["truth"]) == [1.0, 1.0, 2.0, 2.0]


def test_one_replicate_and_empty_groups_are_stated():
    """One replicate: values without MCSE. A category without rows: nothing. No estimate: n = 0."""
    frame = anybody(1)
    frame["dgm"] = pd.Categorical(["a", "b"], categories=["a", "b", "c"])
    frame.loc[1, ["b", "std_err"]] = NAN
    found = performance(frame, **OPTIONS)
    assert list(found["dgm"].unique()) == ["a", "b"]
    bias = one(found, "bias", dgm="a")
    assert (bias["n"], math.isnan(bias["mcse"]), math.isnan(bias["value"])) == (1, True, False)
    assert one(found, "bias", dgm="b")["n"] == 0
    assert one(found, "fail", dgm="b")["value"] == 1.0


@pytest.mark.filterwarnings("ignore:the standard errors")
def test_mixed_units_are_suspected():
    """Percent against proportions: the estimates are a hundred times the truth."""
    with pytest.warns(
        UserWarning, match=r"94\.2 times the truth .*CC; 2 such.* one unit\?"
    ) as said:
        performance(anybody().assign(b=lambda x: 97 * x["b"]), **OPTIONS)
    assert {warning.filename for warning in said} == {__file__}


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (lambda row: np.where(row["est.type"] == "CC", 100, 1), r"100 times .*method=CC\)"),
        (lambda row: 0.01, r"0\.01 times .* 2 such groups"),
        (lambda row: 4, None),
    ],
    ids=["one method", "both", "merely wrong"],
)
def test_standard_errors_in_another_unit_are_suspected(times, said):
    """From the factor five on; below, a standard error may be as wrong as that."""
    exact = anybody()
    spread = exact.groupby(["dgm", "est.type"])["b"].transform("std")
    frame = exact.assign(std_err=spread * times(exact))
    if said is None:
        performance(frame, **OPTIONS)  # a warning would be an error
    else:
        with pytest.warns(UserWarning, match=f"the standard errors are {said}"):
            performance(frame, **OPTIONS)


def test_estimates_in_two_units_are_suspected():
    """Every other replicate in percent: the spread is that of the units."""
    factor = np.where(anybody()["rep"] % 2, 100, 1)
    frame = anybody().assign(b=lambda x: (x["b"] + 9) * factor, std_err=lambda x: 0.5 * factor)
    with pytest.warns(UserWarning, match="all replicates and both columns in one unit"):
        performance(frame, **OPTIONS | {"truth": 9.5})


def test_a_row_is_told_once():
    """Wald limits of a negative standard error are exchanged; that is no second fault."""
    with pytest.warns(UserWarning, match="1 of 60 rows .*row 3. the standard error") as said:
        performance(altered(std_err=[0.4, 0.4, -0.4] + [0.4] * 57), **OPTIONS)
    assert [warning.filename for warning in said] == [__file__]


def altered(**columns):
    """Return anybody's table with other columns."""
    return anybody().assign(**columns)


def text_in_row_three():
    """Return anybody's table with a word among the standard errors."""
    frame = anybody().astype({"std_err": object})
    frame.loc[2, "std_err"] = "n/a"
    return frame


BAD_INPUT = [
    (anybody, {"se": "stderr"}, "no column 'stderr'; did you mean 'std_err'?"),
    (anybody, {"estimate": "zzz"}, "no column 'zzz'"),
    (anybody, {"by": ["dgn"]}, "no column 'dgn'; did you mean 'dgm'?"),
    (anybody, {"reference": "MJ"}, "no method 'MJ'; did you mean 'MI'?"),
    (anybody, {"measures": ["coverage"]}, "no measure 'coverage'; did you mean 'cover'?"),
    (anybody, {"measures": ["relprec"]}, "'relprec' needs reference_estimate"),
    (anybody, {"level": 95}, "level is 95; .* between 0 and 1; did you mean 0.95?"),
    (anybody, {"level": 0.0}, "level is 0; it must lie between 0 and 1"),
    (anybody, {"level": NAN}, "level is nan"),
    (anybody, {"mcse": "bootstrap"}, "mcse is 'bootstrap'; it is 'robust'"),
    (anybody, {"replicate": None, "reference": "CC"}, "paired by their id"),
    (anybody, {"lower": "b"}, "only one of lower and upper is given"),
    (
        lambda: altered(l=2.0, u=1.0),
        {"lower": "l", "upper": "u"},
        "above upper .'u'. in row 1 .and",
    ),
    (anybody, {"se": "b"}, "estimate and se are both the column 'b'"),
    (anybody, {"se": "STD_ERR"}, "no column 'STD_ERR'; did you mean 'std_err'?"),
    (anybody, {"exact": "MJ"}, "no method 'MJ'; did you mean 'MI'?"),
    (anybody, {"null": NAN}, "null is nan; it must be a finite number"),
    (anybody, {"null": {"b": math.inf}}, "null is inf"),
    (anybody, {"truth": NAN}, "truth .nan. is nan in row 1"),
    (anybody, {"truth": math.inf}, "truth .inf. is inf in row 1 .*; it must be finite"),
    (anybody, {"truth_mcse": math.inf}, "truth_mcse .inf. is inf in row 1"),
    (anybody, {"df": 0}, "df .0. is 0 in row 1 .*; it must be positive"),
    (anybody, {"truth_mcse": -1.0}, "truth_mcse .-1.0. is -1 in row 1"),
    (anybody, {"wide": ["CC"]}, "both method and wide are given"),
    (anybody, {"method": None, "wide": ["CC"]}, r"the name of the column holds {method}"),
    (anybody, {"by": ["est.type"]}, "by has the column 'est.type'"),
    (lambda: anybody().iloc[:0], {}, "no rows"),
    (text_in_row_three, {}, "column 'std_err' holds the text 'n/a' in row 3;"),
    (lambda: altered(b="0,5"), {}, r"text '0,5' in row 1 .and 59 more.; .* comma a decimal point"),
    (lambda: altered(true=[1.0] * 4 + [NAN] * 56), {"truth": "true"}, "is nan in row 5 .and 55"),
    (lambda: altered(rep=1), {}, "rows 1 and 2 are both dgm=1, method=CC, replicate=1;"),
    (lambda: altered(dgm=[1, None] * 30), {}, "column 'dgm' is empty in row 2"),
    (lambda: altered(rep=[None, 1] * 30), {}, "column 'rep' is empty in row 1"),
    (lambda: altered(**{"est.type": None}), {}, "column 'est.type' is empty in row 1"),
    (lambda: altered(se=1.0), {"by": ["se"]}, "by has the column 'se', but"),
    (lambda: altered(b=[True, False] * 30), {}, "'b' holds true and false; it must hold numbers"),
    (lambda: altered(std_err=pd.array([True, None] * 30, "boolean")), {}, "'std_err' holds true"),
    (lambda: altered(true=True), {"truth": "true"}, "'true' holds true and false"),
    (anybody, {"truth": True}, "truth is True; it must be a number, or the name of a column"),
    (lambda: altered(b=NAN), {}, "estimate .'b'. is empty in every row: there is nothing"),
    (lambda: altered(b=None), {}, "estimate .'b'. is empty in every row"),
    (
        lambda: anybody().rename(columns={"dgm": "dgm\x1b[2J"}),
        {"by": ["dgm\x1b[2J"]},
        r"by has the column 'dgm\\x1b.*rename it",
    ),
    (
        lambda: altered(**{"est.type": ["a\u200b", "a\u200c"] * 30}).replace(
            {"a\u200b": "a\n", "a\u200c": "a\t"}
        ),
        {},
        "'est.type' holds names that differ only in characters that cannot be seen",
    ),
    (lambda: anybody().set_axis(["dgm"] * 6, axis=1), {}, "two columns 'dgm'"),
]


@pytest.mark.parametrize(("frame", "options", "message"), BAD_INPUT)
def test_bad_input_is_answered_with_what_to_do(frame, options, message):
    """What came, what is allowed, what to do: never a number."""
    with pytest.raises(ValueError, match=message):
        performance(frame(), **OPTIONS | options)


def test_a_study_table_without_a_method_column():
    """The message names what is there."""
    with pytest.raises(ValueError, match=re.escape("there is no column 'method'")):
        summarize(anybody().drop(columns="est.type"))


def test_a_missing_replicate_number():
    """A row that cannot be paired is not dropped silently."""
    table = study().astype({"replicate": float})
    table.loc[7, "replicate"] = NAN
    with pytest.raises(ValueError, match="replicate is empty in row 8"):
        summarize(table)


def test_a_column_without_any_number_is_said():
    """No standard error in any row: what needs none is measured, and a warning says the rest."""
    with pytest.warns(
        UserWarning, match="se .'std_err'. is empty in every row: what needs it"
    ) as said:
        found = performance(altered(std_err=NAN), **OPTIONS)
    assert [warning.filename for warning in said] == [__file__]
    assert one(found, "bias", method="CC")["n"] == 30
    assert one(found, "cover", method="CC")["n"] == 0


def test_names_that_a_terminal_would_obey_are_shown_as_they_are():
    """Escapes are gone from the frame, and with them from every page and terminal."""
    frame = anybody().replace({"CC": "C\x1b[31mC\x07"})
    found = performance(frame, **OPTIONS)
    assert set(found["method"]) == {r"C\x1b[31mC\x07", "MI"}
    wide = pd.DataFrame({"b_\x1b": [1.0, 2.0]})
    found = performance(wide, estimate="b_{method}", truth=1, wide=["\x1b"])
    assert set(found["method"]) == {r"\x1b"}


def test_wide_tables_are_checked_method_by_method():
    """The message names the column of the method that is wrong, and its row of the table."""
    wide = pd.DataFrame({"b_x": [1.0, 2.0], "b_y": [1.0, 2.0], "t_x": [1.0, 1.0],
                         "t_y": [1.0, np.inf], "l_x": 0.0, "u_x": 1.0, "l_y": [0.0, 3.0],
                         "u_y": 1.0})  # fmt: skip
    options = {"estimate": "b_{method}", "truth": "t_{method}", "wide": ["x", "y"]}
    with pytest.raises(ValueError, match=r"truth .'t_y'. is inf in row 2;"):
        performance(wide, **options)
    with pytest.raises(ValueError, match=r"lower .'l_y'. is above upper .'u_y'. in row 2;"):
        performance(wide, **options | {"truth": 1, "lower": "l_{method}", "upper": "u_{method}"})
    with pytest.raises(ValueError, match="no column 'b_z'"):
        performance(wide, **options | {"wide": ["x", "z"]})


def test_many_methods_cost_no_look_at_all_columns_each(monkeypatch):
    """Names of columns are read a fixed number of times, however many methods there are."""
    looks = []
    known = longtable.check_known
    monkeypatch.setattr(longtable, "check_known", lambda *a: looks.append(a[0]) or known(*a))
    for methods in (2, 200):
        names = [f"m{i}" for i in range(methods)]
        columns = {f"{what}_{name}": [1.0, 1.5] for what in ("b", "s") for name in names}
        before = len(looks)
        performance(pd.DataFrame(columns), estimate="b_{method}", se="s_{method}", truth=1,
                    wide=names, measures=["bias"])  # fmt: skip
        assert len(looks) - before == 1


def test_columns_are_a_value_that_refuses_what_contradicts_itself():
    """Before any table is read; one name for a list of one; nothing can be changed after."""
    columns = Columns(estimate="b", truth=1, by="dgm", df="nu")
    assert columns.groups == ["dgm"]
    assert columns == Columns(estimate="b", truth=1, by=["dgm"], df="nu")
    assert columns.numbers == {"estimate": "b", "truth": 1, "df": "nu"}
    with pytest.raises(AttributeError):
        columns.se = "s"
    for wrong, said in [
        ({"lower": "l"}, "only one of lower and upper"),
        ({"se": "b"}, "estimate and se are both the column 'b'"),
        ({"wide": ["x"], "method": "m"}, "both method and wide"),
        ({"wide": ["x"]}, "holds {method} where"),
        ({"by": ["se"]}, "by has the column 'se'"),
    ]:
        with pytest.raises(ValueError, match=said):
            Columns(estimate="b", truth=1, **wrong)
