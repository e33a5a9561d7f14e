"""What several test files share: small synthetic features with a head, and the arrays of a pack."""

from __future__ import annotations

import functools
import gc
import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from streamlit import config
from streamlit.components.v2 import manifest_scanner

from heat_core import diagnostics
from heat_core.detectors.presets import PRESETS
from heat_core.features import Features, Head
from tests.browser.driver import QUICK_APP, server_process
from tests.samples import CLASSES, DIM, clusters, shortened, with_views

if TYPE_CHECKING:
    from app.job import Job

ROOT = Path(__file__).parents[1]
DIAGNOSIS_STEPS, DIAGNOSIS_TUNING_STEPS = diagnostics.STEPS, diagnostics.TUNING_STEPS


def _import_all(package: str) -> None:
    """Imports every module, before a test puts something else in a module's place.

    One that is first imported within such a test would keep the stand-in for all tests after it.
    """
    for path in sorted((ROOT / package).rglob("*.py")):
        # what starts at its import: the command line, and pages, which Streamlit runs as scripts
        if path.name not in ("__main__.py", "main.py", "page.py", "__init__.py"):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the journeys first: one worker, with one app, takes them while others take the rest."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(autouse=True, scope="session")
def _everything_is_there() -> None:
    """What is imported stays, so no garbage collection looks through it again."""
    _import_all("heat_core")
    _import_all("app")
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors on a shared machine run fastest on one thread, in processes of tests, too."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _runs_end_as_in_the_app() -> None:
    """AppTest does not read the app's settings, and would collect garbage after each run."""
    settings_of_app = tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text())
    for name, value in settings_of_app["runner"].items():
        config.set_option(f"runner.{name}", value)


@pytest.fixture(autouse=True, scope="session")
def _short_diagnosis() -> None:
    """Chains of a diagnosis are short where nobody asks for `long_diagnosis`."""
    diagnostics.STEPS, diagnostics.TUNING_STEPS = 20, 6


@pytest.fixture
def long_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of a diagnosis are as long as outside of tests."""
    monkeypatch.setattr("heat_core.diagnostics.STEPS", DIAGNOSIS_STEPS)
    monkeypatch.setattr("heat_core.diagnostics.TUNING_STEPS", DIAGNOSIS_TUNING_STEPS)


@pytest.fixture(autouse=True, scope="session")
def _packages_are_searched_once() -> None:
    """Each new AppTest would look for components in every package that is installed."""
    search = manifest_scanner.scan_component_manifests
    manifest_scanner.scan_component_manifests = functools.cache(search)


@pytest.fixture
def fresh_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The app remembers no job of another test, and none of this one goes on after it.

    Nor does it find images that somebody has fetched.
    """
    from app.left_files import uploads_limit
    from app.server import SERVER
    from app.uploads import UploadBudget, UploadReader
    from tests.app.pages import JOB_SECONDS, new_queue

    monkeypatch.setattr("app.pack.data.IMAGES", tmp_path / "nothing-fetched")
    monkeypatch.setattr(SERVER, "jobs", new_queue())
    monkeypatch.setattr(SERVER, "uploads", UploadReader(UploadBudget(uploads_limit())))
    monkeypatch.setattr("app.pack.own_data.PATIENCE_SECONDS", JOB_SECONDS)
    yield
    assert SERVER.uploads.jobs.stop(JOB_SECONDS)
    assert SERVER.jobs.stop(JOB_SECONDS)


@pytest.fixture
def few_detectors(
    fresh_server: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The app knows only the detectors that the test's file names in SHOWN."""
    from heat_core.detectors import presets

    detectors = {name: presets.DETECTORS[name] for name in request.module.SHOWN}
    monkeypatch.setattr("app.server.warm_up", lambda: None)  # it would ask for HEAT
    with patch.dict(presets.DETECTORS, detectors, clear=True):
        yield


@pytest.fixture
def no_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned is not diagnosed, which takes longer than to learn it."""
    monkeypatch.setattr("heat_core.run.diagnose", lambda *arguments: None)


@pytest.fixture
def no_training(no_diagnosis: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that learn keep the weights that they begin with: for tests of what is printed."""
    monkeypatch.setattr("heat_core.training.trainer.Trainer.fit", lambda *arguments: None)


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset `quick` learns in few steps on features."""
    for presets in (PRESETS["features"], PRESETS["pseudo"]):
        for name in ("EBM", "HEAT-GMM", "HEAT-EL", "HEAT"):
            quick: Any = presets["quick"]
            monkeypatch.setitem(quick, name, shortened(quick[name], steps=10))


@pytest.fixture(scope="session")
def trained() -> Job:
    """A finished quick training of HEAT on the blobs."""
    from app.job import Job
    from app.plane.training import train_toy
    from tests.app.plane import GRIDS, QUICK

    job = Job("any", train_toy(QUICK, *GRIDS))
    job.run()
    assert job.state == "done", job.error
    return job


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app that all journeys share: what one has fitted the next finds.

    It keeps uploads, and its trainings are short.
    """
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("HEAT_KEEP", str(tmp_path_factory.mktemp("kept")))
            address, _ = stack.enter_context(server_process(*QUICK_APP))
        yield address


@pytest.fixture(scope="session")
def head() -> Head:
    generator = torch.Generator().manual_seed(5)
    return Head(
        torch.randn(CLASSES, DIM, generator=generator), torch.randn(CLASSES, generator=generator)
    )


@pytest.fixture(scope="session")
def train(head: Head) -> Features:
    """240 x 12 float32 features of 4 classes, with a head and the views std and odin."""
    z, y = clusters(240, seed=1)
    return with_views(z, y, head)


@pytest.fixture(scope="session")
def test() -> Features:
    """60 further rows of the same."""
    return with_views(*clusters(60, seed=2))


@pytest.fixture(scope="session")
def far() -> Features:
    """50 rows that belong to no class."""
    return with_views(torch.randn(50, DIM, generator=torch.Generator().manual_seed(3)).abs() * 2)


@pytest.fixture
def arrays(train: Features, test: Features, far: Features, head: Head) -> dict[str, np.ndarray]:
    """The arrays of a pack with two near sets, a mid one and a far one."""
    tensors = {
        "train_z": train.z,
        "train_y": train.y,
        "test_z": test.z,
        "test_y": test.y,
        "weight": head.weight,
        "bias": head.bias,
        "near_a": clusters(40, 7, classes=3)[0] + 0.3,
        "near_b": far.z[:30] * 0.5,
        "mid_c": far.z[10:40],
        "far_d": far.z,
    }
    return {key: value.numpy().copy() for key, value in tensors.items() if value is not None}


@pytest.fixture(scope="session")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of noise in the form of image sheets.

    cifar10 (200 training and 100 test images), cifar100 (100) and mnist (40 test images).
    """
    root, random = tmp_path_factory.mktemp("sheets"), np.random.default_rng(0)
    index = {}
    for name, images in (
        ("cifar10-train", 200),
        ("cifar10-test", 100),
        ("cifar100-test", 100),
        ("mnist-test", 40),
    ):
        tiles = random.integers(0, 256, (-(-images // 100) * 100, 32, 32, 3), dtype=np.uint8)
        rows = tiles.reshape(-1, 100, 32, 32, 3).swapaxes(1, 2).reshape(-1, 3200, 3)
        Image.fromarray(rows).save(root / f"{name}.png")
        labels = np.arange(images) % 10
        np.savez(
            root / f"{name}.npz",
            label=labels.astype(np.uint8),
            classes=np.array([f"c{i}" for i in range(10)]),
        )
        np.save(root / f"{name}.tiles.npy", tiles[:images])
        index[name] = {"sheets": [f"{name}.png"], "labels": f"{name}.npz", "images": images}
    (root / "index.json").write_text(json.dumps(index))
    return root


@pytest.fixture(scope="session")
def noise_pack(sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of noise through a small untrained network, its weights beside it."""
    from heat_core.images import classifier
    from heat_core.images.extract import Extractor
    from heat_core.images.packing import Contents, build_pack
    from heat_core.judge import classifier_file
    from heat_core.pack import write_pack

    folder = tmp_path_factory.mktemp("packs") / "noise"
    architecture = classifier.Architecture(
        "resnet18", layers=(1, 1, 1, 1), channels=(16, 16, 16, 16)
    )
    network = architecture.build().eval()
    training_info = {"held_out_images": 40, "classes": [f"c{i}" for i in range(10)]}
    classifier.save(network, architecture, classifier_file(folder), training_info)
    network, architecture, training_info = classifier.load(classifier_file(folder))
    contents = Contents(
        "cifar10", ("mnist",), train_rows=100, test_rows=60, ood_rows=20, pseudo_rows=(0, 0)
    )
    write_pack(
        build_pack(
            Extractor(network, architecture, odin=True),
            training_info,
            contents,
            [sheets],
            folder.with_name("work"),
        ),
        folder,
    )
    return folder
