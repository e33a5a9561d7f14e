"""The classifier whose features everything else reads: a timm network, trained here or brought along.

A network on disk is one safetensors file: float16 weights, and an `Architecture` in its metadata that rebuilds it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from .datasets import Images
from .files import write_whole


@dataclass(frozen=True)
class Architecture:
    """A timm network and how its images are normalised.

    Args:
        model: timm's name for it.
        classes: width of the head.
        channels: widths of a ResNet's four stages, if not timm's own.
        small_stem: replace a ResNet's 7x7 stride-2 stem and its max-pool by a 3x3 convolution, as 32-pixel images want.
        mean, std: per channel, of pixels in [0, 1].
    """

    model: str = "resnet18"
    classes: int = 10
    channels: tuple[int, ...] | None = None
    small_stem: bool = False
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616)

    def build(self) -> nn.Module:
        """Returns the network with fresh weights. Raises ValueError if timm has no model of this name."""
        import timm

        if not timm.is_model(self.model):
            raise ValueError(f"model must be one that timm knows; got {self.model!r}.")
        extra: dict[str, Any] = {"channels": self.channels, "stem_width": self.channels[0]} if self.channels else {}
        network: Any = timm.create_model(self.model, num_classes=self.classes, **extra)
        if self.small_stem:
            network.conv1 = nn.Conv2d(3, network.conv1.out_channels, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
        return network

    def normalise(self, pixels: Tensor) -> Tensor:
        """Returns (N, 3, H, W) float32 network inputs from (N, 3, H, W) uint8 pixels."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


SMALL_RESNET18 = Architecture("resnet18", channels=(32, 64, 128, 256), small_stem=True)
"""A half-width ResNet-18 for 32-pixel images: a quarter of the arithmetic, 256 features."""


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum under a linear warm-up and decay, random crops and flips."""

    epochs: int = 16
    batch: int = 256
    rate: float = 0.2
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def rate_at(self, progress: float) -> float:
        """Returns the learning rate at a share of the training between 0 and 1."""
        return self.rate * min(progress / self.warmup, (1 - progress) / (1 - self.warmup))


class Epoch(NamedTuple):
    """One line of a training's progress."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    seconds: float


def pixels_tensor(images: Images) -> Tensor:
    """Returns (N, 3, 32, 32) uint8, without a copy."""
    return torch.from_numpy(images.pixels).permute(0, 3, 1, 2)


def train(
    architecture: Architecture,
    images: Images,
    held_out: Images,
    checkpoint: Path,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> nn.Module:
    """Trains a network and returns it, in evaluation mode.

    `checkpoint` is rewritten whole after every epoch; if it is there already, training goes on from it and ends as it
    would have without the break. `held_out` is only reported on, never learned from.

    Raises:
        ValueError: there are fewer images than a batch, or the checkpoint is of another training.
    """
    if len(images) < recipe.batch:
        raise ValueError(f"training needs at least one batch of {recipe.batch} images, got {len(images)}.")
    torch.manual_seed(seed)
    network = architecture.build().to(device).to(memory_format=torch.channels_last)
    decayed = {True: [p for p in network.parameters() if p.ndim > 1], False: [p for p in network.parameters() if p.ndim < 2]}
    optimizer = torch.optim.SGD(
        [{"params": decayed[True], "weight_decay": recipe.weight_decay}, {"params": decayed[False], "weight_decay": 0.0}],
        lr=recipe.rate, momentum=recipe.momentum, nesterov=True,
    )  # fmt: skip
    training = json.dumps([asdict(architecture), asdict(recipe), seed, len(images), images.name])
    start = _resume(checkpoint, network, optimizer, training) if checkpoint.exists() else 0
    pixels, labels = pixels_tensor(images).to(device), torch.from_numpy(images.labels).to(device)
    for epoch in range(start, recipe.epochs):
        began = time.perf_counter()
        loss = _train_epoch(network, architecture, optimizer, pixels, labels, recipe, epoch, seed)
        accuracy = evaluate(network, architecture, held_out, device)
        _save_checkpoint(checkpoint, network, optimizer, {"epochs": str(epoch + 1), "training": training})
        on_epoch(Epoch(epoch + 1, recipe.epochs, loss, accuracy, time.perf_counter() - began))
    return network.eval()


def _train_epoch(
    network: nn.Module, architecture: Architecture, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor,
    recipe: Recipe, epoch: int, seed: int,
) -> float:  # fmt: skip
    network.train()
    generator = torch.Generator(pixels.device).manual_seed(seed * 100_003 + epoch)  # an epoch repeats whatever came before
    order = torch.randperm(len(pixels), device=pixels.device, generator=generator)
    batches = order[: len(order) // recipe.batch * recipe.batch].view(-1, recipe.batch)
    total = torch.zeros((), device=pixels.device)
    for i, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at((epoch + (i + 1) / len(batches)) / recipe.epochs)
        inputs = architecture.normalise(augment(pixels[rows], generator))
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16):
            logits = network(inputs)
        loss = cross_entropy(logits.float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return float(total) / len(batches)


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Returns the (N, 3, H, W) images flipped half of the time and cropped after 4 pixels of reflection padding."""
    n, _, height, width = pixels.shape
    device = pixels.device
    shift = torch.randint(0, 9, (n, 2), device=device, generator=generator)
    flip = torch.rand(n, device=device, generator=generator) < 0.5
    padded = pad(pixels.float(), (4, 4, 4, 4), mode="reflect").to(pixels.dtype)
    rows = shift[:, :1] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = shift[:, 1:] + torch.where(flip[:, None], columns.flip(0), columns)
    image = torch.arange(n, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.inference_mode()
def evaluate(network: nn.Module, architecture: Architecture, images: Images, device: str = "cpu") -> float:
    """Returns the share of images whose most likely class is their label."""
    network.eval()
    labels = torch.from_numpy(images.labels).to(device)
    right = torch.zeros((), device=device)
    for pixels, truth in zip(pixels_tensor(images).split(500), labels.split(500), strict=True):
        right += (network(architecture.normalise(pixels.to(device))).argmax(1) == truth).sum()
    return float(right) / len(images)


def _save_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.SGD, meta: dict[str, str]) -> None:
    from safetensors.torch import save

    state = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        state[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"].contiguous()
    write_whole(path, save(state, meta))


def _resume(path: Path, network: nn.Module, optimizer: torch.optim.SGD, training: str) -> int:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        meta = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    if meta.get("training") != training:
        raise ValueError(f"{path} is the checkpoint of a training with other settings; wanted {training}.")
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    for name, parameter in network.named_parameters():
        momentum = tensors[f"momentum.{name}"].to(parameter.device)
        optimizer.state[parameter]["momentum_buffer"] = momentum.to(memory_format=torch.preserve_format)
    return int(meta["epochs"])


def save(network: nn.Module, architecture: Architecture, path: Path, notes: dict[str, Any]) -> None:
    """Writes the network in float16, with its architecture and `notes` (how it was trained, its accuracy) as JSON."""
    from safetensors.torch import save as pack

    half = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    meta = {"architecture": json.dumps(asdict(architecture)), "notes": json.dumps(notes)}
    write_whole(path, pack({name: value.contiguous() for name, value in half.items()}, meta))


def load(path: Path) -> tuple[nn.Module, Architecture, dict[str, Any]]:
    """Returns (network in evaluation mode, architecture, notes). Raises ValueError if the file is not one of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            meta = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}.") from None
    if "architecture" not in meta:
        raise ValueError(f"{path} has no architecture in its metadata; wanted a file that train-classifier wrote.")
    try:
        architecture, notes = _revive(json.loads(meta["architecture"])), json.loads(meta.get("notes", "{}"))
        network = architecture.build()
        network.load_state_dict(state)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} does not hold the network that its metadata describes: {reason[:200]}") from None
    return network.eval(), architecture, notes


def _revive(described: dict[str, Any]) -> Architecture:
    known = {field.name for field in fields(Architecture)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items() if k in known}
    return Architecture(**values)
