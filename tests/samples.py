"""Small synthetic features and images."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from heat_core.features import Features, Head
from heat_core.images.datasets import Images
from heat_core.images.pseudo import COMPOSED
from heat_core.pack import ExtraID

DIM, CLASSES = 12, 4


def clusters(rows: int, seed: int, classes: int = CLASSES, dim: int = DIM) -> tuple[Tensor, Tensor]:
    """Returns features as a ReLU leaves them, around one centre a class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    centres = 2 * torch.rand(classes, dim, generator=torch.Generator().manual_seed(99))
    return (centres[y] + 0.4 * torch.randn(rows, dim, generator=generator)).relu(), y


def seen(z: Tensor, y: Tensor | None = None, head: Head | None = None) -> Features:
    """Returns features with the views that a network gives beside them: `std`, and `odin` in float64."""
    odin = -z.double().softmax(1).amax(1, keepdim=True)
    return Features(z, y, head, {"std": (z.flip(1) + 0.1).sqrt(), "odin": odin})


def extra() -> ExtraID:
    """Returns held-out features, and two families and compositions of features that are none."""
    val, (z, _) = seen(*clusters(40, 11)), clusters(40, 12)
    families = {
        "shifted": seen(z.roll(1, 1)),
        "halved": seen(0.5 * z),
        COMPOSED: seen(0.5 * z.roll(1, 1)),
    }
    return ExtraID(
        val, families, {name: family.take(torch.arange(20)) for name, family in families.items()}
    )


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


def picture_bytes(grey: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """Returns a picture file of one grey."""
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
