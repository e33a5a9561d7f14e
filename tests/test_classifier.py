"""The classifier: training goes on after a kill, files come back, and features are what the head reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heat_core import classifier
from heat_core.classifier import Architecture, Epoch, Recipe, train
from heat_core.datasets import Images
from heat_core.extract import extract, head_of

TINY = Architecture(classes=3, channels=(4, 4, 8, 8), small_stem=True)
RECIPE = Recipe(epochs=3, batch=16)


def _images(count: int, seed: int) -> Images:
    """Images whose class is their brightest channel."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    pixels = random.integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, labels] += 100
    return Images("colours", "train", pixels, labels, ("red", "green", "blue"))


@pytest.fixture(scope="module")
def images() -> Images:
    return _images(48, 0)


@pytest.fixture(scope="module")
def held_out() -> Images:
    return _images(12, 1)


@pytest.fixture(scope="module")
def network(images: Images, held_out: Images, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """A network trained without a break."""
    return train(TINY, images, held_out, tmp_path_factory.mktemp("whole") / "c", RECIPE, seed=4)


class Killed(Exception):
    pass


def test_training_goes_on_after_a_kill_as_if_there_was_none(
    network: nn.Module, images: Images, held_out: Images, tmp_path: Path
) -> None:
    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(TINY, images, held_out, tmp_path / "c", RECIPE, seed=4, on_epoch=kill)
    seen: list[int] = []
    resumed = train(TINY, images, held_out, tmp_path / "c", RECIPE, seed=4, on_epoch=lambda epoch: seen.append(epoch.epoch))
    assert seen == [3]
    whole = network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.state_dict().items())
    assert not resumed.training


def test_a_checkpoint_of_another_training_is_refused(images: Images, held_out: Images, tmp_path: Path) -> None:
    train(TINY, images, held_out, tmp_path / "c", replace(RECIPE, epochs=1), seed=4)
    with pytest.raises(ValueError, match="checkpoint of a training with other settings"):
        train(TINY, images, held_out, tmp_path / "c", RECIPE, seed=4)


def test_another_seed_gives_another_network(network: nn.Module, images: Images, held_out: Images, tmp_path: Path) -> None:
    other = train(TINY, images, held_out, tmp_path / "c", replace(RECIPE, epochs=1), seed=5)
    assert not torch.equal(other.get_parameter("conv1.weight"), network.get_parameter("conv1.weight"))


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [Recipe(rate=0.2, warmup=0.25).rate_at(share) for share in (0.0, 0.125, 0.25, 0.625, 1.0)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def test_augmented_images_are_crops_of_the_padded_one_or_of_its_mirror() -> None:
    pixels = torch.arange(32 * 32, dtype=torch.int32).view(1, 1, 32, 32).expand(64, 3, 32, 32) % 251
    pixels = pixels.to(torch.uint8)
    out = classifier.augment(pixels, torch.Generator().manual_seed(0))
    assert out.shape == pixels.shape
    padded = nn.functional.pad(pixels[0].float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    crops = [padded[:, i : i + 32, j : j + 32] for i in range(9) for j in range(9)]
    kinds = [crop for c in crops for crop in (c, c.flip(2))]
    matches = [next(i for i, kind in enumerate(kinds) if torch.equal(image, kind)) for image in out]
    assert len(set(matches)) > 30
    assert {match % 2 for match in matches} == {0, 1}


def test_a_saved_network_comes_back_in_half_precision(network: nn.Module, images: Images, tmp_path: Path) -> None:
    notes = {"test_accuracy": 0.5, "classes": ["red", "green", "blue"]}
    classifier.save(network, TINY, tmp_path / "w.safetensors", notes)
    again, architecture, said = classifier.load(tmp_path / "w.safetensors")
    assert architecture == TINY
    assert said == notes
    assert not again.training
    for name, value in network.state_dict().items():
        wanted = value.half().float() if value.is_floating_point() else value
        assert torch.equal(again.state_dict()[name], wanted)
    classifier.save(again, architecture, tmp_path / "again.safetensors", said)
    one, other = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert classifier.evaluate(again, TINY, images) == pytest.approx(classifier.evaluate(network, TINY, images), abs=0.1)


def _other(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path)


def _other_weights(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": json.dumps({"model": "resnet18"})})


def _other_widths(path: Path) -> None:
    wide = Architecture(classes=3, channels=(8, 8, 8, 8), small_stem=True)
    classifier.save(wide.build(), wide, path, {})
    save_file(load_file(path), path, {"architecture": json.dumps({"classes": 3, "channels": [4, 4, 8, 8], "small_stem": True})})


def _unknown_model(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": json.dumps({"model": "no-such-net"})})


def _broken_metadata(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": "{"})


def _cut(path: Path) -> None:
    classifier.save(TINY.build(), TINY, path, {})
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("make", [
    _other, _other_weights, _other_widths, _unknown_model, _broken_metadata, _cut, lambda path: path.write_bytes(b"PK\x03\x04"),
    lambda path: None,
])  # fmt: skip
def test_a_file_that_is_not_ours_is_refused_in_one_line(make, tmp_path: Path) -> None:
    make(tmp_path / "w.safetensors")
    with pytest.raises(ValueError) as caught:
        classifier.load(tmp_path / "w.safetensors")
    assert "w.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_images_for_a_batch_are_refused(images: Images, held_out: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one batch of 256 images, got 48"):
        train(TINY, images, held_out, tmp_path / "c", Recipe(epochs=1))
    assert not (tmp_path / "c").exists()


def test_features_times_head_are_the_logits(network: nn.Module, images: Images) -> None:
    features, head = extract(network, TINY, images, dtype=torch.float32), head_of(network)
    assert head is not None
    with torch.inference_mode():
        logits = network(TINY.normalise(classifier.pixels_tensor(images)))
    assert torch.allclose(features.z @ head.weight.T + head.bias, logits, atol=1e-4)
    assert features.y is not None
    assert features.y.tolist() == images.labels.tolist()
    assert features.source == "colours/train"


def test_features_do_not_depend_on_the_batch(network: nn.Module, images: Images) -> None:
    one, other = (extract(network, TINY, images, batch=batch, dtype=torch.float32) for batch in (5, 48))
    assert torch.allclose(one.z, other.z, atol=1e-5)
    assert torch.allclose(one.views["std"], other.views["std"], atol=1e-5)


def test_chosen_rows_are_extracted_in_their_order(network: nn.Module, images: Images) -> None:
    rows = np.array([40, 3, 7])
    said: list[tuple[str, int, int]] = []
    some = extract(network, TINY, images, rows, batch=2, std=False, on_batch=lambda *news: said.append(news))
    every = extract(network, TINY, images)
    assert torch.allclose(some.z, every.z[rows], atol=1e-3)
    assert some.z.dtype == torch.float16
    assert not some.views
    assert some.index is not None
    assert some.index.tolist() == [40, 3, 7]
    assert said == [("colours/train", 2, 3), ("colours/train", 3, 3)]


def test_the_std_view_is_the_spread_of_the_last_map(network: nn.Module, images: Images) -> None:
    features = extract(network, TINY, images, dtype=torch.float32)
    with torch.inference_mode():
        last = network.forward_features(TINY.normalise(classifier.pixels_tensor(images)))  # type: ignore[operator]
    assert torch.allclose(features.z, last.mean((2, 3)), atol=1e-5)
    assert torch.allclose(features.views["std"], last.flatten(2).std(2, correction=0), atol=1e-5)


def test_a_network_without_a_linear_end_has_no_head(network: nn.Module) -> None:
    assert head_of(_Headless()) is None


class _Headless(nn.Module):
    def get_classifier(self) -> nn.Module:
        return nn.Identity()
