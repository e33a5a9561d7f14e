"""The network: what it takes, and a file that gives it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from heat_core.images import classifier
from heat_core.images.classifier import Architecture, pixels_tensor
from heat_core.images.classifier_training import Recipe, train
from heat_core.images.datasets import Images
from tests.samples import colours

TINY = Architecture("resnet18", classes=3, layers=(1, 1, 1, 1), channels=(16, 16, 16, 16))


@pytest.fixture(scope="module")
def images() -> Images:
    return colours(48, 0)


@pytest.fixture(scope="module")
def network(images: Images, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """A network that has learned something."""
    recipe = Recipe(epochs=3, batch=16, filter_lr=0.05, milestones=(), warmup=0.2, whiten=True)
    checkpoint = tmp_path_factory.mktemp("training") / "checkpoint"
    return train(TINY, images, colours(12, 1), checkpoint, recipe, seed=4)


def test_a_network_without_a_plain_stem_cannot_have_a_small_one() -> None:
    with pytest.raises(
        ValueError, match="only a ResNet with a plain stem can have a small one; got vgg11"
    ):
        Architecture("vgg11").build()


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            Architecture("resnet18", layers=(1, 1), channels=(16,)),
            "layers must be four numbers of at least 1, .* got 1, 1",
        ),
        (Architecture("resnet18", channels=(0, 1, 1, 1)), "channels must be four numbers"),
        (
            Architecture("convnext_atto", layers=(1, 1, 1, 1), small_stem=False),
            "only a ResNet can have layers of its own",
        ),
    ],
)
def test_stages_that_a_network_cannot_have_are_refused(
    architecture: Architecture, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        architecture.build()


def test_images_are_resized_for_a_network_that_takes_one_size(images: Images) -> None:
    fixed = Architecture("vit_tiny_patch16_224", small_stem=False)
    assert fixed.normalise(pixels_tensor(images)[:2]).shape == (2, 3, 224, 224)
    assert TINY.normalise(pixels_tensor(images)[:2]).shape == (2, 3, 32, 32)


def test_a_saved_network_comes_back_in_half_precision(
    network: nn.Module, images: Images, tmp_path: Path
) -> None:
    training_info = {"test_accuracy": 0.5, "classes": ["red", "green", "blue"]}
    classifier.save(network, TINY, tmp_path / "w.safetensors", training_info)
    again, architecture, saved_info = classifier.load(tmp_path / "w.safetensors")
    assert architecture == TINY
    assert saved_info == training_info
    assert not again.training
    for name, value in network.state_dict().items():
        wanted = value.half().float() if value.is_floating_point() else value
        assert torch.equal(again.state_dict()[name], wanted)
    classifier.save(again, architecture, tmp_path / "again.safetensors", saved_info)
    one, other = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert classifier.evaluate(again, TINY, images) == pytest.approx(
        classifier.evaluate(network, TINY, images), abs=0.1
    )


def _other(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path)


def _other_weights(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": json.dumps({"model": "resnet18"})})


def _other_widths(path: Path) -> None:
    wide = Architecture("resnet18", classes=3, channels=(16, 16, 16, 32))
    classifier.save(wide.build(), wide, path, {})
    narrow = {"model": "resnet18", "classes": 3, "channels": [16, 16, 16, 16]}
    save_file(load_file(path), path, {"architecture": json.dumps(narrow)})


def _unknown_model(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": json.dumps({"model": "no-such-net"})})


def _broken_metadata(path: Path) -> None:
    save_file({"z": torch.ones(2, 2)}, path, {"architecture": "{"})


def _broken_normalisation(path: Path) -> None:
    classifier.save(TINY.build(), replace(TINY, std=(0.2, None, 0.2)), path, {})  # type: ignore[arg-type]


def _cut(path: Path) -> None:
    classifier.save(TINY.build(), TINY, path, {})
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    "make",
    [
        _other,
        _other_weights,
        _other_widths,
        _unknown_model,
        _broken_metadata,
        _broken_normalisation,
        _cut,
        lambda path: path.write_bytes(b"PK\x03\x04"),
        lambda path: None,
    ],
)
def test_a_file_that_is_not_ours_is_refused_in_one_line(make, tmp_path: Path) -> None:
    make(tmp_path / "w.safetensors")
    with pytest.raises(ValueError) as caught:
        classifier.load(tmp_path / "w.safetensors")
    assert "w.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_a_network_with_two_last_layers_are_refused(tmp_path: Path) -> None:
    save_file({"head.bias": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="one last layer; levit_128s has head"):
        classifier.load(tmp_path / "w.safetensors", Architecture("levit_128s", small_stem=False))
