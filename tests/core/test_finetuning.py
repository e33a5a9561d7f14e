"""Fine-tuning: its loop, its margins, what becomes auxiliary images, and the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from heat_core.__main__ import main
from heat_core.images import classifier
from heat_core.images.auxiliary import Auxiliary, destroyed_auxiliary, read_auxiliary
from heat_core.images.classifier import Architecture, pixels_tensor
from heat_core.images.datasets import Images, read_images
from heat_core.images.finetuning import (
    FinetuneConfig,
    energy_bounded,
    finetune,
)
from heat_core.images.training_loop import Progress
from heat_core.pack import read_pack
from heat_core.training.classifier_objectives import (
    EnergyBounded,
    OutlierExposure,
    free_energy,
    margin_warnings,
)
from tests.checks import refused
from tests.samples import colours

TINY = Architecture("resnet18", classes=3, layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
CONFIG = FinetuneConfig(epochs=2, batch=16, auxiliary_batch=8, lr=0.05, checkpoint_steps=2)
OBJECTIVE = EnergyBounded(0.1, id_margin=-4.0, auxiliary_margin=0.0)


def network() -> nn.Module:
    """Returns the same untrained network each time."""
    torch.manual_seed(3)
    return TINY.build()


def noise(count: int, seed: int = 0) -> Images:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Images("noise", "all", pixels, np.zeros(count, np.int64), ("noise",))


# -- the loop --------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def test_the_loss_falls_and_energies_move_apart(tmp_path: Path) -> None:
    losses: list[float] = []
    tuned = network()
    images, auxiliary = colours(48, 0), noise(20)
    gap = _gap(tuned, images, auxiliary)
    finetune(
        tuned,
        TINY,
        images,
        auxiliary,
        colours(12, 1),
        OBJECTIVE,
        tmp_path / "c",
        replace(CONFIG, epochs=5),
        on_progress=lambda progress: losses.append(progress.loss),
    )
    assert not tuned.training
    assert losses[-1] < 0.6 * losses[0]
    assert _gap(tuned, images, auxiliary) > gap + 0.3


@torch.no_grad()
def _gap(tuned: nn.Module, images: Images, auxiliary: Images) -> float:
    """Returns by how much auxiliary energies exceed ID ones on average, as in a training step."""
    pixels = torch.cat([pixels_tensor(each) for each in (images, auxiliary)])
    energies = free_energy(tuned.train()(TINY.normalise(pixels)))
    return float(energies[len(images) :].mean() - energies[: len(images)].mean())


def test_fine_tuning_goes_on_after_a_kill_as_if_there_was_none(tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 5:  # of 6, at the end of the training but one step
            raise Killed

    def run(checkpoint: Path, on_progress: Callable[[Progress], None]) -> nn.Module:
        parts = (network(), TINY, colours(48, 0), noise(20), colours(12, 1), OBJECTIVE)
        return finetune(
            *parts, checkpoint, replace(CONFIG, checkpoint_steps=5), 7, on_progress=on_progress
        )

    whole = run(tmp_path / "whole", lambda progress: None).state_dict()
    with pytest.raises(Killed):
        run(tmp_path / "c", kill)
    reports: list[tuple[int, int]] = []
    resumed = run(tmp_path / "c", lambda p: reports.append((p.step, p.steps_taken))).state_dict()
    assert reports == [(6, 1)]
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
    parts = (network(), TINY, colours(48, 0), noise(20), colours(12, 1), OutlierExposure())
    refused(
        lambda: finetune(*parts, tmp_path / "c", replace(CONFIG, checkpoint_steps=5), 7),
        "checkpoint of a training with other settings",
    )


def test_what_cannot_be_fine_tuned_is_refused_before_a_step(tmp_path: Path) -> None:
    def run(count: int = 48, auxiliary: int = 4, held_out: int = 3, lr: float = 0.01) -> None:
        parts = (network(), TINY, colours(count, 0), noise(auxiliary), colours(held_out, 1))
        finetune(*parts, OBJECTIVE, tmp_path / "c", replace(CONFIG, lr=lr))

    refused(lambda: run(count=9), "at least one batch of 16 images, got 9")
    refused(lambda: run(auxiliary=0), "needs auxiliary images, got none")
    refused(lambda: run(held_out=0), "needs held-out images")
    refused(lambda: FinetuneConfig(epochs=0), "epochs must be at least 1, got 0")
    refused(lambda: FinetuneConfig(lr=float("nan")), "lr must be a number above 0")
    refused(lambda: run(lr=1e30), "loss is no finite number by step 2; take a smaller learning")
    assert not (tmp_path / "c").exists()


# -- margins ---------------------------------------------------------------------------------------


def _logits(*energies: float) -> torch.Tensor:
    """Returns logits (n, 1) of these free energies."""
    return -torch.tensor(energies)[:, None]


def test_margins_are_the_mean_energies_and_far_ones_are_warned_about() -> None:
    id_logits, auxiliary_logits = _logits(-9, -10, -11), _logits(-3.004, -5, -7)
    objective = energy_bounded(id_logits, auxiliary_logits)
    assert objective == EnergyBounded(0.1, -10.0, -5.0)
    energies = free_energy(id_logits), free_energy(auxiliary_logits)
    assert margin_warnings(*energies, -10.0, -5.0) == []
    for margins, words in (
        ((-13.0, -5.0), "The ID margin -13 is far below the mean ID energy (-10.00"),
        ((-10.0, 0.0), "The auxiliary margin 0 is far above the mean auxiliary energy"),
    ):
        (warning,) = margin_warnings(*energies, *margins)
        assert warning.startswith(words)
        assert warning.endswith(": accuracy may fall.")
    for margins in ((-7.0, -5.0), (-10.0, -9.5)):
        (warning,) = margin_warnings(*energies, *margins)
        assert "it asks nothing of" in warning
    refused(lambda: energy_bounded(id_logits, auxiliary_logits, id_margin=-1.0), "id_margin must")


# -- auxiliary images ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 images: 3 of CIFAR-10's test, a mirrored one of its training, 2 of MNIST."""
    folder = tmp_path_factory.mktemp("auxiliary") / "mixed"
    folder.mkdir()
    tiles = {name: np.load(sheets / f"{name}.tiles.npy") for name in ("cifar10-test", "mnist-test")}
    mirrored = np.load(sheets / "cifar10-train.tiles.npy")[5:6, :, ::-1]
    copies = [tiles["cifar10-test"][:3], mirrored, tiles["mnist-test"][:2], noise(14, 9).pixels]
    for number, pixels in enumerate(np.concatenate(copies)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def _auxiliary(name: str, sheets: Path, messages: list[str] | None = None) -> Auxiliary:
    train, test = (read_images("cifar10", [sheets], split) for split in ("train", "test"))
    say = messages.append if messages is not None else lambda text: None
    return read_auxiliary(name, train, test, [sheets], say)


def test_images_that_resemble_id_or_test_images_are_left_out(sheets: Path, mixed: Path) -> None:
    messages: list[str] = []
    auxiliary = _auxiliary(f"folder:{mixed}", sheets, messages)
    assert messages == [
        "Auxiliary images are held against cifar10 (train), cifar10 (test), cifar100 (test), "
        "mnist (test)."
    ]
    assert auxiliary.left_out == {"cifar10 (train)": 1, "cifar10 (test)": 3, "mnist (test)": 2}
    assert (len(auxiliary.images), auxiliary.available) == (14, 20)
    assert np.array_equal(auxiliary.images.pixels, noise(14, 9).pixels)
    assert auxiliary.resembles == ("mixed", "mnist")  # 2 of its 40 test images are more than 1 %
    lines = list(auxiliary.sentences())
    assert "3 of 20 auxiliary images resemble images of cifar10 (test): left out." in lines


def test_auxiliary_sets_that_are_none_are_refused(sheets: Path, tmp_path: Path) -> None:
    refused(lambda: _auxiliary("cifar10", sheets), "must not be the ID set, got cifar10 as both")
    refused(lambda: _auxiliary("mnist:val", sheets), "mnist has the splits test, train; got 'val'")
    refused(lambda: _auxiliary("imagenet", sheets), "dataset must be one of")
    refused(lambda: _auxiliary("mnist:test", sheets), "all 40 images", "mnist (test)")
    with pytest.raises(FileNotFoundError, match=r"MNIST \(train\) is not in"):
        _auxiliary("mnist", sheets)
    copies = tmp_path / "copies"
    copies.mkdir()
    for number, pixels in enumerate(np.load(sheets / "cifar10-train.tiles.npy")[:5]):
        Image.fromarray(pixels).save(copies / f"{number}.png")
    refused(lambda: _auxiliary(f"folder:{copies}", sheets), "all 5 images", "cifar10 (train)")
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="empty"):
        _auxiliary(f"folder:{tmp_path / 'empty'}", sheets)


def test_destroyed_id_images_are_as_many_and_others() -> None:
    images = colours(90, 0)
    auxiliary = destroyed_auxiliary(images, seed=2)
    pixels = auxiliary.images.pixels
    assert (auxiliary.title, auxiliary.resembles, auxiliary.left_out) == (
        "destroyed (colours)",
        (),
        {},
    )
    assert (pixels.shape, pixels.dtype) == (images.pixels.shape, np.uint8)
    assert (pixels != images.pixels).any((1, 2, 3)).all()
    assert np.array_equal(pixels, destroyed_auxiliary(images, seed=2).images.pixels)
    assert not np.array_equal(pixels, destroyed_auxiliary(images, seed=3).images.pixels)
    refused(lambda: destroyed_auxiliary(colours(79, 0)), "at least 80 training images, got 79")


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained network of ten classes."""
    torch.manual_seed(3)
    ten = replace(TINY, classes=10)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    classifier.save(ten.build(), ten, path, {"held_out_images": 40})
    return path


@pytest.fixture
def tune(weights: Path, sheets: Path, mixed: Path) -> Callable[..., int]:
    """A function that fine-tunes the network against the mixed folder, with some more options."""

    def run(out: Path, *more: str) -> int:
        place = ["--weights", str(weights), "--id", "cifar10", "--root", str(sheets)]
        against = ["--auxiliary", f"folder:{mixed}", "--id-margin", "-40", "--epochs", "2"]
        return main(["finetune", *place, *against, "--out", str(out), *more])

    return run


def test_a_classifier_is_fine_tuned_and_goes_on_after_an_interrupt(
    tune: Callable[..., int],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    assert tune(whole) == 0
    output = capsys.readouterr()
    assert output.out.startswith(f"{whole}: test accuracy ")
    assert "3 of 20 auxiliary images resemble images of cifar10 (test): left out." in output.err
    assert "mixed, mnist; tables report them apart, in no average" in output.err
    assert "Margins: -40 and " in output.err
    assert "Warning: The ID margin -40 is far below the mean ID energy" in output.err
    assert "epoch 2/2, step 2/2: loss" in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["whole.safetensors"]
    network, _, info = classifier.load(whole)
    before, _, _ = classifier.load(weights)
    assert not torch.equal(network.get_parameter("fc.weight"), before.get_parameter("fc.weight"))
    assert (info["id"], info["held_out_images"], info["train_images"]) == ("cifar10", 40, 160)
    assert info["resembles"] == ["mixed", "mnist"]
    tuning = info["finetuned"]
    assert tuning["from"] == classifier.fingerprint(before)
    assert (tuning["id_margin"], tuning["weight"], tuning["auxiliary_images"]) == (-40, 0.1, 14)
    assert tuning["left_out"] == {"cifar10 (train)": 1, "cifar10 (test)": 3, "mnist (test)": 2}
    with monkeypatch.context() as patch:
        patch.setattr("heat_core.commands.finetuning.report_training", stop)
        assert tune(broken) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"the same command goes on from {tmp_path / 'broken.checkpoint'}")
    assert tune(broken) == 0
    assert "epoch 1/2" not in capsys.readouterr().err
    resumed, _, resumed_info = classifier.load(broken)
    assert classifier.fingerprint(resumed) == classifier.fingerprint(network)
    assert resumed_info == info
    assert not (tmp_path / "broken.checkpoint").exists()


def test_a_pack_says_which_sets_its_network_knows_and_its_table_leaves_them_apart(
    weights: Path, sheets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, architecture, info = classifier.load(weights)
    tuned = tmp_path / "tuned.safetensors"
    classifier.save(network, architecture, tuned, info | {"resembles": ["mixed", "mnist"]})
    rows = ["--train-rows", "60", "--test-rows", "20", "--ood-rows", "20", "--pseudo-rows", "0,0"]
    plain = ["--no-odin", "--no-std", "--no-mirror", "--early", "none"]
    command = ["extract", "--weights", str(tuned), "--root", str(sheets), *rows, *plain]
    assert main([*command, "--ood", "cifar100,mnist", "--out", str(tmp_path / "pack")]) == 0
    pack = read_pack(tmp_path / "pack")
    assert pack.card["classifier"]["resembles"] == ["mixed", "mnist"]
    assert [str(name) for name in pack.averaged] == ["near_cifar100"]
    capsys.readouterr()
    assert main(["benchmark", str(tmp_path / "pack"), "--detectors", "MSP,Energy"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["Detector", "Near", "Average"]
    assert "mnist *" in printed
    assert "like those of far_mnist (*): no average counts them" in printed
    assert main([*command, "--ood", "mnist", "--out", str(tmp_path / "none")]) == 2
    assert "wanted an OOD set that it does not know" in capsys.readouterr().err


def test_destroyed_images_need_no_ood_set(tune: Callable[..., int], tmp_path: Path) -> None:
    tuned = tmp_path / "tuned.safetensors"
    options = ["--auxiliary", "destroyed", "--epochs", "1"]
    assert tune(tuned, *options, "--id-margin", "-1", "--auxiliary-margin", "0") == 0
    _, _, info = classifier.load(tuned)
    assert info["resembles"] == []
    assert info["finetuned"]["auxiliary"] == "destroyed (cifar10)"
    assert info["finetuned"]["auxiliary_images"] == 160


def test_what_does_not_go_together_is_refused(
    weights: Path, sheets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(*more: str, weights: Path = weights, auxiliary: str = "destroyed") -> str:
        place = ["--weights", str(weights), "--root", str(sheets), "--auxiliary", auxiliary]
        out = [] if "--out" in more else ["--out", str(tmp_path / "tuned.safetensors")]
        capsys.readouterr()
        assert main(["finetune", *place, *out, *more]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert not list(tmp_path.glob("tuned*"))
        return output.err.splitlines()[-1]

    cifar10 = ("--id", "cifar10")
    assert "the weights do not say with which --id they were trained; give it" in line()
    assert "trained with --held-out 40, got 30" in line(*cifar10, "--held-out", "30")
    softmax = ("--objective", "outlier-exposure", "--id-margin", "-3")
    assert "are of energy-bounded fine-tuning" in line(*cifar10, *softmax)
    crossed = ("--id-margin", "-1", "--auxiliary-margin", "-2")
    assert "id_margin must not lie above auxiliary_margin" in line(*cifar10, *crossed)
    assert "wanted a number above 0, got '-1'" in line(*cifar10, "--weight=-1")
    assert "wanted a number, got 'nan'" in line(*cifar10, "--id-margin", "nan")
    assert "--out must end in .safetensors" in line(*cifar10, "--out", str(tmp_path / "w.pt"))
    assert "no such file" in line(*cifar10, weights=tmp_path / "none.safetensors")
    assert "must not be the ID set" in line(*cifar10, auxiliary="cifar10")
    three = tmp_path / "three.safetensors"
    classifier.save(TINY.build(), TINY, three, {"held_out_images": 40})
    assert "tells 3 classes apart, and cifar10 has 10" in line(*cifar10, weights=three)
