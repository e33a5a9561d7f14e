"""Images become features: the input of a timm network's last layer, batch by batch, and ODIN's score of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heat_core.energies import Energy, GaussianMixture, Normalized
from heat_core.features import Features, Head, Moments

from .classifier import Architecture, pixels_tensor
from .datasets import Images

OnBatch = Callable[[str, int, int], None]  # what, images done, images in all
Change = Callable[[Tensor], Tensor]  # of (N, 3, H, W) uint8 pixels


@dataclass(frozen=True, eq=False)
class EarlyLayer:
    """What is read from an earlier layer: its output, average-pooled, and how improbable that is.

    Args:
        layer: the name of a module of the network.
        energy: of those averages, (N, d); without one they are read themselves.
    """

    layer: str
    energy: Energy | None = None

    @classmethod
    def of(cls, layer: str, moments: Moments) -> EarlyLayer:
        """Returns a layer's Gaussians, one a class with one covariance, on z / ||z|| (Lee et al. 2018, arXiv:1807.03888).

        Args:
            moments: of z / ||z|| of training images, as `energies.moments_of` gives them.
        """
        means = moments.means.float()
        mixture = GaussianMixture(means.shape[1], len(means))
        return cls(
            layer,
            Normalized(
                mixture.fit(Features(means, torch.arange(len(means)), moments={"z": moments}))
            ),
        )


@dataclass(frozen=True, eq=False)
class Extractor:
    """What is read from a network about an image.

    Args:
        network: a timm network.
        architecture: how its images are normalised.
        layer: the name of a module whose output is read; if not given, z is the input of the network's last layer.
        std: add the view `std`: the last map's standard deviation over positions, where the network has a map.
        odin: add the view `odin`, as `odin` computes it.
        dtype: that z and `std` are stored in.
        device: where the network runs.
        early: add the view `early`, of an earlier layer.
    """

    network: nn.Module
    architecture: Architecture
    layer: str = ""
    std: bool = True
    odin: bool = False
    dtype: torch.dtype = torch.float16
    device: str = "cpu"
    early: EarlyLayer | None = None

    def __post_init__(self) -> None:
        for layer in (self.layer, self.early.layer if self.early else ""):
            if layer and layer not in (known := dict(self.network.named_modules())):
                raise ValueError(
                    f"layer must be one of the network's, such as {', '.join(list(known)[-3:])}; got {layer!r}."
                )

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns z, and the views asked for, of (N, 3, H, W) uint8 pixels; on the CPU."""
        inputs = self.architecture.normalise(pixels.to(self.device))
        early = self.early.layer if self.early else ""
        with torch.inference_mode(not self.odin), _watched(self.network, self.layer, early) as seen:
            score = (
                odin(self.network, inputs, self.architecture.std)
                if self.odin
                else self.network(inputs)
            )
        if not {"z", "map"} & seen.keys():
            raise ValueError(
                f"{self.architecture.model} has no single last layer to read; give a layer."
            )
        mean, spread = self._pooled(seen["map"] if "map" in seen else seen["z"])
        found = {"z": (self._pooled(seen["z"])[0] if "z" in seen else mean).to(self.dtype)}
        if self.std and spread is not None:
            found["std"] = spread.to(self.dtype)
        if self.odin:
            found["odin"] = score[:, None]
        if self.early:
            found["early"] = self._early(self.early, self._pooled(seen["early"])[0])
        return {name: array.cpu() for name, array in found.items()}

    def _pooled(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns mean and standard deviation over the positions of a map (N, d, h, w) or of tokens (N, t, d)."""
        if output.ndim == 2:
            return output, None
        last = (
            output.ndim == 3 or getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        )  # where the features are
        positions = tuple(range(1, output.ndim - 1)) if last else (2, 3)
        return output.mean(positions), output.std(positions, correction=0)

    @torch.no_grad()
    def _early(self, early: EarlyLayer, mean: Tensor) -> Tensor:
        """Returns (N, 1): how improbable the averages are; without an energy themselves."""
        return mean if early.energy is None else early.energy.to(self.device)(mean.float())[:, None]


@contextmanager
def _watched(network: nn.Module, layer: str, early: str) -> Iterator[dict[str, Tensor]]:
    """Keeps, for the block, what goes into the last layer (`z`) and into the global pooling (`map`), or a layer's output.

    And the output of an earlier layer (`early`), if one is named. Only the first pass through the network is kept.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str, value: Any) -> None:
        seen.setdefault(name, value.detach())

    if layer:
        handles = [
            network.get_submodule(layer).register_forward_hook(
                lambda *event: keep("map", event[-1])
            )
        ]
    else:
        pools = (
            getattr(part, "global_pool", None) for part in (network, getattr(network, "head", None))
        )
        pool = next((pool for pool in pools if isinstance(pool, nn.Module)), None)
        ends = {"z": network.get_classifier(), "map": pool}  # type: ignore[operator]
        handles = [
            module.register_forward_pre_hook(
                partial(lambda name, *event: keep(name, event[-1][0]), name)
            )
            for name, module in ends.items()
            if isinstance(module, nn.Module)
        ]
    if early:
        handles.append(
            network.get_submodule(early).register_forward_hook(
                lambda *event: keep("early", event[-1])
            )
        )
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def odin(
    network: nn.Module,
    inputs: Tensor,
    std: Sequence[float],
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
) -> Tensor:
    """Returns ODIN's score (N,) float64, larger where more out-of-distribution.

    The input moves by epsilon, in pixels of [0, 1], against the sign of the gradient of -log max softmax(f / T); the score
    is -max softmax(f / T) there. Reference: Liang et al. 2018, arXiv:1706.02690, and its code.

    Args:
        inputs: (N, 3, H, W), normalised.
        std: per channel, that they were divided by.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        loss = nn.functional.cross_entropy(logits / temperature, logits.argmax(1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    scale = torch.tensor(std, device=inputs.device, dtype=inputs.dtype).view(1, -1, 1, 1)
    with torch.no_grad():
        moved = network(inputs - epsilon * gradient.sign() / scale)
    return -(moved.double() / temperature).softmax(1).amax(1)


def extract(
    extractor: Extractor,
    images: Images,
    index: NDArray[np.int64] | None = None,
    change: Change | None = None,
    batch: int = 250,
    on_batch: OnBatch = lambda what, done, total: None,
) -> Features:
    """Returns the features of images.

    Args:
        index: (n,) rows of `images` to take; all if not given.
        change: what is done to all those pixels first.
        batch: images at once; the features do not depend on it.
    """
    rows = np.arange(len(images)) if index is None else index
    extractor.network.to(extractor.device).eval()
    pixels = (
        pixels_tensor(images)[torch.from_numpy(rows)]
        if index is not None or change
        else pixels_tensor(images)
    )
    pixels = change(pixels.to(extractor.device)) if change else pixels
    found: dict[str, list[Tensor]] = {}
    for start, part in zip(range(0, len(rows), batch), pixels.split(batch), strict=True):
        for name, array in extractor(part).items():
            found.setdefault(name, []).append(array)
        on_batch(f"{images.name}/{images.split}", start + len(part), len(rows))
    z, *views = ((name, torch.cat(parts)) for name, parts in found.items())
    labels = torch.from_numpy(images.labels[rows])
    return Features(
        z[1],
        labels,
        None,
        dict(views),
        torch.from_numpy(rows.astype(np.int64)),
        f"{images.name}/{images.split}",
    )


def head_of(network: nn.Module) -> Head | None:
    """Returns the last linear layer (or 1 x 1 convolution) of a timm network, or None if it ends in something else."""
    layer = network.get_classifier()  # type: ignore[operator]
    if not (
        isinstance(layer, nn.Linear)
        or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))
    ):
        return None
    bias = layer.bias if layer.bias is not None else torch.zeros(len(layer.weight))
    return Head(layer.weight.detach().flatten(1).float().cpu(), bias.detach().float().cpu())
