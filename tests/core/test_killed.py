"""kill -9 in the middle: run again, it goes on, loses one interval at most, and ends the same."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors import safe_open

from heat_core.images import packing
from heat_core.images.classifier import Architecture, save
from heat_core.images.classifier_training import Recipe, train
from heat_core.images.extract import Extractor
from heat_core.pack import write_pack
from tests.samples import colours

ROOT = Path(__file__).parents[2]
KEEP = 2  # steps between checkpoints
STEPS = 30  # in all
Said = Callable[..., None]  # what is told of progress


def training(folder: Path, said: Said) -> None:
    """Trains a tiny network on three colours, with a checkpoint every few steps."""
    tiny = Architecture("resnet18", classes=3, layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    recipe = Recipe(
        epochs=10,
        batch=16,
        filter_lr=0.05,
        milestones=(),
        warmup=0.2,
        whiten=True,
        small_share=0.3,
        checkpoint_steps=KEEP,
    )
    images, held_out, checkpoint = colours(48, 0), colours(12, 1), folder / "checkpoint"
    network = train(
        tiny,
        images,
        held_out,
        checkpoint,
        recipe,
        seed=4,
        on_progress=lambda progress: said(progress.step, progress.steps_taken),
    )
    save(network, tiny, folder / "network.safetensors", {})


def extraction(folder: Path, said: Said, sheets: Path) -> None:
    """Makes a pack of few images of the sheets, with the mirror and ODIN, in shards of 50."""
    torch.manual_seed(0)
    tiny = Architecture("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8), small_stem=False)
    contents = packing.Contents(
        "cifar10",
        ("cifar100", "mnist"),
        train_rows=60,
        test_rows=30,
        ood_rows=20,
        pseudo_rows=(5, 2),
    )
    extractor = Extractor(tiny.build().eval(), tiny, odin=True, mirror=True)
    with patch.object(packing, "SHARD", 50):
        pack = packing.build_pack(
            extractor, {"held_out_images": 40}, contents, [sheets], folder / "work", said
        )
    write_pack(pack, folder / "pack")


RUN = """
import sys, time, torch
from pathlib import Path
from tests.core import test_killed
torch.set_num_threads(1)
work, pause, folders = sys.argv[1], float(sys.argv[2]), map(Path, sys.argv[3:])
getattr(test_killed, work)(next(folders), lambda *said: time.sleep(pause), *folders)
"""


def _finished(work: Callable[..., None], folder: Path, *more: Path) -> list[tuple]:
    """Returns what a run that nobody disturbs says."""
    said: list[tuple] = []
    work(folder, lambda *words: said.append(words), *more)
    return said


def _killed(
    work: Callable[..., None], ready: Callable[[], bool], pause: float, *folders: Path
) -> None:
    """Starts a run and kills it, with no chance to clean up, once it is ready for that."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, work.__name__, str(pause), *map(str, folders)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 120
    try:
        while not ready():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < limit
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def _step(checkpoint: Path) -> int:
    if not checkpoint.is_file():
        return 0
    with safe_open(str(checkpoint), "pt") as file:
        return int(file.metadata()["step"])


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    checkpoint = tmp_path / "killed" / "checkpoint"
    _killed(training, lambda: _step(checkpoint) >= 4 * KEEP, 0.05, tmp_path / "killed")
    reached = _step(checkpoint)
    assert 4 * KEEP <= reached < STEPS
    assert not (tmp_path / "killed" / "network.safetensors").exists()
    again = _finished(training, tmp_path / "killed")
    first_step, first_taken = again[0]
    assert first_step - first_taken == reached
    kept = [reached, *(step for step, _ in again)]
    assert all(
        later - step <= KEEP for step, later in itertools.pairwise(kept)
    )  # so no kill loses more
    assert again[-1] == (STEPS, STEPS - reached)
    _finished(training, tmp_path / "whole")
    one, other = (_parts(tmp_path / name / "network.safetensors") for name in ("whole", "killed"))
    assert one == other
    assert sorted(
        file.name for file in checkpoint.parent.iterdir() if not file.name.startswith(".")
    ) == [
        "checkpoint",
        "network.safetensors",
    ]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_killed_extraction_ends_with_the_same_pack(tmp_path: Path, sheets: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    work = tmp_path / "killed" / "work"
    _killed(
        extraction,
        lambda: len(list(work.glob("pseudo_*.safetensors"))) >= 3,
        0.02,
        tmp_path / "killed",
        sheets,
    )
    shards = {file.name: file.stat().st_mtime_ns for file in work.glob("*.safetensors")}
    assert not (tmp_path / "killed" / "pack").exists()
    again = _finished(extraction, tmp_path / "killed", sheets)
    whole = _finished(extraction, tmp_path / "whole", sheets)
    assert len(whole) - len(again) == len(
        shards
    )  # one batch a shard here: nothing that is on disk is extracted again
    assert {
        file.name: file.stat().st_mtime_ns
        for file in work.glob("*.safetensors")
        if file.name in shards
    } == shards
    one, other = (_contents(tmp_path / name / "pack") for name in ("whole", "killed"))
    assert one == other
    assert len(one) > 10


def _contents(folder: Path) -> dict[str, object]:
    files = list(folder.iterdir())
    return {
        file.name: _parts(file) if file.suffix == ".safetensors" else file.read_bytes()
        for file in files
    }


def _parts(file: Path) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    """Returns the metadata and the arrays of a safetensors file.

    Its own bytes differ from time to time, since it holds metadata in any order.
    """
    with safe_open(str(file), "np") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}
        return opened.metadata(), {
            name: (f"{array.dtype}{array.shape}", array.tobytes()) for name, array in arrays.items()
        }
