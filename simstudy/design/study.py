"""A study is a value: scenarios, estimators, how many replicates, a seed. It checks itself."""

from __future__ import annotations

import contextlib
import copy
import difflib
import hashlib
import importlib.util
import inspect
import itertools
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.arrays import Array, Data
from simstudy.design.mechanism import Mechanism
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import Estimator, MaximumLikelihood
from simstudy.files.writing import relative_path
from simstudy.likelihood.model import Model, inside
from simstudy.records.block import COLUMNS, Cell
from simstudy.streams import stream
from simstudy.user_code import dependencies
from simstudy.user_code.tracebacks import refused_call
from simstudy.warning_capture import suppressed_output

# df: the degrees of freedom of a row, for measures
TAKEN = {*COLUMNS, "df", "truth_mcse", "measure", "rng"}


MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
"""Words that mean "no value" to whoever reads a table: pandas, and R with NA."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cell of the design: a mechanism at fixed factors.

    Parameters
    ----------
    mechanism : Mechanism
    factors : mapping of str to number or str
        Handed to the mechanism's `draw` and `truth` by name.
    only : sequence of str
        Names of the estimators that answer for this scenario; all by default.

    Attributes
    ----------
    key : str
        Mechanism and factors in words; names the scenario and its random streams.
    truth : dict of str to float
        The mechanism's truth at these factors.

    Examples
    --------
    >>> from simstudy import Scenario
    >>> from simstudy.models import gamma
    >>> Scenario(gamma.MECHANISM, {"n": 20, "shape": 2.0, "rate": 1.0}).key
    'gamma n=20 shape=2 rate=1'
    """

    mechanism: Mechanism
    factors: Mapping[str, Any]
    only: Sequence[str] = ()
    key: str = field(init=False)
    truth: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the key and the truth."""
        if not isinstance(self.mechanism, Mechanism):
            raise StudyError(
                f"a scenario's mechanism came as {type(self.mechanism).__name__}; give "
                "Mechanism(name, draw=..., truth=...), for a scenario and for grid"
            )
        object.__setattr__(self, "factors", dict(self.factors))
        words = [f"{name}={_word(name, value)}" for name, value in self.factors.items()]
        object.__setattr__(self, "key", " ".join([self.mechanism.name, *words]))
        try:
            truth = self.mechanism.truth(**self.factors)
        except TypeError as error:
            raise StudyError(
                f"scenario {self.key!r}: truth of mechanism {self.mechanism.name!r} does not take "
                f"these factors ({error}); draw and truth get every factor by name"
            ) from error
        if not isinstance(truth, Mapping):
            raise StudyError(
                f"scenario {self.key!r}: truth returned {truth!r}; due is a mapping from parameter "
                "to true value"
            )
        object.__setattr__(self, "truth", dict(truth))


def grid(mechanism: Mechanism, /, only: Sequence[str] = (), **factors: Any) -> list[Scenario]:
    """Cross all factors: one scenario for every combination of the values in lists.

    `only` names the estimators that answer for them; all by default.

    Examples
    --------
    >>> from simstudy import grid
    >>> from simstudy.models import gamma
    >>> len(grid(gamma.MECHANISM, n=[20, 50], shape=[0.5, 2.0], rate=1.0))
    4
    """
    levels = [
        list(values) if isinstance(values, list | tuple | range | np.ndarray) else [values]
        for values in factors.values()
    ]
    return [
        Scenario(mechanism, dict(zip(factors, combination, strict=True)), only)
        for combination in itertools.product(*levels)
    ]


@dataclass(frozen=True, slots=True)
class Study:
    """A simulation study (ADEMP; Morris, White & Crowther 2019, Statistics in Medicine 38:2074).

    Parameters
    ----------
    name : str
        Letters, digits, ".", "_" and "-"; names the results folder.
    scenarios : sequence of Scenario
        Such as `grid` makes.
    estimators : sequence of Estimator
        Each answers for every scenario.
    replicates : int
        Data sets per scenario.
    seed : int
        Same study and seed, same table, bit for bit.
    level : float
        Of the intervals.
    fewer : mapping of str to int
        Methods that answer for the first so many replicates only, because they are costly.
    aims : str
        One or more sentences; the docstring of the study's file by default.

    Raises
    ------
    StudyError
        When two scenarios have one key, two estimators one name, a truth names a parameter that no
        estimator has or lies outside its support, or a number is out of range.
    """

    name: str
    scenarios: Sequence[Scenario]
    estimators: Sequence[Estimator]
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    fewer: Mapping[str, int] = field(default_factory=dict)
    aims: str = ""

    def __post_init__(self) -> None:
        """Refuse a study that contradicts itself."""
        for name, such in (("scenarios", "grid(mechanism, n=[20, 50]) makes"),
                           ("estimators", "[MaximumLikelihood(model, methods)]")):  # fmt: skip
            came = getattr(self, name)
            if not isinstance(came, Iterable):
                raise StudyError(
                    f"study {self.name!r}: {name} came as {type(came).__name__}; due is a list, "
                    f"such as {such}"
                )
            object.__setattr__(self, name, tuple(came))
        _check_parts(self)
        _check_numbers(self)
        _check_names(self)
        for scenario in self.scenarios:
            _check_truth(self, scenario)

    def answering(self, scenario: Scenario) -> list[Estimator]:
        """Return the estimators that answer for a scenario."""
        return [e for e in self.estimators if not scenario.only or e.name in scenario.only]

    def part(self, methods: Mapping[str, Collection[str]]) -> Study:
        """Return the study with these methods alone, by estimator; truths stay as they are."""
        estimators = [
            replace(e, methods=[m for m in e.methods if m.name in methods[e.name]])
            if isinstance(e, MaximumLikelihood)
            else e
            for e in self.estimators
            if e.name in methods
        ]
        part = copy.copy(self)  # unchecked: scenarios and truths may speak of the other estimators
        object.__setattr__(part, "estimators", tuple(estimators))
        return part

    def cells(self, index: int) -> list[Cell]:
        """Return the labels of one scenario's rows, one for each estimator."""
        scenario = self.scenarios[index]
        return [
            Cell(
                scenario.key, scenario.factors, scenario.truth, estimator.name,
                tuple(estimator.parameters), tuple(estimator.labels),
            )
            for estimator in self.answering(scenario)
        ]  # fmt: skip

    def asked(self, estimator: Estimator, replicates: Sequence[int]) -> Array:
        """Tell which methods answer for which replicates: `(B, M)` of bool."""
        most = np.array([self.fewer.get(label, np.inf) for label in estimator.labels])
        return np.asarray(replicates)[:, None] < most


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a worker finds the study: a file, and a hash of the bytes of all that it imports."""

    path: str
    digest: str


def load(source: str | Path) -> tuple[Study, Reference]:
    """Load the study of a file, or of `studies/<name>.py` by its name.

    Returns
    -------
    Study
        With the file's docstring as its aims, where it names none.
    Reference
        By which workers load the same file.

    Raises
    ------
    StudyError
        When the file is missing, does not compile, exposes no `STUDY`, or makes a part of it that
        is refused; then with the file and the line.
    """
    path = find(source)
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    name = f"_simstudy_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if sys.path[0] != str(path.parent):  # its own modules come before those of another study
        sys.path.insert(0, str(path.parent))
    dependencies.forget_changed(str(path))
    before = dependencies.hash_files(str(path))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise StudyError(
            f"{error.filename or path}, line {error.lineno}: {error.msg}; correct the file and "
            "run again"
        ) from error
    except (ValueError, TypeError) as error:
        trouble = _refused(error)
        if trouble is None:
            raise
        raise StudyError(trouble) from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise StudyError(
            f"{path} exposes no study: STUDY is {type(study).__name__ if study else 'missing'}; "
            "write STUDY = Study(...) at the top level of the file"
        )
    aims = study.aims or " ".join((module.__doc__ or "").split())
    after = dependencies.hash_files(str(path))
    changed = [file for file in before if after.get(file) != before[file]]
    if changed:
        raise StudyError(f"{changed[0]} was changed while the study was loaded; run it again")
    dependencies.remember(str(path))
    return replace(study, aims=aims), Reference(str(path), dependencies.version(after))


def _refused(error: ValueError | TypeError) -> str | None:
    """Say what simstudy refused when a file was loaded, and where; None where it was not that."""
    said, at = str(error), refused_call(error)
    unknown = re.fullmatch(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", said)
    part = {kind.__name__: kind for kind in _PARTS}.get(unknown[1]) if unknown else None
    if unknown and part:
        takes = list(inspect.signature(part).parameters)
        close = difflib.get_close_matches(unknown[2], takes, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        at = at or traceback.extract_tb(error.__traceback__)[-1]
        said = f"{unknown[1]} takes no {unknown[2]!r}; it takes {', '.join(takes)}{hint}"
    elif isinstance(error, TypeError):
        return None
    return (
        f"{relative_path(Path(at.filename), Path.cwd())}, line {at.lineno}: {said}" if at else None
    )


_PARTS = (Study, Scenario, Mechanism, Model, MaximumLikelihood)


def find(source: str | Path) -> Path:
    """Find a study's file: a path, or a name in `studies/`."""
    given = Path(source)
    if given.is_file() and given.suffix != ".py":
        raise StudyError(f"{given} is no study: a study is a Python file, its name ends in .py")
    for path in (given, Path("studies") / f"{source}.py"):
        if path.suffix == ".py" and path.is_file():
            return path.resolve()
    known = sorted(path.stem for path in Path("studies").glob("*.py"))
    near = difflib.get_close_matches(str(source), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise StudyError(
        f"no study {str(source)!r}: neither that file nor studies/{source}.py exists; {hint}"
        f"in studies/ there are: {', '.join(known) or 'none'}"
    )


def draw(study: Study, scenario: Scenario, replicate: int) -> Data:
    """Draw one data set from the stream of its names."""
    rng = stream(study.seed, scenario.key, replicate, "data")
    return frozen(scenario.mechanism.draw(rng, **scenario.factors))


def example(study: Study, scenario: Scenario) -> Data:
    """Draw the first data set that can be drawn, of replicates 0 to 4."""
    with suppressed_output():
        for replicate in range(4):
            with contextlib.suppress(Exception):
                return draw(study, scenario, replicate)
        return draw(study, scenario, 4)


def frozen(data: Data) -> Data:
    """Return data whose arrays refuse to be changed: every estimator must see what was drawn.

    Floats of less than 64 bits become float64, exactly: functions of single precision differ
    between libraries, and so would the engines.
    """
    if isinstance(data, Mapping):
        return {name: frozen(values) for name, values in data.items()}
    if hasattr(data, "columns"):  # a table of pandas
        narrow = [name for name, kind in data.dtypes.items() if _narrow(kind)]
        return data.astype(dict.fromkeys(narrow, np.float64)) if narrow else data
    if hasattr(data, "dtype") and _narrow(data.dtype):
        data = data.astype(np.float64) if hasattr(data, "iloc") else np.asarray(data, np.float64)
    if isinstance(data, np.ndarray):
        data = data.view()
        data.setflags(write=False)
    return data


def _narrow(kind: Any) -> bool:
    """Tell whether a type of numbers is a float of less than 64 bits."""
    return getattr(kind, "kind", "") == "f" and kind.itemsize < 8


def _word(name: str, value: Any) -> str:
    """Write a factor's value into the key; 2 and 2.0 are the same."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if isinstance(value, int | np.integer):
        if not -(2**63) <= int(value) < 2**63:
            raise StudyError(
                f"factor {name!r} has the value {value}, which does not fit into the 64 bits of a "
                "column of whole numbers; give it as a float or a string"
            )
        return str(int(value))
    if isinstance(value, float | np.floating) and value == value:
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    raise StudyError(
        f"factor {name!r} has the value {value!r}; a factor is a number or a string, so that it "
        "can "
        "be a column of the table: give arrays their own names inside the mechanism"
    )


def _check_parts(study: Study) -> None:
    """Refuse what is no scenario or estimator, and factors whose columns have a meaning already."""
    for scenario in study.scenarios:
        if not isinstance(scenario, Scenario):
            raise StudyError(
                f"study {study.name!r}: {scenario!r} is no scenario; give Scenario(mechanism, "
                "factors) or what grid(mechanism, ...) makes"
            )
        for name in sorted(TAKEN & set(scenario.factors)):
            raise StudyError(
                f"scenario {scenario.key!r}: factor {name!r} has a meaning already, in the tables "
                "or as an argument of draw; give the factor another name"
            )
        for name in scenario.factors:
            if f"factor_{name}" in scenario.factors:
                raise StudyError(
                    f"scenario {scenario.key!r}: factors {name!r} and {f'factor_{name}'!r} cannot "
                    "stand beside each other: a factor whose name is that of another column is "
                    "called factor_... in the tables; give one of them another name"
                )
        if isinstance(scenario.only, str):
            raise StudyError(
                f"scenario {scenario.key!r}: only is {scenario.only!r}; give a list of estimators' "
                f"names, such as [{scenario.only!r}]"
            )
    for estimator in study.estimators:
        if not isinstance(estimator, Estimator):
            raise StudyError(
                f"study {study.name!r}: {estimator!r} is no estimator; give "
                "MaximumLikelihood(model, methods=[...]), FunctionEstimator(...), or anything with "
                "name, parameters, labels and answer (see Estimator in simstudy.estimators)"
            )


def _check_numbers(study: Study) -> None:
    """Refuse numbers out of range and names that are no folder names."""
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    if not study.name or set(study.name) - allowed or study.name.startswith("."):
        raise StudyError(
            f"the study's name is {study.name!r}; allowed are letters, digits, '.', '_' and '-', "
            "not "
            "starting with '.', because it names the results folder"
        )
    if not isinstance(study.replicates, int | np.integer) or study.replicates < 1:
        raise StudyError(f"replicates is {study.replicates!r}; give a whole number of at least 1")
    if not isinstance(study.seed, int | np.integer) or study.seed < 0:
        raise StudyError(f"seed is {study.seed!r}; give a whole number of at least 0")
    if not isinstance(study.level, float) or not 0 < study.level < 1:
        raise StudyError(f"level is {study.level!r}; give a number between 0 and 1, such as 0.95")


def _check_names(study: Study) -> None:
    """Refuse empty lists, names that stand for two things, and limits on unknown methods."""
    for what, names in (
        ("scenarios", [scenario.key for scenario in study.scenarios]),
        ("estimators", [estimator.name for estimator in study.estimators]),
    ):
        if not names:
            raise StudyError(f"study {study.name!r} has no {what}; give at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise StudyError(
                f"study {study.name!r} has two {what} called {twice[0]!r}; each needs its own "
                "factors or name, because names key the random streams"
            )
    _check_words(study)
    labels = {label for estimator in study.estimators for label in estimator.labels}
    for label, count in study.fewer.items():
        if label not in labels or not isinstance(count, int | np.integer) or count < 1:
            raise StudyError(
                f"fewer is {dict(study.fewer)!r}; it maps methods of the study "
                f"({', '.join(sorted(labels))}) to a whole number of replicates of at least 1"
            )


def _check_words(study: Study) -> None:
    """Refuse names and values that are no words, or that a table's reader takes for "no value"."""
    said = [("an estimator", estimator.name) for estimator in study.estimators]
    for estimator in study.estimators:
        said += [(f"a method of {estimator.name!r}", label) for label in estimator.labels]
        said += [(f"a parameter of {estimator.name!r}", name) for name in estimator.parameters]
    for scenario in study.scenarios:
        said += [("a mechanism", scenario.mechanism.name)]
        said += [(f"factor {n!r}", v) for n, v in scenario.factors.items() if isinstance(v, str)]
    for what, word in said:
        if not isinstance(word, str) or word in MISSING:
            raise StudyError(
                f"study {study.name!r}: {what} is called {word!r}; whoever reads a table takes "
                "that for a missing value: give it another name"
            )


def _check_truth(study: Study, scenario: Scenario) -> None:
    """Refuse a truth for an unknown parameter, of wrong length, or outside its support."""
    missing = [name for name in scenario.only if name not in {e.name for e in study.estimators}]
    if missing:
        raise StudyError(
            f"scenario {scenario.key!r} is for the estimator {missing[0]!r}, which the study "
            "does not "
            f"have; it has {', '.join(e.name for e in study.estimators)}"
        )
    answering = study.answering(scenario)
    known = {name for estimator in answering for name in estimator.parameters}
    for name, value in scenario.truth.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise StudyError(
                f"scenario {scenario.key!r}: truth names {name!r}, which no estimator has; they "
                "have "
                f"{', '.join(sorted(known))}{hint}"
            )
        if np.ndim(value) or np.asarray(value).dtype.kind not in "fiu" or not np.isfinite(value):
            raise StudyError(
                f"scenario {scenario.key!r}: the truth of {name!r} is {value!r}; due is one finite "
                "real number for each parameter"
            )
        for estimator in answering:
            if isinstance(estimator, MaximumLikelihood) and name in estimator.parameters:
                support = estimator.model.parameters[name]
                if not inside(np.array([value]), (support,)).all():
                    raise StudyError(
                        f"scenario {scenario.key!r}: the truth of {name!r} is {value!r}, outside "
                        f"its support {support!r} in model {estimator.model.name!r}"
                    )
    if not scenario.truth:
        raise StudyError(
            f"scenario {scenario.key!r} has an empty truth; name at least one of "
            f"{', '.join(sorted(known))}"
        )
