"""Canonical text of values, functions and classes among them: the same in every process; hashes.

A function counts with all that it is bound to: closures, defaults, arguments of a partial. Where it
stands in a file whose statements are hashed (see `simstudy.user_code.dependencies`) its name tells
the rest; any other is written with its code and with what it uses: globals, classes, functions of
other modules. What is installed is told by its name.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import linecache
import random
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simstudy.user_code.data_files import data_files
from simstudy.user_code.dependencies import hash_statements, is_user_file, with_files
from simstudy.user_code.syntax import canonical_code, canonical_dump, constant, tree_of

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# made anew by every class, or by Python
_MADE = {
    "__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__dataclass_params__",
    "__dataclass_fields__", "__match_args__", "__parameters__", "__orig_bases__",
}  # fmt: skip
_GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)


def hash_values(values: list[Any], known: Collection[str] = ()) -> str:
    """Hash values; data files that strings among them name follow with their own hashes.

    Parameters
    ----------
    values : list
        Functions among them.
    known : collection of str
        Files whose statements are hashed elsewhere.
    """
    writer = _Writer(known, {}, {}, {})
    digest = hashlib.blake2b(_canonical(values, writer).encode(), digest_size=8).hexdigest()
    return with_files(digest, writer.files)


def canonical_repr(value: Any) -> str:
    """Write a method as its `repr` does, but a set in order and functions by their names.

    Examples
    --------
    >>> from simstudy.user_code.code_hash import canonical_repr
    >>> canonical_repr({"b", "a"}), canonical_repr(len)
    ("{'a', 'b'}", 'len')
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr)
        given = ", ".join(f"{name}={canonical_repr(held)}" for name, held in fields)
        return f"{type(value).__qualname__}({given})"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(canonical_repr, value)))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(canonical_repr, value))})"
    if isinstance(value, Mapping):
        items = (f"{canonical_repr(key)}: {canonical_repr(held)}" for key, held in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if callable(value):
        return getattr(value, "__qualname__", ADDRESS.sub("", repr(value)))
    return ADDRESS.sub("", repr(value))


@dataclasses.dataclass(frozen=True, slots=True)
class _Writer:
    """What is known while values are written: files told elsewhere, and what was written before."""

    known: Collection[str]
    done: dict[int, tuple[Any, str]]
    open: dict[int, None]
    files: dict[str, str]


def _canonical(value: Any, writer: _Writer) -> str:
    """Write a value as text that is the same in every process."""
    if isinstance(value, str | Path):
        for file in data_files([str(value)], [Path()]):
            digest = hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
            writer.files[str(value)] = digest
        return ascii(str(value))
    if isinstance(value, np.generic):
        return f"{value.dtype} {constant(value.item())}"
    if value is None or type(value) in (bool, int, float, complex, bytes):
        return constant(value)
    if id(value) in writer.done:
        return writer.done[id(value)][1]
    if id(value) in writer.open:
        return "itself"
    writer.open[id(value)] = None
    text = _composed(value, writer)
    del writer.open[id(value)]
    if len(text) > 200:  # what many functions use is written once
        text = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    writer.done[id(value)] = value, text
    return text


def _composed(value: Any, writer: _Writer) -> str:
    """Write what has parts."""
    write = functools.partial(_canonical, writer=writer)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype} {value.shape} {hashlib.blake2b(value.tobytes()).hexdigest()}"
    if isinstance(value, functools.partial):
        return write([value.func, *value.args, value.keywords])
    if isinstance(value, Mapping):
        return str(sorted(f"{write(name)}: {write(held)}" for name, held in value.items()))
    if isinstance(value, set | frozenset):
        return f"set {sorted(map(write, value))}"
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return str([write(held) for held in value])
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name} {write(value.value)}"
    if isinstance(value, types.MethodType):
        return write([value.__func__, value.__self__])
    if isinstance(value, staticmethod | classmethod):
        return write([type(value).__name__, value.__func__])
    if isinstance(value, property):
        return write(["property", value.fget, value.fset, value.fdel])
    if isinstance(value, functools.cached_property):
        return write(["property", value.func])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return write([type(value), fields])
    if isinstance(value, type):
        return _class(value, writer)
    wraps = callable(value) and not isinstance(value, types.FunctionType)
    function = inspect.unwrap(value) if wraps else value  # compiled or cached
    if isinstance(function, types.FunctionType):
        return _function(function, writer)
    if isinstance(value, types.BuiltinFunctionType | np.ufunc):
        return f"{getattr(value, '__module__', '')} {getattr(value, '__name__', '')}"
    return _object(value, writer)


def _object(value: Any, writer: _Writer) -> str:
    """Write an object as its class and what a pickle of it would hold."""
    if isinstance(value, _GENERATORS):
        return type(value).__name__  # it moves on with every number
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:
        held = getattr(value, "__dict__", {})
        text = "" if held else ADDRESS.sub("", repr(value))
        return _canonical([text, type(value), dict(held)], writer)
    if isinstance(reduced, str):
        return f"{type(value).__qualname__} {reduced}"
    parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
    return _canonical(parts, writer)


def _class(kind: type, writer: _Writer) -> str:
    """Write a class: by its name where that tells it, else with its bases and attributes."""
    file, name = _file(kind.__module__), kind.__qualname__
    if _is_installed(kind.__module__, file):
        return f"{kind.__module__.partition('.')[0]}.{name}"
    if file in writer.known:
        return name
    if issubclass(kind, enum.Enum):
        return _canonical([name, {member.name: member.value for member in kind}], writer)
    held = {key: value for key, value in vars(kind).items() if not _is_made(key, value)}
    fields = getattr(kind, "__dataclass_fields__", {})
    held |= {f"field {key}": [field.default, field.default_factory]
             for key, field in fields.items()}  # fmt: skip
    return _canonical([name, [base for base in kind.__bases__ if base is not object], held], writer)


def _is_made(key: str, value: Any) -> bool:
    """Tell whether an attribute of a class was made by Python, or follows from the fields."""
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    file = getattr(code, "co_filename", "")
    # dataclasses and named tuples have more of them in newer versions of Python
    generated = file == "<string>" or (key.startswith("_") and _is_installed(None, file))
    slot = isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
    return key in _MADE or key.startswith("_abc_") or generated or slot


def _function(function: types.FunctionType, writer: _Writer) -> str:
    """Write a function: what it is bound to, and its code where its name does not tell that."""
    compiled, name = function.__code__, function.__qualname__
    bound: list[Any] = [function.__defaults__, function.__kwdefaults__, vars(function)]
    bound += [_held(cell) for cell in function.__closure__ or ()]
    file = compiled.co_filename
    if file.startswith("<") and not linecache.getlines(file):
        file = _file(function.__module__)
    if _is_installed(function.__module__, file):
        own = _is_installed(function.__module__, _file(function.__module__))
        package = (function.__module__ or "").partition(".")[0] if own else ""
        return f"{package}.{name} {_canonical(bound, writer)}"
    is_lambda = compiled.co_name == "<lambda>"
    if file in writer.known and not is_lambda:
        return f"{name} {_canonical(bound, writer)}"
    node = tree_of(compiled)
    if file in writer.known and node:
        return f"{name} {canonical_dump(node)} {_canonical(bound, writer)}"
    text = canonical_dump(node) if node else canonical_code(compiled)
    return f"{text} {_canonical([bound, _used(compiled, function.__globals__)], writer)}"


def _file(module: str | None) -> str:
    return getattr(sys.modules.get(module or ""), "__file__", None) or ""


def _is_installed(module: str | None, file: str) -> bool:
    """Tell whether a function or class comes with Python, a package or simstudy."""
    top = (module or "").partition(".")[0]
    return top in sys.stdlib_module_names | {"simstudy"} or bool(file and not is_user_file(file))


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


def _used(compiled: types.CodeType, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what code and the functions within it use: globals, attributes of modules, imports."""
    found: dict[str, Any] = {}
    codes = [compiled]
    for code in codes:  # grows: functions within functions
        codes += [held for held in code.co_consts if isinstance(held, types.CodeType)]
        strings = [held for held in code.co_consts if isinstance(held, str)]
        if strings:
            found.setdefault("strings", []).extend(s for s in strings if data_files([s], [Path()]))
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME":
                found |= _imported(str(step.argval))
            elif step.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME")) and step.argval in known:
                found |= _reached(step.argval, known[step.argval], code.co_names)
    return found


def _reached(name: str, value: Any, names: Collection[str]) -> dict[str, Any]:
    """Return a global; of a module of the user's the attributes that are named beside it."""
    if not isinstance(value, types.ModuleType):
        return {name: value}
    found: dict[str, Any] = {}
    waiting = [(name, value)]
    while waiting:
        path, module = waiting.pop()
        if not is_user_file(getattr(module, "__file__", None) or __file__):
            continue
        for attribute in names:
            held = vars(module).get(attribute)
            if isinstance(held, types.ModuleType):
                if held is not module:
                    waiting.append((f"{path}.{attribute}", held))
            elif attribute in vars(module):
                found[f"{path}.{attribute}"] = held
    return found


def _imported(name: str) -> dict[str, Any]:
    """Return the statements of a module of the user's that a function imports when it is called."""
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return {}
    file = spec.origin if spec and spec.has_location else None
    if not file or not is_user_file(file) or not Path(file).is_file():
        return {}
    return {f"import {name}": hash_statements(file)}
