"""Pseudo-OOD families: what each does to images whose pixels tell where they came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from heat_core.images.pseudo import FAMILIES, TWO_FAMILIES, destroy


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """Smooth random images, no two alike."""
    coarse = torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic").clamp(0, 1) * 255).to(
        torch.uint8
    )


@pytest.mark.parametrize("family", [*FAMILIES, TWO_FAMILIES])
def test_every_family_destroys_every_image_and_is_seeded(family: str, pixels: Tensor) -> None:
    out = destroy(pixels, family)
    assert out.shape == pixels.shape
    assert out.dtype == torch.uint8
    assert ((out.float() - pixels.float()).abs().mean((1, 2, 3)) > 3).all()
    assert torch.equal(out, destroy(pixels, family))


@pytest.mark.parametrize(
    "family",
    ["jigsaw 2x2", "jigsaw 4x4", "mixup", "cutmix", "noise", "zoom", "phase", "warp", TWO_FAMILIES],
)
def test_another_seed_destroys_otherwise(family: str, pixels: Tensor) -> None:
    assert not torch.equal(destroy(pixels, family, 1), destroy(pixels, family, 2))


@pytest.mark.parametrize(("family", "cells"), [("jigsaw 2x2", 2), ("jigsaw 4x4", 4)])
def test_a_jigsaw_keeps_all_pieces_and_none_in_place(
    family: str, cells: int, pixels: Tensor
) -> None:
    def pieces(image: Tensor) -> list[bytes]:
        side = 32 // cells
        cut = [
            image[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
            for i in range(cells)
            for j in range(cells)
        ]
        return [piece.numpy().tobytes() for piece in cut]

    for before, after in zip(pixels, destroy(pixels, family), strict=True):
        one, other = pieces(before), pieces(after)
        assert sorted(one) == sorted(other)
        assert all(a != b for a, b in zip(one, other, strict=True))


def test_rotations_and_negatives_are_undone_by_themselves(pixels: Tensor) -> None:
    assert torch.equal(destroy(destroy(pixels, "rotated 90"), "rotated 270"), pixels)
    assert torch.equal(destroy(destroy(pixels, "rotated 180"), "rotated 180"), pixels)
    assert torch.equal(destroy(destroy(pixels, "invert"), "invert"), pixels)
    assert np.array_equal(
        destroy(pixels, "rotated 90")[0].permute(1, 2, 0),
        np.rot90(pixels[0].permute(1, 2, 0).numpy()),
    )


def test_a_half_of_a_cutmix_is_another_image(pixels: Tensor) -> None:
    kinds = set()
    for i, mixed in enumerate(destroy(pixels, "cutmix")):
        own, other = pixels[i], pixels[(i + 1) % len(pixels)]
        left = torch.cat([own[:, :, :16], other[:, :, 16:]], 2)
        upper = torch.cat([own[:, :16], other[:, 16:]], 1)
        kinds.add(
            "left"
            if torch.equal(mixed, left)
            else "upper"
            if torch.equal(mixed, upper)
            else "neither"
        )
    assert kinds == {"left", "upper"}


def test_a_collage_is_four_images_and_a_tile_one(pixels: Tensor) -> None:
    small = torch.nn.functional.avg_pool2d(pixels.float(), 2).round()
    collage, tile = destroy(pixels, "collage").float(), destroy(pixels, "tile").float()
    for i in range(len(pixels)):
        for quarter, (rows, columns) in enumerate([(0, 0), (0, 16), (16, 0), (16, 16)]):
            where = (slice(None), slice(rows, rows + 16), slice(columns, columns + 16))
            assert (collage[i][where] - small[(i + quarter) % len(pixels)]).abs().max() <= 1
            assert (tile[i][where] - small[i]).abs().max() <= 1


def test_random_phases_keep_the_spectrum() -> None:
    pixels = torch.randint(100, 156, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    spectra = [torch.fft.fft2(x.float()).abs() for x in (pixels, destroy(pixels, "phase"))]
    assert torch.allclose(spectra[0], spectra[1], rtol=0.05, atol=60)  # rounded to whole pixels


def test_an_edge_is_bright_where_the_image_steps() -> None:
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    pixels[..., 16:] = 100
    out = destroy(pixels, "edges")
    assert (out[..., 15:17] == 200).all()
    assert out[..., :15].max() == 0
    assert out[..., 17:].max() == 0


def test_noise_has_its_deviation() -> None:
    pixels = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    assert float(destroy(pixels, "noise").float().std()) == pytest.approx(0.2 * 255, rel=0.03)


def test_a_zoomed_image_shows_a_part_of_itself() -> None:
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).expand(6, 3, 32, 32).contiguous()
    for image in destroy(ramp, "zoom").float():
        assert image.max() - image.min() == pytest.approx(14 * 8, abs=12)
        assert (image[0, 0].diff() >= 0).all()


def test_what_cannot_be_destroyed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sides that are multiples of 4, got \(30, 32\)"):
        destroy(torch.zeros(1, 3, 30, 32, dtype=torch.uint8), "blur")
    with pytest.raises(ValueError, match=r"family must be one of jigsaw 2x2.*composed; got 'melt'"):
        destroy(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "melt")
