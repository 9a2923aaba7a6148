"""Syntax trees and compiled code as canonical text, the same in every version of Python."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import types
from collections.abc import Sequence
from typing import Any

OTHER = "other statements"
_SILENT = {"ctx", "kind", "type_comment", "type_ignores"}


@functools.lru_cache(maxsize=256)
def parsed(content: bytes | str) -> ast.Module | None:
    """Parse a file and leave its docstrings out; None where it is no Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            del body[0]
    return tree


def canonical_dump(node: ast.AST) -> str:
    """Write a syntax tree as `ast.dump` does, but the same in every version of Python.

    Examples
    --------
    >>> import ast
    >>> from simstudy.user_code.syntax import canonical_dump
    >>> canonical_dump(ast.parse("f(1)", mode="eval").body)
    "Call(args=[Constant(1)],func=Name(id='f'))"
    """
    words: list[str] = []
    waiting: list[object] = [node]  # a word is a tuple; deep trees need no deep stack
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            words.append(item[0])
        elif isinstance(item, ast.AST):
            waiting += reversed(_parts(item))
        elif isinstance(item, list):
            parts = [part for held in item for part in ((",",), held)][1:]
            waiting += reversed([("[",), *parts, ("]",)])
        else:
            words.append(constant(item))
    return "".join(words)


def constant(value: object) -> str:
    """Write a constant of a program, in ASCII; a set in order."""
    if isinstance(value, frozenset | set):
        return f"{type(value).__name__}{sorted(map(constant, value))}"
    if isinstance(value, tuple):
        return f"({','.join(map(constant, value))})"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else hex(value)
    return ascii(value)


def _parts(node: ast.AST) -> list[object]:
    """List the words and fields of a node; what is empty is left out."""
    if isinstance(node, ast.Constant):
        return [(f"Constant({constant(node.value)})",)]
    fields = {name: getattr(node, name, None) for name in sorted(node._fields)}
    if isinstance(node, ast.JoinedStr):
        fields["values"] = _merged(node.values)
    kept = {name: value for name, value in fields.items()
            if name not in _SILENT and value is not None and value != []}  # fmt: skip
    parts = [part for name, value in kept.items() for part in ((",",), (f"{name}=",), value)]
    return [(f"{type(node).__name__}(",), *parts[1:], (")",)]


def _merged(values: Sequence[ast.expr]) -> list[ast.expr]:
    """Put neighboring texts of an f-string into one."""
    found: list[ast.expr] = []
    for value in values:
        last = found[-1] if found else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            found.append(value)
    return found


def _is_docstring(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


def bound_names(node: ast.stmt) -> list[tuple[str, str]]:
    """List the names that a statement binds, each with what binds it."""
    text, names = canonical_dump(node), []
    if isinstance(node, ast.Import | ast.ImportFrom):
        source = f"{node.module} {node.level}" if isinstance(node, ast.ImportFrom) else ""
        found = [(a.asname or a.name, f"import {source} {a.name}") for a in node.names]
        return [(OTHER if name == "*" else name, text) for name, text in found]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id if isinstance(target, ast.Name) else OTHER for target in targets]
    # what hides a name of Python's own may change any statement
    plain = all(name not in vars(builtins) for name in names)
    return [(name, text) for name in names] if names and plain else [(OTHER, text)]


# --- compiled code --------------------------------------------------------------------------------


def tree_of(compiled: types.CodeType) -> ast.AST | None:
    """Find the syntax tree of code; None where its file says something else by now."""
    linecache.checkcache(compiled.co_filename)
    source = "".join(linecache.getlines(compiled.co_filename))
    text = canonical_code(compiled)
    nodes = _nodes(source, compiled.co_filename).get(compiled.co_name, ()) if source else ()
    return next((node for node, own in nodes if own == text), None)


@functools.lru_cache(maxsize=64)
def _nodes(source: str, filename: str) -> dict[str, list[tuple[ast.AST, str]]]:
    """List the functions of a file by their names, each with what it is compiled to."""
    tree = parsed(source)
    if tree is None:
        return {}
    nodes: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            nodes.setdefault((getattr(node, "name", "<lambda>"), first), []).append(node)
    found: dict[str, list[tuple[ast.AST, str]]] = {}
    codes = [compile(source, filename, "exec", dont_inherit=True)]
    for code in codes:  # grows: functions within functions
        codes += [held for held in code.co_consts if isinstance(held, types.CodeType)]
        key = code.co_name, code.co_firstlineno
        own = [node for node in nodes.get(key, ()) if _holds(node, code)]
        if own:
            found.setdefault(code.co_name, []).append((max(own, key=_begins), canonical_code(code)))
    return found


def _begins(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _holds(node: Any, code: types.CodeType) -> bool:
    """Tell whether all of a code's instructions stand within a node, or it is no lambda."""
    if not isinstance(node, ast.Lambda):
        return True
    end = (node.end_lineno, node.end_col_offset)
    positions = {(line, column) for line, _, column, last in code.co_positions() if line and last}
    return all(_begins(node) <= position <= end for position in positions)


def canonical_code(compiled: types.CodeType) -> str:
    """Write compiled code without its docstring and without line numbers."""
    constants = list(compiled.co_consts)
    if compiled.co_flags & inspect.CO_NEWLOCALS and constants and isinstance(constants[0], str):
        constants[0] = None
    written = [canonical_code(held) if isinstance(held, types.CodeType) else constant(held)
               for held in constants]  # fmt: skip
    return f"{compiled.co_code.hex()} {compiled.co_names} {written}"
