"""Perceptual hashes: the same picture is found, slightly changed, and another one is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from heat_core.images.near_duplicates import BITS_APART, near_duplicates, perceptual_hashes

Pixels = NDArray[np.uint8]


def pictures(count: int, seed: int) -> Pixels:
    """Returns random pictures without fine detail, (count, 32, 32, 3)."""
    small = np.random.default_rng(seed).integers(30, 200, (count, 12, 12, 3), dtype=np.uint8)
    side = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(each).resize((32, 32), side)) for each in small])


def _noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _as_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(-1, 32, 3)).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def _brighter(pixels: Pixels) -> Pixels:
    return pixels + np.uint8(40)


def _smaller(pixels: Pixels) -> Pixels:
    side = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(each).resize((24, 24), side)) for each in pixels])


@pytest.mark.parametrize("change", [np.array, _noisy, _as_jpeg, _brighter, _smaller])
def test_the_same_picture_slightly_changed_is_found_and_others_are_not(change) -> None:
    originals = pictures(30, 0)
    hashes, others = perceptual_hashes(originals), perceptual_hashes(pictures(200, 1))
    changed = perceptual_hashes(change(originals[:20]))
    assert np.bitwise_count(hashes[:20] ^ changed).max() <= BITS_APART
    found = near_duplicates(hashes, np.concatenate([others, changed]))
    assert found.of_first.tolist() == [True] * 20 + [False] * 10
    assert found.of_second.tolist() == [False] * 200 + [True] * 20


def test_many_pairs_are_those_that_one_by_one_are() -> None:
    """More than a block; and a bound of 20 bits finds several pairs."""
    hashes, others = (np.random.default_rng(seed).bytes(8 * 150) for seed in (0, 1))
    first, second = np.frombuffer(hashes, np.uint64), np.frombuffer(others, np.uint64)
    is_near = np.array([[(int(a) ^ int(b)).bit_count() <= 20 for b in second] for a in first])
    found = near_duplicates(first, second, bits_apart=20)
    assert 1 < is_near.sum() < 150
    assert np.array_equal(found.of_first, is_near.any(1))
    assert np.array_equal(found.of_second, is_near.any(0))


def test_nothing_resembles_nothing() -> None:
    nothing = perceptual_hashes(np.empty((0, 32, 32, 3), np.uint8))
    found = near_duplicates(perceptual_hashes(pictures(3, 0)), nothing)
    assert (found.of_first.tolist(), found.of_second.tolist()) == ([False] * 3, [])
