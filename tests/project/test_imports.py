"""Who may import whom, that importing stays cheap, and that nothing on disk can run code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("heat_core", "app") for path in (ROOT / folder).rglob("*.py"))

# What each module of heat_core may import of heat_core. Later layers may import all earlier ones.
LAYERS = [
    {"files"},
    {"features", "metrics"},
    {"toys", "energies", "pseudo"},
    {"quadrature", "sampling"},
    {"negatives", "partition"},
    {"training"},
    {"diagnostics"},
    {"detectors"},
    {"learned"},
    {"recipes"},
    {"study"},
]
ALLOWED = {module: set().union(*LAYERS[:i]) for i, layer in enumerate(LAYERS) for module in layer}
ALLOWED |= {
    "__init__": set(),
    "benchmark": {"features", "metrics"},
    "published": {"features"},
    "plane": {"quadrature", "recipes", "study", "toys"},
    "report": {"benchmark", "features", "plane", "published"},
    "pictures": set(),
    "sheets": set(),
    "thresholds": set(),
    "selection": {"detectors", "energies", "features", "learned", "metrics", "pseudo", "study"},
    "gallery": {"datasets", "features", "sheets"},
    "projection": {"energies", "features"},
    "explain": {"energies", "features", "metrics", "study"},
    "verdicts": {"classifier", "datasets", "explain", "extract", "features", "metrics", "study"},
    "datasets": {"pictures", "sheets"},
    "fetching": {"datasets", "files"},
    "classifier": {"datasets", "features", "files"},
    "extract": {"classifier", "datasets", "energies", "features"},
    "packing": {
        "classifier",
        "datasets",
        "energies",
        "extract",
        "features",
        "files",
        "pseudo",
        "sheets",
    },
}

# What each part of app may not import, and which parts of app it may.
BANNED = {
    "views": {"torch", "sklearn", "umap", "timm"},
    "figures": {"streamlit", "torch"},
    "tables": {"streamlit", "torch"},
    "text": {"streamlit", "torch"},
    "planes": {"streamlit", "torch"},
    "selection": {"streamlit", "torch"},
    "maps": {"streamlit", "torch"},
    "colouring": {"streamlit", "torch"},
    "atlas": {"torch"},
    "toys": {"streamlit"},
    "chains": {"streamlit"},
    "landscapes": {"streamlit"},
    "lab": {"torch"},
    "relief": {"torch"},
    "picture": {"torch"},
    "insights": {"streamlit"},
    "inspector": {"torch"},
    "disagreement": {"torch"},
    "comparison": {"torch"},
    "evidence": {"torch"},
    "header": {"torch"},
    "steps": {"torch"},
    "story": {"streamlit", "torch"},
    "glossary": {"streamlit", "torch"},
}
APP = {
    "__init__": set(),
    "main": {"views", "session", "controls", "components"},
    "views": {
        "session",
        "controls",
        "figures",
        "tables",
        "text",
        "components",
        "tasks",
        "jobs",
        "lab",
        "relief",
        "picture",
    }
    | {
        "selection",
        "maps",
        "colouring",
        "atlas",
        "inspector",
        "disagreement",
        "comparison",
        "evidence",
        "header",
        "steps",
    },
    "header": {"controls", "glossary", "session", "tables", "text"},
    "steps": {"components", "figures", "story"},
    "lab": {"controls", "figures", "planes", "session", "text", "toys", "jobs"},
    "relief": {"components", "figures", "planes", "session", "text", "toys", "landscapes"},
    "picture": {"controls", "session", "tables", "text"},
    "comparison": {"controls", "figures", "selection", "session", "tables"},
    "atlas": {
        "colouring",
        "components",
        "controls",
        "figures",
        "inspector",
        "maps",
        "selection",
        "session",
        "tables",
        "text",
    },
    "evidence": {"controls", "figures", "inspector", "selection", "session", "tables", "text"},
    "disagreement": {"controls", "inspector", "selection", "session", "tables", "text"},
    "inspector": {
        "components",
        "controls",
        "figures",
        "insights",
        "selection",
        "session",
        "tables",
        "text",
    },
    "controls": {"session", "text", "components", "chains", "landscapes"},
    "session": {
        "tasks",
        "jobs",
        "toys",
        "chains",
        "insights",
        "landscapes",
        "maps",
        "selection",
        "story",
    },
    "maps": set(),
    "colouring": {"figures", "maps"},
    "story": set(),
    "glossary": set(),
    "tasks": {"jobs", "maps"},
    "toys": {"jobs"},
    "chains": set(),
    "landscapes": {"toys"},
    "insights": {"tasks"},
    "planes": {"figures"},
    "tables": {"insights", "selection"},
    "figures": set(),
    "selection": set(),
    "text": set(),
    "components": set(),
    "jobs": set(),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Gives the absolute dotted name of everything a file imports, inside functions too."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def parts_of(path: Path, package: str) -> set[str]:
    """Returns the modules directly below `package` that a file imports."""
    found = {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}
    return {
        part
        for part in found
        if (ROOT / package / part).is_dir() or (ROOT / package / f"{part}.py").is_file()
    }


@pytest.mark.parametrize("path", sorted((ROOT / "heat_core").glob("*.py")), ids=name_of)
def test_the_core_imports_downwards_only(path: Path) -> None:
    if path.stem in ("__main__", "commands"):
        return
    assert path.stem in ALLOWED, (
        f"{name_of(path)} has no layer yet: say in tests/test_imports.py what it may import."
    )
    above = parts_of(path, "heat_core") - ALLOWED[path.stem]
    assert not above, (
        f"{name_of(path)} imports {', '.join(sorted(above))}, which lies above or beside it."
    )


@pytest.mark.parametrize("path", sorted((ROOT / "heat_core").glob("*.py")), ids=name_of)
def test_the_core_knows_no_app(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path)} & {"streamlit", "plotly", "app"}
    assert not found, f"{name_of(path)} imports {', '.join(sorted(found))}."


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.is_relative_to(ROOT / "app")], ids=name_of
)
def test_the_app_imports_downwards_only(path: Path) -> None:
    part = path.relative_to(ROOT / "app").parts[0].removesuffix(".py")
    assert part in APP, (
        f"{name_of(path)} has no place yet: say in tests/test_imports.py what it may import."
    )
    banned = {name.split(".")[0] for name in imports(path)} & BANNED.get(part, set())
    assert not banned, f"{name_of(path)} imports {', '.join(sorted(banned))}."
    above = parts_of(path, "app") - {part} - APP[part]
    assert not above, (
        f"{name_of(path)} imports {', '.join(sorted(above))}, which lies above or beside it."
    )


def test_importing_the_core_does_not_import_torch() -> None:
    code = "import sys, heat_core; sys.exit(bool({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not {"pickle", "cPickle", "dill", "joblib", "cloudpickle"} & {
        name.split(".")[0] for name in imports(path)
    }
    safe = {
        "torch.load": ("weights_only", True),
        "np.load": ("allow_pickle", False),
        "numpy.load": ("allow_pickle", False),
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        if called in safe:
            keyword, wanted = safe[called]
            given = {k.arg: k.value for k in call.keywords}.get(keyword)
            is_safe = isinstance(given, ast.Constant) and given.value is wanted
            assert is_safe, (
                f"{name_of(path)}:{call.lineno} calls {called} without {keyword}={wanted}."
            )
