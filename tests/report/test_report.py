import math
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from made_tables import METHODS, UGLY, make_table, rename
from simstudy import plots
from simstudy.evidence.calibration import calibration
from simstudy.evidence.comparison import compare
from simstudy.evidence.measures import MEASURES
from simstudy.evidence.summary import summarize
from simstudy.evidence.verdicts import Verdict, explain, headline, verdicts
from simstudy.plots.frames import levels, scenario_names
from simstudy.report import drawing, failures, filters, sections, selection, terminal, words
from simstudy.report import page as report
from simstudy.status import Status

VOID = {"meta", "br", "path", "use"}


def make_audit(table):
    """Make the audit that goes with a table."""
    rng = np.random.default_rng(3)
    fits = table.drop_duplicates(["scenario", "replicate", "estimator"])
    fits = fits[["scenario", "replicate", "estimator", "status"]].reset_index(drop=True)
    lost = fits["status"].astype(str) == "not_converged"
    fits["status"] = np.where(lost, "not_converged", "ok")
    size = len(fits)
    return fits.assign(
        success=rng.uniform(size=size) < 0.9,
        iterations=rng.integers(5, 20, size),
        evaluations=rng.integers(5, 20, size),
        gradient_norm=1e-9,
        edm=np.where(lost, 0.5, 1e-15),
        smallest_eigenvalue=0.3,
        condition=4.0,
        plain_iterations=7,
        plain_edm=np.where(np.arange(size) % 10 == 0, np.nan, 0.02),
        failed_refits=0,
        seconds=0.01,
        message=np.where(lost, "Desired error not necessarily achieved", ""),
    )


def make_manifest(table, **study):
    """Make the manifest that goes with a table."""
    scenarios = [
        {"key": key, "mechanism": "gamma", "factors": {"n": 20}, "truth": {"shape": 0.5, "rate": 1}}
        for key in table["scenario"].unique()
    ]
    plain = {
        "name": "gamma", "aims": "Which standard error holds?", "seed": 7, "level": 0.95,
        "replicates": 60, "fewer": {"opg": 20}, "scenarios": scenarios,
        "estimators": [{"name": "ml", "model": "gamma", "methods": list(METHODS)}],
    }  # fmt: skip
    return {
        "study": plain | study,
        "versions": {"numpy": "2.4.6", "scipy": "1.17.1"},
        "engine": "loop",
        "engine_why": "the loop around SciPy",
        "jobs": 2,
        "runs": [{"started": "2026-11-21T01:48:57+00:00", "seconds": 151.2, "replicates": 360}],
        "command": "simstudy run gamma --replicates 60",
    }


def make_costs(table):
    """Give every method a price, the later the higher."""
    costs = table[["scenario", "estimator", "method"]].drop_duplicates()
    return costs.assign(seconds=1e-4 * np.arange(1, len(costs) + 1))


def write(folder, table, *, manifest=None, notes=(), audit=None):
    """Write the report of a table and return its two texts."""
    first = str(table["method"].iloc[0])
    performance = summarize(table, exact=first)
    found = verdicts(performance)
    path = report.write(
        folder,
        table,
        make_audit(table) if audit is None else audit,
        performance,
        found,
        make_manifest(table) if manifest is None else manifest,
        why=explain(performance, found),
        comparison=compare(table, first),
        calibration=calibration(table),
        costs=make_costs(table),
        notes=notes,
    )
    return path.read_text(encoding="utf-8"), (folder / "report.md").read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a browser would see: the elements with their attributes, the text, wrong nesting."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.wrong, self.said = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{self.getpos()}: </{tag}>")

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture(scope="module")
def table():
    # the diagonal method was asked for fewer replicates, as costly ones are
    rows = make_table()
    return rows[(rows["method"] != "opg") | (rows["replicate"] < 20)]


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, *write(folder, table, notes=["The self-test passed."])


def test_everything_is_written(written):
    folder, _, _ = written
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == [
        "figures/cost.svg",
        "figures/coverage.svg",
        "figures/model_se_against_empirical_se.svg",
        "figures/pit_ecdf.svg",
        "figures/se_ratio.svg",
        "figures/zip_plot.svg",
        "report.html",
        "report.md",
    ]


def test_page_is_well_formed_and_self_contained(written):
    """Every element is closed; nothing is fetched, nothing runs, and the page forbids both."""
    _, html, _ = written
    page = Page(html)
    assert (page.wrong, page.open) == ([], [])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "img", "form", "base"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "http" not in html.replace("http-equiv", "")
    policy = next(a["content"] for tag, a in page.elements if "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_identifiers_are_unique(written):
    """The figures stand in one page: no marker or clip path may point into another figure."""
    found = re.findall(r'\bid="([^"]+)"', written[1])
    assert len(found) == len(set(found))
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', written[1]))
    assert used <= set(found)


def test_same_input_gives_the_same_bytes(written, table, tmp_path):
    folder, html, md = written
    again = write(tmp_path, table, notes=["The self-test passed."])
    assert again == (html, md)
    for path in (folder / "figures").iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes()


def test_first_screen_is_the_answer(written, table):
    """The headline and every verdict stand before the figures, in words and signs."""
    _, html, md = written
    first = html.split("<h2")[0]
    found = verdicts(summarize(table))
    for sentence in headline(found):
        assert sentence in " ".join(Page(first).said)
        assert filters.markdown(sentence) in md
    cells = re.findall(r'<small class="name">([a-z ]+)</small></td>', first)
    assert sorted(cells) == sorted(word.replace("-", " ") for word in found["verdict"])
    for word in found["verdict"].unique():
        assert words.WORDS[word].sign in first
    assert "The self-test passed." in first


def test_pairs_and_other_levels_stand_in_both_reports(written, table):
    """Every number of the two frames, rounded by its error, in the row of its method."""
    _, html, md = written
    rows = [re.findall(r"[^|]+", line) for line in md.splitlines() if line.startswith("| ")]
    cells = {(cells[0].strip(), cell.strip()) for cells in rows for cell in cells[1:]}
    for frame in (compare(table, "observed"), calibration(table)):
        for row in frame[np.isfinite(frame["value"])].to_dict("records"):
            value, mcse = words.rounded(row["value"], row["mcse"])
            shown = f"({mcse})" if mcse != "0" else sections.number(row)["interval"]
            due = {f"{value} {shown}".strip(), f"{value} {shown}, n {row['n']}"}
            assert {(row["method"], text) for text in due} & cells
            assert f"<td>{value}{f'<small>{shown}</small>' if shown else ''}<" in html
    # the number of pairs stands where it is not that of the others
    assert re.search(r"\| -?\d\.\d+ \(\d\.\d+\), n \d+ \|", md)
    for heading in ("Against observed, on the same replicates", "Coverage at other levels"):
        assert f"## {heading}" in md
        assert f">{heading}</h2>" in html


def test_an_error_of_zero_is_not_shown_as_certainty(tmp_path):
    """Every interval contains the truth, in 40 of 40 replicates: no "1 (0)", and no bare 1.000."""
    table = make_table(40, METHODS[:2], (50,), (0.5,))
    wide = {"lower": table["truth"] - 9, "upper": table["truth"] + 9, "se": 5.0}
    html, md = write(tmp_path, table.assign(**wide, estimate=table["truth"] + 0.1))
    for text in (re.sub(r"<small>", " ", html), md):
        assert not re.search(r"\d \(0\)", text)
        assert "1 [0.912, 1.000]" in text
        assert "1.000 [.912, 1.000]" in text
    assert "1.000 [.912,1]" in terminal.terminal_table(verdicts(summarize(table.assign(**wide))))


def test_the_few_that_answered_are_said_instead_of_their_coverage(tmp_path):
    """Six survivors of 250 say nothing by their coverage."""
    table = make_table(250, METHODS[:2], (50,), (0.5,))
    lost = table["replicate"] >= 6
    numbers = {name: table[name].mask(lost) for name in ("estimate", "se", "lower", "upper")}
    table = table.assign(**numbers, status=np.where(lost, "fit_error", "ok"))
    found = verdicts(summarize(table))
    assert set(found["verdict"]) == {"unstable"}
    html, md = write(tmp_path, table)
    few = '</span>6<small>of 250 answered</small><small class="name">unstable'
    assert html.count(few) == len(found)
    assert md.count("6 of 250 answered |") == len(found)
    assert "6 of 250 answered" in md.partition("###")[0]
    assert terminal.terminal_table(found).count("only 6/250") == len(found)


def test_a_relative_error_of_a_few_answers_is_left_out(tmp_path):
    """As verdicts leave it out: of 29 answers there is none, of 30 there is one."""
    for answers in (29, 30):
        table = make_table(100, METHODS[:1], (50,), (0.5,), ("shape",))
        lost = table["replicate"] >= answers
        numbers = {name: table[name].mask(lost) for name in ("estimate", "se", "lower", "upper")}
        table = table.assign(**numbers, status=np.where(lost, "fit_error", "ok"))
        found = summarize(table).set_index("measure").loc["relerror"]
        shown = words.rounded(found["value"], found["mcse"])
        html, md = write(tmp_path / str(answers), table)
        assert ("{}<small>({})</small>".format(*shown) in html) == (answers == 30)
        assert ("| {} ({})".format(*shown) in md) == (answers == 30)
        for page in (html, md):
            assert ">model SE / empirical SE</text>" not in page or answers == 30
            assert "fewer than 30 answers" in page


def test_the_zip_plot_says_that_it_shows_some_parameters_only(tmp_path):
    parameters = [f"p{k}" for k in range(6)]
    table = make_table(30, METHODS[:2], (20,), (0.5,), ("ml",))
    first = str(table["parameter"].iloc[0])
    own = table[table["parameter"] == first]
    table = pd.concat([own.assign(parameter=name) for name in parameters], ignore_index=True)
    write(tmp_path, table)
    drawn = (tmp_path / "figures" / "zip_plot.svg").read_text()
    assert "4 of 6 parameters: those with the most faults" in drawn
    write(tmp_path, table[table["parameter"].isin(parameters[:4])])
    assert "parameters: those" not in (tmp_path / "figures" / "zip_plot.svg").read_text()


def test_the_cost_figure_is_of_the_scenario_with_the_most_faults():
    table = make_table(30, METHODS[:2], (20, 50), (0.5,))
    performance = summarize(table)
    found = verdicts(performance).assign(verdict="trust")
    key = str(table["scenario"].unique()[1])
    found.loc[found["scenario"] == key, "verdict"] = "too-small"
    costs = make_costs(table)
    figures = dict(drawing.figures(table, performance, found, costs, 0.95))
    seconds, *coverages = figures["cost"].axes
    own = costs[costs["scenario"] == key].sort_values("seconds")
    assert_allclose(seconds.lines[0].get_xdata(), own["seconds"], rtol=1e-12)
    heads = [axes.get_title("left") for axes in coverages]
    assert heads == ["coverage, shape", "coverage, rate"]
    assert any("n=50" in text.get_text() for text in figures["pit_ecdf"].texts)
    assert "cost" not in dict(drawing.figures(table, performance, found, None, 0.95))
    free = costs.assign(seconds=0.0)
    assert "cost" not in dict(drawing.figures(table, performance, found, free, 0.95))


def test_the_zip_plot_is_of_the_parameters_with_the_most_faults(monkeypatch):
    monkeypatch.setattr(drawing, "ZIPS", 1)
    table = make_table(30, METHODS[:2], (20,), (0.5,))
    performance = summarize(table)
    for worst in ("shape", "rate"):
        found = verdicts(performance).assign(verdict="trust")
        found.loc[found["parameter"] == worst, "verdict"] = "too-small"
        figures = dict(drawing.figures(table, performance, found, None, 0.95))
        own = plots.zip_plot(table[table["parameter"] == worst])
        assert len(figures["zip_plot"].axes) == len(METHODS[:2])
        for axes, alone in zip(figures["zip_plot"].axes, own.axes, strict=True):
            assert axes.get_xlim() == alone.get_xlim()


def test_every_word_has_its_sign_and_every_measure_its_meaning():
    """A new verdict or measure must be explained to the reader."""
    assert set(words.WORDS) == {str(word) for word in Verdict}
    short = [word.short for word in words.WORDS.values()]
    assert len(set(short)) == len(short)
    assert max(map(len, short)) <= 5
    explained = {name for group in words.GROUPS.values() for name in group}
    assert explained == set(MEASURES) - {"n", "fail"}


def test_failures_sum_to_what_was_asked(table):
    """Against counting by hand: one answer per scenario, method and replicate."""
    found = failures.by_kind(table, make_manifest(table), levels(table["scenario"]))
    one = table[table["parameter"] == "shape"]
    assert found["asked"] == len(one) == sum(kind["count"] for kind in found["kinds"])
    assert sum(line["asked"] for line in found["lines"]) == found["asked"]
    names = [kind["name"] for kind in found["kinds"]]
    assert names == ["ok", "not_converged", "rounding_noise"]
    for line in found["lines"]:
        scenario, estimator, method = line["labels"]
        mine = one[(one["scenario"] == scenario) & (one["method"] == method)]
        assert line["counts"] == [int((mine["status"] == name).sum()) for name in names]
        assert estimator == "ml"
    for kind in found["kinds"]:
        assert kind["sentence"] == Status[kind["name"]].sentence


def test_a_replicate_counts_once():
    """Where one parameter has no answer the replicate has none, whatever the order of the rows."""
    table = make_table(replicates=10, methods=METHODS[:1], sizes=(50,), shapes=(0.5,))
    hit = (table["replicate"] == 4) & (table["parameter"] == "rate")
    table["status"] = table["status"].astype(object).mask(hit, "not_finite")
    for rows in (table, table.iloc[::-1]):
        found = failures.by_kind(rows, make_manifest(table), levels(rows["scenario"]))
        assert {kind["name"]: kind["count"] for kind in found["kinds"]} == {
            "ok": 9,
            "not_finite": 1,
        }


def test_a_table_of_the_first_replicates_says_so(table, tmp_path):
    """The counts never pass for those of the whole study."""
    performance = summarize(table)
    found = verdicts(performance)
    first = table[table["replicate"] < 30]
    path = report.write(
        tmp_path, first, make_audit(table), performance, found, make_manifest(table)
    )
    said = " ".join(" ".join(Page(path.read_text(encoding="utf-8")).said).split())
    asked = len(table[table["parameter"] == "shape"])
    assert f"These are the first replicates of each scenario; of all {asked:,} answers" in said


def test_replay_lines_can_be_pasted(written, table):
    """Each is a command of a failed replicate, by the scenario's number."""
    _, html, md = written
    keys = list(table["scenario"].unique())
    lines = re.findall(r"<pre>(simstudy replay .*?)</pre>", html)
    assert lines
    assert set(re.findall(r"^ {4}(simstudy replay .*)$", md, re.M)) == set(lines)
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["simstudy", "replay", "gamma"]
        scenario, replicate = int(words[4]), int(words[6])
        hit = table[(table["scenario"] == keys[scenario]) & (table["replicate"] == replicate)]
        assert (hit["status"] != "ok").any()


def test_replay_names_the_study_as_it_was_run():
    """By its path and seed where those were given; a semicolon in a name stays in its word."""
    manifest = {
        "study": {"name": "mine; rm x", "scenarios": [{"key": "a b"}]},
        "command": "simstudy run 'my studies/a;b.py' --replicates 5 --seed 3",
    }
    line = failures._replay(manifest, {"scenario": "a b", "replicate": 4})
    assert shlex.split(line) == [
        "simstudy", "replay", "my studies/a;b.py", "--scenario", "0", "--replicate", "4", "--seed",
        "3",
    ]  # fmt: skip
    manifest["command"] = ""
    line = failures._replay(manifest, {"scenario": "a b", "replicate": 4})
    assert shlex.split(line)[2] == "mine; rm x"


def test_fits_tell_flag_from_truth(table):
    """False successes and false failures against counting by hand, and the plain run's distance."""
    audit = make_audit(table)
    rows = failures.fits(audit, levels(audit["scenario"]))
    fine = audit["status"] == "ok"
    assert sum(row["wrong"] for row in rows) == (audit["success"] & ~fine).sum()
    assert sum(row["modest"] for row in rows) == (~audit["success"] & fine).sum()
    assert sum(row["fits"] for row in rows) == len(audit)
    assert rows[0]["distance"] == "0.2 / 0.2 / 0.2"  # sqrt(2 x .02) standard errors
    assert sum(row["lost"] for row in rows) == audit["plain_edm"].isna().sum()


@pytest.mark.parametrize(
    ("value", "mcse", "expected"),
    [
        (0.95123, 0.00689, ("0.9512", "0.0069")),
        (-12.345, 1.8, ("-12.3", "1.8")),
        (12345.6, 789.0, ("12346", "789")),
        (0.0, 0.5, ("0.00", "0.50")),
        (1.0, 0.0, ("1", "0")),
        (1 / 3, 0.0, ("0.333333", "0")),
        (1.0, 3e-15, ("1", "3e-15")),
        (0.5, math.nan, ("0.5", "")),
        (1.00022541, 3.7e-6, ("1.0002254", "0.0000037")),
        (2.3456e-8, 1.2e-9, ("2.35e-08", "1.2e-09")),
        (1.23456e300, 4.5e298, ("1.235e+300", "4.5e+298")),
        (-1.23456e8, 4.5e5, ("-1.2346e+08", "4.5e+05")),
        (1e-9, 3e-2, ("0.000", "0.030")),
    ],
)
def test_numbers_are_rounded_by_their_error(value, mcse, expected):
    """The second digit of the Monte Carlo error is the last that is shown."""
    assert words.rounded(value, mcse) == expected


def test_every_measure_is_shown_with_its_error_and_number(written, table):
    """One row against the frame; a share of 1 shows its interval, not an error of zero."""
    performance = summarize(table)
    case = next(
        sections.measures(performance, verdicts(performance), levels(performance["scenario"]))
    )
    method, _, cells = next(row for row in case["rows"] if row[0].endswith("diagonal"))
    own = performance[
        (performance["method"] == method)
        & (performance["parameter"] == "shape")
        & (performance["scenario"] == performance["scenario"].iloc[0])
    ].set_index("measure")
    for name, row in own.iterrows():
        assert cells[name]["n"] == row["n"]
        if name != "n" and row["mcse"] > 0:
            # two digits are shown: half a unit of the second is 5 % of 1.0
            assert_allclose(float(cells[name]["mcse"]), row["mcse"], rtol=0.051)
            assert abs(float(cells[name]["value"]) - row["value"]) <= 0.051 * row["mcse"]
    full = {"measure": "cover", "value": 1.0, "mcse": 0.0, "lower": 0.98, "upper": 1.0, "n": 200}
    assert sections.number(full) == {
        "value": "1", "mcse": "", "interval": "[0.980, 1.000]", "n": 200,
    }  # fmt: skip
    assert "n 57" in " ".join(Page(written[1]).said)  # estimates there, standard errors not


def test_names_from_outside_are_escaped(tmp_path):
    """Names, aims, messages, notes and commands that look like markup are text and nothing else."""
    plain = make_table(replicates=30, methods=METHODS[:1], sizes=(20, 50), shapes=(0.5,))
    table = pd.concat([rename(plain, "method", [ugly]) for ugly in UGLY], ignore_index=True)
    table = rename(table, "parameter", [UGLY[0], "</td></table><img src=x onerror=alert(1)>"])
    table = rename(table, "scenario", [f"{UGLY[0]} n=20", f"{UGLY[4]} n=50"])
    table = rename(table, "estimator", ['"><svg onload=alert(1)>'])
    table["status"] = table["status"].astype(object).where(table["replicate"] != 1, "<b>odd</b>")
    manifest = make_manifest(
        table,
        name=UGLY[0],
        aims="<style>*{display:none}</style> {{ 7 * 7 }} `x` | \x1b]0;title\x07 \u202e",
        fewer={"<i>": 3},
        estimators=[{"name": "<u>", "model": "&amp;", "methods": UGLY}],
    )
    for scenario in manifest["study"]["scenarios"]:
        scenario |= {"mechanism": "<s>", "factors": {"<a>": "<q>"}, "truth": {"<p>": 1.0}}
    manifest["command"] = "simstudy run '</pre><script>x</script>\n# heading\x1b[2J'"
    manifest |= {"engine": "<em>", "engine_why": "<h1>", "versions": {"<x>": "<y>"}}
    audit = make_audit(table).assign(message="</td><script>alert(2)</script>")
    notes = ["<script>3</script>\x1b[31m"]
    html, md = write(tmp_path, table, manifest=manifest, notes=notes, audit=audit)
    drawn = [path.read_text(encoding="utf-8") for path in (tmp_path / "figures").iterdir()]
    said = terminal.terminal_table(verdicts(summarize(table, exact=UGLY[0])))
    for text in (html, md, said, *drawn):
        # no byte that a terminal obeys, no letter that turns the direction of a text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert r"\x1b[31m" in html
    page = Page(html)
    assert (page.wrong, page.open) == ([], [])
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "u", "s", "a1", "em", "q", "x", "y", "h4"}
    assert sum(tag == "style" for tag, _ in page.elements) == 1
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    said = " ".join(page.said)
    assert UGLY[0] in said
    assert "{{ 7 * 7 }}" in said
    outside_code = re.sub(r"^ {4}.*$", "", md, flags=re.M)
    assert not re.search(r"(?<!\\)<\w", outside_code)
    assert "\n# heading" not in md
    for block in re.findall(r"(?:^\|.*\n)+", md, re.M):
        pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(pipes) == 1, block


def test_a_bare_table_is_enough(tmp_path):
    """No exact method, no reasons, no run, no message: the page says what it can."""
    table = make_table(replicates=30, methods=("mine",), sizes=(50,), shapes=(0.5,))
    performance = summarize(table)
    found = verdicts(performance)
    audit = make_audit(table)
    path = report.write(tmp_path, table, audit, performance, found, {"study": {"name": "mine"}})
    page = Page(path.read_text(encoding="utf-8"))
    assert (page.wrong, page.open) == ([], [])
    assert not (tmp_path / "figures" / "se_ratio.svg").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_study_in_which_nothing_could_be_fitted_has_a_report(tmp_path, table):
    """Every row failed; the failures are what there is to read."""
    numbers = dict.fromkeys(["estimate", "se", "lower", "upper"], np.nan)
    lost = table.assign(**numbers, status="fit_error")
    audit = make_audit(table).assign(status="fit_error", edm=np.nan, plain_edm=np.nan)
    html, _ = write(tmp_path, lost, audit=audit)
    said = " ".join(" ".join(Page(html).said).split())
    assert "; 0 came" in said
    assert Status.fit_error.sentence in said


def test_report_of_a_thousand_replicates_stays_small(tmp_path):
    """Figures thin what they draw: 1,000 replicates, 6 scenarios and 9 methods in under 3 MB."""
    methods = [*METHODS, "sandwich", "bfgs-inverse", "observed-central", "observed-statsmodels"]
    html, md = write(tmp_path, make_table(1000, methods))
    assert len(html.encode()) < 3_000_000
    assert len(md.encode()) < 100_000


@pytest.mark.parametrize(
    ("methods", "sizes", "shapes"),
    [
        ([*METHODS, "sandwich", "bfgs-inverse", "observed-central", "opg-log-wald"], (20, 50, 200),
         (0.5, 2.0)),
        ([f"observed-central-1e-5-diagonal-log-wald-{k}" for k in range(20)],
         (10, 20, 50, 100, 200, 500), (0.5, 1.0, 2.0, 4.0, 8.0)),
    ],
)  # fmt: skip
def test_terminal_table_fits_100_columns(methods, sizes, shapes):
    """Every case has its cell, and no line is longer than 100."""
    frame = verdicts(summarize(make_table(20, methods, sizes, shapes), exact=methods[0]))
    text = terminal.terminal_table(frame)
    assert max(map(len, text.splitlines())) <= 100
    rows = text.partition("\n?")[0].splitlines()
    share = r"(?:\.\d{3}|1\.000) \[(?:\.\d{3}|1),(?:\.\d{3}|1)\]|\d+/20"
    assert sum(len(re.findall(rf" ({share})(?!\S)", line)) for line in rows) == len(frame)
    assert len({line[:31] for line in rows if line.startswith("observed-c")}) >= min(
        2, len(methods)
    )
    assert text.isascii()


def test_terminal_table_says_each_verdict(table):
    """Against the frame, cell by cell, for one parameter."""
    frame = verdicts(summarize(table))
    lines = terminal.terminal_table(frame).splitlines()
    own = frame[frame["parameter"] == "shape"]
    assert set(own["method"]) == set(METHODS)
    end = next(k for k, line in enumerate(lines) if line.startswith("rate "))
    for method, rows in own.groupby("method", observed=True):
        line = " ".join(
            line[len(method) :] for line in lines[:end] if line.startswith(f"{method} ")
        )
        due = [
            (words.WORDS[row.verdict].short, f"{row.n}/{row.asked}")
            if row.verdict in words.FEW
            else (words.WORDS[row.verdict].short, f"{row.cover:.3f}".removeprefix("0"))
            for row in rows.itertuples()
        ]
        assert re.findall(r"(\S+) ((?:\.|1\.)\d+|\d+/\d+)", line) == due


@pytest.fixture(scope="module")
def many():
    """Return a table of 40 scenarios, and its verdicts; the diagonal method is at fault in some."""
    rows = make_table(60, METHODS[:2], tuple(range(20, 220, 10)))
    return rows, verdicts(summarize(rows))


def test_of_many_scenarios_the_worst_stand_first_and_all_in_the_summary(many, tmp_path):
    """Details of 30, tables and figures of 10, each factor's counts against the verdicts."""
    table, found = many
    every = levels(table["scenario"])
    assert len(every) == 40
    faults = found[selection.at_fault(found)].groupby("scenario", observed=False).size()
    worst = selection.chosen_scenarios(found)
    assert len(worst) == 30
    assert list(faults[worst]) == sorted(faults, reverse=True)[:30]
    html, md = write(tmp_path, table)
    why = re.search(r'<h2 id="why">(.*?)<h2', html, re.DOTALL)[1]
    names = scenario_names(every)
    titles = [title.split(" \u00b7 ") for title in re.findall(r"<summary>(.*?)<span", why)]
    assert titles == [[parameter, names[key]] for parameter in ("shape", "rate") for key in worst]
    assert "30 of 40 scenarios" in why
    assert "nested_loop" in md
    assert len(re.findall("The 10 of 40 scenarios", md)) == 1


def test_the_summary_by_factor_counts_the_verdicts(many):
    _, found = many
    seen = 0
    for part in selection.by_factor(found):
        for method, entries in part.rows:
            for value, entry in zip(part.values, entries, strict=True):
                own = found[(found["method"] == method) & (found["parameter"] == part.title)]
                own = own[own[part.factor].astype(str) == value]
                assert entry["cover"] == f"{(own['verdict'] == 'trust').sum()}/{len(own)}"
                faults = int((~own["verdict"].isin(["trust", "undecided"])).sum())
                assert entry["faults"] == (f"{faults} at fault" if faults else "")
                seen += len(own)
    # n has too many values for a summary of its own; shape has two
    assert seen == len(found)


def test_the_terminal_shows_the_worst_of_many_scenarios(many):
    _, found = many
    text = terminal.terminal_table(found)
    assert "The 10 of 40 scenarios with the most faults:" in text
    assert len(re.findall(r"\[\.\d{3},", text)) <= 2 * 2 * 10
    assert max(map(len, text.splitlines())) <= 100
    assert "shape=0.5" in text


def test_import_is_quick():
    """Templates are read when a report is written."""
    assert "jinja2" not in vars(report)
