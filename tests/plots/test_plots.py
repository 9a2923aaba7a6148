import math
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from made_tables import METHODS, UGLY, make_table, rename
from simstudy import plots
from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import verdicts
from simstudy.plots import intervals, names, sheet


def cost_frame(performance):
    """Take one row per method out of a performance frame and give each a price."""
    own = performance[performance["measure"] == "cover"].drop_duplicates("method")
    seconds = 10.0 ** -np.arange(1.0, len(own) + 1)
    return own.rename(columns={"value": "cover"}).assign(seconds=seconds)


FIGURES = {
    "coverage": lambda table, performance: plots.coverage(performance),
    "se_ratio": lambda table, performance: plots.se_ratio(performance),
    "model_se": lambda table, performance: plots.model_se_against_empirical_se(performance),
    "nested_loop": lambda table, performance: plots.nested_loop(performance, reference=0.95),
    "cost": lambda table, performance: plots.cost(cost_frame(performance)),
    "zip_plot": lambda table, performance: plots.zip_plot(table),
    "se_against_estimate": lambda table, performance: plots.se_against_estimate(table),
    "pit_ecdf": lambda table, performance: plots.pit_ecdf(table),
    "bland_altman": lambda table, performance: plots.bland_altman(
        table, table["method"].unique()[2], table["method"].unique()[0]
    ),
    "swarm": lambda table, performance: plots.swarm(table),
}


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def performance(table):
    return summarize(table)


def texts(svg):
    """List what an SVG says."""
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter() if "text" in node.tag]


def overlaps(figure):
    """List pairs of texts whose boxes overlap by more than half a point either way."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    found = [
        text
        for text in figure.findobj(lambda artist: isinstance(artist, Text))
        if text.get_visible() and text.get_text().strip()
    ]
    # ticks beyond the view and hidden labels are not drawn
    drawn = [t for t in found if not hasattr(t, "axes") or t.axes is None or _shown(t)]
    boxes = np.array([text.get_window_extent(renderer).extents for text in drawn])
    slack = 0.5 * figure.dpi / 72
    x0, y0, x1, y1 = boxes.T
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0) > slack
    along = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0) > slack
    pairs = np.argwhere(np.triu(across & along, 1))
    return [(drawn[i].get_text(), drawn[j].get_text()) for i, j in pairs]


def _shown(text):
    """Tell whether a text of a panel is drawn: labels of hidden ticks are not."""
    axes = text.axes
    for axis in (axes.xaxis, axes.yaxis):
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if text in (tick.label1, tick.label2):
                low, high = sorted(axis.get_view_interval())
                return low <= tick.get_loc() <= high
    return True


@pytest.fixture(scope="module")
def small(table):
    return table[(table["shape"] == 0.5) & (table["n"] < 200) & table["method"].isin(METHODS[:3])]


@pytest.mark.parametrize("name", FIGURES)
def test_same_input_gives_the_same_svg(name, small):
    """Drawn twice, letter by letter, without a date; and it is well-formed."""
    performance = summarize(small)
    first, second = (plots.svg(FIGURES[name](small, performance), name) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first
    assert texts(first)


@pytest.mark.parametrize("name", FIGURES)
def test_replicates_in_another_order_say_the_same(name, small):
    """Only the order of labels counts; dots are drawn in the order of the rows, and say nothing."""
    back = small.iloc[::-1].sort_values(
        ["parameter", "scenario", "method"], kind="stable", key=lambda labels: labels.cat.codes
    )
    ahead = back.iloc[::-1].sort_values(
        ["parameter", "scenario", "method"], kind="stable", key=lambda labels: labels.cat.codes
    )
    performance = summarize(small)
    said = [texts(plots.svg(FIGURES[name](rows, performance), name)) for rows in (ahead, back)]
    assert said[0] == said[1]


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_taken_as_they_are(name):
    """No name is read as mathematics or markup; long ones are shortened and stay apart."""
    plain = make_table(replicates=30, methods=METHODS[:1])
    table = pd.concat([rename(plain, "method", [ugly]) for ugly in UGLY], ignore_index=True)
    table = rename(table, "parameter", ["$\\alpha$ <b>", "\u03b2 & co"])
    table = rename(table, "scenario", [f"{ugly} n={k}" for k, ugly in enumerate(UGLY)])
    performance = summarize(table, exact=UGLY[0])
    said = texts(plots.svg(FIGURES[name](table, performance), name))
    assert not any("\\$" in text for text in said)
    assert any("$" in text for text in said)
    assert max(map(len, said)) < 130


def test_shortened_names_stay_apart():
    """Two names of 300 letters that differ in the middle get different labels."""
    labels = names.unique_labels(UGLY, 24)
    assert len(set(labels.values())) == len(UGLY)
    assert all(names.display_width(label.replace("\\$", "$")) <= 24 for label in labels.values())


@pytest.mark.parametrize("name", FIGURES)
def test_labels_do_not_overlap(name, table, performance):
    """In the usual size: six scenarios, five methods, two parameters."""
    assert overlaps(FIGURES[name](table, performance)) == []


@pytest.fixture(scope="module")
def large():
    methods = [*METHODS[:2], *(f"bootstrap-parametric-{k}-log-wald" for k in range(18))]
    table = make_table(30, methods, (10, 20, 50, 100, 200, 500), (0.5, 1.0, 2.0, 4.0, 8.0), ("a",))
    return table, summarize(table)


@pytest.mark.parametrize("name", FIGURES)
def test_labels_do_not_overlap_with_20_methods_and_30_scenarios(name, large):
    assert overlaps(FIGURES[name](*large)) == []


def test_coverage_draws_every_value_where_it_is(performance):
    """Dots stand at the coverages; their shape says on which side of the level the interval is."""
    figure = plots.coverage(performance, level=0.95)
    rows = performance[performance["measure"] == "cover"]
    few = (verdicts(performance)["verdict"] == "unstable").to_numpy()
    inside = rows[(rows["value"] >= 0.7) & ~few]
    state = np.where(inside["upper"] < 0.95, "v", np.where(inside["lower"] > 0.95, "^", "o"))
    drawn = [
        (line.get_marker(), x)
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() in ("o", "v", "^")
        for x in line.get_xdata()
    ]
    expected = sorted(zip(state, inside["value"], strict=True))
    assert [mark for mark, _ in sorted(drawn)] == [mark for mark, _ in expected]
    # the values are passed on, not computed
    assert_allclose([x for _, x in sorted(drawn)], [x for _, x in expected], rtol=1e-15)


def test_what_lies_beyond_a_panel_is_written_at_its_edge():
    """A ratio of a million does not hide the others: its value stands at the edge."""
    frame = pd.DataFrame(
        {
            "scenario": "s", "estimator": "ml", "parameter": "p", "method": ["exact", "bfgs"] * 3,
            "measure": ["seratio_p05"] * 2 + ["seratio_median"] * 2 + ["seratio_p95"] * 2,
            "value": [1, 2e5, 1, 9.6e5, 1, 2e6], "mcse": 0.0, "n": 9,
            "lower": np.nan, "upper": np.nan,
        }
    )  # fmt: skip
    figure = plots.se_ratio(frame)
    assert figure.axes[0].get_xlim()[1] < 20
    assert "9.6e+05" in texts(plots.svg(figure, "x"))


def test_a_method_without_an_answer_keeps_its_row(table):
    """It says so; a method that was not asked in a scenario has no row that could say it."""
    first = table["scenario"].iloc[0]
    mine = (table["method"] == "opg") & (table["scenario"] == first)
    lost = table.assign(
        **{name: table[name].mask(mine) for name in ("estimate", "se", "lower", "upper")},
        status=table["status"].astype(object).mask(mine, "fit_error"),
    )
    said = texts(plots.svg(plots.coverage(summarize(lost)), "x"))
    assert said.count("no answer") == 2
    said = texts(plots.svg(plots.zip_plot(lost), "x"))
    assert said.count("no answer") == 2


def test_each_estimator_has_its_own_methods(table):
    """Two estimators with different methods: no row for what was not asked."""
    other = table[table["method"] == "opg"].assign(estimator="moments", method="jackknife")
    both = pd.concat([table.astype({"estimator": object, "method": object}), other])
    figure = plots.coverage(summarize(both))
    said = texts(plots.svg(figure, "x"))
    assert "no answer" not in said
    assert {"shape (ml)", "shape (moments)"} <= set(said)
    assert said.count("jackknife") == 2


def test_zip_closes_at_the_coverage(table):
    """In each panel the intervals below the coverage contain the truth, those above miss it."""
    rows = table[(table["scenario"] == table["scenario"].iloc[0]) & table["se"].notna()]
    groups = list(rows.groupby(["method", "parameter"], observed=True))
    assert len(groups) == table["method"].nunique() * table["parameter"].nunique()
    for _, own in groups:
        covers = (own["lower"] <= own["truth"]) & (own["truth"] <= own["upper"])
        pivots = intervals._pivots(own)
        assert (np.abs(pivots) <= 1).tolist() == covers.tolist()


def test_zip_thins_evenly(table):
    """At most 100 intervals per panel, from the lowest rank to the highest."""
    many = pd.concat([table.assign(replicate=table["replicate"] + 1000 * k) for k in range(4)])
    panels = plots.zip_plot(many).axes
    assert panels
    for axes in panels:
        heights = np.concatenate([line.get_ydata() for line in axes.lines[1:]])
        assert np.unique(heights).size == 100
        assert heights.min() < 1
        assert heights.max() > 99


def test_pivot_of_a_wald_interval_is_the_studentized_error():
    """Against brute force; one-sided intervals have an infinite arm, where the pivot is 0."""
    rng = np.random.default_rng(1)
    estimate, se = rng.normal(size=50), rng.uniform(0.5, 2, size=50)
    rows = pd.DataFrame({"estimate": estimate, "truth": 0.3})
    rows["lower"], rows["upper"] = estimate - 1.96 * se, estimate + 1.96 * se
    # one division in another order: a few units in the last place
    assert_allclose(intervals._pivots(rows), (estimate - 0.3) / (1.96 * se), rtol=1e-12)
    rows["upper"] = np.inf
    assert_allclose(intervals._pivots(rows)[estimate < 0.3], 0, atol=0)


def test_nested_loop_follows_the_scenarios(performance):
    """The steps of a method are its values in the order of the scenarios."""
    figure = plots.nested_loop(performance, "bias")
    steps = next(patch for patch in figure.axes[0].patches if patch.get_label() == "opg")
    mine = performance[(performance["method"] == "opg") & (performance["measure"] == "bias")]
    mine = mine[mine["parameter"] == "shape"].set_index("scenario")["value"]
    order = performance["scenario"].unique()
    assert_allclose(steps.get_data().values, mine.reindex(order), rtol=1e-15)  # passed on


def panel(figure, title):
    """Find a panel by its title."""
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def test_model_se_is_divided_by_the_empirical_one(performance):
    """The marks stand at (empse, modelse / empse), the lines at the interval of relerror."""
    axes = panel(plots.model_se_against_empirical_se(performance), "opg")
    mine = performance[(performance["method"] == "opg") & (performance["parameter"] == "rate")]
    wide = mine.pivot(index="scenario", columns="measure", values="value")
    marks = next(line for line in axes.lines if line.get_marker() == "s")
    # 1 + relerror / 100 and modelse / empse: the same ratio, rounded twice
    expected = np.clip(wide["modelse"] / wide["empse"], *marks_range(axes))
    order = np.argsort(wide["empse"].to_numpy())
    x, y = marks.get_data()
    assert_allclose(np.sort(x), wide["empse"].to_numpy()[order], rtol=1e-12)
    assert_allclose(np.asarray(y)[np.argsort(x)], expected.to_numpy()[order], rtol=1e-9)


def marks_range(axes):
    """Undo the room that a panel leaves beyond the last mark."""
    low, high = axes.get_ylim()
    return low / 0.94 * 0.97, high / 1.06 * 1.03


def test_correlation_is_said(small):
    """In the corner of each panel, of the answered replicates."""
    said = texts(plots.svg(plots.se_against_estimate(small), "x"))
    own = small[(small["scenario"] == small["scenario"].iloc[0]) & (small["method"] == "opg")]
    own = own[(own["parameter"] == "shape") & own["se"].notna()]
    assert f"corr {np.corrcoef(own['estimate'], own['se'])[0, 1]:.2f}" in said


def test_limits_of_agreement(small):
    """Mean ratio and limits against the formula, on the logarithmic scale, paired by number."""
    own = small[(small["n"] == 20) & (small["parameter"] == "shape")]
    axes = plots.bland_altman(own.sample(frac=1, random_state=4), "opg", "observed").axes[0]
    wide = own.pivot(index="replicate", columns="method", values="se")[["opg", "observed"]].dropna()
    log = np.log(wide["opg"] / wide["observed"])
    expected = [log.mean() + k * 1.96 * log.std() for k in (-1, 0, 1)]
    drawn = [line.get_ydata()[0] for line in axes.lines if line.get_color() == sheet.INK]
    assert_allclose(np.sort(np.log(drawn)), expected, rtol=1e-9)


def test_swarm_marks_the_bias(small):
    """The bar of each scenario is the mean error of all fits, each counted once."""
    axes = plots.swarm(small).axes[0]
    bars = [c for c in axes.collections if tuple(c.get_linewidths()) == (1.6,)]
    drawn = [bar.get_segments()[0][0][0] for bar in bars]
    fits = small[(small["method"] == "observed") & (small["parameter"] == "shape")]
    error = (fits["estimate"] - fits["truth"]).groupby(fits["scenario"], observed=True).mean()
    assert_allclose(drawn, error[small["scenario"].unique()], rtol=1e-12)


def test_pit_is_the_distribution_of_the_pivot():
    """A standard error of half its size: the curve against brute force, and it leaves the bands."""
    estimate = norm.ppf((np.arange(400) + 0.5) / 400)
    table = pd.DataFrame(
        {
            "scenario": "s", "replicate": np.arange(400), "estimator": "ml", "method": "half",
            "parameter": "mu", "truth": 0.0, "estimate": estimate, "se": 0.5,
            "lower": estimate - 0.98, "upper": estimate + 0.98, "status": "ok",
        }
    )  # fmt: skip
    # the level of the interval scales its arms back to standard errors
    line = plots.pit_ecdf(table, level=2 * norm.cdf(1.96) - 1).axes[0].lines[1]
    points = line.get_xdata()
    expected = [(norm.cdf(estimate / 0.5) <= point).mean() - point for point in points]
    assert_allclose(line.get_ydata(), np.clip(expected, -0.157, 0.157), atol=1e-12)
    assert line.get_color() == sheet.VERMILLION


def test_scenarios_are_named_by_what_differs():
    keys = ["gamma n=20 shape=0.5 rate=1", "gamma n=50 shape=0.5 rate=1"]
    assert list(plots.scenario_names(keys).values()) == ["n=20", "n=50"]
    assert plots.scenario_names(keys[:1]) == {keys[0]: keys[0]}
    # where words alone do not tell, the whole key
    same = ["a b b", "a b"]
    assert plots.scenario_names(same) == dict(zip(same, same, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, p: plots.coverage(p[p["measure"] == "bias"]),
            "no measure 'cover'; it holds: bias",
        ),
        (lambda t, p: plots.nested_loop(p, "covr"), "no measure 'covr'; it holds: .*cover"),
        (lambda t, p: plots.zip_plot(t, scenario="gamma"), "no scenario 'gamma'; the table holds"),
        (lambda t, p: plots.bland_altman(t, "opgg"), "'opgg' has no standard error; .*opg"),
        (lambda t, p: plots.cost(p), "no column cover, seconds"),
    ],
)
def test_errors_say_what_is_there(call, message, table, performance):
    with pytest.raises(ValueError, match=message):
        call(table, performance)


def test_cost_has_a_block_per_estimator_and_a_panel_per_parameter():
    """The cheapest on top; what has no coverage, or no time, says so."""
    frame = pd.DataFrame({
        "estimator": ["ml"] * 4 + ["moments"], "parameter": ["a", "b"] * 2 + ["a"],
        "method": ["slow", "slow", "fast", "fast", "free"],
        "seconds": [2.0, 2.0, 0.1, 0.1, 0.0], "cover": [0.8, np.nan, 0.95, 0.99, 0.9],
        "lower": [0.7, np.nan, 0.9, 0.96, 0.8], "upper": [0.9, np.nan, 0.97, 1.0, 0.96],
    })  # fmt: skip
    figure = plots.cost(frame)
    heads = [axes.get_title("left") for axes in figure.axes]
    assert heads == ["seconds per replicate", "coverage, a",
                     "seconds per replicate", "coverage, a", "coverage, b"]  # fmt: skip
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [["not timed"], [], [], [], ["no answer"]]
    dots = {
        (line.get_marker(), x, y)
        for axes in figure.axes[2:]
        for line in axes.lines
        if line.get_marker() in ("o", "v", "^")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert dots == {("o", 0.1, 0), ("o", 2.0, 1), ("o", 0.95, 0), ("v", 0.8, 1), ("^", 0.99, 0)}
    assert overlaps(figure) == []


def test_calibration_leaves_out_intervals_that_do_not_tell(small):
    """One-sided ones here; the panel says it."""
    half = small.assign(upper=np.where(small["method"] == METHODS[1], np.inf, small["upper"]))
    panels = plots.pit_ecdf(half[half["parameter"] == "shape"]).axes
    assert [text.get_text() for text in panels[1].texts] == ["not known at other levels"]
    # the zero alone; elsewhere the curve too
    assert [len(axes.lines) for axes in panels] == [2, 1, 2]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    "wound",
    [
        lambda t: t[t["replicate"] == 0],
        lambda t: t.assign(se=0.0, lower=t["estimate"], upper=t["estimate"]),
        lambda t: t.assign(upper=np.inf),
        lambda t: t.assign(
            **{c: t[c] * 1e150 for c in ("truth", "estimate", "se", "lower", "upper")}
        ),
        lambda t: t.assign(estimate=t["truth"], se=1.0, lower=t["truth"] - 2, upper=t["truth"] + 2),
        lambda t: t[(t["method"] != "opg") | (t["scenario"] != t["scenario"].iloc[0])],
    ],
    ids=["one replicate", "no width", "one-sided", "huge", "constant", "holes"],
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning:simstudy.m", "ignore::UserWarning")
def test_odd_numbers_are_drawn(name, wound, small):
    """Nothing that a study can produce stops a figure."""
    odd = wound(small[small["parameter"] == "shape"])
    performance = summarize(odd)
    if name == "bland_altman" and not (odd["se"] > 0).any():
        with pytest.raises(ValueError, match="no standard error"):
            FIGURES[name](odd, performance)
    else:
        assert texts(plots.svg(FIGURES[name](odd, performance), name))


def test_matplotlib_is_imported_only_to_draw():
    """Nor is pyplot, with its state, ever."""
    program = (
        "import sys, simstudy.plots, simstudy.report.page; assert 'matplotlib' not in sys.modules; "
        "import pandas as pd; from simstudy.plots import coverage, svg; "
        "svg(coverage(pd.DataFrame({'scenario': 's', 'estimator': 'e', 'parameter': 'p', "
        "'method': 'm', 'measure': 'cover', 'value': [.9], 'mcse': .01, 'lower': .8, 'upper': .95, "
        "'n': 9})), 'x'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def of_many_truths():
    """Return a table of one cell whose truth differs by replicate, and errors of spread 1."""
    rng = np.random.default_rng(8)
    truth = np.repeat([0.0, 100.0, 200.0], 40)
    error, se = rng.normal(size=120), rng.uniform(0.9, 1.1, size=120)
    estimate = truth + error
    return pd.DataFrame(
        {
            "scenario": "s", "replicate": np.arange(120), "estimator": "ml", "method": "m",
            "parameter": "mu", "truth": truth, "estimate": estimate, "se": se,
            "lower": estimate - 1.96 * se, "upper": estimate + 1.96 * se, "status": "ok",
        }
    )  # fmt: skip


def test_standard_errors_are_drawn_against_estimates_of_one_truth():
    """What the figure says of spread, correlation and truth is what the measures say."""
    table = of_many_truths()
    measured = summarize(table).set_index("measure")["value"]
    figure = plots.se_against_estimate(table)
    axes = figure.axes[0]
    upright, flat = axes.lines[0].get_xdata(), axes.lines[1].get_ydata()
    # the same sums in another order
    assert_allclose(upright[0], 100.0, rtol=1e-12)
    assert_allclose(flat[0], measured["empse"], rtol=1e-9)
    assert f"corr {measured['corr']:.2f}" in texts(plots.svg(figure, "x"))
    assert np.ptp(axes.get_xlim()) < 10


@pytest.mark.parametrize(
    "changed",
    [
        {"truth": math.nan},
        {"lower": 900.0},
        {"se": -1.0},
        {"status": "not_converged"},
    ],
    ids=["no truth", "limits exchanged", "negative standard error", "status"],
)
def test_the_zip_shows_what_coverage_counts(changed):
    """A row without a truth or without a possible answer is neither a hit nor a miss."""
    table = of_many_truths()
    table.loc[[3, 50], list(changed)] = list(changed.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `summarize` says which rows are no answers
        cover = summarize(table).set_index("measure").loc["cover"]
    assert cover["n"] == 118
    said = texts(plots.svg(plots.zip_plot(table), "x"))
    assert f"{100 * cover['value']:.1f} % of 118" in said


@pytest.mark.parametrize("figure", [plots.coverage, plots.se_ratio])
def test_some_scenarios_are_drawn_in_the_order_asked_for(performance, figure):
    """Their names tell them apart from those that are not shown."""
    every = list(performance["scenario"].unique())
    drawn = figure(performance, scenarios=[every[3], every[0]])
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    names = plots.scenario_names(every)
    assert titles == [names[every[3]], names[every[0]]] * 2


def test_coverage_of_survivors_is_not_drawn(table, performance):
    """Where the verdict is that too few answered, their number stands, and nowhere else."""
    found = verdicts(performance)
    few = found[found["verdict"] == "unstable"]
    assert 0 < len(few) < len(found)
    drawn = plots.coverage(performance)
    notes = [text.get_text() for axes in drawn.axes for text in axes.texts]
    due = [f"{n} of {asked} answered" for n, asked in few[["n", "asked"]].to_numpy()]
    assert sorted(note for note in notes if "answered" in note) == sorted(due)
    marks = [line for axes in drawn.axes for line in axes.lines if line.get_marker() != "None"]
    assert sum(len(line.get_xdata()) for line in marks) == len(found) - len(few)
