"""Tiles go into a sheet and come back in order; an image that is no sheet is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from heat_core.images.thumbnails import decode_sheet, encode_sheet


def test_tiles_come_back_in_order() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (137, 1, 1, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(colours, 32, 1), 32, 2)
    tiles = decode_sheet(encode_sheet(pixels), 137)
    assert tiles.shape == pixels.shape
    middle = np.abs(tiles[:, 8:24, 8:24].astype(int) - colours).mean((1, 2, 3))
    assert middle.max() < 25  # a lossy copy; another tile's colour is about 85 away
    assert middle.mean() < 8


def test_what_is_no_sheet_is_refused() -> None:
    image = io.BytesIO()
    Image.new("RGB", (64, 64)).save(image, "PNG")
    with pytest.raises(
        ValueError, match="must be 3200 pixels wide and a multiple of 32 high, got 64 x 64"
    ):
        decode_sheet(image.getvalue())
    with pytest.raises(ValueError, match="not a readable sheet"):
        decode_sheet(b"RIFF no image")
    with pytest.raises(ValueError, match="wanted a sheet of 101 tiles, got 100"):
        decode_sheet(encode_sheet(np.zeros((5, 32, 32, 3), np.uint8)), 101)
