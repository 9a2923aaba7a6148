"""Code in words that are the same in the next process, and their hashes.

Comments, layout and docstrings do not count. Functions count with all that they are bound to:
closures, defaults, arguments of a partial.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import hashlib
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

OTHER = "other statements"
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def hashed(values: list[Any], path: str) -> str:
    """Hash values, functions among them, of a study whose file is at `path` (or "")."""
    return hashlib.blake2b(_words(values, path).encode(), digest_size=8).hexdigest()


def _words(value: Any, path: str, seen: frozenset[CodeType] = frozenset()) -> str:
    """Write a value in words that are the same in the next process.

    A function is its code and what binds it; where its code comes with a package, or stands in the
    study's file, at `path`, what binds it is enough, but for lambdas, which may stand in STUDY.
    """
    write = functools.partial(_words, path=path, seen=seen)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype} {value.shape} {hashlib.blake2b(value.tobytes()).hexdigest()}"
    if isinstance(value, functools.partial):
        return write([value.func, *value.args, value.keywords])
    if isinstance(value, Mapping):
        return str(sorted(f"{name}: {write(held)}" for name, held in value.items()))
    if isinstance(value, list | tuple):
        return str([write(held) for held in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return write([type(value).__qualname__, type(value), fields])
    if isinstance(value, type):
        return f"{value.__qualname__} {write(value.__dict__.get('__call__'))}"
    function = inspect.unwrap(value) if callable(value) else value
    compiled = getattr(function, "__code__", None)
    if compiled is None:
        return ADDRESS.sub("", repr(value)) + (write(type(value)) if callable(value) else "")
    if compiled in seen:
        return str(compiled.co_name)
    write = functools.partial(_words, path=path, seen=seen | {compiled})
    bound: list[Any] = [function.__defaults__, function.__kwdefaults__]
    bound += [cell.cell_contents for cell in function.__closure__ or ()]
    module = function.__module__ or ""
    if module.startswith("simstudy.") or "site-packages" in compiled.co_filename:
        return f"{module}.{function.__qualname__} {write(bound)}"
    if compiled.co_filename == path:
        own = _lambda(compiled, path) if compiled.co_name == "<lambda>" else ""
        return f"{function.__qualname__} {own} {write(bound)}"
    known = function.__globals__
    bound += [known[name] for name in compiled.co_names if _is_own(known.get(name), known)]
    return f"{_compiled(compiled, function.__doc__)} {write(bound)}"


def _is_own(value: Any, known: Mapping[str, Any]) -> bool:
    """Tell whether a global is a plain value, or a function written beside the one that uses it."""
    plain = isinstance(value, bool | int | float | str | np.ndarray)
    return plain or getattr(value, "__globals__", None) is known


def _compiled(compiled: CodeType, docstring: str | None) -> str:
    """Write compiled code without its docstring and without line numbers."""
    constants = [
        _compiled(constant, None) if isinstance(constant, CodeType) else repr(constant)
        for constant in compiled.co_consts
        if docstring is None or constant != docstring
    ]
    return f"{compiled.co_code.hex()} {compiled.co_names} {constants}"


def _lambda(compiled: CodeType, path: str) -> str:
    """Write the lambda of a file that was compiled to this, as its syntax tree."""
    places = {(line, column) for line, _, column, end in compiled.co_positions() if line and end}
    nodes = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Lambda)]
    nodes = [node for node in nodes if all(_holds(node, place) for place in places)]
    return ast.dump(max(nodes, key=_begins)) if places else str([ast.dump(node) for node in nodes])


def _begins(node: ast.Lambda) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _holds(node: ast.Lambda, place: tuple[int, int | None]) -> bool:
    end = (node.end_lineno, node.end_col_offset)
    return _begins(node) <= place <= end


@functools.lru_cache(maxsize=4)
def _parsed(content: bytes) -> ast.Module:
    """Parse a file and leave its docstrings out."""
    tree = ast.parse(content)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    return tree


def _tree(path: str) -> ast.Module:
    return _parsed(Path(path).read_bytes())


def statements(path: str) -> dict[str, str]:
    """Hash a file's statements, but for STUDY's, by the names that they bind."""
    texts: dict[str, str] = {}
    for node in _tree(path).body:
        for name, text in _bound(node):
            texts[name] = texts.get(name, "") + text
    return {
        name: hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        for name, text in texts.items()
    }


def _bound(node: ast.stmt) -> list[tuple[str, str]]:
    """List the names that a statement binds, each with what binds it."""
    text, names = ast.dump(node), []
    if isinstance(node, ast.Import | ast.ImportFrom):
        source = f"{node.module} {node.level}" if isinstance(node, ast.ImportFrom) else ""
        found = [(a.asname or a.name, f"import {source} {a.name}") for a in node.names]
        return [(OTHER if name == "*" else name, text) for name, text in found]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id if isinstance(target, ast.Name) else OTHER for target in targets]
    if names == ["STUDY"]:
        return []
    # what hides a name of Python's own may change any statement
    plain = all(name not in vars(builtins) for name in names)
    return [(name, text) for name in names] if names and plain else [(OTHER, text)]


def _is_docstring(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)
