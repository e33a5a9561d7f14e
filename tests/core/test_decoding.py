"""Images of every kind that people have, and of every kind that is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from heat_core.images.decoding import FORMATS, read_image

RED, BLUE = (250, 10, 10), (10, 10, 250)


def _bytes(image: Image.Image, kind: str, **settings: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def _halves() -> Image.Image:
    """A square of 64 pixels, red above and blue below."""
    image = Image.new("RGB", (64, 64), RED)
    image.paste(BLUE, (0, 32, 64, 64))
    return image


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind: str, tmp_path: Path) -> None:
    content = _bytes(_halves(), kind)
    pixels = read_image(content)
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    assert np.abs(pixels[4, 16].astype(int) - RED).max() <= 4
    assert np.abs(pixels[27, 16].astype(int) - BLUE).max() <= 4
    (tmp_path / "image").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "image"), pixels)
    assert np.array_equal(read_image(io.BytesIO(content)), pixels)


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (200, 64))
    wide.paste(_halves(), (68, 0))
    assert np.array_equal(read_image(_bytes(wide, "PNG")), read_image(_bytes(_halves(), "PNG")))
    assert np.array_equal(
        read_image(_bytes(wide.rotate(90, expand=True), "PNG")),
        read_image(_bytes(_halves().rotate(90), "PNG")),
    )


def test_shrinking_averages_and_a_fitting_square_stays() -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(read_image(_bytes(Image.fromarray(board), "PNG")).astype(int) - 128).max() <= 2
    exact = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(read_image(_bytes(Image.fromarray(exact), "PNG")), exact)
    assert read_image(_bytes(Image.fromarray(exact), "PNG"), size=7).shape == (7, 7, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_one_pixel_fills_the_square(mode: str, size: tuple[int, int]) -> None:
    assert (read_image(_bytes(Image.new(mode, size, "white"), "PNG")) == 255).all()


def test_exif_turns_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for viewing
    pixels = read_image(_bytes(_halves(), "PNG", exif=exif))
    assert np.array_equal(pixels, read_image(_bytes(_halves().rotate(-90), "PNG")))
    assert not np.array_equal(pixels, read_image(_bytes(_halves(), "PNG")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    assert (read_image(_bytes(Image.new(mode, (8, 8), (0,) * len(mode)), "PNG")) == 255).all()


def test_a_palette_may_be_transparent() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    assert (read_image(_bytes(image, "PNG")) == RED).all()
    assert (read_image(_bytes(image, "PNG", transparency=1)) == 255).all()
    assert (read_image(_bytes(image, "PNG", transparency=bytes([255, 0]))) == 255).all()
    assert (read_image(_bytes(image, "GIF", transparency=1)) == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_turned_into_colour(kind: str) -> None:
    pixels = read_image(_bytes(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), kind))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_brightness(kind: str) -> None:
    for value, wanted in ((0, 0), (257 * 100, 100), (65535, 255)):
        assert (
            read_image(_bytes(Image.fromarray(np.full((9, 9), value, np.uint16)), kind)) == wanted
        ).all()


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    for kind, settings in (("GIF", {}), ("WEBP", {"lossless": True})):
        assert (
            read_image(_bytes(frames[0], kind, save_all=True, append_images=frames[1:], **settings))
            == RED
        ).all()


# -- refused ---------------------------------------------------------------------------------------


def _png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + bytes(4)
        + b"IDAT"
        + bytes(4)
    )


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (8000, "8000 x 8000 pixels"),
        (10_000, "10000 x 10000 pixels"),
        (60_000, "more than 50 megapixels"),
    ],
)
def test_a_bomb_is_refused_by_its_header(
    side: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(
        ValueError, match=f"^bomb.png: {reason}; wanted a whole PNG, .* of at most 50 megapixels.$"
    ):
        read_image(_png_header(side, side), name="bomb.png")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"P6 1 1 255\n123",
    ],
)
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(
        ValueError,
        match=r"^the image: not an image; wanted a whole PNG, JPEG, WEBP, BMP, TIFF or GIF",
    ):
        read_image(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_an_image_is_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    content = _bytes(noise, kind)
    with pytest.raises(ValueError, match=r"^half: .*; wanted a whole PNG") as caught:
        read_image(content[: len(content) // 2], name="half")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^none.png: No such file or directory; wanted"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=f"^{tmp_path.name}: Is a directory; wanted"):
        read_image(tmp_path)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_greys_of_32_bits_are_refused(kind: type) -> None:
    with pytest.raises(ValueError, match=r"^the image: 32-bit greys; wanted"):
        read_image(_bytes(Image.fromarray(np.ones((4, 4), kind)), "TIFF"))


WHOLE = [_bytes(_halves(), kind) for kind in FORMATS]


@given(
    st.sampled_from(WHOLE),
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=8),
)
def test_damaged_bytes_give_an_image_or_one_line(
    whole: bytes, cut: int, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(whole)
    for place, value in changes:
        content[place % len(content)] = value
    try:
        answer = str(read_image(bytes(content[:cut])).shape)
    except ValueError as error:
        answer = str(error)
    assert answer == "(32, 32, 3)" or ("; wanted a whole PNG" in answer and "\n" not in answer)
