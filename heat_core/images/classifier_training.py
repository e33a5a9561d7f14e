"""The training of a classifier: a recipe, its images and its optimisers."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

from heat_core.arguments import check_seed

from .classifier import Architecture, pixels_tensor
from .datasets import Images
from .training_loop import OnProgress, TrainingLoop, check_images, shuffled_rows


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a classifier's training.

    Random crops and flips, cross-entropy; the learning rate warms up and then falls, in steps or
    linearly. An image is flipped in every other epoch, beginning by a coin (alternating flips,
    Jordan 2024, arXiv:2404.00498).

    Args:
        epochs: passes over the images.
        batch: images a step.
        lr: the peak learning rate of SGD with Nesterov momentum.
        momentum, weight_decay: of SGD.
        filter_lr: if above 0, convolutions learn at this peak rate by `Muon` instead.
        milestones: shares of the training where the rate is divided by 10; without any it falls
            linearly to 0.
        warmup: the share of the training in which the rate rises.
        crop_padding: pixels of reflection padding that crops move in.
        whiten: begin with, and keep, a stem that decorrelates 3x3 patches of the training images
            (same reference).
        small_share: the share of the training that sees images shrunk to three quarters, which is
            nearly twice as fast.
        checkpoint_steps: steps between checkpoints.
        mirror: whether an image is mirrored in every other epoch.

    Example:
        >>> [RECIPES["paper"].lr_factor(progress) for progress in (0, 0.5)]
        [1.0, 0.1]
    """

    epochs: int = 200
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    filter_lr: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup: float = 0.0
    crop_padding: int = 4
    whiten: bool = False
    small_share: float = 0.0
    checkpoint_steps: int = 200
    mirror: bool = True

    def lr_factor(self, progress: float) -> float:
        """Returns the learning rate at a share of the training in [0, 1], relative to the peak."""
        if progress < self.warmup:
            return progress / self.warmup
        if self.milestones:
            return 0.1 ** sum(progress >= milestone for milestone in self.milestones)
        return (1 - progress) / (1 - self.warmup)


RECIPES = {
    "paper": Recipe(),
    "fast": Recipe(
        epochs=10,
        batch=250,
        lr=0.3,
        filter_lr=0.12,
        milestones=(),
        warmup=0.1,
        crop_padding=2,
        whiten=True,
        small_share=0.4,
        checkpoint_steps=100,
    ),
}
"""`paper`: Lafon et al. 2022. `fast`: a good network in a twentieth of the epochs, for CPUs."""

IN_CHECKPOINTS = {
    "lr": "rate",
    "filter_lr": "filter_rate",
    "milestones": "drops",
    "crop_padding": "shift",
    "small_share": "small",
    "checkpoint_steps": "keep",
}
"""{field of a recipe: its name in a checkpoint}, so that one of version 0.1 is still taken up."""


def find_recipe(name: str, epochs: int | None = None, mirror: bool = True) -> Recipe:
    """Returns the recipe of this name, over so many epochs if given.

    Args:
        mirror: whether images are mirrored, as they are not where left and right mean something.

    Raises ValueError naming the known ones.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}.")
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}.")
    recipe = replace(RECIPES[name], mirror=mirror)
    return recipe if epochs is None else replace(recipe, epochs=epochs)


# -- training --------------------------------------------------------------------------------------


def train(
    architecture: Architecture,
    images: Images,
    held_out: Images,
    checkpoint: Path,
    recipe: Recipe = RECIPES["fast"],
    seed: int = 0,
    device: str = "cpu",
    on_progress: OnProgress = lambda progress: None,
) -> nn.Module:
    """Trains a network from random weights and returns it, in evaluation mode.

    Args:
        held_out: only reported on, never learned from.
        checkpoint: rewritten whole every `recipe.checkpoint_steps`; if it is there already,
            training goes on from it and ends as it would have without the break.

    Raises:
        ValueError: there are fewer images than a batch or none held out, or the checkpoint is
            damaged or of another training.
    """
    seed = check_seed(seed)
    check_images("training", images, recipe.batch, held_out)
    training = _Training(architecture, images, recipe, seed, device)
    return training.run(held_out, checkpoint, on_progress)


class _Training(TrainingLoop):
    """The steps of a recipe on images."""

    def __init__(
        self, architecture: Architecture, images: Images, recipe: Recipe, seed: int, device: str
    ) -> None:
        self.recipe, self.seed = recipe, seed
        self.pixels = pixels_tensor(images).to(device)
        self.labels = torch.from_numpy(images.labels).to(device)
        torch.manual_seed(seed)
        network: Any = architecture.build().to(device).to(memory_format=torch.channels_last)
        if recipe.whiten:
            self._whiten_stem(architecture, network)
        epoch_steps = len(images) // recipe.batch
        super().__init__(
            architecture,
            network,
            _optimizers(network, recipe),
            _name_of(architecture, images, recipe, seed),
            steps=recipe.epochs * epoch_steps,
            epoch_steps=epoch_steps,
            checkpoint_steps=recipe.checkpoint_steps,
        )

    def _whiten_stem(self, architecture: Architecture, network: Any) -> None:
        """Sets and freezes the first convolution. Raises ValueError if there is no such one."""
        stem = getattr(network, "conv1", None)
        if not isinstance(stem, nn.Conv2d):
            raise ValueError(
                f"this recipe begins with a ResNet's stem, which {architecture.model} "
                "has not; take `paper`."
            )
        inputs = architecture.normalise(self.pixels[:5000])
        stem.weight.data.copy_(whitening(inputs, stem.weight))
        stem.weight.requires_grad_(False)

    def lr_factor(self, progress: float) -> float:
        return self.recipe.lr_factor(progress)

    def loss(self, step: int) -> Tensor:
        inputs, labels = self._batch(step)
        return cross_entropy(self.logits(inputs), labels)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the inputs (B, 3, H, W) and labels (B,) of a step."""
        recipe, device, count = self.recipe, self.pixels.device, len(self.pixels)
        epoch = step // self.epoch_steps
        rows = shuffled_rows(count, recipe.batch, step, self.seed).to(device)
        generator = torch.Generator(device).manual_seed(self.seed * 100_003 + step)
        coins = _coins(count, self.seed).to(device)
        flip = ((coins[rows] + epoch) % 2 == 0) & recipe.mirror
        pixels = augment(self.pixels[rows], flip, recipe.crop_padding, generator)
        inputs = self.architecture.normalise(pixels)
        if step < recipe.small_share * self.steps:
            inputs = interpolate(inputs, scale_factor=0.75, mode="bilinear", antialias=True)
        return inputs, self.labels[rows]


def _name_of(architecture: Architecture, images: Images, recipe: Recipe, seed: int) -> str:
    """Returns what a checkpoint says it is of, as JSON."""
    settings = {IN_CHECKPOINTS.get(name, name): value for name, value in asdict(recipe).items()}
    if recipe.mirror:  # version 0.1 knew nothing else and wrote nothing of it
        del settings["mirror"]
    return json.dumps([asdict(architecture), settings, seed, len(images), images.name])


@functools.cache
def _coins(count: int, seed: int) -> Tensor:
    """Returns zeros and ones (count,)."""
    return torch.randint(2, (count,), generator=torch.Generator().manual_seed(seed))


# -- images ----------------------------------------------------------------------------------------


def augment(pixels: Tensor, flip: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Returns images (N, 3, H, W), mirrored and cropped at random after reflection padding.

    Args:
        pixels: (N, 3, H, W).
        flip: (N,) which images are mirrored.
        padding: in pixels.
    """
    n, _, height, width = pixels.shape
    device = pixels.device
    shifts = torch.randint(0, 2 * padding + 1, (n, 2), device=device, generator=generator)
    padded = pad(pixels.float(), (padding,) * 4, mode="reflect").to(pixels.dtype)
    rows = shifts[:, :1] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = shifts[:, 1:] + torch.where(flip[:, None], columns.flip(0), columns)
    image = torch.arange(n, device=device)[:, None, None]
    crops = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def whitening(inputs: Tensor, weight: Tensor) -> Tensor:
    """Returns filters (out, 3, k, k): the inputs' whitened principal patches and their opposites.

    Filters beyond twice the number of patch directions stay as they are.

    Args:
        inputs: (N, 3, H, W).
        weight: (out, 3, k, k), of the convolution that they are for.
    """
    size = weight.shape[-1]
    windows = inputs.unfold(2, size, 1).unfold(3, size, 1)[:, :, ::3, ::3]
    patches = windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)  # (patches, 3 * k * k)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
    filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).to(weight.dtype)
    signed = torch.cat([filters, -filters])[: len(weight)].view(-1, *weight.shape[1:])
    return torch.cat([signed, weight.detach()[len(signed) :]])


# -- optimisers ------------------------------------------------------------------------------------


class Muon(torch.optim.Optimizer):
    """Steps of orthogonalised momentum for the filters of convolutions before a normalisation.

    A filter bank is a (out, in * h * w) matrix of fixed norm; the momentum's singular values are
    all set to about 1, by three Newton-Schulz iterations, before it is added. torch's own Muon
    takes matrices only and does not fix the norm. Reference: Jordan et al. 2024,
    kellerjordan.github.io/posts/muon.

    Args:
        parameters: filters, (out, in, h, w) each.
        lr: the learning rate.
        momentum: of the gradients.

    Example:
        >>> filters = nn.Parameter(torch.ones(4, 1, 3, 3))
        >>> filters.grad = torch.ones(4, 1, 3, 3)
        >>> Muon([filters], lr=0.1).step()
        >>> filters.norm() < 2  # the norm is 2, the root of the number of filters, before a step
        tensor(True)
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.6
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for filters in group["params"]:
                state = self.state[filters]
                buffer = state.setdefault("momentum_buffer", torch.zeros_like(filters))
                buffer.mul_(group["momentum"]).add_(filters.grad)
                gradient = filters.grad.add(buffer, alpha=group["momentum"])
                update = _orthogonalise(gradient.flatten(1))
                filters.mul_(len(filters) ** 0.5 / filters.norm())
                filters.add_(update.view(filters.shape), alpha=-group["lr"])


def _orthogonalise(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Returns a matrix (n, m) with its singular values set to about 1."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.T if is_tall else x


def _optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Returns SGD, and Muon for the filters of convolutions if the recipe wants it."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    filters = [p for p in parameters if p.ndim == 4 and recipe.filter_lr > 0]
    by_sgd = [p for p in parameters if not any(p is f for f in filters)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SGD(
            by_sgd, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
    ]
    if filters:
        optimizers.append(Muon(filters, recipe.filter_lr))
    return optimizers
