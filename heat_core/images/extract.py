"""Images become features: the input of a timm network's last layer, and views beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heat_core.energies import Energy, GaussianMixture, Normalized
from heat_core.features import Features, Head, Moments
from heat_core.messages import error_text

from .classifier import Architecture, pixels_tensor
from .datasets import Images

OnBatch = Callable[[int], None]  # of how many images are done
Transform = Callable[[Tensor], Tensor]  # of pixels (N, 3, H, W) uint8
MAX_ROUNDING = 2e-3  # of the largest value of a batch; float16 rounds it by 5e-4 at most


@dataclass(frozen=True, eq=False)
class EarlyLayer:
    """An earlier layer of a network, average-pooled, and an energy of those averages.

    Args:
        layer: the name of a module of the network.
        energy: of averages (N, d); without one they are read themselves.

    Example:
        >>> from heat_core.energies import moments_of
        >>> averages = Features(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        >>> early_layer = EarlyLayer.of("layer2", moments_of(averages))
        >>> early_layer.energy(torch.eye(4)).shape
        torch.Size([4])
    """

    layer: str
    energy: Energy | None = None

    @classmethod
    def of(cls, layer: str, moments: Moments) -> EarlyLayer:
        """Returns a layer with Gaussians, one a class with one covariance, on z / ||z||.

        Reference: Lee et al. 2018, arXiv:1807.03888.

        Args:
            moments: of z / ||z|| of training images, as `energies.moments_of` gives them.
        """
        means = moments.means.float()
        rows = Features(means, torch.arange(len(means)), moments={"z": moments})
        mixture = GaussianMixture(means.shape[1], len(means))
        return cls(layer, Normalized(mixture.fit(rows)))


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network, and what is read from it about an image.

    With `mirror`, z and every view are means over an image and its mirror image, so that the two
    have the same features: z' = (z(x) + z(mirror x)) / 2. The network's head is linear, so its
    logits of z' are the mean of the logits of both images, W z' + b = (f(x) + f(mirror x)) / 2. It
    takes two forward passes, one batch after the other: a batch of twice the size is slower on a
    CPU.

    Args:
        network: a timm network.
        architecture: how its images are normalised.
        layer: the name of a module whose output is read; if not given, z is the input of the
            network's last layer.
        std: add the view `std`: the last activation map's standard deviation over positions, where
            the network has one.
        odin: add the view `odin`, as `odin` computes it; with `mirror` the mean of the scores of
            both images, each moved along its own gradient.
        dtype: that z and `std` are stored in.
        device: where the network runs.
        early_layer: add the view `early`, of an earlier layer; with `mirror` its energy is of the
            mean of both images' averages.
        mirror: read every image a second time, its left on the right.

    Example:
        >>> architecture = Architecture("resnet18", channels=(8, 8, 8, 8))
        >>> extractor = Extractor(architecture.build().eval(), architecture)
        >>> pixels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        >>> {name: tuple(array.shape) for name, array in extractor(pixels).items()}
        {'z': (2, 8), 'std': (2, 8)}
    """

    network: nn.Module
    architecture: Architecture
    layer: str = ""
    std: bool = True
    odin: bool = False
    dtype: torch.dtype = torch.float16
    device: str = "cpu"
    early_layer: EarlyLayer | None = None
    mirror: bool = False

    def __post_init__(self) -> None:
        names = dict(self.network.named_modules())
        for layer in (self.layer, self._early_name):
            if layer and layer not in names:
                raise ValueError(
                    "layer must be one of the network's, such as "
                    f"{', '.join(list(names)[-3:])}; got {layer!r}."
                )

    @property
    def _early_name(self) -> str:
        return self.early_layer.layer if self.early_layer else ""

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns z (N, d) and the views asked for, (N, d') each, on the CPU.

        Args:
            pixels: (N, 3, H, W) uint8.

        Raises:
            ValueError: the network has no single last layer, and no layer is named; or the
                features are not finite, or too large or small for `dtype`.
        """
        if self.early_layer and self.early_layer.energy is not None:
            self.early_layer.energy.to(self.device)
        with torch.no_grad():
            views = self.read(pixels.to(self.device))
        arrays = {"z": self._rounded("z", views["z"])}
        if "std" in views:
            arrays["std"] = self._rounded("the view std", views["std"])
        for name in ("odin", "early"):
            if name in views:
                arrays[name] = views[name]
        return {name: array.cpu() for name, array in arrays.items()}

    def read(self, pixels: Tensor) -> dict[str, Tensor]:
        """Returns z (N, d) and the views asked for, (N, d') each, not rounded, on the device.

        Args:
            pixels: (N, 3, H, W) uint8, on the device.

        Raises ValueError if the network has no single last layer, and no layer is named.
        """
        inputs = self.architecture.normalise(pixels)
        views = _mean_by_name([self._read(images) for images in self.passes(inputs)])
        if self.early_layer:
            views["early"] = self._early_view(self.early_layer, views["early"])
        return views

    def passes(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Returns the images of each pass, (N, 3, H, W): as they are and, with `mirror`, mirrored.

        Args:
            inputs: (N, 3, H, W), normalised.
        """
        return (inputs, inputs.flip(3)) if self.mirror else (inputs,)

    def _read(self, inputs: Tensor) -> dict[str, Tensor]:
        """Returns z and the views of one pass, (N, d) each, `early` as averages; not rounded.

        Args:
            inputs: (N, 3, H, W), normalised.
        """
        views: dict[str, Tensor] = {}
        with _record(self.network, self.layer, self._early_name) as outputs:
            if self.odin:
                views["odin"] = odin(self.network, inputs, self.architecture.std)[:, None]
            else:
                self.network(inputs)
        if "z" not in outputs and "activation_map" not in outputs:
            raise ValueError(
                f"{self.architecture.model} has no single last layer to read; give a layer."
            )
        last = "activation_map" if "activation_map" in outputs else "z"
        mean, std = self._pool(outputs[last])
        views["z"] = self._pool(outputs["z"])[0] if "z" in outputs else mean
        if self.std and std is not None:
            views["std"] = std
        if self.early_layer:
            views["early"] = self._pool(outputs["early"])[0]
        return views

    def _rounded(self, name: str, values: Tensor) -> Tensor:
        """Returns values (N, d) in the precision that they are stored in.

        Raises ValueError if it cannot hold them, or they are not finite themselves.
        """
        rounded = values.to(self.dtype)
        largest = values.abs().max()
        if (rounded.to(values.dtype) - values).abs().max() <= MAX_ROUNDING * largest:
            return rounded
        if not torch.isfinite(values).all():
            raise ValueError(
                f"{self.architecture.model} gives {name} that is not finite, for an image of "
                "finite pixels; its weights or its normalisation are wrong."
            )
        dtype = str(self.dtype).removeprefix("torch.")
        raise ValueError(
            f"{name} reaches {float(largest):.3g}, which {dtype} cannot hold (it ends at "
            f"{torch.finfo(self.dtype).max:,.0f} and rounds below 0.00006); "
            "extract with --dtype float32."
        )

    def _pool(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns mean (N, d) and standard deviation (N, d) over positions.

        Args:
            output: an activation map (N, d, h, w) or (N, h, w, d), tokens (N, t, d), or (N, d)
                without positions, which has no standard deviation.
        """
        if output.ndim == 2:
            return output, None
        channels_last = output.ndim == 3 or getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        positions = tuple(range(1, output.ndim - 1)) if channels_last else (2, 3)
        return output.mean(positions), output.std(positions, correction=0)

    @torch.no_grad()
    def _early_view(self, early_layer: EarlyLayer, averages: Tensor) -> Tensor:
        """Returns the energy of averages (N, d) as (N, 1); without an energy the averages."""
        if early_layer.energy is None:
            return averages
        return early_layer.energy(averages.float())[:, None]


def _mean_by_name(passes: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean over passes of each of their views, (N, d) by name."""
    return {name: torch.stack([views[name] for views in passes]).mean(0) for name in passes[0]}


def check_network(extractor: Extractor) -> None:
    """Reads one black image of 32 pixels.

    Raises ValueError if the network does not take it, or its features cannot be read or stored.
    """
    extractor.network.to(extractor.device).eval()
    try:
        extractor(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    except (RuntimeError, AssertionError) as error:
        reason = error_text(error)[:200]
        raise ValueError(
            f"{extractor.architecture.model} does not take images of 32 pixels: {reason}"
        ) from None


@contextmanager
def _record(network: nn.Module, layer: str, early_layer: str) -> Iterator[dict[str, Tensor]]:
    """Records, for the block, the first pass through a network.

    What goes into the last layer (`z`) and into the global pooling (`activation_map`), or the
    output of a named layer (`activation_map`); and that of an earlier layer (`early`), if named.
    """
    outputs: dict[str, Tensor] = {}

    def record_input(name: str, module: nn.Module) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            outputs.setdefault(name, inputs[0].detach())

        return module.register_forward_pre_hook(hook)

    def record_output(name: str, path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise ValueError(f"a layer that is read must give a tensor; {path} gives a {kind}.")
            outputs.setdefault(name, output.detach())

        return network.get_submodule(path).register_forward_hook(hook)

    handles = []
    if layer:
        handles.append(record_output("activation_map", layer))
    else:
        ends = {"z": network.get_classifier(), "activation_map": _global_pool(network)}  # type: ignore[operator]
        for name, module in ends.items():
            if isinstance(module, nn.Module):
                handles.append(record_input(name, module))
    if early_layer:
        handles.append(record_output("early", early_layer))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def middle_stage(network: nn.Module, architecture: Architecture, layer: str = "") -> str:
    """Returns the name of the stage in the middle of a network: `layer2` of a ResNet.

    Stages are what timm lists as such (`feature_info`), as far as they give a tensor; of an even
    number it is the earlier one of the two in the middle. The name is empty where there is none, or
    where the network takes no image of 32 pixels.

    Args:
        layer: the name of a module that is read in place of the last layer: stages before it count.

    >>> middle_stage(Architecture("resnet18").build(), Architecture("resnet18"))
    'layer2'
    """
    listed: Any = getattr(network, "feature_info", [])
    names = [name for name, _ in network.named_modules()]
    if layer in names[1:]:  # the first is the network itself
        names = [name for name in names[: names.index(layer)] if not layer.startswith(f"{name}.")]
    stages = [entry["module"] for entry in listed if entry["module"] in names]
    readable = _readable_layers(network, architecture, stages)
    stages = [name for name in stages if name in readable]
    return stages[(len(stages) - 1) // 2] if stages else ""


@torch.inference_mode()
def _readable_layers(
    network: nn.Module, architecture: Architecture, names: Sequence[str]
) -> set[str]:
    """Returns which of the layers of these names give a tensor of one row an image."""
    readable: set[str] = set()

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and len(output) == 1:
                readable.add(name)

        return network.get_submodule(name).register_forward_hook(hook)

    handles = [record(name) for name in names]
    try:
        network.eval()(architecture.normalise(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))
    except (RuntimeError, AssertionError):  # it takes no such image
        readable.clear()
    finally:
        for handle in handles:
            handle.remove()
    return readable


def _global_pool(network: nn.Module) -> nn.Module | None:
    """Returns the pooling of a timm network, which may lie in its head, if there is one."""
    for part in (network, getattr(network, "head", None)):
        pool = getattr(part, "global_pool", None)
        if isinstance(pool, nn.Module):
            return pool
    return None


def odin(
    network: nn.Module,
    inputs: Tensor,
    std: Sequence[float],
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
) -> Tensor:
    """Returns ODIN's score (N,) float64, larger where more out-of-distribution.

    The input moves by epsilon, in pixels of [0, 1], against the sign of the gradient of
    -log max softmax(f / T); the score is -max softmax(f / T) there. Reference: Liang et al. 2018,
    arXiv:1706.02690, and its code.

    Args:
        inputs: (N, 3, H, W), normalised.
        std: (3,) per channel, that they were divided by.
    """
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(inputs)
        loss = nn.functional.cross_entropy(logits / temperature, logits.argmax(1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    scale = torch.tensor(std, device=inputs.device, dtype=inputs.dtype).view(1, -1, 1, 1)
    with torch.no_grad():
        logits = network(inputs - epsilon * gradient.sign() / scale)
    return -(logits.double() / temperature).softmax(1).amax(1)


def extract(
    extractor: Extractor,
    images: Images,
    index: NDArray[np.int64] | None = None,
    transform: Transform | None = None,
    batch: int = 250,
    on_batch: OnBatch = lambda done: None,
) -> Features:
    """Returns the features of n images.

    Args:
        index: (n,) rows of `images` to take; all if not given.
        transform: of all those pixels, before they are normalised.
        batch: images at once; the features do not depend on it.
    """
    extractor.network.to(extractor.device).eval()
    rows = np.arange(len(images)) if index is None else index
    pixels = pixels_tensor(images)
    if index is not None or transform:
        pixels = pixels[torch.from_numpy(rows)]
    if transform:
        pixels = transform(pixels.to(extractor.device))
    source = f"{images.name}/{images.split}"
    batches: dict[str, list[Tensor]] = {}
    done = 0
    for part in pixels.split(batch):
        for name, array in extractor(part).items():
            batches.setdefault(name, []).append(array)
        done += len(part)
        on_batch(done)
    views = {name: torch.cat(arrays) for name, arrays in batches.items()}
    z = views.pop("z")
    labels = torch.from_numpy(images.labels[rows])
    return Features(z, labels, None, views, torch.from_numpy(rows.astype(np.int64)), source)


@torch.inference_mode()
def logits_difference(extractor: Extractor, head: Head, pixels: Tensor) -> float:
    """Returns how far the head's logits of stored features are from the network's own.

    The largest difference, relative to the largest logit. Features that are means over two passes
    are held against the mean of the network's logits over the same two.

    Args:
        head: of the extractor's network, as `head_of` gives it.
        pixels: (N, 3, H, W) uint8.
    """
    plain = replace(extractor, odin=False, early_layer=None)
    inputs = extractor.architecture.normalise(pixels.to(extractor.device))
    passes = [extractor.network(images).float() for images in extractor.passes(inputs)]
    wanted = torch.stack(passes).mean(0).cpu()
    logits = head.logits(plain(pixels)["z"].float())
    if logits.shape != wanted.shape:
        return 1.0
    largest = float(wanted.abs().max())
    difference = float((logits - wanted).abs().max())
    return difference / largest if largest else difference


def head_of(network: nn.Module) -> Head | None:
    """Returns the last linear layer (or 1 x 1 convolution) of a timm network, (C, d) and (C,).

    None if the network ends in something else.
    """
    layer = network.get_classifier()  # type: ignore[operator]
    is_pointwise = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
    if not isinstance(layer, nn.Linear) and not is_pointwise:
        return None
    weight = layer.weight.detach().flatten(1).float().cpu()
    bias = layer.bias if layer.bias is not None else torch.zeros(len(weight))
    return Head(weight, bias.detach().float().cpu())
