"""The journal keeps every block whole or not at all, finds damage, and never mixes two studies."""

import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simstudy import FunctionEstimator, MaximumLikelihood, Mechanism, Scenario, Study, grid, load
from simstudy.engines.loop import block
from simstudy.errors import StudyError
from simstudy.methods import BOOTSTRAP, OBSERVED, OPG, ExactHessian, ExactScores, Wald
from simstudy.methods.covariance import observed, opg
from simstudy.methods.intervals import log_wald
from simstudy.models import exponential, normal
from simstudy.records.block import Block
from simstudy.store.block_files import scenario_folder
from simstudy.store.fingerprint import describe, differences
from simstudy.store.journal import Store

RATE = MaximumLikelihood(exponential.MODEL, [OBSERVED])
RUN = {"engine": "loop", "engine_why": "", "jobs": 1, "command": ""}


def rates(**changes):
    """Make a study of two sample sizes."""
    scenarios = grid(exponential.MECHANISM, n=[5, 10], rate=1.0)
    return Study(
        **{
            "name": "rates",
            "scenarios": scenarios,
            "estimators": [RATE],
            "replicates": 6,
            "seed": 1,
        }
        | changes
    )


def stored(tmp_path, study=None, size=3):
    """Fill a store with blocks of the given size."""
    study = study or rates()
    store = Store(tmp_path / "results")
    store.open(study, None, RUN)
    for index, first, last in store.pending(study, study.replicates, size):
        store.save(study.scenarios[index].key, first, last, block(study, index, first, last))
    return study, store


def by_scenario(store):
    """Return the estimates of the first estimator, by scenario."""
    return {parts[0][0].scenario: parts[0][1].estimate[:, 0] for parts in store.read()}


# --- what two runs must share ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"seed": 2}, ("seed: stored 1, asked 2",)),
        ({"level": 0.9}, ("level: stored 0.95, asked 0.9",)),
        ({"name": "other"}, ("name: stored 'rates', asked 'other'",)),
        ({"fewer": {"observed": 2}}, ("fewer, 'observed': stored nothing, asked 2",)),
        ({"scenarios": grid(exponential.MECHANISM, n=[5, 20], rate=1.0)},
         ("scenarios, 'exponential n=10 rate=1': stored, but not asked for",)),
        ({"scenarios": grid(exponential.MECHANISM, n=[5, 10], rate=1.0, only=["other"]),
          "estimators": [RATE, replace(RATE, name="other")]},
         ("only: stored ['exponential'], asked []",)),
        ({"estimators": [MaximumLikelihood(exponential.MODEL, [BOOTSTRAP])]},
         ("estimators, 'exponential', method 'observed': stored, but not asked for",)),
        ({"estimators": [replace(RATE, optimizer="L-BFGS-B")]},
         ("estimators, 'exponential', optimizer: stored 'BFGS', asked 'L-BFGS-B'",)),
        ({"estimators": [replace(RATE, as_is=True, name="exponential")]}, ("as_is",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_another_study_is_refused_with_the_field_and_both_values(tmp_path, changes, fragments):
    _, store = stored(tmp_path)
    before = (store.folder / "manifest.json").read_bytes()
    with pytest.raises(StudyError, match="holds another study") as caught:
        store.open(rates(**changes), None, RUN)
    for fragment in (*fragments, str(store.folder), "--out"):
        assert fragment in str(caught.value)
    assert (store.folder / "manifest.json").read_bytes() == before


def test_the_same_study_is_taken_again_with_more_or_fewer_replicates(tmp_path):
    _, store = stored(tmp_path)
    for replicates, kept in ((20, 20), (4, 20), (6, 20)):
        store.open(rates(replicates=replicates), None, RUN)
        assert store.manifest()["study"]["replicates"] == kept


def test_other_aims_and_another_order_of_scenarios_are_the_same_study(tmp_path):
    study, store = stored(tmp_path)
    before = by_scenario(store)
    store.open(replace(study, aims="Other words.", scenarios=study.scenarios[::-1]), None, RUN)
    after = by_scenario(store)
    assert list(after) == list(before)[::-1]
    for key, values in before.items():
        assert_array_equal(after[key], values, err_msg=key)


def test_another_order_of_estimators_exchanges_no_names(tmp_path):
    one = FunctionEstimator("one", ["rate"], lambda data: {"rate": (1.0, 1.0)})
    two = FunctionEstimator("two", ["rate"], lambda data: {"rate": (2.0, 1.0)})
    study, store = stored(tmp_path, rates(estimators=[one, two]))
    store.open(replace(study, estimators=[two, one]), None, RUN)
    scenarios = list(store.read())
    assert len(scenarios) == len(study.scenarios)
    for parts in scenarios:
        found = {cell.estimator: set(block.estimate[:, 0]) for cell, block in parts}
        assert found == {"one": {1.0}, "two": {2.0}}


def changed_code(first, second):
    """Tell whether two studies without a file differ in their code."""
    lines = differences(describe(first, None), describe(second, None))
    assert all("code: stored" in line for line in lines)
    assert not differences(describe(first, None), describe(second, None), code=False)
    return bool(lines)


def drawing(draw):
    mechanism = Mechanism("m", draw, lambda: {"rate": 1.0})
    return rates(scenarios=[Scenario(mechanism, {})])


def test_functions_of_a_study_without_a_file_are_part_of_it():
    def times(factor):
        return lambda rng: factor * rng.exponential(size=4)

    def with_default(rng, factor=1.0):
        return factor * rng.exponential(size=4)

    def with_other_default(rng, factor=2.0):
        return factor * rng.exponential(size=4)

    def nested(rng):
        return (lambda values: values + 1.0)(rng.exponential(size=4))

    def other_nested(rng):
        return (lambda values: values + 2.0)(rng.exponential(size=4))

    assert not changed_code(drawing(times(1.0)), drawing(times(1.0)))
    assert changed_code(drawing(times(1.0)), drawing(times(2.0)))
    assert changed_code(drawing(with_default), drawing(with_other_default))
    assert changed_code(drawing(nested), drawing(other_nested))
    assert changed_code(
        drawing(partial(with_default, factor=1.0)), drawing(partial(with_default, factor=2.0))
    )
    assert changed_code(
        drawing(lambda rng: rng.exponential(size=4)), drawing(lambda rng: rng.normal(size=4) ** 2)
    )


def test_a_methods_formula_and_interval_are_part_of_the_study():
    def with_method(method):
        return describe(rates(estimators=[MaximumLikelihood(exponential.MODEL, [method])]), None)

    method = Wald("mine", covariance=observed, hessian=ExactHessian(), scores=ExactScores())
    assert not differences(with_method(method), with_method(replace(method)))
    assert differences(with_method(method), with_method(replace(method, interval=log_wald)))
    assert differences(with_method(method), with_method(replace(method, covariance=opg)))
    assert differences(
        with_method(method),
        with_method(replace(method, covariance=lambda curvature: observed(curvature))),
    )


def test_a_source_of_ones_own_is_the_same_in_the_next_process():
    class Mine:
        needs: ClassVar[tuple] = ()

        def __call__(self, fitted):
            return fitted.fit.hessian

    def described():
        method = Wald("mine", covariance=observed, hessian=Mine())
        return describe(rates(estimators=[MaximumLikelihood(exponential.MODEL, [method])]), None)

    keep = described(), Mine(), described()
    assert differences(keep[0], keep[2]) == []


FILE = '''"""Aims."""
import numpy as np
from simstudy import MaximumLikelihood, Mechanism, Scenario, Study
from simstudy.methods import OBSERVED
from simstudy.models import exponential, normal


def draw(rng, n):
    """Draw."""
    return rng.exponential(size=n)  # one


STUDY = Study(
    name="mine",
    scenarios=[Scenario(Mechanism("m", draw, lambda n: {"rate": 1.0}), {"n": 5})],
    estimators=[MaximumLikelihood(exponential.MODEL, [OBSERVED])],
    replicates=10,
)
'''


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("# one", "# another comment", False),
        ('"""Draw."""', '"""Draw n values."""', False),
        ('"""Aims."""', '"""Other aims."""', False),
        ("import numpy as np\n", "import numpy as np\n\n\n", False),
        ("replicates=10", "replicates=20", False),
        ("rng.exponential(size=n)", "rng.exponential(2.0, size=n)", True),
        ('lambda n: {"rate": 1.0}', 'lambda n: {"rate": 2.0 - 1.0}', True),
        ("STUDY = Study(", "STUDY: Study = Study(", False),
        ("import numpy as np", "import math\nimport numpy as np\n\nunused = math.pi", False),
        ("import numpy as np", "import scipy as np", True),
        ("def draw", "def len(x):\n    return 3\n\n\ndef draw", True),
        ("STUDY = ", "draw.__defaults__ = (7,)\nSTUDY = ", True),
        ("def draw", "from math import *\n\n\ndef draw", True),
    ],
    ids=[
        "comment",
        "docstring",
        "aims",
        "layout",
        "replicates",
        "code",
        "code in STUDY",
        "annotation",
        "new names",
        "another import",
        "a name of Python's own",
        "a bare statement",
        "import of everything",
    ],
)
def test_code_counts_and_words_do_not(tmp_path, old, new, counts):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    before = describe(*load(path))
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    lines = differences(before, describe(*load(path)))
    assert bool(lines) == counts
    assert all(line.startswith("code, ") or "code: stored" in line for line in lines)
    assert differences(before, describe(*load(path)), code=False) == []


def test_which_of_a_files_functions_a_study_hands_over_is_part_of_it(tmp_path):
    """Neither file differs from the other in more than the STUDY statement."""
    path = tmp_path / "mine.py"
    text = FILE.replace("STUDY =", "def other(rng, n):\n    return rng.normal(size=n)\n\n\nSTUDY =")
    path.write_text(text)
    before = describe(*load(path))
    for change in ('"m", other', '"m", lambda rng, n: draw(rng, n)'):
        path.write_text(text.replace('"m", draw', change))
        (line,) = differences(before, describe(*load(path)))
        assert line.startswith("scenarios, 'm n=5', code: stored")


# --- pending -------------------------------------------------------------------------------------


def test_all_is_pending_in_a_folder_that_does_not_exist(tmp_path):
    store = Store(tmp_path / "none")
    assert store.pending(rates(), 6, 4) == [(0, 0, 4), (0, 4, 6), (1, 0, 4), (1, 4, 6)]
    assert not (tmp_path / "none").exists()


def test_pending_fills_the_holes_whatever_the_blocks_were(tmp_path):
    study, store = stored(tmp_path, size=2)
    assert store.pending(study, 6, 4) == []
    holes = [piece for piece in store.pieces() if piece.first == 2]
    for piece in holes:
        piece.path.unlink()
    assert store.pending(study, 6, 4) == [(0, 2, 4), (1, 2, 4)]
    assert store.pending(study, 6, 1) == [(0, 2, 3), (0, 3, 4), (1, 2, 3), (1, 3, 4)]
    assert store.pending(study, 11, 4) == [(0, 2, 4), (0, 6, 10), (0, 10, 11),
                                           (1, 2, 4), (1, 6, 10), (1, 10, 11)]  # fmt: skip
    assert store.pending(study, 3, 4) == [(0, 2, 3), (1, 2, 3)]


def test_blocks_that_overlap_are_not_read_twice(tmp_path):
    """Such as two runs in one folder with different block sizes leave."""
    study, store = stored(tmp_path, size=4)
    expected = by_scenario(store)
    for index in (0, 1):
        store.save(study.scenarios[index].key, 2, 6, block(study, index, 2, 6))
        store.save(study.scenarios[index].key, 0, 1, block(study, index, 0, 1))
    for key, values in by_scenario(store).items():
        assert_array_equal(values, expected[key], err_msg=key)


# --- blocks --------------------------------------------------------------------------------------


def test_a_block_within_another_leaves_nothing_pending(tmp_path):
    study, store = stored(tmp_path, size=6)
    for index in (0, 1):
        store.save(study.scenarios[index].key, 2, 4, block(study, index, 2, 4))
    assert store.pending(study, 6, 6) == []
    assert {len(values) for values in by_scenario(store).values()} == {6}


def test_what_is_saved_is_read_to_the_bit(tmp_path):
    study, store = stored(tmp_path)
    scenarios = list(store.read())
    assert len(scenarios) == len(study.scenarios)
    for index, parts in enumerate(scenarios):
        (cell, found), = parts  # fmt: skip
        expected = block(study, index, 0, 6)["exponential"]
        assert cell == study.cells(index)[0]
        for name, values in expected.arrays().items():
            if name not in ("seconds", "audit.seconds"):
                assert_array_equal(found.arrays()[name], values, err_msg=name, strict=True)


def test_most_reads_the_first_replicates_only(tmp_path):
    study, store = stored(tmp_path, size=4)
    for index, parts in enumerate(store.read(most=3)):
        expected = block(study, index, 0, 3)["exponential"].estimate
        assert_array_equal(parts[0][1].estimate, expected)


def test_200_flipped_bits_are_all_found(tmp_path):
    """One bit anywhere in the file: the digest in its name is of all its bytes."""
    _, store = stored(tmp_path)
    piece = store.pieces()[0]
    content = piece.path.read_bytes()
    assert store.load(piece) is not None
    rng = np.random.default_rng(1)
    for at in rng.integers(8 * len(content), size=200):
        bad = bytearray(content)
        bad[at // 8] ^= 1 << (at % 8)
        piece.path.write_bytes(bad)
        assert store.load(piece) is None, at


# --- small blocks ------------------------------------------------------------------------------


def one_by_one(store, study, order):
    """Save blocks of one replicate of the first scenario, cut from one block."""
    whole = block(study, 0, 0, study.replicates)["exponential"].arrays()
    for i in order:
        one = Block.from_arrays({name: values[i : i + 1] for name, values in whole.items()})
        store.save(study.scenarios[0].key, i, i + 1, {"exponential": one})
    return whole


def test_small_blocks_are_merged_to_the_bit(tmp_path):
    """In whatever order they come; what has a hole before it waits."""
    study = rates(replicates=450, scenarios=rates().scenarios[:1])
    store = Store(tmp_path / "results")
    store.open(study, None, RUN)
    order = [*range(0, 450, 2), *range(449, 0, -2)]
    order.remove(77)
    whole = one_by_one(store, study, order)
    pieces = store.pieces()
    assert len(pieces) < 250
    assert max(piece.last - piece.first for piece in pieces) > 50
    assert store.pending(study, 450, 450) == [(0, 77, 78)]
    assert store.check() == []
    one_by_one(store, study, [77])
    (((_, found),),) = list(store.read())
    for name in set(whole) - {"seconds", "audit.seconds"}:
        assert_array_equal(found.arrays()[name], whole[name], err_msg=name, strict=True)


def test_rows_that_are_there_twice_are_read_once(tmp_path, monkeypatch):
    """A run may be killed between writing the merged file and removing its parts."""
    study = rates(replicates=200, scenarios=rates().scenarios[:1])
    store = Store(tmp_path / "results")
    store.open(study, None, RUN)

    def killed(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            one_by_one(store, study, range(200))
    assert len(store.pieces()) == 201
    (((_, found),),) = list(store.read())
    assert_array_equal(found.replicate, np.arange(200))
    assert store.pending(study, 200, 200) == []
    assert store.done() == {study.scenarios[0].key: 200}


def test_files_that_another_process_merges_meanwhile_are_read_all_the_same(tmp_path, monkeypatch):
    study = rates(replicates=200, scenarios=rates().scenarios[:1])
    store, reader = Store(tmp_path / "results"), Store(tmp_path / "results")
    store.open(study, None, RUN)
    whole = one_by_one(store, study, range(199))
    load, count = Store.load, iter(range(10**6))

    def meanwhile(self, piece):
        if next(count) == 10:
            one_by_one(store, study, [199])
        return load(self, piece)

    monkeypatch.setattr(Store, "load", meanwhile)
    (((_, found),),) = list(reader.read())
    assert len(store.pieces()) == 1
    assert_array_equal(found.replicate, np.arange(200))
    assert_array_equal(found.estimate, whole["estimate"])


def test_a_file_that_disappears_while_it_is_checked_is_not_missed(tmp_path, monkeypatch):
    _, store = stored(tmp_path)
    pieces = store.pieces()
    monkeypatch.setattr(Store, "pieces", lambda self: pieces)
    pieces[1].path.unlink()
    assert store.check() == []


# --- damage --------------------------------------------------------------------------------------


def damage(store, kind):
    """Damage the first block's file; return how many replicates are lost."""
    piece = store.pieces()[0]
    other = store.pieces()[-1]
    content = piece.path.read_bytes()
    if kind == "flipped byte":
        piece.path.write_bytes(content[:100] + bytes([content[100] ^ 255]) + content[101:])
    elif kind == "truncated":
        piece.path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        piece.path.write_bytes(b"")
    elif kind == "foreign npz":
        np.savez(piece.path, replicate=np.arange(3))
    elif kind == "another scenario's block":
        piece.path.unlink()
        other.path.rename(piece.path.with_name(f"000000000-000000003.{other.path.name[20:]}"))
        return 6
    elif kind == "another range":
        piece.path.rename(piece.path.with_name(piece.path.name.replace("000000003", "000000006")))
        store.pieces()[1].path.unlink()
        return 6
    return 3


@pytest.mark.parametrize(
    "kind",
    [
        "flipped byte",
        "truncated",
        "empty",
        "foreign npz",
        "another scenario's block",
        "another range",
    ],
)
def test_a_damaged_block_is_moved_aside_and_pending_again(tmp_path, kind):
    study, store = stored(tmp_path)
    expected = by_scenario(store)
    lost = damage(store, kind)
    moved = store.check()
    assert len(moved) == 1
    assert moved[0].parent == store.folder / "damaged"
    assert moved[0].is_file()
    pending = store.pending(study, 6, 10)
    assert sum(last - first for _, first, last in pending) == lost
    for index, first, last in pending:
        store.save(study.scenarios[index].key, first, last, block(study, index, first, last))
    assert store.check() == []
    for key, values in by_scenario(store).items():
        assert_array_equal(values, expected[key], err_msg=key)


def test_another_seeds_block_is_not_taken_for_this_studys(tmp_path):
    study, store = stored(tmp_path / "one")
    _, other = stored(tmp_path / "two", rates(seed=2))
    for mine, foreign in zip(store.pieces(), other.pieces(), strict=True):
        mine.path.unlink()
        foreign.path.rename(mine.path.with_name(foreign.path.name))
    assert len(store.check()) == 4
    assert sum(last - first for _, first, last in store.pending(study, 6, 10)) == 12


def test_reading_refuses_damage_and_says_what_to_do(tmp_path):
    _, store = stored(tmp_path)
    damage(store, "flipped byte")
    with pytest.raises(
        StudyError, match=r"damaged blocks of scenario 'exponential n=.*run the study"
    ):
        list(store.read())


def test_other_files_in_the_folder_disturb_nothing(tmp_path):
    study, store = stored(tmp_path)
    expected = by_scenario(store)
    blocks = store.pieces()[0].path.parent
    np.savez(blocks / "notes.npz", x=np.ones(3))
    (blocks / "000000006-000000009.0123456789abcdef.npz.77.part").write_bytes(b"half")
    (blocks / ".DS_Store").write_bytes(b"")
    (store.folder / "blocks" / "stray").mkdir()
    assert store.check() == []
    assert store.pending(study, 6, 4) == []
    for key, values in by_scenario(store).items():
        assert_array_equal(values, expected[key], err_msg=key)


def test_a_block_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    study, store = stored(tmp_path, size=6)
    store.pieces()[0].path.unlink()
    [(index, first, last)] = store.pending(study, 6, 6)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.save(study.scenarios[index].key, first, last, block(study, index, first, last))
    assert store.check() == []
    assert store.pending(study, 6, 6) == [(index, first, last)]


# --- folders -------------------------------------------------------------------------------------


def test_keys_that_differ_only_in_illegal_characters_have_their_own_folders():
    keys = ["a/b", "a:b", "a b", "a_b", "a\\b", "a?b", "a\nb", "ä", "ö", "A", "a", "..", ".", "con",
            " ", "a" * 300, "a" * 299 + "b"]  # fmt: skip
    folders = [scenario_folder(key) for key in keys]
    assert len({name.lower() for name in folders}) == len(keys)
    for name in folders:
        assert len(name) <= 100
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>| \n')
        assert not name.startswith(".")
        assert Path(name).name == name


def test_scenarios_with_such_keys_are_kept_apart(tmp_path):
    def near(name, value):
        return Mechanism(name, lambda rng: rng.exponential(size=4), lambda: {"rate": value})

    names = ["a/b", "a:b", "größe", "grÖße", "x" * 300, "x" * 299 + "y"]
    scenarios = [Scenario(near(name, 1.0), {}) for name in names]
    study, store = stored(tmp_path, rates(scenarios=scenarios))
    found = by_scenario(store)
    assert list(found) == names
    for index, name in enumerate(names):
        assert_array_equal(found[name], block(study, index, 0, 6)["exponential"].estimate[:, 0])


# --- the manifest --------------------------------------------------------------------------------


def test_the_manifest_says_what_was_run(tmp_path):
    study, store = stored(tmp_path, rates(fewer={"observed": 4}, aims="Aims in größe."))
    store.manifest_file.add_run({"started": "2026-01-01", "seconds": 1.0, "replicates": 12})
    manifest = json.loads((store.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest.pop("checksum")
    assert manifest == store.manifest()
    described = manifest["study"]
    assert {name: described[name] for name in ("name", "aims", "seed", "level", "replicates")} == {
        "name": "rates", "aims": "Aims in größe.", "seed": 1, "level": 0.95, "replicates": 6,
    }  # fmt: skip
    assert described["fewer"] == {"observed": 4}
    assert described["scenarios"][0]["key"] == study.scenarios[0].key
    assert described["scenarios"][0]["factors"] == {"n": 5, "rate": 1.0}
    assert described["scenarios"][0]["truth"] == {"rate": 1.0}
    assert described["estimators"][0]["methods"] == ["observed"]
    assert manifest["runs"] == [{"started": "2026-01-01", "seconds": 1.0, "replicates": 12}]
    assert {"python", "numpy", "scipy"} <= set(manifest["versions"])
    assert manifest["engine"] == "loop"
    assert manifest["bits"].startswith("those of the loop engine;")


def test_runs_are_kept_when_the_folder_is_taken_again(tmp_path):
    study, store = stored(tmp_path)
    store.manifest_file.add_run({"started": "2026-01-01", "seconds": 1.0, "replicates": 12})
    store.open(study, None, RUN)
    assert len(store.manifest()["runs"]) == 1


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'{"started": "2026"}', b"\xff", b"[" * 100_000, b""]
)
def test_a_damaged_note_of_a_shares_run_is_moved_aside(tmp_path, content):
    _, store = stored(tmp_path)
    entry = {"started": "2026-01-01T10:00", "seconds": 1.0, "replicates": 12}
    store.manifest_file.keep_share("1-of-2", entry)
    (store.folder / "shares" / "2-of-2.json").write_bytes(content)
    assert store.manifest_file.gather_shares() == [store.folder / "damaged" / "2-of-2.json"]
    assert store.manifest()["runs"] == [entry]
    assert store.manifest_file.gather_shares() == []
    assert store.manifest()["runs"] == [entry]


def test_a_folder_without_a_manifest_holds_no_results(tmp_path):
    with pytest.raises(StudyError, match=r"holds no results.*run the study first.*--out"):
        Store(tmp_path).manifest()


BROKEN = ["{", "", "[]", "{}", '{"study": {}}', "\x00", "[" * 100_000, "\ud800", None]


@pytest.mark.parametrize("content", BROKEN, ids=lambda content: repr(content)[:20])
def test_a_manifest_that_is_damaged_or_lost_is_made_again_from_the_blocks(tmp_path, content):
    study, store = stored(tmp_path)
    expected, before, path = by_scenario(store), store.manifest(), store.folder / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode(errors="surrogatepass"))
    again = Store(store.folder)
    assert again.begun()
    found = again.manifest()
    assert {**found, "accepted": [], "runs": []} == {**before, "runs": []}
    assert "made again from the blocks" in found["accepted"][0]
    for key, values in by_scenario(again).items():
        assert_array_equal(values, expected[key], err_msg=key)
    again.open(study, None, RUN)
    assert again.pending(study, 6, 6) == []
    assert json.loads(path.read_text(encoding="utf-8"))["checksum"]
    assert (store.folder / "damaged" / "manifest.json").exists() == (content is not None)
    with pytest.raises(StudyError, match="seed: stored 1, asked 2"):
        again.open(rates(seed=2), None, RUN)


@pytest.mark.parametrize("content", BROKEN[:-1], ids=lambda content: repr(content)[:20])
def test_a_damaged_manifest_without_blocks_is_told_and_begun_anew(tmp_path, content):
    study, store = stored(tmp_path)
    shutil.rmtree(store.folder / "blocks")
    (store.folder / "manifest.json").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(StudyError, match=r"manifest\.json cannot be read: .*run the study first"):
        store.manifest()
    assert not store.begun()
    store.open(study, None, RUN)
    assert store.manifest()["revision"] == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"rate": 1.0', '"rate": 5.0'),
        ('"n": 5', '"n": 6'),
        ('"mu",\n     "sigma"', '"sigma",\n     "mu"'),
        ('"observed",\n     "opg"', '"opg",\n     "observed"'),
        ('"level": 0.95', '"level": 0.5'),
        ('"since": {\n     "observed": 0', '"since": {\n     "observed": 1'),
    ],
)
def test_what_is_edited_in_the_manifest_changes_no_result(tmp_path, old, new):
    mechanism = replace(normal.MECHANISM, draw=lambda rng, n, rate: rng.normal(size=n))
    scenarios = [Scenario(replace(mechanism, truth=lambda n, rate: {"mu": 0.0}),
                          {"n": 5, "rate": 1.0})]  # fmt: skip
    estimators = [MaximumLikelihood(normal.MODEL, [OBSERVED, OPG])]
    _, store = stored(tmp_path, rates(scenarios=scenarios, estimators=estimators))
    path, before = store.folder / "manifest.json", store.manifest()
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    found = Store(store.folder).manifest()
    assert found["study"] == before["study"]
    assert "edited or damaged" in found["accepted"][0]


def test_flipped_bits_of_the_manifest_are_found_or_harmless(tmp_path):
    """`make chaos` flips more of them."""
    _, store = stored(tmp_path)
    store.manifest_file.add_run({"started": "2026-01-01", "seconds": 1.0, "replicates": 12})
    path, before = store.folder / "manifest.json", store.manifest()
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(8 * len(content), size=100):
        bad = bytearray(content)
        bad[at // 8] ^= 1 << (at % 8)
        path.write_bytes(bad)
        found = Store(store.folder).manifest()
        assert found == before or found["accepted"], at
        assert found["study"] == before["study"], at
        assert found["identity"] == before["identity"], at


def test_a_manifest_is_made_again_as_it_was_last_extended(tmp_path):
    """With the methods, replicates and scenarios that came later, in their order."""
    study, store = stored(tmp_path)
    more = rates(scenarios=[*grid(exponential.MECHANISM, n=[7], rate=1.0), *study.scenarios],
                 estimators=[replace(RATE, methods=[OBSERVED, BOOTSTRAP])],
                 replicates=8)  # fmt: skip
    store.open(more, None, RUN)
    for extension in store.extensions():
        part = more if extension == 0 else more.part(store.methods(extension))
        for index, first, last in store.pending(more, 8, 3, extension):
            found = block(part, index, first, last)
            store.save(more.scenarios[index].key, first, last, found, extension)
    before, expected = store.manifest(), by_scenario(store)
    (store.folder / "manifest.json").unlink()
    again = Store(store.folder)
    assert again.manifest()["study"] == before["study"]
    for key, values in by_scenario(again).items():
        assert_array_equal(values, expected[key], err_msg=key)


def test_a_scenario_without_blocks_comes_back_with_the_study(tmp_path):
    study, store = stored(tmp_path)
    for piece in store.pieces():
        if piece.scenario == scenario_folder(study.scenarios[0].key):
            piece.path.unlink()
    (store.folder / "manifest.json").unlink()
    assert len(store.manifest()["study"]["scenarios"]) == 1
    store.open(study, None, RUN)
    assert store.pending(study, 6, 6) == [(0, 0, 6)]
    assert [s["key"] for s in store.manifest()["study"]["scenarios"]] == [
        scenario.key for scenario in study.scenarios
    ]


def test_blocks_that_do_not_say_what_they_belong_to_are_refused(tmp_path):
    study, store = stored(tmp_path)
    (store.folder / "manifest.json").unlink()
    for piece in store.pieces():
        np.savez(piece.path, estimators=np.array(["exponential"]))
    for attempt in (store.manifest, lambda: store.open(study, None, RUN)):
        with pytest.raises(StudyError, match=r"holds blocks, but manifest\.json is lost.*--out"):
            attempt()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "results", Path("/proc/results")):
        with pytest.raises(StudyError, match=r"cannot write to .*: .*another folder with --out"):
            Store(path).open(rates(), None, RUN)


def test_looking_creates_nothing(tmp_path):
    store = Store(tmp_path / "none")
    assert (store.pieces(), store.check()) == ([], [])
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Scaled:
    """A source with an option, which is part of the study."""

    factor: float = 1.0
    needs: ClassVar[tuple] = ()

    def __call__(self, fitted):
        return self.factor * fitted.fit.hessian


def test_a_sources_options_are_part_of_the_study():
    def described(source):
        method = Wald("mine", covariance=observed, hessian=source)
        return describe(rates(estimators=[MaximumLikelihood(exponential.MODEL, [method])]), None)

    assert differences(described(Scaled()), described(Scaled())) == []
    lines = differences(described(Scaled()), described(Scaled(2.0)))
    assert any("factor=1.0" in line and "factor=2.0" in line for line in lines)
