from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import observe, packing, relay

FOLDER = Path(packing.__file__).parent
SETS = {"observer": observe._MODULES, "relay": relay.MODULES}


def imported(tree):
    """Return what a module imports, but for what only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "harness":
            yield from (f"harness.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        yield from imported(node)


@pytest.mark.parametrize(
    ("which", "name"), [(which, name) for which, names in SETS.items() for name in names]
)
def test_what_travels_to_the_host_is_python_3_9_and_standard_library_only(which, name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    packed = {f"harness.{one}" for one in SETS[which]}
    assert {
        one for one in imported(tree) if one.partition(".")[0] not in sys.stdlib_module_names
    } <= packed


@pytest.mark.parametrize("which", SETS)
def test_a_bare_python_imports_what_was_packed(which, tmp_path):
    file = tmp_path / "packed.zip"
    file.write_bytes(packing.packed(SETS[which]))
    program = f"import sys; sys.path.insert(0, {str(file)!r}); import harness.{which} as m; "
    program += "print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == os.path.join(file, "harness", f"{which}.py"), done.stderr


def test_a_packed_file_can_be_a_program(tmp_path):
    file = tmp_path / "program.pyz"
    file.write_bytes(packing.packed(["address"], "import harness.address; print('ran')"))
    done = subprocess.run([sys.executable, file], capture_output=True, check=True)
    assert done.stdout == b"ran\n"
