"""The wheel as a stranger gets it: what lies in it, and what works where only that is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from heat_core import __version__

ROOT = Path(__file__).resolve().parents[2]
MOST = 100e6  # bytes of a wheel
K = 50  # KNN's neighbour
OF_THE_TESTS = ("PYTHON", "PIP", "STREAMLIT", "HEAT")  # settings that do not reach what they start
OPTIONAL = ["streamlit", "plotly", "timm", "torchvision", "PIL", "umap", "sklearn", "tqdm", "onnx"]
OPTIONAL += ["fastapi", "uvicorn", "prometheus_client"]

# Opens the first page without a browser, and tells which packs there are.
OPEN_THE_DASHBOARD = """
import os
from importlib import resources
from streamlit.testing.v1 import AppTest

script = resources.files("heat_dashboard") / "app" / "main.py"
page = AppTest.from_file(str(script), default_timeout=120).run()
assert not page.exception, page.exception
assert page.title or page.header or page.subheader or page.button

from app.pack import data  # as the script has made it possible, for this process alone

print(*data.offered_packs(), flush=True)
os._exit(0)  # a thread that warms torch up would abort an interpreter that ends
"""


EACH_COMMAND = """
import contextlib, io, json, sys
from heat_core.__main__ import main

printed = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main(words) == 0, words
    printed.append(output.getvalue())
print(json.dumps(printed))
"""


class Environment:
    """A Python environment of its own: the wheel, and links to the packages that the wheel needs.

    Nothing else is in its site-packages, so nothing else can be imported.

    Args:
        folder: where it is made.
        wheel: what is installed in it, without asking any index.
        extras: what is asked for with it, such as `all`.
    """

    def __init__(self, folder: Path, wheel: Path, extras: tuple[str, ...] = ()) -> None:
        venv.EnvBuilder(symlinks=True).create(folder / "venv")
        self.bin = folder / "venv" / "bin"
        self.empty = folder / "empty"
        self.empty.mkdir()
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        install = [*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        subprocess.run([*install, str(wheel)], check=True)
        self.site = next(folder.glob("venv/lib/python*/site-packages"))
        for name in self._needed(extras):
            self._link(name)

    def _find(self, name: str) -> metadata.Distribution:
        """Returns a distribution: of this environment, or else of the tests'."""
        found = metadata.distributions(name=name, path=[str(self.site), *sys.path])
        distribution = next(iter(found), None)
        assert distribution is not None, f"{name} is needed, and is not installed here."
        return distribution

    def _needed(self, extras: tuple[str, ...]) -> set[str]:
        """Returns the names of all distributions that the wheel leads to, without its own."""
        asked = [("heat-dashboard", extra) for extra in ("", *extras)]
        known: set[tuple[str, str]] = set()
        while asked:
            name, extra = asked.pop()
            if (name, extra) in known:
                continue
            known.add((name, extra))
            for line in self._find(name).requires or []:
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    other = canonicalize_name(needed.name)
                    asked += [(other, its_extra) for its_extra in ("", *needed.extras)]
        return {name for name, _ in known} - {"heat-dashboard"}

    def _link(self, name: str) -> None:
        """Links what a distribution has in site-packages: its packages, modules and metadata."""
        distribution = self._find(name)
        entries = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
        for entry in entries:
            link = self.site / entry
            if not link.is_symlink():  # some share a folder, such as nvidia
                link.symlink_to(str(distribution.locate_file(entry)))

    def command(self, *words: object) -> dict:
        """Returns what subprocess is told to run a program of this environment in `empty`."""
        program, *arguments = map(str, words)
        settings = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        for name, value in os.environ.items():
            if not name.startswith(OF_THE_TESTS):
                settings.setdefault(name, value)
        return {"args": [str(self.bin / program), *arguments], "cwd": self.empty, "env": settings}

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Runs a program of this environment and returns its answer."""
        return subprocess.run(**self.command(*words), capture_output=True, text=True, timeout=300)

    def heat(self, *words: object) -> str:
        """Runs `heat`, which is to succeed, and returns what it printed."""
        answer = self.run("heat", *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def heat_of_each(self, *commands: Sequence[object]) -> list[str]:
        """Runs commands of `heat`, all of which are to succeed, and returns what each printed.

        All run in one process, since each of its own would import torch anew.
        """
        words = json.dumps([[str(word) for word in command] for command in commands])
        answer = self.run("python", "-c", EACH_COMMAND, words)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def importable(self, *modules: str) -> list[str]:
        """Returns which of some modules can be imported here."""
        code = "import sys, importlib.util as u; print(*filter(u.find_spec, sys.argv[1:]))"
        return self.run("python", "-c", code, *modules).stdout.split()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that is gone after the tests: what they install is large."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def base(folder: Path, wheel: Path) -> Environment:
    """What `pip install .` gives."""
    return Environment(folder / "base", wheel)


@pytest.fixture(scope="module")
def everything(folder: Path, wheel: Path) -> Environment:
    """What `pip install '.[all]'` gives."""
    return Environment(folder / "everything", wheel, ("all",))


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """The arrays of a pack of three classes in 8 dimensions, without a head."""
    random = np.random.default_rng(0)
    means = 3 * random.normal(size=(3, 8))
    labels = np.arange(180) % 3
    train = means[labels] + random.normal(size=(180, 8))
    test = means[labels[:60]] + random.normal(size=(60, 8))
    far = 2 * random.normal(size=(40, 8))
    rows = {"train_z": train, "test_z": test, "far_noise": far}
    return {"train_y": labels, **{name: array.astype(np.float32) for name, array in rows.items()}}


def names_in(wheel: Path) -> list[str]:
    """Returns the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def distances(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Returns how far the K-th nearest training row is on the sphere: (n, d), (N, d) -> (n,)."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    train = train / np.linalg.norm(train, axis=1, keepdims=True)
    pairs = np.linalg.norm(rows[:, None] - train[None], axis=2)
    return np.sort(pairs, axis=1)[:, K - 1]


# -- what lies in it -----------------------------------------------------------------------------


def test_the_wheel_holds_the_core_and_the_dashboard(wheel: Path) -> None:
    assert wheel.name == f"heat_dashboard-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size <= MOST
    names = names_in(wheel)
    info = f"heat_dashboard-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"heat_core", "heat_dashboard", info}
    dashboard = {name.split("/")[1] for name in names if name.startswith("heat_dashboard/")}
    assert dashboard == {"app", "assets"}
    for wanted in (
        "heat_core/py.typed",
        "heat_dashboard/app/main.py",
        "heat_dashboard/app/.streamlit/config.toml",
        "heat_dashboard/assets/icon.svg",
        "heat_dashboard/assets/story.npz",
    ):
        assert wanted in names
    assert not [name for name in names if "__pycache__" in name or "assets/pages" in name]


def test_the_wheel_holds_every_file_that_the_app_reads(wheel: Path) -> None:
    """Code, markup and the packs, as git knows them; but for the README's pictures."""
    git = ["git", "ls-files", "-z", "heat_core", "app", "assets"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    tracked = {name for name in listed.stdout.split("\0") if name}
    pictures = {name for name in tracked if name.startswith("assets/pages/")}
    inside = {name.removeprefix("heat_dashboard/") for name in names_in(wheel)}
    assert tracked - inside == pictures


# -- with its dependencies alone -----------------------------------------------------------------


def test_the_base_has_nothing_optional_and_no_package_called_app(base: Environment) -> None:
    found = base.importable("heat_core", "torch", "pyarrow", *OPTIONAL, "app", "assets", "pytest")
    assert found == ["heat_core", "torch", "pyarrow"]


def test_heat_is_the_command_line(base: Environment) -> None:
    assert base.heat("--help").startswith("usage: heat [-h] COMMAND ...")
    assert "example: heat score runs/heat" in base.heat("score", "--help")
    assert "KNN" in json.loads(base.heat("list", "--json"))["detectors"]
    module = base.run("python", "-m", "heat_core", "--help").stdout
    assert module.startswith("usage: python -m heat_core [-h] COMMAND ...")


def test_features_are_scored_from_an_empty_folder(
    base: Environment,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "arrays.npz", allow_pickle=False, **arrays)
    np.savez(tmp_path / "far.npz", z=arrays["far_noise"])
    pack, run, out = tmp_path / "pack", tmp_path / "run", tmp_path / "scores.parquet"
    printed = base.heat_of_each(
        ["pack", tmp_path / "arrays.npz", "--out", pack],
        ["fit", pack, "KNN", "--out", run],
        ["score", run, tmp_path / "far.npz", "--out", out],
        ["benchmark", pack, "--detectors", "KNN,SSD,MoG", "--json"],
    )
    table = pd.read_parquet(out)
    far = distances(arrays["far_noise"], arrays["train_z"])
    np.testing.assert_allclose(table["score"], far, rtol=1e-4)

    answer = json.loads(printed[-1])
    test = distances(arrays["test_z"], arrays["train_z"])
    auroc = np.mean(far[:, None] > test[None])
    figures = {row["detector"]: row["auroc"] for row in answer["rows"] if row["set"] == "noise"}
    assert set(figures) == {"KNN", "SSD", "MoG"}
    assert figures["KNN"] == pytest.approx(auroc, abs=1e-3)
    assert list(base.empty.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "module", "extra"),
    [
        ("app", "streamlit", "app"),
        ("extract --weights none.safetensors --root . --out pack", "timm", "images"),
        ("train-classifier --root . --out weights.safetensors", "timm", "images"),
        ("score-image none.png --pack none", "timm", "images"),
        ("fetch svhn --root data", "torchvision", "images"),
        ("serve none", "fastapi", "serve"),
    ],
)
def test_a_command_whose_extra_is_missing_says_so_in_one_line(
    base: Environment,
    words: str,
    module: str,
    extra: str,
) -> None:
    answer = base.run("heat", *words.split())
    command = words.split()[0]
    wanted = f"heat {command}: this needs {module}; pip install 'heat-dashboard[{extra}]'\n"
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", wanted)
    assert list(base.empty.iterdir()) == []


# -- with everything -----------------------------------------------------------------------------


def test_the_dashboard_opens_from_the_wheel_with_its_pack(everything: Environment) -> None:
    assert everything.importable(*OPTIONAL, "app") == OPTIONAL
    answer = everything.run("python", "-c", OPEN_THE_DASHBOARD)
    assert answer.returncode == 0, answer.stderr
    shipped = [card.parent.name for card in sorted(ROOT.glob("assets/packs/*/card.json"))]
    assert answer.stdout.split() == shipped


def test_heat_app_serves_the_dashboard_and_passes_flags_on(everything: Environment) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--server.address", "127.0.0.1", "--server.headless", "true")
    command = everything.command("heat", "app", "--port", port, "--", *flags)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(**command, stdout=log, stderr=subprocess.STDOUT)
        try:
            healthy = is_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        log.seek(0)
        said = log.read()
    assert healthy, said
    assert str(port) in said
    assert "browser" in said


def is_healthy(url: str, process: subprocess.Popen) -> bool:
    """Returns whether a server answers within a minute."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read() == b"ok"
        except OSError:
            if process.poll() is not None:
                return False
            time.sleep(0.1)
    return False
