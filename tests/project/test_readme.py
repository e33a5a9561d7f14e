"""What README.md says is there: its commands, what they read, its links and pictures, its pages."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from heat_core.__main__ import COMMANDS, main, parser
from heat_core.bundles import bundle_of, save_bundle
from heat_core.detectors.closed_form import MSP
from heat_core.pack import read_pack
from heat_core.run import fit
from heat_core.thresholds import Conformal

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
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
    code, _ = PYTHON
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


def test_a_bundle_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands make what they say, and the lines of Python decide as the library does."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    pack = read_pack(Path("assets/packs/cifar10-resnet18"))
    bundle = bundle_of(fit(MSP(), pack.train), pack, Conformal(0.95))
    save_bundle(bundle, Path("runs/bundle"))
    section = TEXT.partition("## Running elsewhere")[2].partition("\n## ")[0]
    commands = re.findall(r"^python -m heat_core (.+)$", section, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert main(shlex.split(command)) == 0
    made = [file.name for file in sorted(Path("runs").glob("*/*")) if "card" not in file.name]
    assert made.count("model.onnx") == 2
    assert "score.py" in made
    capsys.readouterr()
    variables: dict[str, Any] = {}
    exec(compile(PYTHON[1], "README.md", "exec"), variables)
    wanted = bundle.decide(pack.ood["near", "cifar100"])
    assert variables["score"] == pytest.approx(wanted.scores, rel=1e-4, abs=1e-4)
    assert variables["stricter"].mean() == pytest.approx(0.9, abs=0.01)
    share = wanted.is_ood.mean()
    printed = re.findall(r"([\d.]+)%", capsys.readouterr().out)
    assert [float(text) for text in printed] == pytest.approx([100 * share, 90.0], abs=0.2)


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
