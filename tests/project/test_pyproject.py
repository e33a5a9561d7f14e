"""What pyproject.toml says: the version in one place, ranges that hold the pins, every extra."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from heat_core import __version__
from heat_core.__main__ import EXTRAS, main

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = PROJECT["name"]


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Returns {name: requirement} of some lines, without what leads to the project's own extras."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in parsed if each.name != NAME}


def pins(file: str) -> dict[str, Version]:
    """Returns {name: version} of a list of exact pins."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): Version(version) for name, version in pinned}


BASE = requirements(PROJECT["dependencies"])
BY_EXTRA = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def test_every_pin_lies_in_its_range_and_every_range_has_a_pin() -> None:
    ranges = BASE.copy()
    for extra in BY_EXTRA.values():
        ranges |= extra
    run, developed = pins("requirements.txt"), pins("requirements-dev.txt")
    no_page_needs = set(BY_EXTRA["onnx"]) | set(BY_EXTRA["serve"])
    assert set(run) == set(ranges) - no_page_needs
    pinned = developed | run
    outside = [name for name, each in ranges.items() if pinned[name] not in each.specifier]
    assert outside == []


ALL = sorted({*BASE, *(name for extra in BY_EXTRA.values() for name in extra)})


@pytest.mark.parametrize("name", ALL)
def test_a_range_is_bounded_on_both_sides(name: str) -> None:
    everywhere = [extra[name] for extra in (BASE, *BY_EXTRA.values()) if name in extra]
    assert len({str(each.specifier) for each in everywhere}) == 1
    operators = {each.operator for each in everywhere[0].specifier}
    assert operators == {">=", "<"}


def test_every_extra_is_known_to_the_command_line_and_all_is_all() -> None:
    distributions = metadata.packages_distributions()
    reached = {"all"}
    for module, extra in EXTRAS.items():
        offered = {canonicalize_name(name) for name in distributions[module]}
        assert offered & set(BY_EXTRA[extra]), f"{extra} does not install {module}."
        assert not offered & set(BASE)
    for name in ("all", "app"):
        for line in PROJECT["optional-dependencies"][name]:
            if Requirement(line).name == NAME:
                reached |= Requirement(line).extras
    assert reached == set(BY_EXTRA)


def test_another_missing_module_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'hat'", name="hat.brim")

    monkeypatch.setattr("heat_core.commands.names.json.dumps", fail)
    with pytest.raises(ModuleNotFoundError, match="hat"):
        main(["list", "--json"])


def test_the_version_stands_in_one_place() -> None:
    files = [ROOT / "pyproject.toml"]
    for folder in ("heat_core", "app"):
        files += sorted((ROOT / folder).rglob("*.py"))
    written = re.compile(rf"""["']{re.escape(__version__)}["']""")
    found = [file for file in files if written.search(file.read_text(encoding="utf-8"))]
    assert found == [ROOT / "heat_core" / "version.py"]
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
