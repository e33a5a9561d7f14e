"""Notebooks of docs/ run, and print what stands in them.

Run `python -m tests.project.test_notebooks` to write anew what their cells print.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))
NUMBER = re.compile(r"-?\+?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?")


def executed(notebook: dict[str, Any]) -> list[str]:
    """Returns what each code cell of a notebook prints, run in order in one namespace."""
    namespace: dict[str, Any] = {"__name__": "notebook"}
    printed = []
    for cell in code_cells(notebook):
        with redirect_stdout(io.StringIO()) as output:
            exec(compile("".join(cell["source"]), "cell", "exec"), namespace)
        printed.append(output.getvalue())
    return printed


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def stored_output(cell: dict[str, Any]) -> str:
    return "".join(line for output in cell["outputs"] for line in output["text"])


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_stands_in_it(path: Path, monkeypatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for printed, cell in zip(executed(notebook), code_cells(notebook), strict=True):
        stored = stored_output(cell)
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", stored)
        # Processors differ in the last digits of a training: by less than what a claim rests on.
        assert numbers(printed) == pytest.approx(numbers(stored), rel=0.05, abs=0.05)


def test_there_is_a_notebook_and_its_tests_would_see_another_number() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["energy_article"]
    assert numbers("FPR95 of 1,000: 39.8 % (-.5 to +0.41, 1e-15)") == [
        95,
        1000,
        39.8,
        5,
        0.41,
        1e-15,
    ]


def write_outputs(path: Path) -> None:
    """Writes what a notebook's cells print into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    printed = executed(notebook)
    for count, (cell, text) in enumerate(zip(code_cells(notebook), printed, strict=True), 1):
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}
        cell.update(execution_count=count, outputs=[stream] if text else [])
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for notebook_path in NOTEBOOKS:
        write_outputs(notebook_path)
