"""Sheets of thumbnails: many small images as the tiles of a large one, row by row, 100 a row."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heat_core.messages import error_text

COLUMNS = 100
QUALITY = 70  # of WebP; a 32-pixel tile takes about 250 bytes


def encode_sheet(pixels: NDArray[np.uint8]) -> bytes:
    """Returns images (N, size, size, 3) as one lossy WebP image. Good to look at, not to score.

    Example:
        >>> sheet = encode_sheet(np.full((2, 32, 32, 3), 255, np.uint8))
        >>> decode_sheet(sheet, count=2).mean(axis=(1, 2, 3)) > 250
        array([ True,  True])
    """
    from PIL import Image

    side = pixels.shape[1]
    rows = -(-len(pixels) // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, side, side, 3), np.uint8)
    tiles[: len(pixels)] = pixels
    grid = tiles.reshape(rows, COLUMNS, side, side, 3).swapaxes(1, 2)
    sheet = grid.reshape(rows * side, COLUMNS * side, 3)
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, "WEBP", quality=QUALITY, method=6)
    return content.getvalue()


def decode_sheet(
    source: bytes | Path, count: int | None = None, side: int = 32
) -> NDArray[np.uint8]:
    """Returns the first `count` tiles of a sheet, (count, side, side, 3); all if not given.

    Raises ValueError if it is no image, or not of so many tiles.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            sheet = np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"not a readable sheet of images ({error_text(error)}).") from None
    height, width = sheet.shape[:2]
    if height % side or width != COLUMNS * side:
        raise ValueError(
            f"a sheet must be {COLUMNS * side} pixels wide and a multiple of {side} high, "
            f"got {width} x {height}."
        )
    grid = sheet.reshape(-1, side, COLUMNS, side, 3).swapaxes(1, 2)
    tiles = grid.reshape(-1, side, side, 3)
    if count is not None and count > len(tiles):
        raise ValueError(f"wanted a sheet of {count} tiles, got {len(tiles)}.")
    return tiles[:count]
