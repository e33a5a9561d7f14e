"""Small synthetic features and images, and a detector that heat_core does not know."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from heat_core.detectors.detector import Detector, Shape
from heat_core.detectors.heat import EBM, HEAT
from heat_core.energies import Energy, LogSumExp
from heat_core.features import Features, Head
from heat_core.images.datasets import Images
from heat_core.images.pseudo import TWO_FAMILIES
from heat_core.pack import ExtraID

DIM, CLASSES = 12, 4


def clusters(rows: int, seed: int, classes: int = CLASSES, dim: int = DIM) -> tuple[Tensor, Tensor]:
    """Returns features as a ReLU leaves them, around one centre a class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    centres = 2 * torch.rand(classes, dim, generator=torch.Generator().manual_seed(99))
    return (centres[y] + 0.4 * torch.randn(rows, dim, generator=generator)).relu(), y


def with_views(z: Tensor, y: Tensor | None = None, head: Head | None = None) -> Features:
    """Returns features with the views `std` and, in float64, `odin`, as a network gives them."""
    odin = -z.double().softmax(1).amax(1, keepdim=True)
    return Features(z, y, head, {"std": (z.flip(1) + 0.1).sqrt(), "odin": odin})


def shortened(detector: Detector, steps: int, **changes: Any) -> Detector:
    """Returns a detector whose energy is learned in fewer steps, with other changes of how."""
    assert isinstance(detector, EBM | HEAT)
    field = "correction" if isinstance(detector, HEAT) else "learner"
    learner = getattr(detector, field)
    training = replace(learner.training, steps=steps)
    return replace(detector, **{field: replace(learner, training=training, **changes)})


def extra() -> ExtraID:
    """Returns held-out features, and three pseudo-OOD families, also of held-out rows."""
    val = with_views(*clusters(40, 11))
    z, _ = clusters(40, 12)
    families = {
        "shifted": with_views(z.roll(1, 1)),
        "halved": with_views(0.5 * z),
        TWO_FAMILIES: with_views(0.5 * z.roll(1, 1)),
    }
    held_out = {name: family.take(torch.arange(20)) for name, family in families.items()}
    return ExtraID(val, families, held_out)


def colours(count: int, seed: int) -> Images:
    """Returns images whose class is their brightest channel."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    pixels = random.integers(0, 120, (count, 32, 32, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, labels] += 100
    return Images("colours", "train", pixels, labels, ("red", "green", "blue"))


def write_digits(root: Path, folder: str, count: int) -> np.ndarray:
    """Writes raw idx files as torchvision unpacks them, and returns their pixels (count, 28, 28).

    torchvision's own check wants all four files to be there.
    """
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = bytes(i % 10 for i in range(count))
    for stem in ("train", "t10k"):
        header = struct.pack(">4i", 0x803, count, 28, 28)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = struct.pack(">2i", 0x801, count)
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels)
    return pixels


def image_bytes(grey: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """Returns an image file of one grey."""
    content = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(content, kind, lossless=True)
    return content.getvalue()


def write_files(root: Path, files: dict[str, bytes | str]) -> Path:
    """Writes files with their folders, and returns the root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def greys_of(images: Images) -> list[int]:
    """Returns the grey of each image."""
    return images.pixels[:, 5, 5, 0].tolist()


class Residual(Energy):
    """How far z - mean lies from the first principal directions of the training features."""

    mean: Tensor
    basis: Tensor

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("basis", torch.zeros(dim, rank))

    def fit(self, train: Features) -> Self:
        mean = train.z.mean(0)
        _, _, directions = torch.linalg.svd(train.z - mean, full_matrices=False)
        self.store(mean=mean, basis=directions[: self.basis.shape[1]].T)
        return self

    def forward(self, z: Tensor) -> Tensor:
        centred = z - self.mean
        return (centred - centred @ self.basis @ self.basis.T).norm(dim=1)


@dataclass(frozen=True)
class ResidualAndLogits(Detector):
    """The residual, and the free energy of the logits: two terms, of names of its own."""

    rank: int = 4
    title: ClassVar[str] = "Residual and logits"
    summary: ClassVar[str] = "what no principal direction explains, and how small the logits are"

    def build(self, shape: Shape) -> Energy:
        return Residual(shape.dim, self.rank) + LogSumExp(shape.dim, shape.head)

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "residual", "logits"
