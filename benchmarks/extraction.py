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
    """Returns one row with the mirror, against two forward passes, and one without, against one.

    Raises:
        AssertionError: features times head are not the logits of the forward pass, or their mean
            over both.
    """
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (options.images, 32, 32, 3), dtype=np.uint8)
    images = Images("noise", "test", pixels, np.zeros(options.images, np.int64), ("noise",))
    network = ARCHITECTURE.build().eval()
    rows: list[Row] = []
    with threads.limit(options.threads):
        for mirror in (False, True):
            rows += _measure(network, images, mirror, options.rounds)
    return rows


def _measure(network: nn.Module, images: Images, mirror: bool, rounds: int) -> list[Row]:
    """Returns one row, with the mirror or without."""
    extractor = Extractor(network, ARCHITECTURE, dtype=torch.float32, mirror=mirror)
    flips = (False, True) if mirror else (False,)

    def forward() -> Tensor:
        return torch.stack([_forward(network, images, flip) for flip in flips]).mean(0)

    z = extract(extractor, images, batch=BATCH).z
    head = network.get_submodule("fc")
    np.testing.assert_allclose(head(z).detach(), forward(), atol=1e-4)
    passes = "two plain forward passes" if mirror else "plain forward pass"
    contenders = {OURS: lambda: extract(extractor, images, batch=BATCH), passes: forward}
    seconds = take_turns(contenders, rounds)
    what = f"extraction: z and std{', mirrored' if mirror else ''}, ResNet-18 of the pack"
    rate = f"at least 0.9 of its images/s ({len(images):,} images)"
    return against_peers(what, seconds, rate, 1 / 0.9)


@torch.inference_mode()
def _forward(network: nn.Module, images: Images, flip: bool) -> Tensor:
    """Returns logits (N, C) of images or, with `flip`, of their mirror images."""
    logits = []
    for pixels in pixels_tensor(images).split(BATCH):
        inputs = ARCHITECTURE.normalise(pixels)
        logits.append(network(inputs.flip(3) if flip else inputs))
    return torch.cat(logits)
