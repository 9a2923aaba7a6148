"""What of the user's a study can reach is part of it, and nothing else; in every process alike."""

import itertools
import subprocess
import sys
import textwrap

import pytest

from simstudy import load
from simstudy.store.fingerprint import describe, differences
from simstudy.user_code.code_hash import canonical_repr, hash_values
from simstudy.user_code.dependencies import hash_statements
from simstudy.user_code.syntax import canonical_dump, parsed

STUDY = '''"""Aims."""
import numpy as np

import helper
from simstudy import MaximumLikelihood, Mechanism, Scenario, Study
from simstudy.methods import OBSERVED
from simstudy.models import exponential


def draw(rng, n):
    return helper.scaled(rng.exponential(size=n))


STUDY = Study(
    "mine",
    [Scenario(Mechanism("m", draw, lambda n: {"rate": 1.0}), {"n": 5})],
    [MaximumLikelihood(exponential.MODEL, [OBSERVED])],
    replicates=10,
)
'''
HELPER = '''"""What studies share."""
import numpy as np

FACTORS = (1.0, 2.0)


class Options:
    """Choices."""

    scale = 1.0


def scaled(values):
    """Scale."""
    return values * Options.scale * FACTORS[0]  # times one


def unused(values):
    return values
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder for a study, whose modules are imported from what is in their files."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # its time stamps count whole seconds
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def written(folder, **texts):
    """Write files; describe the study among them."""
    for name, text in texts.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return describe(*load(folder / "mine.py"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("FACTORS = (1.0, 2.0)", "FACTORS = (3.0, 2.0)", "'helper.py: FACTORS'"),
        ("scale = 1.0", "scale = 2.0", "'helper.py: Options'"),
        ("return values * Options", "return 2 * values * Options", "'helper.py: scaled'"),
        ("import numpy as np", "import math as np", "'helper.py: np'"),
        ("def unused", "scaled = abs\n\n\ndef unused", "'helper.py: scaled'"),
        ("def unused", "Options.scale = 3\n\n\ndef unused", "'helper.py: other statements'"),
        (
            "def unused",
            "def abs(x):\n    return x\n\n\ndef unused",
            "'helper.py: other statements'",
        ),
        ("# times one", "# times something", ""),
        ('"""Scale."""', '"""Scale values."""', ""),
        ("FACTORS = (1.0, 2.0)", "FACTORS = (1.0,\n           2.0)", ""),
        ("def unused", "def another(x):\n    return x\n\n\ndef unused", ""),
    ],
)
def test_a_module_that_the_study_imports_is_part_of_it(folder, old, new, says):
    before = written(folder, mine=STUDY, helper=HELPER)
    assert old in HELPER
    lines = differences(before, written(folder, helper=HELPER.replace(old, new)))
    assert [line.partition(": stored")[0] for line in lines] == [f"code, {says}"] * bool(says)
    again = differences(before, written(folder, helper=HELPER))
    assert again == []


def test_the_changed_module_is_what_runs(folder):
    """Not what an earlier study in the same process imported."""
    written(folder, mine=STUDY, helper=HELPER)
    draws = []
    for factors in ("(1.0,)", "(3.0,)"):
        (folder / "helper.py").write_text(HELPER.replace("(1.0, 2.0)", factors))
        study, _ = load(folder / "mine.py")
        draws.append(study.scenarios[0].mechanism.draw(FixedGenerator(), 2).tolist())
    assert draws == [[1.0, 1.0], [3.0, 3.0]]


class FixedGenerator:
    """Draws ones."""

    def exponential(self, size):
        import numpy as np

        return np.ones(size)


WAYS = {
    "lazily": ("", "from helper import scaled", "scaled"),
    "by name": ("from importlib import import_module", "h = import_module('helper')", "h.scaled"),
    "all names": ("from helper import *", "pass", "scaled"),
    "package": ("import shared.helper", "pass", "shared.helper.scaled"),
    "submodule": ("from shared import helper as h", "pass", "h.scaled"),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_does_not_matter_how_it_is_imported(folder, way):
    top, within, call = WAYS[way]
    text = STUDY.replace("import helper\n", f"{top}\n")
    text = text.replace("    return helper.scaled", f"    {within}\n    return {call}")
    name = "shared__helper" if "shared" in call or "shared" in top else "helper"
    files = {"mine": text, name: HELPER} | ({"shared____init__": ""} if "__" in name else {})
    before = written(folder, **files)
    changed = written(folder, **{name: HELPER.replace("scale = 1.0", "scale = 2.0")})
    (line,) = differences(before, changed)
    assert line.startswith("code, ")
    assert "helper.py: " in line


def test_modules_that_modules_import_are_part_of_it_relative_ones_too(folder):
    (folder / "shared").mkdir()
    helper = HELPER.replace("import numpy as np", "from .deep import SCALE\nfrom . import far")
    before = written(
        folder, mine=STUDY.replace("import helper", "from shared import helper"),
        shared____init__="", shared__helper=helper, shared__deep="SCALE = 1", shared__far="X = 1",
    )  # fmt: skip
    for name, text in (("shared__deep", "SCALE = 2"), ("shared__far", "X = 2")):
        lines = differences(before, written(folder, **{name: text}))
        assert lines[0].startswith(f"code, 'shared/{name[8:]}.py: ")
        before = written(folder)


def test_studies_of_two_folders_have_a_module_of_one_name_each(folder):
    """Each gets its own, in whatever order they are loaded."""
    for name, scale in (("one", 2.0), ("two", 3.0)):
        home = folder / name
        home.mkdir()
        (home / "helper.py").write_text(HELPER.replace("scale = 1.0", f"scale = {scale}"))
        (home / "mine.py").write_text(STUDY)
    for name, scale in (("one", 2.0), ("two", 3.0), ("one", 2.0)):
        load(folder / name / "mine.py")
        assert sys.modules["helper"].Options.scale == scale


def test_a_module_from_elsewhere_on_the_path_is_part_of_it(folder, tmp_path_factory, monkeypatch):
    """As from PYTHONPATH, or an editable installation."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.syspath_prepend(str(elsewhere))
    (elsewhere / "helper.py").write_text(HELPER)
    before = written(folder, mine=STUDY)
    (elsewhere / "helper.py").write_text(HELPER.replace("scale = 1.0", "scale = 2.0"))
    (line,) = differences(before, written(folder))
    assert "helper.py: Options" in line


def test_a_new_file_that_hides_a_module_is_told(folder):
    before = written(folder, mine=STUDY, helper=HELPER.replace("numpy", "textwrap_of_nobody_else")
                     .replace("import textwrap_of_nobody_else as np", "try:\n    import nobodys\n"
                              "except ImportError:\n    nobodys = None"))  # fmt: skip
    assert differences(before, written(folder)) == []
    lines = differences(before, written(folder, nobodys="X = 1"))
    assert [line.partition(": stored")[0] for line in lines] == [
        "code, 'helper.py: other statements'"
    ]


def test_a_new_module_with_a_new_name_extends_the_study(folder):
    before = written(folder, mine=STUDY, helper=HELPER)
    text = STUDY.replace("import helper\n", "import helper\nimport second\n")
    assert differences(before, written(folder, mine=text, second="X = 1\nprint()")) == []


def test_installed_packages_and_files_that_nothing_names_are_not_part_of_it(folder):
    before = written(folder, mine=STUDY, helper=HELPER, stranger="X = 1")
    (folder / "data.csv").write_text("1")
    after = written(folder, stranger="X = 2")
    assert before == after
    assert not [name for name in after["code"] if "numpy" in name or "stranger" in name]


NAMES = {
    "beside the study": ('np.loadtxt(Path(__file__).parent / "data.csv")', "data.csv"),
    "with_name": ('np.loadtxt(Path(__file__).with_name("data.csv"))', "data.csv"),
    "in a folder": ('np.loadtxt(Path(__file__).parent / "sets" / "data.csv")', "sets/data.csv"),
    "f-string": ('np.loadtxt(f"{Path(__file__).parent}/sets/data.csv")', "sets/data.csv"),
    "working directory": ('np.loadtxt("here.csv")', "work/here.csv"),
}


@pytest.mark.parametrize("where", ["at import", "in draw"])
@pytest.mark.parametrize("way", NAMES)
def test_a_data_file_that_the_study_names_is_part_of_it(folder, monkeypatch, way, where):
    call, file = NAMES[way]
    for name in ("work", "sets"):
        (folder / name).mkdir()
    monkeypatch.chdir(folder / "work")
    (folder / file).write_text("1\n2\n")
    text = STUDY.replace("import numpy as np", "from pathlib import Path\nimport numpy as np")
    if where == "at import":
        text = text.replace("def draw", f"DATA = {call}\n\n\ndef draw")
    else:
        text = text.replace("    return helper", f"    data = {call}\n    return helper")
    before = written(folder, mine=text, helper=HELPER)
    (folder / file).write_text("1\n3\n")
    (line,) = differences(before, written(folder))
    assert line.startswith(f"code, {'DATA' if where == 'at import' else 'draw'!r}: stored ")
    assert file in line
    (folder / file).unlink()
    if where == "in draw":
        assert len(differences(before, written(folder))) == 1


def test_a_data_file_in_a_factor_or_an_argument_is_part_of_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "one.csv").write_text("1")
    (folder / "two.csv").write_text("1")
    text = STUDY.replace('{"n": 5}', '{"n": 5, "file": "one.csv"}').replace(
        'lambda n: {"rate": 1.0}', 'lambda n, file: {"rate": 1.0}'
    ).replace('"m", draw', '"m", partial(draw, other="two.csv")')  # fmt: skip
    text = text.replace("import numpy as np", "from functools import partial")
    before = written(folder, mine=text, helper=HELPER)
    for name in ("one.csv", "two.csv"):
        (folder / name).write_text("2")
        (line,) = differences(before, written(folder))
        assert line.startswith("scenarios, 'm n=5 file=one.csv', code: stored")
        assert name in line
        (folder / name).write_text("1")


def test_a_file_that_the_study_writes_is_no_part_of_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    line = 'open("log.txt", "a").write("x"); Path("log.txt").write_text("")'
    text = STUDY.replace("    return helper", f"    {line}\n    return helper")
    before = written(folder, mine=text, helper=HELPER)
    (folder / "log.txt").write_text("x")
    assert differences(before, written(folder)) == []


# --- what an object holds ------------------------------------------------------------------------


def test_the_state_of_an_object_is_part_of_the_study(folder):
    text = STUDY.replace("def draw", "class Draw:\n    def __init__(self, scale):\n"
                         "        self.scale = scale\n\n    def __call__(self, rng, n):\n"
                         "        return rng.exponential(size=n)\n\n\ndef draw")  # fmt: skip
    text = text.replace('"m", draw', '"m", Draw(1.0)')
    before = written(folder, mine=text, helper=HELPER)
    assert differences(before, written(folder)) == []
    for change in ("Draw(2.0)", "Draw(1.0).__call__"):
        (line,) = differences(before, written(folder, mine=text.replace("Draw(1.0)", change)))
        assert line.startswith("scenarios, 'm n=5', code: stored")


PARTS = '''
import functools
import enum
from dataclasses import dataclass, field
from other import far

A = (1, 2)
D = {"a": 1}
class Options:
    scale = 1
    def times(self, x): return x * 3
class Kind(enum.Enum):
    ONE = 1
@dataclass
class Record:
    size: int = 5
    more: list = field(default_factory=list)
def wrapped(function):
    @functools.wraps(function)
    def inner(x): return function(x) + 7
    return inner
@functools.lru_cache
def cached(x): return x + 8
def within(x): return [far(y) for y in (lambda z: [z, A])(x)]
@wrapped
def draw(x):
    """Words."""
    kind = x in {"p", "q", "r"}
    return within(x), Options().times(x), Options.scale, D, Record(), Kind.ONE, cached(x), kind
'''


def digest_of(module):
    return hash_values([vars(module)["draw"]])


@pytest.fixture
def imported(folder):
    """Import a module of texts, as a script has its functions: known by value, not by file."""
    count = itertools.count()

    def load_module(text, other="def far(x): return x + 1\n"):
        import importlib

        sys.path.insert(0, str(folder))
        (folder / "other.py").write_text(other)
        sys.modules.pop("other", None)
        name = f"parts_{next(count)}"
        (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return load_module


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("A = (1, 2)", "A = (1, 3)", True),
        ('D = {"a": 1}', 'D = {"a": 2}', True),
        ("    scale = 1", "    scale = 2", True),
        ("return x * 3", "return x * 4", True),
        ("ONE = 1", "ONE = 2", True),
        ("size: int = 5", "size: int = 6", True),
        ("+ 7", "+ 8", True),
        ("x + 8", "x + 9", True),
        ('"""Words."""', '"""Other words."""', False),
        ("import enum", "import enum  # of the standard library", False),
        ("A = (1, 2)", "A = (1, 2)\nB = 3", False),
    ],
)
def test_a_function_without_a_study_file_counts_with_all_that_it_uses(imported, old, new, counts):
    before = digest_of(imported(PARTS))
    assert old in PARTS
    assert (digest_of(imported(PARTS.replace(old, new))) != before) == counts
    assert digest_of(imported(PARTS)) == before


def test_functions_of_third_modules_count_too(imported):
    before = digest_of(imported(PARTS))
    assert digest_of(imported(PARTS, "def far(x): return x + 2\n")) != before


def test_a_function_that_is_not_what_its_file_says_any_more_counts_as_it_is(imported):
    module = imported(PARTS)
    before = digest_of(module)
    path = sys.modules[module.__name__].__file__
    with open(path, "w") as file:
        file.write(PARTS.replace("+ 7", "+ 8"))
    assert digest_of(module) != digest_of(imported(PARTS.replace("+ 7", "+ 8")))
    assert before != digest_of(imported(PARTS.replace("+ 7", "+ 8")))


def test_values_that_hold_themselves_and_functions_that_call_each_other_have_an_end():
    def one(x):
        return two(x)

    def two(x):
        return one(x)

    ring = [1]
    ring.append(ring)
    assert hash_values([one, ring]) == hash_values([one, ring])


# --- the same in every process -------------------------------------------------------------------

SETS = """
from dataclasses import dataclass
from simstudy.user_code.code_hash import canonical_repr, hash_values
from simstudy.user_code.dependencies import hash_statements
KINDS = frozenset({"one", "two", "three", "four"})
@dataclass(frozen=True)
class Option:
    names: frozenset = KINDS
def draw(rng, kind):
    return kind in {"one", "two", "three"} and kind in KINDS
code = {}
exec("def made(kind): return kind in {'one', 'two', 'three'}", code)
shown = canonical_repr(Option())
print(hash_values([draw, Option(), code["made"]]), hash_statements(__file__), shown)
"""


def test_nothing_depends_on_the_seed_of_pythons_hashes(tmp_path):
    path = tmp_path / "sets.py"
    path.write_text(SETS)
    found = {
        subprocess.run([sys.executable, path], env={"PYTHONHASHSEED": seed}, check=True,
                       capture_output=True, text=True).stdout
        for seed in ("1", "2", "3", "4")
    }  # fmt: skip
    assert len(found) == 1


SAMPLE = '''"""Doc."""
from os import path as p, sep

A, B = 1, (2.5, "x", None, ..., -1e400, 3j)
C: dict = {"a": {1, 2}, **{}}
NAMES = {"b", "a"}


@decorated(x=1)
class K(object, metaclass=type):
    """Doc."""

    def m(self, a, /, b=1, *c, d, e=2, **f):
        return f"{a!r:>{b}} text" f"{a=}" "tail" if a in NAMES else lambda z, *q: (yield)


async def g():
    async with a as b, c:
        await d
    try:
        assert x, "no"
    except* ValueError as error:
        raise KeyError from error
    match x:
        case {"k": [1, *rest], **more} if rest:
            return None
        case K(y=3) | None | "s":
            del x[1:2, ::3]
    Q = [u for u in v if u if not u] + 10**30 + 0xffffffffffffffffffffffff
    return b"\\x00\\xff", "größe \\u2028"
'''

GOLDEN = {
    "other statements": "720988be02ad6130",
    "p": "05f0020c49e8f629",
    "sep": "980a3f1a4dc40000",
    "C": "8cdcd73267bf6e32",
    "NAMES": "b3892722e42cf6c7",
    "K": "5324d00e0fbcfd10",
    "g": "a9b0d353c3e1ff04",
}


def test_the_words_of_a_syntax_tree_are_those_of_every_python(tmp_path):
    """These hashes came out of Python 3.11, 3.12 and 3.13 alike, whose `ast.dump` differs."""
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE, encoding="utf-8")
    assert hash_statements(str(path)) == GOLDEN


def test_deep_expressions_have_their_words_too():
    tree = parsed(b"x = " + b" + ".join([b"a"] * 900))
    assert canonical_dump(tree).count("Name(id='a')") == 900


def test_a_methods_repr_has_no_address():
    assert canonical_repr(object()) == "<object object>"
