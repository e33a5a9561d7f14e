"""Extraction of features, average- and std-pooled, against the network's plain forward pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from heat_core.images.classifier import Architecture, pixels_tensor
from heat_core.images.datasets import Images
from heat_core.images.extract import Extractor, extract

from . import threads
from .timing import OURS, Options, Row, against_peers, take_turns

ARCHITECTURE = Architecture("resnet18", channels=(48, 96, 192, 256))  # of the pack that ships
BATCH = 250


def measure(options: Options) -> list[Row]:
    """Returns one row.

    Raises:
        AssertionError: features times head are not the logits of the forward pass.
    """
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    images = Images("noise", "test", pixels, np.zeros(options.images, np.int64), ("noise",))
    network = ARCHITECTURE.build().eval()
    extractor = Extractor(network, ARCHITECTURE, dtype=torch.float32)
    with threads.limit(options.threads):
        z = extract(extractor, images, batch=BATCH).z
        head = network.get_submodule("fc")
        np.testing.assert_allclose(head(z).detach(), _forward(network, images), atol=1e-4)
        contenders = {
            OURS: lambda: extract(extractor, images, batch=BATCH),
            "plain forward pass": lambda: _forward(network, images),
        }
        seconds = take_turns(contenders, options.rounds)
    rate = f"at least 0.9 of its images/s ({options.images:,} images)"
    return against_peers("extraction: z and std, ResNet-18 of the pack", seconds, rate, 1 / 0.9)


@torch.inference_mode()
def _forward(network: nn.Module, images: Images) -> Tensor:
    """Returns logits (N, C)."""
    batches = pixels_tensor(images).split(BATCH)
    return torch.cat([network(ARCHITECTURE.normalise(pixels)) for pixels in batches])
