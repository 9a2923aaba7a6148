"""A study is loaded from its file, in this process and in every worker."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from simstudy.design.mechanism import Mechanism
from simstudy.design.scenario import Scenario
from simstudy.design.study import Study
from simstudy.errors import StudyError
from simstudy.estimators.maximum_likelihood import MaximumLikelihood
from simstudy.files.writing import relative_path
from simstudy.likelihood.model import Model
from simstudy.user_code import dependencies
from simstudy.user_code.tracebacks import refused_call

_PARTS = (Study, Scenario, Mechanism, Model, MaximumLikelihood)


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
