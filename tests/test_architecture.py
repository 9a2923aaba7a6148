"""The rules of the house that a program can check; each check is shown a text that breaks it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "simstudy"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOURCES = [
    *MODULES,
    *TESTS,
    *sorted(ROOT.glob("studies/*.py")),
    *sorted(ROOT.glob("benchmarks/*.py")),
]
PAGES = [
    path
    for pattern in (
        "*.md", "*.toml", "Makefile", ".ci/run", "docs/**/*.md", "benchmarks/*.md", "results/*.md",
        "simstudy/report/templates/*",
    )
    for path in sorted(ROOT.glob(pattern))
]  # fmt: skip

# a name that says nothing collects everything
EMPTY_NAMES = {"utils", "util", "base", "core", "helpers", "helper", "common", "types", "misc"}

LONGEST_FILE = 300
# file -> (lines allowed, why it is one file)
LONGER_FILES: dict[str, tuple[int, str]] = {}

OPTIONAL = {
    "dask", "distributed", "equinox", "iminuit", "jax", "jaxlib", "lineax", "numdifftools",
    "optimistix", "pyarrow",
}  # fmt: skip

# `allclose` without `assert` cannot fail, `almost_equal` counts decimals instead of digits, and
# `approx` compares arrays silently by other rules: only assert_allclose, with its tolerance said
WEAK_COMPARISONS = {
    "allclose", "approx", "assert_almost_equal", "assert_approx_equal",
    "assert_array_almost_equal", "isclose",
}  # fmt: skip

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(work|tmp|home|root|Users|mnt|opt)/\w|\b[A-Z]:\\\\?\w")


def name_called(call: ast.Call) -> str:
    """Return the last part of what is called: `f` of `f()`, `a.f()` and `a.b.f()`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield every call below `tree`."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def weak_comparisons(source: str) -> list[str]:
    """Find comparisons that cannot fail, or that do not say how close is close enough."""
    found = []
    for call in calls(ast.parse(source)):
        name = name_called(call)
        given = {keyword.arg for keyword in call.keywords}
        if name in WEAK_COMPARISONS:
            found.append(f"line {call.lineno}: {name}")
        if name == "assert_allclose" and len(call.args) < 3 and not given & {"rtol", "atol", None}:
            found.append(f"line {call.lineno}: assert_allclose without a tolerance")
    return found


def unasserted_tests(source: str) -> list[str]:
    """Find test functions that neither assert, nor expect an error, nor call a check."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        asserts = any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
        checks = any(
            name_called(call).startswith(("assert_", "check_", "raises", "warns", "fail"))
            for call in calls(node)
        )
        if not asserts and not checks:
            found.append(f"line {node.lineno}: {node.name}")
    return found


def bare_excepts(source: str) -> list[str]:
    """Find `except:` without a class; it would swallow KeyboardInterrupt."""
    return [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def optional_imports(source: str) -> list[str]:
    """Find imports of optional packages that run when the module is imported."""
    found = []

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            names = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                names = [child.module or ""]
            hits = [name for name in names if name.split(".")[0] in OPTIONAL]
            found.extend(f"line {child.lineno}: {name}" for name in hits)
            visit(child)

    visit(ast.parse(source))
    return found


def repaired_inverses(source: str) -> list[str]:
    """Find pseudo-inverses: no covariance is repaired without its own name in the table."""
    return [
        f"line {call.lineno}: {name_called(call)}"
        for call in calls(ast.parse(source))
        if name_called(call) in {"pinv", "pinvh"}
    ]


def machine_paths(text: str) -> list[str]:
    """Find paths that exist on one machine only."""
    return [
        f"line {number}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


def findings(check, paths: list[Path]) -> list[str]:
    """Apply a check to files and name the file in each finding."""
    return [
        f"{path.relative_to(ROOT)}, {finding}"
        for path in paths
        for finding in check(path.read_text(encoding="utf-8"))
    ]


def test_what_make_study_writes_is_not_kept_in_git():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["results/README.md"]


def test_modules_import_only_from_the_lines_below_their_own():
    """The contract stands in pyproject.toml; the lines of the design are its layers."""
    program = (
        "import sys; from importlinter.cli import lint_imports as f; sys.exit(f(no_logo=True))"
    )
    # cwd: import-linter reads the pyproject.toml of the folder it is started in
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_module_names_say_something():
    """A file is named by what it holds."""
    empty = [str(path.relative_to(ROOT)) for path in SOURCES if path.stem in EMPTY_NAMES]
    assert empty == []


def test_files_stay_short():
    """A longer file says here why it is one file."""
    long = {}
    for path in MODULES:
        name = str(path.relative_to(PACKAGE))
        allowed, _ = LONGER_FILES.get(name, (LONGEST_FILE, ""))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > allowed:
            long[name] = f"{lines} lines, {allowed} allowed"
    assert long == {}


def test_allowances_for_longer_files_are_needed():
    """An allowance goes when its file has become short."""
    for name, (allowed, reason) in LONGER_FILES.items():
        lines = len((PACKAGE / name).read_text(encoding="utf-8").splitlines())
        assert LONGEST_FILE < lines <= allowed, name
        assert len(reason.split()) > 3, name


@pytest.mark.parametrize(
    ("check", "paths"),
    [
        (weak_comparisons, TESTS),
        (unasserted_tests, TESTS),
        (bare_excepts, SOURCES),
        (optional_imports, MODULES),
        (repaired_inverses, MODULES),
        (machine_paths, [*SOURCES, *PAGES]),
    ],
)
def test_sources_keep_the_rule(check, paths):
    """Each rule holds in every file that it is about."""
    assert paths
    assert findings(check, paths) == []


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (
            weak_comparisons,
            "np.all" + "close(a, b)",
            "np.testing.assert_allclose(a, b, rtol=1e-12)",
        ),
        (weak_comparisons, "assert_allclose(a, b)", "assert_allclose(a, b, 1e-6)"),
        (unasserted_tests, "def test_x():\n    f()", "def test_x():\n    check_f(1)"),
        (
            bare_excepts,
            "try:\n    f()\nexcept:\n    pass",
            "try:\n    f()\nexcept OSError:\n    pass",
        ),
        (optional_imports, "import jax.numpy as jnp", "def f():\n    import jax"),
        (
            optional_imports,
            "try:\n    import dask\nexcept ImportError:\n    dask = 0",
            "import numpy",
        ),
        (repaired_inverses, "np.linalg.pinv(h)", "np.linalg.inv(h)"),
        (machine_paths, "see /" + "home/me/study.py", "see studies/gamma.py and https://x.org/a/b"),
        (machine_paths, "OUT = '/" + "tmp/results'", "OUT = 'results'"),
    ],
)
def test_each_check_can_fail(check, bad, good):
    """A check that finds nothing in a text that breaks its rule would be no check."""
    assert check(bad)
    assert check(good) == []
