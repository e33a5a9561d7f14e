"""What README.md says is there: its commands, what they read, its links and pictures, its pages."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from heat_core.__main__ import COMMANDS, parser
from heat_core.pack import read_pack

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = sorted(set(re.findall(r"`(python -m [^`]+)`", TEXT)))


@pytest.mark.parametrize(
    "command", [line for line in SHOWN if "heat_core" in line and "COMMAND" not in line]
)
def test_a_command_is_understood_and_what_ships_is_where_it_reads(command: str) -> None:
    words = shlex.split(command.partition(">")[0])[3:]
    parser().parse_args(words)
    for word in words:
        if word.startswith("assets/") and (ROOT / "assets/packs").exists():
            assert (ROOT / word).exists()


def test_every_command_is_shown() -> None:
    assert {name for name, *_ in COMMANDS} == {
        line.split()[3] for line in SHOWN if "heat_core" in line
    } - {"COMMAND"}


@pytest.mark.parametrize("module", sorted({line.split()[2] for line in SHOWN}))
def test_a_module_that_is_run_is_there(module: str) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None


def test_the_first_lines_of_python_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a few seconds they fit HEAT to the pack that ships, and print figures as they say."""
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    figures = figures_in(capsys.readouterr().out)
    pack = read_pack(ROOT / "assets/packs/cifar10-resnet18")
    assert list(figures) == [f"{group}_{name}" for group, name in pack.ood]
    assert all(fpr95 < 60 < 85 < auroc for fpr95, auroc in figures.values())
    ((name, promised),) = figures_in(code).items()
    assert figures[name] == pytest.approx(promised, abs=1)


def figures_in(text: str) -> dict[str, tuple[float, float]]:
    """Returns {OOD set: (FPR95, AUROC)} in percent, of lines with numbers."""
    lines = re.findall(r"(\S+): FPR95 ([\d.]+)%, AUROC ([\d.]+)%", text)
    return {name: (float(fpr95), float(auroc)) for name, fpr95, auroc in lines}


def test_links_and_pictures_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(targets) > 8
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_pages_are_those_of_the_app() -> None:
    table = TEXT.split("| page | what it is for |")[1].split("\n\n")[0]
    pages = [
        name.lower().replace(" ", "_")
        for name in re.findall(r"^\| \*\*(.+?)\*\*", table, re.MULTILINE)
    ]
    assert sorted(pages) == sorted(path.parent.name for path in (ROOT / "app").glob("*/page.py"))
    assert all((ROOT / "assets" / "pages" / f"{page}.png").exists() for page in pages)


def test_make_knows_what_is_to_be_made() -> None:
    made = set(re.findall(r"`?make (\w+)", TEXT))
    assert made
    assert made <= set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
