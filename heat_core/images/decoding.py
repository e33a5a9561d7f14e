"""One image as the network sees it: a centred square, shrunk with antialiasing, 8-bit RGB."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from heat_core.messages import error_text

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 50_000_000  # more is refused from the header, before anything is decoded
REQUIREMENT = (
    f"wanted a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image "
    f"of at most {MAX_PIXELS // 10**6} megapixels"
)


def read_image(
    source: Path | bytes | BinaryIO, size: int = 32, name: str = ""
) -> NDArray[np.uint8]:
    """Returns an image as RGB pixels (size, size, 3) uint8.

    It is turned as its EXIF orientation says, laid on white where it is transparent, and cropped
    and resized as `to_square` does. Of an animation the first frame is taken. 16-bit greys keep
    their high byte, rounded.

    Args:
        source: a file, its bytes, or an open binary file.
        size: the side, in pixels.
        name: what messages call it; the file's name if not given.

    Raises:
        ValueError: it is no image, cut off, too large, or of 32-bit greys; the line says what
            came and what was wanted.

    Example:
        >>> from PIL import Image
        >>> content = io.BytesIO()
        >>> Image.new("RGB", (60, 40), "red").save(content, "PNG")
        >>> pixels = read_image(content.getvalue())
        >>> pixels.shape, pixels[0, 0].tolist()
        ((32, 32, 3), [255, 0, 0])
    """
    name = name or (source.name if isinstance(source, Path) else "the image")
    with warnings.catch_warnings():
        # Pillow warns of large images and odd metadata; both are judged here.
        warnings.simplefilter("ignore")
        try:
            content = io.BytesIO(source) if isinstance(source, bytes) else source
            return np.array(to_square(_decode(content), size))
        except Exception as error:  # a decoder may raise anything on damaged bytes
            reason = _reason(error)
    raise ValueError(f"{name}: {reason}; {REQUIREMENT}.")


def to_square(image: Image, size: int) -> Image:
    """Returns the largest centred square of an RGB image, at `size` x `size` pixels.

    Bilinear, and over the whole support when it shrinks (Pillow's resize, the same as torchvision's
    with antialiasing). A square of this size already comes back as it is.
    """
    from PIL.Image import Resampling

    if image.size == (size, size):
        return image
    side = min(image.size)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Resampling.BILINEAR)


def _decode(source: Path | BinaryIO) -> Image:
    """Returns the whole image in RGB. Raises ValueError or whatever Pillow raises."""
    from PIL import Image, ImageOps

    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        image.load()
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit greys")
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Returns why an image cannot be read, in one line without addresses of objects."""
    from PIL import Image

    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return error_text(error)
