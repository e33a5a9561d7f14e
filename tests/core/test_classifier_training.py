"""Training goes on after a kill; its recipes, its optimiser and its augmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from heat_core.images.classifier import Architecture, pixels_tensor
from heat_core.images.classifier_training import (
    Muon,
    Recipe,
    augment,
    find_recipe,
    train,
    whitening,
)
from heat_core.images.datasets import Images
from heat_core.images.training_loop import Progress
from tests.samples import colours

TINY = Architecture("resnet18", classes=3, layers=(1, 1, 1, 1), channels=(16, 16, 16, 16))
RECIPE = Recipe(
    epochs=3,
    batch=16,
    filter_lr=0.05,
    milestones=(),
    warmup=0.2,
    whiten=True,
    small_share=0.3,
    checkpoint_steps=2,
)


@pytest.fixture(scope="module")
def images() -> Images:
    return colours(48, 0)


@pytest.fixture(scope="module")
def held_out() -> Images:
    return colours(12, 1)


@pytest.fixture(scope="module")
def network(
    images: Images, held_out: Images, tmp_path_factory: pytest.TempPathFactory
) -> nn.Module:
    """A network trained without a break."""
    return train(
        TINY,
        images,
        held_out,
        tmp_path_factory.mktemp("whole") / "c",
        replace(RECIPE, checkpoint_steps=5),
        seed=4,
    )


class Killed(Exception):
    pass


def test_training_goes_on_after_a_kill_as_if_there_was_none(
    network: nn.Module, images: Images, held_out: Images, tmp_path: Path
) -> None:
    def kill(progress: Progress) -> None:
        if (
            progress.step == 5
        ):  # in the middle of the second epoch, a step after the last checkpoint but one
            raise Killed

    recipe = replace(RECIPE, checkpoint_steps=5)
    with pytest.raises(Killed):
        train(TINY, images, held_out, tmp_path / "c", recipe, seed=4, on_progress=kill)
    reports: list[tuple[int, int]] = []
    resumed = train(
        TINY,
        images,
        held_out,
        tmp_path / "c",
        recipe,
        seed=4,
        on_progress=lambda progress: reports.append((progress.step, progress.steps_taken)),
    )
    assert reports == [(6, 1), (9, 4)]
    whole = network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.state_dict().items())
    assert not resumed.training


def test_a_checkpoint_of_another_training_is_refused(
    images: Images, held_out: Images, tmp_path: Path
) -> None:
    train(TINY, images, held_out, tmp_path / "c", replace(RECIPE, epochs=1), seed=4)
    with pytest.raises(ValueError, match="checkpoint of a training with other settings"):
        train(TINY, images, held_out, tmp_path / "c", RECIPE, seed=4)


def test_another_seed_gives_another_network(
    network: nn.Module, images: Images, held_out: Images, tmp_path: Path
) -> None:
    other = train(TINY, images, held_out, tmp_path / "c", replace(RECIPE, epochs=1), seed=5)
    assert not torch.equal(other.get_parameter("fc.weight"), network.get_parameter("fc.weight"))


def test_a_whitened_stem_is_kept(network: nn.Module, images: Images) -> None:
    inputs = TINY.normalise(pixels_tensor(images))
    fresh = TINY.build().get_parameter("conv1.weight")
    stem, wanted = network.get_parameter("conv1.weight"), whitening(inputs, fresh)
    assert torch.allclose(
        stem[:54], wanted[:54], atol=1e-5
    )  # 27 directions and their opposites; the rest are random


def test_whitened_patches_have_unit_variance_and_no_correlation() -> None:
    pixels = torch.randn(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.avg_pool2d(pixels, 3, 1)
    filters = whitening(smooth, torch.empty(27, 3, 3, 3))
    out = nn.functional.conv2d(smooth, filters, stride=3).transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(out), torch.eye(27), atol=0.35)
    assert torch.allclose(whitening(smooth, torch.empty(54, 3, 3, 3))[27:], -filters)


def test_muon_sets_the_singular_values_of_a_step_to_about_one_and_keeps_the_norm() -> None:
    filters = nn.Parameter(torch.randn(12, 4, 3, 3, generator=torch.Generator().manual_seed(1)))
    before = filters.detach() * 12**0.5 / filters.detach().norm()
    filters.grad = torch.randn(12, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    Muon([filters], lr=0.1).step()
    values = torch.linalg.svdvals(((before - filters.detach()) / 0.1).flatten(1))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [
        Recipe(milestones=(), warmup=0.25).lr_factor(share)
        for share in (0.0, 0.125, 0.25, 0.625, 1.0)
    ]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_the_papers_learning_rate_is_divided_by_ten_at_half_and_three_quarters() -> None:
    assert [
        find_recipe("paper").lr_factor(share) for share in (0.0, 0.49, 0.5, 0.74, 0.75, 1.0)
    ] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_recipes_go_by_name() -> None:
    paper = find_recipe("paper")
    assert (paper.epochs, paper.lr, paper.momentum, paper.weight_decay) == (200, 0.1, 0.9, 5e-4)
    assert find_recipe("fast", 3).epochs == 3
    with pytest.raises(ValueError, match=r"recipe must be one of paper, fast; got 'slow'\."):
        find_recipe("slow")
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        find_recipe("fast", 0)


def test_augmented_images_are_crops_of_the_padded_one_or_of_its_mirror() -> None:
    pixels = torch.arange(32 * 32, dtype=torch.int32).view(1, 1, 32, 32).expand(64, 3, 32, 32) % 251
    pixels = pixels.to(torch.uint8)
    flip = torch.arange(64) % 2 == 1
    out = augment(pixels, flip, 4, torch.Generator().manual_seed(0))
    assert out.shape == pixels.shape
    padded = nn.functional.pad(pixels[0].float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    crops = [padded[:, i : i + 32, j : j + 32] for i in range(9) for j in range(9)]
    kinds = [crop for c in crops for crop in (c, c.flip(2))]
    matches = [next(i for i, kind in enumerate(kinds) if torch.equal(image, kind)) for image in out]
    assert len(set(matches)) > 30
    assert [match % 2 for match in matches] == flip.int().tolist()


def test_too_few_images_for_a_batch_are_refused(
    images: Images, held_out: Images, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="at least one batch of 128 images, got 48"):
        train(TINY, images, held_out, tmp_path / "c", Recipe(epochs=1))
    assert not (tmp_path / "c").exists()


def test_a_damaged_checkpoint_is_refused_in_one_line(
    images: Images, held_out: Images, tmp_path: Path
) -> None:
    (tmp_path / "c").write_bytes(b"half a checkpoint")
    with pytest.raises(ValueError, match=r"c is a damaged checkpoint .*; delete it to begin again"):
        train(TINY, images, held_out, tmp_path / "c", RECIPE)


def test_nothing_held_out_is_refused_before_training(images: Images, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="training needs held-out images"):
        train(TINY, images, images.take(np.arange(0), "val"), tmp_path / "c", RECIPE)


def test_a_recipe_that_whitens_the_stem_wants_one(
    images: Images, held_out: Images, tmp_path: Path
) -> None:
    convnext = Architecture("convnext_atto", classes=3, small_stem=False)
    with pytest.raises(
        ValueError, match="a ResNet's stem, which convnext_atto has not; take `paper`"
    ):
        train(convnext, images, held_out, tmp_path / "c", RECIPE)


@pytest.mark.parametrize("mirror", [True, False])
def test_images_are_mirrored_unless_left_and_right_mean_something(
    mirror: bool,
    images: Images,
    held_out: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flips: list[bool] = []

    def watched(pixels: torch.Tensor, flip: torch.Tensor, *arguments: Any) -> torch.Tensor:
        flips.extend(flip.tolist())
        return augment(pixels, flip, *arguments)

    monkeypatch.setattr("heat_core.images.classifier_training.augment", watched)
    recipe = replace(RECIPE, epochs=2, mirror=mirror)
    train(TINY, images, held_out, tmp_path / "c", recipe)
    assert (len(flips), sum(flips)) == (96, 48 if mirror else 0)  # each image in one of two epochs


def test_a_checkpoint_says_what_it_is_of_as_version_0_1_did(
    images: Images, held_out: Images, tmp_path: Path
) -> None:
    """So that one of version 0.1 is taken up."""
    train(TINY, images, held_out, tmp_path / "c", replace(RECIPE, epochs=1), seed=4)
    with safe_open(str(tmp_path / "c"), "pt") as file:
        training = file.metadata()["training"]
    assert training == (
        '[{"model": "resnet18", "classes": 3, "layers": [1, 1, 1, 1], '
        '"channels": [16, 16, 16, 16], "small_stem": true, "mean": [0.4914, 0.4822, 0.4465], '
        '"std": [0.247, 0.2435, 0.2616]}, {"epochs": 1, "batch": 16, "rate": 0.1, '
        '"momentum": 0.9, "weight_decay": 0.0005, "filter_rate": 0.05, "drops": [], '
        '"warmup": 0.2, "shift": 4, "whiten": true, "small": 0.3, "keep": 2}, 4, 48, "colours"]'
    )
