"""Pseudo-OOD images: ID images, destroyed in one of sixteen ways or by two of them in a row.

A destroyed image has the colours, edges or objects of ID images but not their content, so it
teaches an energy where ID ends without a single OOD image. Every family maps pixels (N, 3, H, W) in
[0, 1] to as many, on their device, from a seeded generator; families that need a second image take
the batch's next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample, interpolate, pad

from heat_core.arguments import check_seed

Family = Callable[[Tensor, Generator], Tensor]
TWO_FAMILIES = "composed"  # images destroyed by two families in a row; packs call it so


def _uniform(x: Tensor, generator: Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Returns a random number an image, (N, 1, 1, 1), so that it multiplies images."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, device=x.device, generator=generator)


def jigsaw(cells: int) -> Family:
    """Returns the family that cuts images into cells x cells pieces and moves every piece.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2).expand(1, 3, 2, 2)
        >>> (jigsaw(2)(x, Generator().manual_seed(0)) == x).any()  # no piece stays
        tensor(False)
    """

    def family(x: Tensor, generator: Generator) -> Tensor:
        n, channels, height, width = x.shape
        pieces = x.unflatten(3, (cells, width // cells)).unflatten(2, (cells, height // cells))
        pieces = pieces.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (N, cells^2, 3, h, w)
        cycle = torch.rand(n, cells**2, device=x.device, generator=generator).argsort(1)
        # A permutation of one cycle: no piece stays.
        source = torch.empty_like(cycle).scatter_(1, cycle, cycle.roll(1, 1))
        image = torch.arange(n, device=x.device)[:, None]
        grid = pieces[image, source].unflatten(1, (cells, cells))
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, height, width)

    return family


def rotate(quarters: int) -> Family:
    """Returns the family of images rotated by quarters of a turn."""
    return lambda x, generator: torch.rot90(x, quarters, (2, 3))


def mixup(x: Tensor, generator: Generator) -> Tensor:
    """Returns pairs of images faded into each other by a share in (.3, .7), (N, 3, H, W)."""
    share = _uniform(x, generator, 0.3, 0.7)
    return share * x + (1 - share) * x.roll(-1, 0)


def cutmix(x: Tensor, generator: Generator) -> Tensor:
    """Returns a left or upper half beside the other half of another image, (N, 3, H, W)."""
    height, width = x.shape[2:]
    left = torch.arange(width, device=x.device).expand(height, width) < width // 2
    upper = (torch.arange(height, device=x.device) < height // 2)[:, None].expand(height, width)
    half = torch.where(_uniform(x, generator) < 0.5, left, upper)
    return torch.where(half, x, x.roll(-1, 0))


def blur(x: Tensor, generator: Generator) -> Tensor:
    """Returns images shrunk to a quarter of their side and enlarged again, (N, 3, H, W)."""
    return interpolate(avg_pool2d(x, 4), x.shape[2:], mode="bilinear")


def noise(x: Tensor, generator: Generator) -> Tensor:
    """Returns images with Gaussian noise of standard deviation .2, (N, 3, H, W)."""
    return x + 0.2 * torch.randn(x.shape, device=x.device, generator=generator)


def zoom(x: Tensor, generator: Generator) -> Tensor:
    """Returns random crops of 7/16 of the side, enlarged, (N, 3, H, W)."""
    size = torch.tensor(x.shape[2:], device=x.device)
    share = torch.rand(len(x), 2, device=x.device, generator=generator)
    corner = (share * (size - size * 7 // 16)).floor()
    centre = 2 * (corner + size * 7 / 32) / size - 1
    scale = torch.eye(2, device=x.device).mul(7 / 16).expand(len(x), 2, 2)
    theta = torch.cat([scale, centre.flip(1)[:, :, None]], 2)
    grid = affine_grid(theta, list(x.shape), False)
    return grid_sample(x, grid, align_corners=False, padding_mode="border")


def tile(x: Tensor, generator: Generator) -> Tensor:
    """Returns images at half their size, four times each, (N, 3, H, W)."""
    return avg_pool2d(x, 2).repeat(1, 1, 2, 2)


def invert(x: Tensor, generator: Generator) -> Tensor:
    """Returns negatives, (N, 3, H, W)."""
    return 1 - x


def edges(x: Tensor, generator: Generator) -> Tensor:
    """Returns the length of each channel's Sobel gradient, (N, 3, H, W)."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=x.device)
    kernels = torch.stack([sobel, sobel.T])[:, None] / 2
    gradient = conv2d(pad(x, (1,) * 4, mode="reflect").flatten(0, 1)[:, None], kernels)
    return gradient.norm(dim=1).view(x.shape)


def phase(x: Tensor, generator: Generator) -> Tensor:
    """Returns images with their spectrum and mean, and the phases of white noise, (N, 3, H, W)."""
    white = torch.randn(len(x), 1, *x.shape[2:], device=x.device, generator=generator)
    angle = torch.fft.rfft2(white).angle()
    angle[..., 0, 0] = 0
    spectrum = torch.polar(torch.fft.rfft2(x).abs(), angle.expand(-1, 3, -1, -1))
    return torch.fft.irfft2(spectrum, x.shape[2:])


def warp(x: Tensor, generator: Generator) -> Tensor:
    """Returns images bent along a random flow, (N, 3, H, W).

    The flow is drawn on a 5 x 5 grid; its standard deviation is an eighth of the side.
    """
    coarse = torch.randn(len(x), 2, 5, 5, device=x.device, generator=generator)
    # A side is 2 long for grid_sample, so an eighth of it is a quarter.
    flow = interpolate(coarse / 4, x.shape[2:], mode="bicubic", align_corners=True)
    identity = torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)
    grid = affine_grid(identity, list(x.shape), False) + flow.permute(0, 2, 3, 1)
    return grid_sample(x, grid, align_corners=False, padding_mode="reflection")


def collage(x: Tensor, generator: Generator) -> Tensor:
    """Returns collages of four images at half their size, (N, 3, H, W)."""
    small = avg_pool2d(x, 2)
    upper = torch.cat([small, small.roll(-1, 0)], 3)
    lower = torch.cat([small.roll(-2, 0), small.roll(-3, 0)], 3)
    return torch.cat([upper, lower], 2)


FAMILIES: Mapping[str, Family] = {
    "jigsaw 2x2": jigsaw(2),
    "jigsaw 4x4": jigsaw(4),
    "mixup": mixup,
    "cutmix": cutmix,
    "rotated 90": rotate(1),
    "rotated 180": rotate(2),
    "rotated 270": rotate(3),
    "blur": blur,
    "noise": noise,
    "zoom": zoom,
    "tile": tile,
    "invert": invert,
    "edges": edges,
    "phase": phase,
    "warp": warp,
    "collage": collage,
}

KINDS: Mapping[str, tuple[str, ...]] = {
    "pieces": ("jigsaw 2x2", "jigsaw 4x4", "cutmix", "tile", "collage"),
    "poses": ("rotated 90", "rotated 180", "rotated 270", "zoom", "warp"),
    "frequencies": ("blur", "noise", "edges", "phase"),
    "values": ("mixup", "invert"),
}
"""The families by what they change: pieces, poses, frequencies or values of pixels.

An energy that was trained with one family of a kind knows something of the others.
"""


def kind_of(family: str) -> str:
    """Returns the kind of a family; one that is not in `FAMILIES` is a kind of its own.

    Example:
        >>> kind_of("blur")
        'frequencies'
    """
    return next((kind for kind, members in KINDS.items() if family in members), family)


def two_families(x: Tensor, generator: Generator) -> Tensor:
    """Returns images destroyed by two different families in a row, (N, 3, H, W)."""
    order = torch.rand(len(x), len(FAMILIES), device=x.device, generator=generator).argsort(1)
    for turn in (0, 1):
        destroyed = torch.empty_like(x)
        for number, family in enumerate(FAMILIES.values()):
            is_due = order[:, turn] == number
            destroyed[is_due] = family(x, generator)[is_due].clamp(0, 1)
        x = destroyed
    return x


def destroy(pixels: Tensor, family: str, seed: int = 0) -> Tensor:
    """Returns destroyed images (N, 3, H, W) uint8, on their device.

    Args:
        pixels: (N, 3, H, W) uint8.
        family: a key of `FAMILIES`, or `TWO_FAMILIES`.
        seed: for whatever is random.

    Raises:
        ValueError: the sides are no multiples of 4, or the family is unknown.

    Example:
        >>> destroy(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "invert")[0, 0, 0]
        tensor([255, 255, 255, 255], dtype=torch.uint8)
    """
    seed = check_seed(seed)
    if any(side % 4 for side in pixels.shape[2:]):
        raise ValueError(
            f"images must have sides that are multiples of 4, got {tuple(pixels.shape[2:])}."
        )
    families = {**FAMILIES, TWO_FAMILIES: two_families}
    if family not in families:
        raise ValueError(f"family must be one of {', '.join(families)}; got {family!r}.")
    number = list(families).index(family)
    generator = Generator(pixels.device).manual_seed(seed * 101 + number)
    destroyed = families[family](pixels.float() / 255, generator)
    return (destroyed.clamp(0, 1) * 255).round().to(torch.uint8)
