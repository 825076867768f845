from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from synaug_core.data.decode import Limits, UnreadableError, decode, image_size, load_square
from synaug_core.data.scaling import Extent, Preprocessing, Scale, common_scale

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("colour", [True, False])
def test_lossless_formats_give_their_pixels(kind, colour, picture, encode):
    pixels = picture(1, 20, 30, colour)
    found = decode(encode(pixels, kind, **LOSSLESS[kind]))
    assert found.format == kind
    assert found.bits == 8
    np.testing.assert_array_equal(found.pixels, pixels)


def test_jpeg_is_close_and_keeps_grey(picture, encode):
    colour, grey = picture(1), picture(1, colour=False)
    assert np.abs(decode(encode(colour, "JPEG", quality=95)).pixels.astype(int) - colour).mean() < 6
    assert decode(encode(grey, "JPEG")).pixels.ndim == 2


def test_equal_channels_are_grey(picture, encode):
    grey = picture(3, colour=False)
    np.testing.assert_array_equal(decode(encode(np.stack([grey] * 3, axis=2))).pixels, grey)


def test_palette_and_its_transparency(encode):
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2, 0, 0, 1, 2, 0])
    plain = decode(encode(image)).pixels
    np.testing.assert_array_equal(plain[0, :3], [[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    clear = decode(encode(image, transparency=1)).pixels
    np.testing.assert_array_equal(clear[0, :3], [[255, 0, 0], [255, 255, 255], [0, 0, 255]])


def test_alpha_is_laid_over_white(encode):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = [0, 128, 255]
    np.testing.assert_array_equal(decode(encode(rgba)).pixels, [[255, 127, 0]])
    la = np.array([[[10, 0], [10, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(la, "LA"))).pixels, [[255, 10]])


def test_one_bit(encode):
    image = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(decode(encode(image)).pixels, [[255, 0]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("top", "bits"), [(65535, 16), (4095, 12), (255, 8)])
def test_sixteen_bits_are_scaled_and_not_clipped(kind, top, bits, encode):
    ramp = np.linspace(0, top, 64).round().astype(np.uint16).reshape(8, 8)
    found = decode(encode(ramp, kind))
    assert found.bits == bits
    np.testing.assert_array_equal(found.pixels, np.rint(ramp / top * 255).astype(np.uint8))


def deep_colour(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a colour, which Pillow does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_read_or_refused_but_never_as_black():
    ramp = np.linspace(0, 65535, 8 * 8 * 3).reshape(8, 8, 3)
    np.testing.assert_array_equal(decode(deep_colour(ramp)).pixels, ramp.astype(np.uint16) >> 8)
    refused(deep_colour(ramp / 16), "colours of 16 bits, of which 12 or fewer are used")


def test_wide_modes(encode):
    unit = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(decode(encode(unit, "TIFF")).pixels, np.rint(unit * 255))
    np.testing.assert_array_equal(decode(encode(unit * 255, "TIFF")).pixels, np.rint(unit * 255))
    whole = np.array([[0, 65535]], dtype=np.int32)
    np.testing.assert_array_equal(decode(encode(whole, "TIFF")).pixels, [[0, 255]])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-5, 3]], dtype=np.int32), "negative"),
        (np.array([[70000, 3]], dtype=np.int32), "up to 70000"),
        (np.array([[np.nan, 3]], dtype=np.float32), "not finite numbers"),
        (np.array([[1e9, 3]], dtype=np.float32), "up to"),
    ],
)
def test_wide_values_without_a_scale_are_refused(values, reason, encode):
    with pytest.raises(UnreadableError, match=reason):
        decode(encode(values, "TIFF"))


@pytest.mark.parametrize(
    ("highest", "white"),
    [([900.0, 40.0], 1023), ([4096.0, 3000.0], 4095), ([16000.0], 16383), ([200.0], 255), ([60000.0, 70000.0], 65535)],
)
def test_the_images_of_a_data_set_have_one_full_scale(highest, white):
    assert common_scale(Extent(0, high, real=False) for high in highest) == Scale(integer=white)


def test_floating_point_has_a_full_scale_of_its_own():
    extents = [Extent(-0.01, 1.0001, real=True), Extent(0, 0.2, real=True), Extent(0, 300, real=False)]
    assert common_scale(extents) == Scale(integer=1023, real=1)
    assert common_scale([Extent(0, 0.9, real=True), Extent(0, 255.2, real=True)]) == Scale(real=255)


def test_values_are_read_with_the_data_set_s_scale_and_overshoot_is_clipped(encode):
    values = np.array([[0, 2048, 4096]], dtype=np.uint16)
    assert decode(encode(values)).pixels.max() == 16  # alone: of 16 bits
    np.testing.assert_array_equal(decode(encode(values), scale=Scale(integer=4095)).pixels, [[0, 128, 255]])
    dim = np.array([[0, 100]], dtype=np.uint16)
    np.testing.assert_array_equal(decode(encode(dim), scale=Scale(integer=1023)).pixels, [[0, 25]])
    unit = np.array([[-0.01, 0.5, 1.0001]], dtype=np.float32)
    np.testing.assert_array_equal(decode(encode(unit, "TIFF"), scale=Scale(real=1)).pixels, [[0, 128, 255]])


@pytest.mark.parametrize(("dtype", "white"), [(np.uint16, 65535), (np.uint8, 255)])
def test_zero_can_be_white(dtype, white, encode):
    values = Image.fromarray(np.array([[0, white]], dtype=dtype))
    plain = decode(encode(values, "TIFF")).pixels
    np.testing.assert_array_equal(plain, [[0, 255]])
    np.testing.assert_array_equal(decode(_with_white_zero(encode(values, "TIFF"))).pixels, 255 - plain)


def _with_white_zero(tiff: bytes) -> bytes:
    """The same TIFF, its tag PhotometricInterpretation 0."""
    entry = struct.pack("<HHI", 262, 3, 1)
    start = tiff.index(entry) + len(entry)
    return tiff[:start] + bytes(4) + tiff[start + 4 :]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_what_it_shows(kind, encode):
    rgb = np.zeros((16, 16, 3), dtype=np.uint8)
    rgb[...] = [200, 40, 90]
    found = decode(encode(Image.fromarray(rgb).convert("CMYK"), kind)).pixels
    assert np.abs(found.astype(int) - rgb).max() <= 6


def test_inverted_cmyk_of_adobe(encode):
    """Adobe's JPEGs store CMYK inverted and say so in an APP14 segment, which Pillow writes as well."""
    data = encode(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert b"Adobe" in data
    assert decode(data).pixels.min() >= 250  # no ink: white


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation, kind, encode, picture):
    upright = np.zeros((16, 32), dtype=np.uint8)
    upright[:8, :8] = 255  # a white corner, upper left
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    data = encode(image, kind, exif=exif, **options)
    np.testing.assert_allclose(decode(data).pixels, upright, atol=3)
    assert sorted(image_size(io.BytesIO(data))) == [16, 32]


def test_damaged_exif_does_not_matter(encode, picture):
    pixels = picture(1)
    found = decode(encode(pixels, "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"))
    np.testing.assert_array_equal(found.pixels, pixels)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_first_of_several_frames(kind, encode, picture):
    first, second = picture(1), picture(2)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(first, kind, save_all=True, append_images=[Image.fromarray(second)], **options)
    np.testing.assert_array_equal(decode(data).pixels, first)


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_truncated_anywhere_is_refused_or_whole(kind, encode, picture):
    data = encode(picture(5, 40, 40), kind, **LOSSLESS.get(kind, {}))
    whole = decode(data).pixels
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 60)):
        try:
            found = decode(data[:length]).pixels
        except UnreadableError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert refused > 45


@pytest.mark.parametrize("kind", ["JPEG", *LOSSLESS])
def test_damaged_bytes_never_raise_anything_else(kind, encode, picture, rng):
    data = encode(picture(5, 40, 40), kind, **LOSSLESS.get(kind, {}))
    reasons: list[str] = []
    for _ in range(60):
        hostile = bytearray(data)
        for place in rng.integers(0, len(data), 8):
            hostile[place] = int(rng.integers(256))
        try:
            found = decode(bytes(hostile), Limits(megapixels=1))
        except UnreadableError as error:
            reasons.append(str(error))
        else:
            assert found.pixels.dtype == np.uint8
    assert not [r for r in reasons if "\n" in r or " at 0x" in r]


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"\x00" * 100])
def test_other_files(data):
    with pytest.raises(UnreadableError, match="not a JPEG, PNG, BMP, TIFF or WebP image"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (bytes(128) + b"DICM" + bytes(50), "a DICOM file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, not a JPEG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "an AVIF image, not a JPEG"),
        (b"GIF89a", "a GIF, not a JPEG"),
        (b"<!DOCTYPE html><html>", "a web page, not a JPEG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a Git LFS pointer .* git lfs pull"),
    ],
)
def test_other_files_are_named(data, kind):
    refused(data, kind)


def test_other_image_formats(encode, picture):
    with pytest.raises(UnreadableError, match="a GIF, not a JPEG"):
        decode(encode(picture(1), "GIF"))


def test_empty_file():
    with pytest.raises(UnreadableError, match="empty file"):
        decode(b"")


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(data)


def claim(width: int, height: int) -> bytes:
    """A few bytes of PNG that claim to be any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 10_000, 20_000])
def test_claimed_size_is_refused_before_unpacking(side):
    with pytest.raises(UnreadableError, match=r"megapixels, over the limit of 50|more pixels than"):
        decode(claim(side, side))


def test_a_side_without_end_is_refused_before_unpacking():
    refused(claim(65_536, 1), "no side may have more than 65535")
    assert image_size(io.BytesIO(claim(65_535, 1))) == (1, 65_535)


def test_an_image_that_the_memory_does_not_hold_is_refused(encode, picture, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("synaug_core.data.decode.resize", fail)
    with pytest.raises(UnreadableError, match="too large for the memory"):
        load_square(encode(picture(1)), 16, 3, Preprocessing(fit="pad"))


def test_pillows_warning_as_error_is_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        refused(claim(10_000, 10_000), "more pixels than Pillow reads safely")


def test_file_size_limit(encode, picture):
    with pytest.raises(UnreadableError, match=r"over the limit of 0.0001 MB"):
        decode(encode(picture(1)), Limits(megabytes=0.0001))


def test_load_square_is_what_a_model_takes(encode, picture):
    data = encode(picture(1, 30, 50))
    assert load_square(data, 16, 3).shape == (3, 16, 16)
    assert load_square(data, 16, 1).shape == (1, 16, 16)
    grey = load_square(encode(picture(1, colour=False)), 16, 3)
    assert (grey[0] == grey[1]).all()
