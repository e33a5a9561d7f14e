"""The classifier whose features everything else reads: a timm network, and the file that holds it.

The file is one of safetensors: float16 weights, and an `Architecture` in its metadata that rebuilds
the network.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from heat_core.files import read_tensors, write_whole
from heat_core.messages import error_text

from .datasets import Images

FINGERPRINT_KEY = "weights"  # of the fingerprint, on cards and among settings, since version 0.1


@dataclass(frozen=True)
class Architecture:
    """A timm network and how its images are normalised.

    Args:
        model: timm's name for it.
        classes: width of the head.
        layers: blocks of a ResNet's four stages, if not timm's own.
        channels: widths of a ResNet's four stages, if not timm's own.
        small_stem: replace a ResNet's 7x7 stride-2 stem and its max-pool by a 3x3 convolution, as
            32-pixel images want.
        mean, std: (3,) per channel, of pixels in [0, 1].

    Example:
        >>> tiny = Architecture("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
        >>> pixels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        >>> tiny.build()(tiny.normalise(pixels)).shape
        torch.Size([2, 10])
    """

    model: str = "resnet34"
    classes: int = 10
    layers: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    small_stem: bool = True
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616)

    def build(self) -> nn.Module:
        """Returns the network with fresh weights.

        Raises ValueError if timm has no such model, or not with these stages.
        """
        import timm

        if not timm.is_model(self.model):
            raise ValueError(f"model must be one that timm knows; got {self.model!r}.")
        stages = self._stages()
        try:
            network: Any = timm.create_model(self.model, num_classes=self.classes, **stages)
        except TypeError:  # an argument that it does not take
            raise ValueError(
                f"only a ResNet can have {' and '.join(stages)} of its own; got {self.model}."
            ) from None
        if self.small_stem:
            self._shrink_stem(network)
        return network

    def _stages(self) -> dict[str, Any]:
        """Returns the arguments of timm's ResNet that are not timm's own. Raises ValueError."""
        stages = {"layers": self.layers, "channels": self.channels}
        own = {name: numbers for name, numbers in stages.items() if numbers}
        for name, numbers in own.items():
            if len(numbers) != 4 or min(numbers) < 1:
                raise ValueError(
                    f"{name} must be four numbers of at least 1, one a stage; "
                    f"got {', '.join(map(str, numbers))}."
                )
        return own

    def _shrink_stem(self, network: Any) -> None:
        """Puts a 3x3 convolution in the place of stem and max-pool. Raises ValueError."""
        stem = getattr(network, "conv1", None)
        if not isinstance(stem, nn.Conv2d) or not hasattr(network, "maxpool"):
            raise ValueError(
                f"only a ResNet with a plain stem can have a small one; got {self.model}."
            )
        network.conv1 = nn.Conv2d(3, stem.out_channels, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()

    @property
    def normalisation(self) -> str:
        """How images are normalised, in words."""
        return normalisation_text(self.mean, self.std)

    @functools.cached_property
    def side_limits(self) -> tuple[int, int]:
        """The least and the greatest side, in pixels, that the network takes."""
        import timm

        settings = timm.models.get_pretrained_cfg(self.model)
        if settings is not None and settings.fixed_input_size:
            side = settings.input_size[-1]
            return side, side
        least = settings.min_input_size if settings is not None else None
        return (least[-1] if least else 1), 10**6

    def normalise(self, pixels: Tensor) -> Tensor:
        """Returns network inputs (N, 3, H', W') float32, resized to what the network takes.

        Args:
            pixels: (N, 3, H, W) uint8.
        """
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        inputs = (pixels.float() / 255 - mean) / std
        least, greatest = self.side_limits
        side = pixels.shape[-1]
        if not least <= side <= greatest:
            side = min(max(side, least), greatest)
            inputs = interpolate(inputs, side, mode="bilinear", antialias=True)
        return inputs.contiguous(memory_format=torch.channels_last)


def normalisation_text(mean: Sequence[float], std: Sequence[float]) -> str:
    """Returns how images are normalised by means (3,) and deviations (3,), in words.

    >>> normalisation_text((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    'normalised by the means 0.5, 0.5, 0.5 and deviations 0.25, 0.25, 0.25 of pixels in [0, 1]'
    """
    means, deviations = (", ".join(map(str, numbers)) for numbers in (mean, std))
    return f"normalised by the means {means} and deviations {deviations} of pixels in [0, 1]"


def pixels_tensor(images: Images) -> Tensor:
    """Returns the pixels of images, (N, 3, H, W) uint8, without a copy."""
    return torch.from_numpy(images.pixels).permute(0, 3, 1, 2)


@torch.inference_mode()
def evaluate(
    network: nn.Module, architecture: Architecture, images: Images, device: str = "cpu"
) -> float:
    """Returns the accuracy: the share of images whose most likely class is their label."""
    network.eval()
    labels = torch.from_numpy(images.labels).to(device)
    correct = torch.zeros((), device=device)
    for pixels, y in zip(pixels_tensor(images).split(500), labels.split(500), strict=True):
        logits = network(architecture.normalise(pixels.to(device)))
        correct += (logits.argmax(1) == y).sum()
    return float(correct) / len(images)


def fingerprint(network: nn.Module) -> str:
    """Returns the SHA-256 of a network's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# -- the file --------------------------------------------------------------------------------------


def save(
    network: nn.Module, architecture: Architecture, path: Path, training_info: dict[str, Any]
) -> None:
    """Writes a network in float16.

    Args:
        training_info: how it was trained, its accuracy; stored as JSON beside the architecture,
            under the key `notes`.
    """
    from safetensors.torch import save as serialise

    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    weights = {name: value.contiguous() for name, value in weights.items()}
    metadata = {
        "architecture": json.dumps(asdict(architecture)),
        "notes": json.dumps(training_info),
    }
    write_whole(path, serialise(weights, metadata))


def load(
    path: Path, architecture: Architecture | None = None
) -> tuple[nn.Module, Architecture, dict[str, Any]]:
    """Returns (network in evaluation mode, architecture, training info).

    Args:
        path: what `save` wrote, or safetensors of the weights alone.
        architecture: of such weights; the number of classes is read off them, and the normalisation
            is timm's own.

    Raises:
        ValueError: the file is neither, or is of another network.
    """
    weights, metadata = _read(path)
    if "architecture" not in metadata and architecture is None:
        raise ValueError(
            f"{path} has no architecture in its metadata; "
            "wanted a file that train-classifier wrote, or a model."
        )
    if architecture is not None:
        architecture.build()  # what is wrong with it is no fault of the file
    try:
        if architecture is None:
            architecture = _architecture_from(json.loads(metadata["architecture"]))
        else:
            architecture = _fit_to_weights(architecture, weights)
        network = architecture.build()
        training_info = json.loads(metadata.get("notes", "{}"))
        _check_weights(architecture, network, weights)
        network.load_state_dict(weights)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path} does not hold the network that it is said to hold: {error_text(error)[:200]}"
        ) from None
    return network.eval(), architecture, training_info


def _check_weights(
    architecture: Architecture, network: nn.Module, weights: dict[str, Tensor]
) -> None:
    """Raises ValueError if weights, {name: tensor}, are not all that the network has."""
    wanted = network.state_dict()
    stem = "a 3x3 stem" if architecture.small_stem else "timm's own stem"
    of = f"{architecture.model} with {stem}" if hasattr(network, "conv1") else architecture.model
    for name, tensor in wanted.items():
        if name not in weights:
            raise ValueError(f"{of} has {name}, and the file has not")
        if weights[name].shape != tensor.shape:
            raise ValueError(
                f"{name} of {of} has shape {tuple(tensor.shape)}, "
                f"and that of the file {tuple(weights[name].shape)}"
            )
    more = [name for name in weights if name not in wanted]
    if more:
        raise ValueError(f"the file has {more[0]}, and {of} has not")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns the weights in float32, and the metadata. Raises ValueError."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; wanted the safetensors of a network.")
    try:
        tensors, metadata = read_tensors(path)
    except ValueError:
        raise ValueError(
            f"{path} is not a whole safetensors file; wanted one that train-classifier wrote, "
            "or weights of timm."
        ) from None
    return {name: tensor.float() for name, tensor in tensors.items()}, metadata


def _fit_to_weights(architecture: Architecture, weights: dict[str, Tensor]) -> Architecture:
    """Returns the architecture with the classes of the weights and timm's normalisation.

    Raises ValueError if the weights are not of this network.
    """
    settings: Any = architecture.build().pretrained_cfg
    last_layer = settings.get("classifier", "fc")
    if not isinstance(last_layer, str):
        raise ValueError(
            f"wanted a network with one last layer; "
            f"{architecture.model} has {' and '.join(last_layer)}."
        )
    bias = f"{last_layer}.bias"
    if bias not in weights:
        raise ValueError(
            f"wanted the weights of {architecture.model} with {bias}; "
            f"got {', '.join(list(weights)[-3:])}."
        )
    return replace(
        architecture,
        classes=len(weights[bias]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )


def _architecture_from(description: dict[str, Any]) -> Architecture:
    """Returns what `asdict` made JSON of. Raises ValueError, TypeError or AttributeError."""
    names = {field.name for field in fields(Architecture)}
    values: dict[str, Any] = {}
    for name, value in description.items():
        if name in names:
            values[name] = tuple(value) if isinstance(value, list) else value
    architecture = Architecture(**values)
    for name in ("mean", "std"):
        numbers = getattr(architecture, name)
        if len(numbers) != 3 or not all(isinstance(number, float) for number in numbers):
            raise ValueError(f"{name} must be three numbers, got {numbers!r}.")
    return architecture
