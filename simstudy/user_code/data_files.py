"""Data files that code names: those of its strings that are the names of files."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_WRITES = re.compile(r"[rbt]*[wax+][rbt+]*")
_LONGEST_NAME = 1024


def data_files(strings: Iterable[str], folders: Sequence[Path]) -> list[Path]:
    """List the files that strings name, absolutely or from one of these folders."""
    found: dict[Path, None] = {}
    for text in strings:
        for folder in folders if _may_name(text) else ():
            place = folder / os.path.expanduser(text.lstrip("/") if folder.parts else text)
            with contextlib.suppress(OSError, ValueError):
                if place.is_file() and os.access(place, os.R_OK):
                    found[place.resolve()] = None
    return sorted(found)


def strings_of(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a tree, but for those of a file that is opened to be written."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if not (isinstance(node, ast.Call) and _is_written(node)):
            waiting += ast.iter_child_nodes(node)


def _is_written(call: ast.Call) -> bool:
    """Tell whether a call opens a file in a mode that writes."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in ("write_text", "write_bytes", "touch", "unlink"):
        return True
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    modes = [value.value for value in given if isinstance(value, ast.Constant)]
    return name == "open" and any(isinstance(m, str) and _WRITES.fullmatch(m) for m in modes)


def _may_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.strip("./") != "" and text.isprintable()


def folders_of(path: Path, tree: ast.AST | None) -> list[Path]:
    """List the folders from which a module may name files: also those that it names itself."""
    found = [Path(), path.parent, path.parent.parent]
    strings = set(strings_of(tree)) if tree else set()
    names = [text.strip("/") for text in sorted(strings) if _may_name(text)]
    for folder in found:  # grows: folders within folders
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                place = folder / name
                if place.is_dir() and place not in found and len(found) < 50:
                    found.append(place)
    return found
