"""Who may import whom, that importing stays cheap, and that nothing on disk can run code."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("heat_core", "app")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGE_NAMES = {page.parent.name for page in (ROOT / "app").glob("*/page.py")}

# The folders and modules of a package, the lowest line first. A place may import every line below
# its own, itself, and nothing else of the package.
LAYERS = {
    "heat_core": (
        {"arguments", "messages", "polygons", "progress", "set_name", "texts", "version"},
        {"files", "list_columns", "metadata", "npz"},
        {"features", "labels", "metrics", "table_files", "threads"},
        {"pack", "splits"},
        {"pack_files", "scores"},
        {"energies", "thresholds"},
        {"sampling", "projection", "monitoring"},
        {"log_partition"},
        {"training"},
        {"diagnostics", "images"},
        {"detectors"},
        {"run_version_3", "run_version_5"},
        {"run"},
        {"explain", "flips", "model_selection", "plane"},
        {"bundles", "streams"},
        {"assumptions", "export", "judge", "results"},
        {"serving"},
        {"commands"},
        {"__main__"},
        {"__init__"},
    ),
    "app": (
        {"colour_scale", "incoming", "kept", "left_files"},
        {"figures", "text", "glossary", "components", "slots", "warm_up"},
        {"job", "turns"},
        {"jobs"},
        {"uploads"},
        {"server"},
        {"session"},
        {"plane", "pack"},
        PAGE_NAMES,
        {"main"},
        {"__init__"},
    ),
}

# What stands beside the others in heat_core: these alone may import it.
BESIDE = {
    "images": {
        "assumptions",
        "detectors",
        "model_selection",
        "export",
        "judge",
        "serving",
        "commands",
    },
    "monitoring": {"commands"},
    "plane": {"results", "commands"},
    "projection": {"commands"},
    "thresholds": {"bundles", "export", "monitoring", "results", "commands"},
}

# What is imported slowly, or only by what is seen, and the files that do without it.
SLOW = {"torch", "sklearn", "umap", "timm"}
PURE = {
    "tables",
    "colours",
    "rendering",
    "layout",
    "items",
    "text",
    "figures",
    "glossary",
    "same_share",
    "story",
    "evaluation",
    "shipment",
    "work",
    "contours",
    "before_after",
    "export",
}
# without a page
BACKGROUND = {
    *("slots", "turns", "job", "jobs", "warm_up", "uploads", "kept", "kept_results"),
    *("training", "chains", "reading", "insight"),
}


class Import(NamedTuple):
    """A line of a file that imports something: its number, and the absolute dotted name."""

    line: int
    name: str

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Returns everything a file imports, inside functions and for type checkers, too."""
    package = path.relative_to(ROOT).parent.parts
    imports = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imports += [Import(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            stem = [*parents, node.module] if node.module else parents
            names = [".".join([*stem, alias.name]) for alias in node.names]
            imports += [Import(node.lineno, name) for name in names]
    return tuple(imports)


def place_of(module: str) -> tuple[str, str]:
    """Returns the package of a dotted name, and the folder or module directly below it."""
    package, _, below = module.partition(".")
    place = below.partition(".")[0]
    folder = ROOT / package / place
    if place and (folder.is_dir() or folder.with_suffix(".py").is_file()):
        return package, place
    return package, "__init__"  # a name that the package itself hands out


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_below(package: str, lower: str, place: str) -> bool:
    """Returns whether a place may import a lower one by the layers."""
    levels = {name: level for level, names in enumerate(LAYERS[package]) for name in names}
    return lower == place or levels[lower] < levels[place]


def libraries_refused(path: Path) -> dict[str, str]:
    """Returns {library: the rule by which this file may not import it}."""
    package, place = place_of(module_of(path))
    if package == "heat_core":
        return dict.fromkeys(("streamlit", "plotly", "app"), "heat_core knows no app")
    rules: dict[str, str] = {}
    if place in PAGE_NAMES:
        rules |= dict.fromkeys(SLOW, "a page is on the screen at once, without slow imports")
    if path.stem in PURE or place in PURE:
        rules |= dict.fromkeys(("streamlit", "torch"), "it computes, without a page or a network")
    if path.stem in BACKGROUND:
        rules |= {"streamlit": "it works in the background, where there is no page"}
    return rules


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_imports_what_lies_below_it(path: Path) -> None:
    package, place = place_of(module_of(path))
    assert place in set().union(*LAYERS[package]), (
        f"{name_of(path)} has no place yet: say in LAYERS what it may import; "
        "a folder of app with a page.py is a page."
    )
    for line, name in imports_of(path):
        if name.partition(".")[0] != package:
            continue
        lower = place_of(name)[1]
        offender = f"{name_of(path)}:{line} imports {name}"
        if place in PAGE_NAMES:
            is_another_page = lower != place and lower in PAGE_NAMES
            assert not is_another_page, f"{offender}, which is another page's."
        assert is_below(package, lower, place), f"{offender}, which lies above or beside it."


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_stands_beside_is_imported_by_few(path: Path) -> None:
    package, place = place_of(module_of(path))
    if package != "heat_core" or place == "__init__":
        return
    for line, name in imports_of(path):
        library, lower = place_of(name)
        if library == package and lower != place and lower in BESIDE:
            few = ", ".join(sorted(BESIDE[lower]))
            assert place in BESIDE[lower], (
                f"{name_of(path)}:{line} imports {name}, which is for {few}."
            )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_does_without_what_its_place_refuses(path: Path) -> None:
    rules = libraries_refused(path)
    for found in imports_of(path):
        rule = rules.get(found.library)
        assert rule is None, f"{name_of(path)}:{found.line} imports {found.name}: {rule}."


def test_no_circle_of_imports() -> None:
    """Among modules, so within a folder, too."""
    modules = {module_of(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        below = graph.setdefault(module_of(path), set())
        for _, name in imports_of(path):
            below.add(name if name in modules else name.rpartition(".")[0])
        below.discard(module_of(path))
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' < '.join(error.args[1])}.")


def test_what_the_rules_name_is_there() -> None:
    """A rule about a file that was renamed would hold of nothing."""
    for package, layers in LAYERS.items():
        modules = [module_of(path) for path in FILES if path.is_relative_to(ROOT / package)]
        assert set().union(*layers) == {place_of(module)[1] for module in modules}
    assert set(BESIDE) <= set().union(*LAYERS["heat_core"])
    assert set().union(*BESIDE.values()) <= set().union(*LAYERS["heat_core"])
    stems = {path.stem for path in FILES if path.is_relative_to(ROOT / "app")}
    assert stems >= PURE
    assert stems >= BACKGROUND
    assert len(PAGE_NAMES) > 1


def test_importing_the_core_does_not_import_torch() -> None:
    code = "import sys, heat_core; sys.exit(bool({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles(path: Path) -> None:
    picklers = {"pickle", "cPickle", "dill", "joblib", "cloudpickle"}
    for line, name in imports_of(path):
        assert name.partition(".")[0] not in picklers, f"{name_of(path)}:{line} imports {name}."
    safe = {
        "torch.load": ("weights_only", True),
        "np.load": ("allow_pickle", False),
        "numpy.load": ("allow_pickle", False),
    }
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        function = ast.unparse(call.func)
        if function not in safe:
            continue
        keyword, safe_value = safe[function]
        value = {k.arg: k.value for k in call.keywords}.get(keyword)
        assert isinstance(value, ast.Constant), (
            f"{name_of(path)}:{call.lineno} calls {function} without {keyword}={safe_value}."
        )
        assert value.value is safe_value, (
            f"{name_of(path)}:{call.lineno} calls {function} with {keyword}={value.value}."
        )
