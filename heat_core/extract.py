"""Images become features: the input of a timm network's last layer, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .classifier import Architecture, pixels_tensor
from .datasets import DATASETS, Images
from .features import Features, Head, Pack

OnBatch = Callable[[str, int, int], None]  # what, images done, images in all


@contextmanager
def _last_map(network: nn.Module) -> Iterator[list[Tensor]]:
    """Keeps, for the block, what goes into the network's global pooling: the last feature map, (N, d, h, w)."""
    seen: list[Tensor] = []
    pooling = getattr(network, "global_pool", None)
    if not isinstance(pooling, nn.Module):
        yield seen
        return
    handle = pooling.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


@torch.inference_mode()
def extract(
    network: nn.Module, architecture: Architecture, images: Images, index: NDArray[np.int64] | None = None,
    batch: int = 250, device: str = "cpu", dtype: torch.dtype = torch.float16, std: bool = True,
    on_batch: OnBatch = lambda what, done, total: None,
) -> Features:  # fmt: skip
    """Returns the features of images: z is the average-pooled last map, the view `std` its standard deviation.

    Args:
        network: a timm network in evaluation mode.
        architecture: how its images are normalised.
        index: (n,) rows of `images` to take; all if not given.
        batch: images at once; the features do not depend on it.
        dtype: that they are stored in.
        std: add the view `std`, where the network has a map to pool.
    """
    rows = np.arange(len(images)) if index is None else index
    network = network.to(device).eval()
    poolings: dict[str, list[Tensor]] = {"z": [], "std": []}
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        inputs = architecture.normalise(pixels_tensor(images)[torch.from_numpy(part)].to(device))
        with _last_map(network) as seen:
            z = network.forward_head(network.forward_features(inputs), pre_logits=True)  # type: ignore[operator]
        poolings["z"].append(z.to("cpu", dtype))
        if std and seen and seen[0].ndim == 4:
            poolings["std"].append(seen[0].std((2, 3), correction=0).to("cpu", dtype))
        on_batch(f"{images.name}/{images.split}", start + len(part), len(rows))
    views = {"std": torch.cat(poolings["std"])} if poolings["std"] else {}
    labels = torch.from_numpy(images.labels[rows])
    source = f"{images.name}/{images.split}"
    return Features(torch.cat(poolings["z"]), labels, None, views, torch.from_numpy(rows.astype(np.int64)), source)


def head_of(network: nn.Module) -> Head | None:
    """Returns the last linear layer of a timm network, or None if it ends in something else."""
    layer = network.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, nn.Linear):
        return None
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_features)
    return Head(layer.weight.detach().float().cpu(), bias.detach().float().cpu())


def assemble(
    train: Features, test: Features, outside: Mapping[tuple[str, str], Features], head: Head | None, described: Mapping
) -> Pack:
    """Returns the pack of extracted features; the OOD sets lose labels that mean nothing to the classifier."""
    stripped = {key: Features(f.z, None, None, f.views, f.index, f.source) for key, f in outside.items()}
    headed = Features(train.z, train.y, head, train.views, train.index, train.source)
    return Pack(headed, test, stripped, {}, described)


def card(
    name: str, architecture: Architecture, notes: Mapping[str, Any],
    inside: Mapping[str, Features], outside: Mapping[tuple[str, str], Features],
) -> dict[str, Any]:  # fmt: skip
    """Returns the card of an extracted pack: the classifier, its accuracy, every set with count, source and stand-in."""
    sets: dict[str, Any] = {}
    for key, features in [*inside.items(), *((f"{group}_{short}", f) for (group, short), f in outside.items())]:
        dataset, _, split = features.source.partition("/")
        known = DATASETS[dataset]
        entry = {"title": known.title, "split": split, "rows": len(features), "source": known.source, "licence": known.licence}
        sets[key] = entry | ({"stands_in_for": known.stand_in} if known.stand_in else {})
    classifier = {"architecture": asdict(architecture), **notes}
    return {
        "title": f"{DATASETS[name].title}, {architecture.model}",
        "id": DATASETS[name].title,
        "classes": notes.get("classes", []),
        "classifier": classifier,
        "sets": sets,
    }
