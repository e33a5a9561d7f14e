"""Near duplicates among images, found by a perceptual hash: the same picture, slightly changed.

The hash is of an image's coarse structure: which of its 8 x 8 lowest spatial frequencies lie above
their median, 64 bits. Noise, another compression, brightness or size flip few of them; another
picture flips about half (Zauner 2010, Implementation and benchmarking of perceptual image hash
functions).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

BITS_APART = 6
"""Images whose hashes differ in so many bits at most are near duplicates.

Of CIFAR-100's training images held against its test images, this finds pairs that are the same
picture to the eye, nearly all of them; between CIFAR-100 and TinyImageNet it finds none in 5,000 by
10,000. From 8 on, different pictures that are both a dark thing on a bright ground are found, too.
"""

FREQUENCIES = 8  # a side
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
BLOCK = 64  # hashes that are held against all others at once, so that their bits stay in the cache
Hashes = NDArray[np.uint64]


def perceptual_hashes(pixels: NDArray[np.uint8]) -> Hashes:
    """Returns the hashes of images, (N,).

    Args:
        pixels: (N, size, size, 3), with sides of at least 8.

    >>> dark = np.random.default_rng(0).integers(0, 100, (1, 32, 32, 3), dtype=np.uint8)
    >>> other = np.random.default_rng(1).integers(0, 100, (1, 32, 32, 3), dtype=np.uint8)
    >>> first, brighter, another = perceptual_hashes(np.concatenate([dark, dark + 50, other]))
    >>> bool(first == brighter), int(np.bitwise_count(first ^ another))
    (True, 28)
    """
    hashes = [_hashes_of(pixels[start : start + 1000]) for start in range(0, len(pixels), 1000)]
    return np.concatenate(hashes) if hashes else np.empty(0, np.uint64)


def _hashes_of(pixels: NDArray[np.uint8]) -> Hashes:
    """Returns the hashes (N,) of images (N, size, size, 3)."""
    spectrum = np.asarray(dctn(pixels @ LUMA, axes=(1, 2), norm="ortho"))
    low = spectrum[:, :FREQUENCIES, :FREQUENCIES]
    coefficients = low.reshape(len(pixels), -1)  # (N, 64); the first is the mean
    is_above = coefficients > np.median(coefficients[:, 1:], 1, keepdims=True)
    return np.packbits(is_above, axis=1).view(np.uint64)[:, 0]


class NearDuplicates(NamedTuple):
    """Which images of two sets have a near duplicate in the other one.

    Args:
        of_first: (N,) bool.
        of_second: (M,) bool.
    """

    of_first: NDArray[np.bool_]
    of_second: NDArray[np.bool_]


def near_duplicates(first: Hashes, second: Hashes, bits_apart: int = BITS_APART) -> NearDuplicates:
    """Returns which of the hashes (N,) and (M,) are near one of the others.

    >>> one, three, many = np.uint64([1]), np.uint64([0b111]), np.uint64([2**64 - 1])
    >>> found = near_duplicates(one, np.concatenate([many, three]), bits_apart=2)
    >>> found.of_first.tolist(), found.of_second.tolist()
    ([True], [False, True])
    """
    of_first = np.zeros(len(first), bool)
    of_second = np.zeros(len(second), bool)
    for start in range(0, len(first), BLOCK):
        is_near = np.bitwise_count(first[start : start + BLOCK, None] ^ second) <= bits_apart
        rows, columns = np.divmod(np.flatnonzero(is_near), max(1, len(second)))  # few, or none
        of_first[start + rows] = True
        of_second[columns] = True
    return NearDuplicates(of_first, of_second)
