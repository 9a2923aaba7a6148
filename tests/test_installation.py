"""The lock holds every package that pyproject.toml asks for, with its hashes, and no machine."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^# part: (\w+)\n((?:(?!# part:).*\n)*)", LOCK, re.MULTILINE))


def locked(part):
    """Read the requirements of a part, each with how many hashes it has."""
    entries = re.findall(r"^(?!#)(\S[^\\\n]*)\\\n((?:    --hash=sha256:\w{64}.*\n)+)", part, re.M)
    lines = [line for line in part.splitlines() if not line.startswith(("    --hash=", "#"))]
    assert len(entries) == len(lines)
    return [Requirement(name) for name, _ in entries]


def test_the_lock_has_a_part_for_each_extra():
    assert list(PARTS) == ["core", *(name for name in EXTRAS if name != "all")]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_lock_has_what_is_asked_for(name):
    """At one version for each Python, which is allowed."""
    asked = EXTRAS.get(name) or [
        *PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]
    ]  # fmt: skip
    held: dict[str, list[Requirement]] = {}
    for part in ("core", name):
        for entry in locked(PARTS[part]):
            held.setdefault(canonicalize_name(entry.name), []).append(entry)
    for requirement in map(Requirement, asked):
        versions = [str(entry.specifier) for entry in held[canonicalize_name(requirement.name)]]
        for version in versions:
            assert re.fullmatch(r"==[\w.]+", version)
            assert requirement.specifier.contains(version[2:]), requirement


def test_the_lock_names_no_host_and_no_folder():
    assert not re.search(r"https?:|file:|find-links|index-url|(^|\s)[./~]", LOCK)
