"""The classifier whose features everything else reads: a timm network, trained here or brought along.

A network on disk is one safetensors file: float16 weights, and an `Architecture` in its metadata that rebuilds it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

from heat_core.files import write_whole

from .datasets import Images


@dataclass(frozen=True)
class Architecture:
    """A timm network and how its images are normalised.

    Args:
        model: timm's name for it.
        classes: width of the head.
        layers, channels: blocks and widths of a ResNet's four stages, if not timm's own.
        small_stem: replace a ResNet's 7x7 stride-2 stem and its max-pool by a 3x3 convolution, as 32-pixel images want.
        mean, std: per channel, of pixels in [0, 1].
    """

    model: str = "resnet34"
    classes: int = 10
    layers: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    small_stem: bool = True
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616)

    def build(self) -> nn.Module:
        """Returns the network with fresh weights. Raises ValueError if timm has no such model, or not with these stages."""
        import timm

        if not timm.is_model(self.model):
            raise ValueError(f"model must be one that timm knows; got {self.model!r}.")
        extra = {name: value for name in ("layers", "channels") if (value := getattr(self, name))}
        for name, numbers in extra.items():
            if len(numbers) != 4 or min(numbers) < 1:
                raise ValueError(
                    f"{name} must be four numbers of at least 1, one a stage; got {', '.join(map(str, numbers))}."
                )
        try:
            network: Any = timm.create_model(self.model, num_classes=self.classes, **extra)
        except TypeError:  # an argument that it does not take
            raise ValueError(
                f"only a ResNet can have {' and '.join(extra)} of its own; got {self.model}."
            ) from None
        if self.small_stem:
            if not isinstance(stem := getattr(network, "conv1", None), nn.Conv2d) or not hasattr(
                network, "maxpool"
            ):
                raise ValueError(
                    f"only a ResNet with a plain stem can have a small one; got {self.model}."
                )
            network.conv1 = nn.Conv2d(3, stem.out_channels, 3, padding=1, bias=False)
            network.maxpool = nn.Identity()
        return network

    @functools.cached_property
    def sides(self) -> tuple[int, int]:
        """The least and the greatest side, in pixels, that the network takes; timm knows of those that do not take any."""
        import timm

        known = timm.models.get_pretrained_cfg(self.model)
        if known is not None and known.fixed_input_size:
            return known.input_size[-1], known.input_size[-1]
        return (
            known.min_input_size[-1] if known is not None and known.min_input_size else 1
        ), 10**6

    def normalise(self, pixels: Tensor) -> Tensor:
        """Returns (N, 3, H, W) float32 network inputs from (N, 3, H, W) uint8 pixels, resized to what it takes."""
        mean, std = (
            torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std)
        )
        inputs = (pixels.float() / 255 - mean) / std
        least, greatest = self.sides
        if not least <= pixels.shape[-1] <= greatest:
            inputs = interpolate(
                inputs, min(max(pixels.shape[-1], least), greatest), mode="bilinear", antialias=True
            )
        return inputs.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: random crops and flips, cross-entropy, a linear warm-up, then steps or a line down.

    An image is flipped in every other epoch, beginning by a coin (alternating flips, Jordan 2024, arXiv:2404.00498).

    Args:
        epochs, batch: passes over the images, images a step.
        rate: the peak learning rate of SGD with Nesterov momentum.
        momentum, weight_decay: of SGD.
        filter_rate: if above 0, convolutions learn at this peak rate by `Muon` instead.
        drops: shares of the training where the rate is divided by 10; without any it falls linearly to 0.
        warmup: the share of the training in which the rate rises.
        shift: pixels of reflection padding that crops move in.
        whiten: begin with, and keep, a stem that decorrelates 3x3 patches of the training images (same reference).
        small: the share of the training that sees images shrunk to three quarters, which is nearly twice as fast.
        keep: steps between checkpoints.
    """

    epochs: int = 200
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    filter_rate: float = 0.0
    drops: tuple[float, ...] = (0.5, 0.75)
    warmup: float = 0.0
    shift: int = 4
    whiten: bool = False
    small: float = 0.0
    keep: int = 200

    def rate_at(self, progress: float) -> float:
        """Returns the learning rate at a share of the training between 0 and 1, relative to the peak."""
        if progress < self.warmup:
            return progress / self.warmup
        if self.drops:
            return 0.1 ** sum(progress >= drop for drop in self.drops)
        return (1 - progress) / (1 - self.warmup)


RECIPES = {
    "paper": Recipe(),
    "fast": Recipe(
        epochs=10,
        batch=250,
        rate=0.3,
        filter_rate=0.12,
        drops=(),
        warmup=0.1,
        shift=2,
        whiten=True,
        small=0.4,
        keep=100,
    ),
}
"""`paper`: Lafon et al. 2022. `fast`: a good network in a twentieth of the epochs, for CPUs."""


def find_recipe(name: str, epochs: int | None = None) -> Recipe:
    """Returns the recipe of this name, over so many epochs if given. Raises ValueError naming the known ones."""
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}.")
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}.")
    return RECIPES[name] if epochs is None else replace(RECIPES[name], epochs=epochs)


class Muon(torch.optim.Optimizer):
    """Steps of orthogonalised momentum for the filters of convolutions that a normalisation follows.

    A filter bank is a (out, in * h * w) matrix of fixed norm; the momentum's singular values are all set to about 1, by
    three Newton-Schulz iterations, before it is added. torch's own Muon takes matrices only and does not fix the norm.
    Reference: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.6
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for filters in group["params"]:
                buffer = self.state[filters].setdefault(
                    "momentum_buffer", torch.zeros_like(filters)
                )
                buffer.mul_(group["momentum"]).add_(filters.grad)
                update = _orthogonal(filters.grad.add(buffer, alpha=group["momentum"]).flatten(1))
                filters.mul_(len(filters) ** 0.5 / filters.norm())
                filters.add_(update.view(filters.shape), alpha=-group["lr"])


def _orthogonal(matrix: Tensor, iterations: int = 3) -> Tensor:
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.T if tall else x


class Progress(NamedTuple):
    """One line of a training: mean loss since the last one, accuracy on the held-out images at the end of an epoch.

    `taken` steps were taken in `seconds`, since the training began or went on.
    """

    step: int
    steps: int
    taken: int
    epoch: int
    loss: float
    accuracy: float | None
    seconds: float


def pixels_tensor(images: Images) -> Tensor:
    """Returns (N, 3, 32, 32) uint8, without a copy."""
    return torch.from_numpy(images.pixels).permute(0, 3, 1, 2)


def train(
    architecture: Architecture,
    images: Images,
    held_out: Images,
    checkpoint: Path,
    recipe: Recipe = RECIPES["fast"],
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> nn.Module:
    """Trains a network from random weights and returns it, in evaluation mode.

    `checkpoint` is rewritten whole every `recipe.keep` steps; if it is there already, training goes on from it and ends
    as it would have without the break. `held_out` is only reported on, never learned from.

    Raises:
        ValueError: there are fewer images than a batch or none held out, or the checkpoint is damaged or of another training.
    """
    if len(images) < recipe.batch:
        raise ValueError(
            f"training needs at least one batch of {recipe.batch} images, got {len(images)}."
        )
    if not len(held_out):
        raise ValueError("training needs held-out images to report on, got none.")
    training = _Training(architecture, images, recipe, seed, device)
    first = training.resume(checkpoint) if checkpoint.exists() else 0
    began, last, total = time.perf_counter(), first, 0.0
    for step in range(first, training.steps):
        total += training.step(step)
        done = step + 1
        if done % recipe.keep == 0 or done % training.epoch_steps == 0 or done == training.steps:
            training.keep(checkpoint, done)
            ends = done % training.epoch_steps == 0
            accuracy = evaluate(training.network, architecture, held_out, device) if ends else None
            epoch = step // training.epoch_steps + 1
            loss, seconds = float(total) / (done - last), time.perf_counter() - began
            on_progress(
                Progress(done, training.steps, done - first, epoch, loss, accuracy, seconds)
            )
            total, last = 0.0, done
    return training.network.eval()


class _Training:
    """A network, its optimisers and its images; a step depends on nothing but them and its number."""

    def __init__(
        self, architecture: Architecture, images: Images, recipe: Recipe, seed: int, device: str
    ) -> None:
        self.architecture, self.recipe, self.seed = architecture, recipe, seed
        self.pixels, self.labels = (
            pixels_tensor(images).to(device),
            torch.from_numpy(images.labels).to(device),
        )
        self.epoch_steps = len(images) // recipe.batch
        self.steps = recipe.epochs * self.epoch_steps
        self.name = json.dumps(
            [asdict(architecture), asdict(recipe), seed, len(images), images.name]
        )
        torch.manual_seed(seed)
        network: Any = architecture.build().to(device).to(memory_format=torch.channels_last)
        self.network: nn.Module = network
        if recipe.whiten:
            if not isinstance(getattr(network, "conv1", None), nn.Conv2d):
                raise ValueError(
                    f"this recipe begins with a ResNet's stem, which {architecture.model} has not; take `paper`."
                )
            network.conv1.weight.data.copy_(
                whitening(architecture.normalise(self.pixels[:5000]), network.conv1.weight)
            )
            network.conv1.weight.requires_grad_(False)
        self.optimizers = _optimizers(network, recipe)
        self.fused = network if device == "cpu" else torch.compile(network)

    def step(self, step: int) -> Tensor:
        """Takes one step and returns its loss."""
        recipe, device = self.recipe, self.pixels.device
        epoch, within = divmod(step, self.epoch_steps)
        shuffle = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        rows = torch.randperm(len(self.pixels), generator=shuffle)[within * recipe.batch :][
            : recipe.batch
        ].to(device)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * recipe.rate_at((step + 1) / self.steps)
        generator = torch.Generator(device).manual_seed(self.seed * 100_003 + step)
        flip = (_coins(len(self.pixels), self.seed).to(device)[rows] + epoch) % 2 == 0
        inputs = self.architecture.normalise(
            augment(self.pixels[rows], flip, recipe.shift, generator)
        )
        if step < recipe.small * self.steps:
            inputs = interpolate(inputs, scale_factor=0.75, mode="bilinear", antialias=True)
        self.network.train()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=_bfloat16(device)):
            logits = self.fused(inputs)
        loss = cross_entropy(logits.float(), self.labels[rows])
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _buffers(self) -> dict[str, dict[str, Any]]:
        states = {
            p: optimizer.state[p]
            for optimizer in self.optimizers
            for g in optimizer.param_groups
            for p in g["params"]
        }
        return {name: states[p] for name, p in self.network.named_parameters() if p in states}

    def keep(self, path: Path, step: int) -> None:
        """Writes a checkpoint, whole or not at all."""
        from safetensors.torch import save

        state = {
            f"network.{name}": value.contiguous()
            for name, value in self.network.state_dict().items()
        }
        state |= {
            f"momentum.{name}": buffer["momentum_buffer"].contiguous()
            for name, buffer in self._buffers().items()
        }
        write_whole(path, save(state, {"step": str(step), "training": self.name}))

    def resume(self, path: Path) -> int:
        """Takes up a checkpoint and returns the next step. Raises ValueError if it is of another training."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "pt") as file:
                meta = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except SafetensorError as error:
            raise ValueError(
                f"{path} is a damaged checkpoint ({error}); delete it to begin again."
            ) from None
        if meta.get("training") != self.name:
            raise ValueError(
                f"{path} is the checkpoint of a training with other settings; wanted {self.name}."
            )
        self.network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
        for name, buffer in self._buffers().items():
            momentum = tensors[f"momentum.{name}"].to(self.pixels.device)
            buffer["momentum_buffer"] = momentum.to(memory_format=torch.preserve_format)
        return int(meta["step"])


@functools.cache
def _coins(count: int, seed: int) -> Tensor:
    return torch.randint(2, (count,), generator=torch.Generator().manual_seed(seed))


def _bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; emulated, it is much slower than float32."""
    return device.type != "cpu" or any(
        torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16")
    )


def _optimizers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    learned = [p for p in network.parameters() if p.requires_grad]
    filters = [p for p in learned if p.ndim == 4 and recipe.filter_rate > 0]
    rest = [p for p in learned if not any(p is f for f in filters)]
    sgd = torch.optim.SGD(
        rest, recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    optimizers: list[torch.optim.Optimizer] = [
        sgd,
        *([Muon(filters, recipe.filter_rate)] if filters else []),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def whitening(inputs: Tensor, like: Tensor) -> Tensor:
    """Returns filters shaped like a (out, 3, k, k) weight: the whitened principal patches of the inputs and their opposites.

    Filters beyond twice the number of patch directions stay as they are.
    """
    size = like.shape[-1]
    patches = (
        inputs.unfold(2, size, 1)
        .unfold(3, size, 1)[:, :, ::3, ::3]
        .permute(0, 2, 3, 1, 4, 5)
        .flatten(0, 2)
        .flatten(1)
    )
    values, vectors = torch.linalg.eigh(torch.cov(patches.T.double()))
    filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).to(like.dtype)
    both = torch.cat([filters, -filters])[: len(like)].view(-1, *like.shape[1:])
    return torch.cat([both, like.detach()[len(both) :]])


def augment(pixels: Tensor, flip: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Returns the (N, 3, H, W) images, mirrored where `flip` (N,) says, cropped after `shift` pixels of reflection padding."""
    n, _, height, width = pixels.shape
    device = pixels.device
    moved = torch.randint(0, 2 * shift + 1, (n, 2), device=device, generator=generator)
    padded = pad(pixels.float(), (shift,) * 4, mode="reflect").to(pixels.dtype)
    rows = moved[:, :1] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = moved[:, 1:] + torch.where(flip[:, None], columns.flip(0), columns)
    image = torch.arange(n, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


@torch.inference_mode()
def evaluate(
    network: nn.Module, architecture: Architecture, images: Images, device: str = "cpu"
) -> float:
    """Returns the share of images whose most likely class is their label."""
    network.eval()
    labels = torch.from_numpy(images.labels).to(device)
    right = torch.zeros((), device=device)
    for pixels, truth in zip(pixels_tensor(images).split(500), labels.split(500), strict=True):
        right += (network(architecture.normalise(pixels.to(device))).argmax(1) == truth).sum()
    return float(right) / len(images)


def save(network: nn.Module, architecture: Architecture, path: Path, notes: dict[str, Any]) -> None:
    """Writes the network in float16, with its architecture and `notes` (how it was trained, its accuracy) as JSON."""
    from safetensors.torch import save as pack

    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    meta = {"architecture": json.dumps(asdict(architecture)), "notes": json.dumps(notes)}
    write_whole(path, pack({name: value.contiguous() for name, value in half.items()}, meta))


def fingerprint(network: nn.Module) -> str:
    """Returns the SHA-256 of a network's weights, in hexadecimal."""
    weights = hashlib.sha256()
    for value in network.state_dict().values():
        weights.update(value.cpu().contiguous().numpy().tobytes())
    return weights.hexdigest()


def load(
    path: Path, architecture: Architecture | None = None
) -> tuple[nn.Module, Architecture, dict[str, Any]]:
    """Returns (network in evaluation mode, architecture, notes).

    Args:
        path: what `save` wrote, or safetensors of the weights alone.
        architecture: of such weights; the number of classes is read off them, and the normalisation is timm's own.

    Raises ValueError if the file is neither, or is of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            meta = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}.") from None
    if "architecture" not in meta and architecture is None:
        raise ValueError(
            f"{path} has no architecture in its metadata; wanted a file that train-classifier wrote, or a model."
        )
    try:
        if architecture is None:
            architecture = _revive(json.loads(meta["architecture"]))
            network = architecture.build()
        else:
            architecture, network = _fitted(architecture, state)
        notes = json.loads(meta.get("notes", "{}"))
        network.load_state_dict(state)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} does not hold the network that it is said to hold: {reason[:200]}"
        ) from None
    return network.eval(), architecture, notes


def _fitted(architecture: Architecture, state: dict[str, Tensor]) -> tuple[Architecture, nn.Module]:
    """Returns the architecture with as many classes as the weights have, timm's normalisation, and its network."""
    network: Any = architecture.build()
    last = network.pretrained_cfg.get("classifier", "fc")
    if not isinstance(last, str):
        raise ValueError(
            f"wanted a network with one last layer; {architecture.model} has {' and '.join(last)}."
        )
    if (bias := f"{last}.bias") not in state:
        raise ValueError(
            f"wanted the weights of {architecture.model} with {bias}; got {', '.join(list(state)[-3:])}."
        )
    mean, std = (tuple(network.pretrained_cfg[name]) for name in ("mean", "std"))
    fitted = replace(architecture, classes=len(state[bias]), mean=mean, std=std)
    return fitted, fitted.build()


def _revive(described: dict[str, Any]) -> Architecture:
    known = {field.name for field in fields(Architecture)}
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in described.items() if k in known
    }
    architecture = Architecture(**values)
    for name in ("mean", "std"):
        if len(numbers := getattr(architecture, name)) != 3 or not all(
            isinstance(n, float) for n in numbers
        ):
            raise ValueError(f"{name} must be three numbers, got {numbers!r}.")
    return architecture
