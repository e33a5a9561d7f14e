"""`import heat_core as heat`: what it hands out, to checkers too, and that it is lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import heat_core as heat

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", heat.__all__)
def test_a_name_comes_from_the_module_that_defines_it(name: str) -> None:
    value = getattr(heat, name)
    assert getattr(value, "__module__", "heat_core").startswith("heat_core")
    assert getattr(heat, name) is value
    assert name in dir(heat)


def test_checkers_and_the_lazy_door_hand_out_the_same() -> None:
    tree = ast.parse(Path(heat.__file__).read_text(encoding="utf-8"))
    imports = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert imports == heat._MODULE_OF
    assert sorted(imports) == sorted(heat.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'heat_core' has no attribute 'Heat'"):
        heat.Heat  # noqa: B018


def test_a_name_without_torch_imports_no_torch() -> None:
    code = "import sys, heat_core as heat; heat.auroc; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
