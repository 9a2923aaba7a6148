"""Modules of the user's in a process that has not their files: imported from sources sent along."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType

from simstudy.processes.names import process_name
from simstudy.user_code.dependencies import modules

Sources = Mapping[str, tuple[str, bytes]]
"""By the full name of a module: its file, and what that holds."""


def sources(loaded: Iterable[ModuleType]) -> dict[str, tuple[str, bytes]]:
    """Return what some modules of a study can reach, those included.

    Modules that are imported when a function is called count, too.
    """
    found = {}
    for root in loaded:
        first, *others = modules(str(root.__file__), root.__package__ or "")
        for name, module in [(root.__name__, first), *((other.name, other) for other in others)]:
            if module.tree is not None and name.partition(".")[0] not in sys.stdlib_module_names:
                found[name] = (str(module.path), module.content)
    return found


def install(sent: Sources, sender: str) -> None:
    """Let this process import what another one sent, before what it may find itself.

    What an earlier study sent, under the same name, is forgotten. In the process of the sender
    nothing happens.

    Parameters
    ----------
    sent : mapping
        As of `sources`.
    sender : str
        `simstudy.processes.names.process_name` of the other process.
    """
    if sender == process_name():
        return
    before = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    if any(finder.sent == sent for finder in before):
        return
    for name, module in list(sys.modules.items()):
        if isinstance(getattr(module, "__loader__", None), _Finder):
            del sys.modules[name]
    for finder in before:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, _Finder(sent))


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds and loads modules whose sources were sent (`sys.meta_path` of Python)."""

    sent: Sources

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Describe a module that was sent, or a folder of such without a file of its own."""
        within = any(other.startswith(f"{name}.") for other in self.sent)
        if name not in self.sent:
            return ModuleSpec(name, None, is_package=True) if within else None
        file, _ = self.sent[name]
        package = file.endswith("__init__.py")
        spec = ModuleSpec(name, self, origin=file, is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source."""
        file, content = self.sent[module.__name__]
        exec(compile(content, file, "exec"), vars(module))

    def get_source(self, name: str) -> str:
        """Return the text, for tracebacks."""
        return self.sent[name][1].decode(errors="replace")
