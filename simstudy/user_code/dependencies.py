"""What of the user's a study's file can reach: modules that its code imports, data that it names.

Told from the syntax trees, so that what a function imports or reads only when it is called counts
too; comments, layout and docstrings do not. What is installed is not looked at: it is told by its
version. Nothing here depends on Python's version or on the seed of its hashes.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path

from simstudy.user_code.data_files import data_files, folders_of, strings_of
from simstudy.user_code.syntax import OTHER, bound_names, canonical_dump, parsed

_INSTALLED = {"site-packages", "dist-packages"}
_OURS = str(Path(__file__).parents[1]) + os.sep
_PYTHONS = tuple({sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib")})


@dataclass(frozen=True, slots=True)
class Module:
    """A file of the user's: its bytes, its syntax tree (None where there is none), its package."""

    path: Path
    content: bytes
    tree: ast.Module | None
    package: str

    @property
    def name(self) -> str:
        """The full name by which it is imported."""
        if self.path.name == "__init__.py":
            return self.package
        return f"{self.package}.{self.path.stem}".lstrip(".")


def is_user_file(path: str) -> bool:
    """Tell whether a file is the user's: neither Python's, nor installed, nor simstudy's.

    Examples
    --------
    >>> import json, numpy
    >>> from simstudy.user_code.dependencies import is_user_file
    >>> [is_user_file(path) for path in ("study.py", json.__file__, numpy.__file__)]
    [True, False, False]
    """
    if path.startswith(("<frozen ", "<string>")) or path.endswith((".pyx", ".pxd")):
        return False  # imports, what dataclasses make, what was compiled
    whole = os.path.abspath(path)
    return not whole.startswith((_OURS, *_PYTHONS)) and _INSTALLED.isdisjoint(Path(whole).parts)


def is_simstudy_file(path: str) -> bool:
    """Tell whether a file is simstudy's.

    Examples
    --------
    >>> import simstudy
    >>> from simstudy.user_code.dependencies import is_simstudy_file
    >>> is_simstudy_file(simstudy.__file__), is_simstudy_file("study.py")
    (True, False)
    """
    return os.path.abspath(path).startswith(_OURS)


def modules(path: str, package: str = "") -> list[Module]:
    """List a study's file and, in the order of their paths, all modules of the user's it reaches.

    Parameters
    ----------
    path : str
        Of the study's file.
    package : str
        To which it belongs.
    """
    found: dict[Path, Module] = {}
    waiting = [(Path(path), package)]
    while waiting:
        here, package = waiting.pop()
        if here in found:
            continue
        content = here.read_bytes()
        found[here] = Module(here, content, parsed(content), package)
        waiting += _imported(found[here].tree, package).items()
    first = found.pop(Path(path))
    return [first, *(found[here] for here in sorted(found))]


def hash_statements(path: str) -> dict[str, str]:
    """Hash the statements of all that a study's file reaches, but for STUDY's.

    Parameters
    ----------
    path : str
        Of the study's file.

    Returns
    -------
    dict of str to str
        By the names that statements bind, those of other modules after `<file>: `. A hash is that
        of the syntax tree and of where its imports lead; the data files that a statement names
        follow, each with the hash of its bytes. What may change any statement is one entry.
    """
    every = modules(path)
    home = Path(path).parent
    starred = {file for module in every for file in _starred(module)}
    texts: dict[str, str] = {}
    named: dict[str, dict[str, str]] = {}
    for module in every:
        prefix = "" if module.path == Path(path) else f"{_relative(module.path, home)}: "
        texts[prefix + OTHER] = "" if module.tree else _hash(module.content)
        # a new name may hide one that came unnamed
        apart = module.path not in starred and not _stars(module)
        folders = folders_of(module.path, module.tree)
        for node in module.tree.body if module.tree else ():
            files = data_files(strings_of(node), folders)
            for name, text in bound_names(node):
                if name == "STUDY" and module is every[0]:
                    continue
                key = prefix + (name if apart else OTHER)
                leads = sorted(_relative(to, home) for to in _imported(node, module.package))
                texts[key] = texts.get(key, "") + text + "".join(leads)
                if files:
                    own = named.setdefault(key, {})
                    own |= {_relative(file, home): _hash(file.read_bytes()) for file in files}
    return {name: with_files(_hash(text.encode()), named.get(name, {}))
            for name, text in texts.items()}  # fmt: skip


def with_files(digest: str, files: Mapping[str, str]) -> str:
    """Write a hash and those of data files.

    Examples
    --------
    >>> from simstudy.user_code.dependencies import with_files
    >>> with_files("0123", {"data.csv": "4567"})
    '0123, data.csv 4567'
    """
    return ", ".join([digest, *(f"{name} {files[name]}" for name in sorted(files))])


def hash_files(path: str) -> dict[Path, str]:
    """Hash the bytes of each module that a study's file reaches: which version of them this is."""
    return {module.path: _hash(module.content) for module in modules(path)}


def version(files: Mapping[Path, str]) -> str:
    """Hash what `hash_files` returned."""
    return _hash(repr(sorted((str(file), digest) for file, digest in files.items())).encode())


def forget_changed(path: str) -> None:
    """Let Python import modules anew that are no longer those that the study's file means.

    Those that it imported from files of other bytes than they have now, all of them where one was
    changed, because they import one another; and those of another study's folder that have the
    name of a file in this one's.
    """
    home = Path(path).parent
    for name, module in list(sys.modules.items()):
        file, here = getattr(module, "__file__", None) or "", home.joinpath(*name.split("."))
        namesake = here.with_suffix(".py").is_file() and Path(file).stem == here.name
        if namesake and Path(file).parent != here.parent and is_user_file(file):
            del sys.modules[name]
    own = _loaded(path)
    if any(getattr(module, "__simstudy__", now) != now for module, now in own.values()):
        for name in own:
            del sys.modules[name]


def remember(path: str) -> None:
    """Note at modules from which bytes they were imported, for `forget_changed`."""
    for module, now in _loaded(path).values():
        vars(module).setdefault("__simstudy__", now)


def _loaded(path: str) -> dict[str, tuple[object, str]]:
    """Return the loaded modules that a study's file reaches, with the hashes of their files."""
    files = {str(file): digest for file, digest in hash_files(path).items() if str(file) != path}
    return {
        name: (module, files[file])
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) in files and name != "__main__"
    }


# --- imports --------------------------------------------------------------------------------------


def _imported(node: ast.AST | None, package: str) -> dict[Path, str]:
    """Map the user's files that the imports of a tree lead to, to their packages."""
    found: dict[Path, str] = {}
    for name in dict.fromkeys(_imports(node, package) if node else ()):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            spec = _spec(".".join(parts[:count]))
            if spec is None or (spec.has_location and not is_user_file(spec.origin or "")):
                break
            if spec.has_location and spec.origin and Path(spec.origin).is_file():
                found[Path(spec.origin)] = spec.parent or ""
    return found


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full names of what a tree may import, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):  # relative, without a package
                source = resolve_name("." * node.level + (node.module or ""), package)
                yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and canonical_dump(node.func).endswith(
            ("'import_module')", "'__import__')")
        ):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                with contextlib.suppress(ImportError):
                    yield resolve_name(first.value, package)


def _spec(name: str) -> ModuleSpec | None:
    """Find a module as Python would, without importing it."""
    if name.partition(".")[0] in sys.stdlib_module_names | {"simstudy"}:
        return None
    if name in sys.modules:
        spec: ModuleSpec | None = getattr(sys.modules[name], "__spec__", None)
        return spec
    parent, locations = name.rpartition(".")[0], None
    if parent:
        above = _spec(parent)
        locations = above.submodule_search_locations if above else None
        if locations is None:
            return None
    for finder in sys.meta_path:
        with contextlib.suppress(ImportError, AttributeError, KeyError, ValueError):
            found = finder.find_spec(name, locations)
            if found is not None:
                return found
    return None


def _stars(module: Module) -> list[ast.ImportFrom]:
    """List the imports of all names."""
    nodes = ast.walk(module.tree) if module.tree else ()
    return [n for n in nodes if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]


def _starred(module: Module) -> Iterator[Path]:
    """Yield the files of modules of which this one imports all names, new ones too."""
    for node in _stars(module):
        yield from _imported(node, module.package)


def _relative(path: Path, home: Path) -> str:
    try:
        return Path(os.path.relpath(path, home.resolve())).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
