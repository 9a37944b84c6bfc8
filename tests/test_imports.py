"""The dependency rules of the two products: who may import whom. See README, "How it is built"."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = ("conformance/subjects/", "conformance/mutants/")  # started, never imported
PURE = ("digest", "whiteout", "descriptor", "tarstream")
DOES_IO = {"os", "io", "subprocess", "socket", "shutil", "tempfile", "pathlib", "sqlite3", "ctypes"}


def modules_of(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        if not str(path.relative_to(ROOT)).startswith(PROCESSES):
            yield path


def imports_of(path):
    """Absolute names of all modules imported anywhere in the file, also inside functions."""
    package = ".".join(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def offenders(package, *forbidden):
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules_of(package)
        for name in imports_of(path)
        if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden)
    ]


def test_the_suite_never_imports_the_reference():
    assert offenders("harness", "layerfs", "conformance") == []
    assert offenders("conformance", "layerfs") == []


def test_the_reference_never_imports_the_suite():
    assert offenders("layerfs", "harness", "conformance", "pytest") == []


def test_nothing_imports_the_benchmark():
    assert offenders("layerfs", "benchmarks") == []
    assert offenders("harness", "benchmarks") == []
    assert offenders("conformance", "benchmarks") == []


def test_nothing_imports_the_command_line_of_the_reference():
    own = [line for line in offenders("layerfs", "layerfs.cli") if "__main__" not in line]
    assert own == []


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_no_input_or_output(module):
    path = ROOT / "layerfs" / f"{module}.py"
    assert {name.split(".")[0] for name in imports_of(path)} & DOES_IO == set()


@pytest.mark.parametrize(
    ("library", "home"),
    [
        # What ZFS is asked by has a package of its own.
        ("ctypes", {"layerfs/syscalls.py", "layerfs/zfs/library.py"}),
        ("sqlite3", {"layerfs/metastore.py"}),
        ("subprocess", {"layerfs/command.py"}),
    ],
)
def test_each_dangerous_library_has_one_caller(library, home):
    users = {line.split(" ")[0] for line in offenders("layerfs", library)}
    assert users <= home


def test_no_case_branches_on_the_name_of_a_subject_or_backend():
    """A case may know capabilities and limits; a comparison with a name would be a favour."""
    names = {path.name for path in (ROOT / "conformance/subjects").iterdir()} | {"zfs", "overlay"}
    found = []
    for package in ("conformance", "harness"):
        for path in modules_of(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Compare):
                    sides = [node.left, *node.comparators]
                    attributes = {s.attr for s in sides if isinstance(s, ast.Attribute)}
                    literals = {s.value for s in sides if isinstance(s, ast.Constant)}
                    if attributes & {"name", "backend"} and literals & names:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_starting_the_command_imports_neither_pydantic_nor_the_tar_engine():
    code = "import sys, layerfs.cli; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"pydantic", "layerfs.tarstream", "layerfs.apply", "sqlite3", "zstandard"}
