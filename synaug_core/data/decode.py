"""The bytes of an image file to the pixels that a person would expect.

- EXIF orientation is applied. Of several frames or pages the first is taken.
- Transparency, of a palette too, is laid over white, as a page shows it.
- CMYK becomes RGB, with Adobe's inverted JPEGs the right way round. Colour profiles are not applied.
- DICOM is read with the extra `dicom` (`synaug_core/data/formats/dicom.py`).
- More than 8 bits a pixel are scaled down (`synaug_core/data/scaling.py`). Where zero is white, values are inverted.
- An image whose three channels are equal everywhere is grey.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synaug_core import errors, vocabulary
from synaug_core.data.formats import dicom
from synaug_core.data.resize import resize, with_channels
from synaug_core.data.scaling import Extent, Preprocessing, Scale, depth, to_eight_bits

__all__ = [
    "FORMATS", "Decoded", "Limits", "TooManyPixelsError", "UnreadableError", "check_bytes", "check_size", "decode",
    "extent", "image_size", "load_square", "square",
]  # fmt: skip

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_NO_IMAGE = "not a JPEG, PNG, BMP, TIFF or WebP image"
_OTHER_KINDS = (
    (dicom.MARK_AT, dicom.MARK, dicom.HOW_TO_READ), (0, b"GIF8", "a GIF"), (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"), (0, b"8BPS", "a Photoshop file"), (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a zip archive"), (0, b"\x1f\x8b", "a gzip archive"), (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"), (0, b"<svg", "an SVG drawing"), (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"), (0, b"<?xml", "an XML file"),
    *((8, brand, "a HEIC image") for brand in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")),
    *((8, brand, "an AVIF image") for brand in (b"avif", b"avis")),
)  # fmt: skip
_LFS_POINTER = b"version https://git-lfs.github.com/spec"
_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_PHOTOMETRIC = 262
_DARK = 16
"""Of 255: where the upper 8 of 16 bits stay below it, no more than 12 are used."""
_MOST_SIDE = 65_535
"""Pixels a side, as in a JPEG: an image that is all length shows nothing, and costs time and memory."""


# Pillow warns of damaged metadata and of large images on stderr, without a file name; here either does not matter
# or becomes a reason.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableError(errors.DataError):
    """An image that is not accepted; the text is the reason."""


class TooManyPixelsError(UnreadableError):
    """An image over the limit of megapixels."""


@dataclass(frozen=True)
class Limits:
    """What is refused unread."""

    megapixels: float = 50.0
    megabytes: float = 64.0


@dataclass(frozen=True)
class Decoded:
    """One image.

    Attributes:
        pixels: uint8, (h, w) where the image is grey, else (h, w, 3) RGB.
        format: JPEG, PNG, ... as Pillow names it.
        bits: that hold the stored values: 8, 10, 12, 14 or 16.
        stored_bytes: of the file; 0 where there is none.
    """

    pixels: NDArray[np.uint8]
    format: str
    bits: int
    stored_bytes: int = 0


def decode(data: bytes, limits: Limits = Limits(), scale: Scale = Scale()) -> Decoded:
    """Read one image; `scale` says what is white of more than 8 bits.

    Raises:
        UnreadableError: not an image of an accepted format, damaged, truncated, or over a limit.
    """
    if not data:
        raise UnreadableError("empty file")
    check_bytes(len(data), limits)
    if _is_dicom(file := io.BytesIO(data)):
        check_size(*_dicom_size(file), limits)
        try:
            array, bits = dicom.decode_dicom(data)
        except Exception as error:  # parsers of hostile bytes raise nearly anything
            raise UnreadableError(f"a DICOM file that cannot be read ({_words(error)})") from error
        return Decoded(_grey_if_equal(array), "DICOM", bits, len(data))
    image = _open(file, limits)
    try:
        is_inverted, is_deep = _has_white_zero(image), _has_deep_colour(image)
        image.load()
        array, bits = _eight_bits(_upright(image), scale, is_inverted)
        if is_deep and 0 < array.max() < _DARK:
            raise UnreadableError(
                "has colours of 16 bits, of which 12 or fewer are used and 8 can be read; save it with 8 bits a colour"
            )
    except UnreadableError:
        raise
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise UnreadableError(_reason(error)) from error
    return Decoded(_grey_if_equal(array), image.format or "", bits, len(data))


def image_size(file: io.IOBase, limits: Limits = Limits()) -> tuple[int, int]:
    """Height and width from an open file's header alone, before any rotation.

    Raises:
        UnreadableError: not an image of an accepted format, or too many pixels.
    """
    if _is_dicom(file):
        height, width = _dicom_size(file)
        check_size(height, width, limits)
        return height, width
    image = _open(file, limits)
    return image.height, image.width


def extent(file: io.IOBase, limits: Limits = Limits()) -> Extent | None:
    """The smallest and the largest value of an open image file; None where its header says that it has 8 bits.

    Raises:
        UnreadableError: as `decode`.
    """
    if _is_dicom(file):  # shown through its own window
        return None
    image = _open(file, limits)
    if image.mode not in _WIDE_MODES:
        return None
    try:
        return _extent(np.asarray(image))
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise UnreadableError(_reason(error)) from error


def load_square(
    data: bytes,
    size: int,
    channels: int,
    preprocessing: Preprocessing = Preprocessing(),
    limits: Limits = Limits(),
) -> NDArray[np.uint8]:
    """File bytes to uint8 (channels, size, size), just as `prepare` makes a data set's images.

    Raises:
        UnreadableError: as `decode`.
    """
    return with_channels(square(decode(data, limits, preprocessing.scale).pixels, size, preprocessing.fit), channels)


def square(pixels: NDArray[np.uint8], size: int, fit: vocabulary.Fit) -> NDArray[np.uint8]:
    """As `resize`.

    Raises:
        UnreadableError: the memory does not hold it.
    """
    try:
        return resize(pixels, size, fit)
    except MemoryError as error:
        raise UnreadableError(_reason(error)) from error


def check_size(height: int, width: int, limits: Limits) -> None:
    """Refuse an image by its height and width alone.

    Raises:
        UnreadableError: too many pixels in all (TooManyPixelsError) or a side.
    """
    megapixels = width * height / 1e6
    if megapixels > limits.megapixels:
        raise TooManyPixelsError(f"{megapixels:.1f} megapixels, over the limit of {limits.megapixels:g}")
    if max(height, width) > _MOST_SIDE:
        raise UnreadableError(f"{width} x {height} pixels; no side may have more than {_MOST_SIDE}")


def check_bytes(count: int, limits: Limits) -> None:
    """Refuse a file by its size alone.

    Raises:
        UnreadableError: over the limit.
    """
    if count > limits.megabytes * 1e6:
        raise UnreadableError(f"{count / 1e6:.1f} MB, over the limit of {limits.megabytes:g} MB (data.max_megabytes)")


def _is_dicom(file: io.IOBase) -> bool:
    """Whether an open file is one of DICOM that can be read here."""
    head = file.read(dicom.MARK_AT + len(dicom.MARK))
    file.seek(0)
    return bool(head[dicom.MARK_AT :] == dicom.MARK) and dicom.is_readable()


def _dicom_size(file: io.IOBase) -> tuple[int, int]:
    try:
        return dicom.dicom_size(file)
    except Exception as error:  # parsers of hostile bytes raise nearly anything
        raise UnreadableError(f"a DICOM file that cannot be read ({_words(error)})") from error


def _open(file: io.IOBase, limits: Limits) -> Image.Image:
    """The header only; size is checked here, before a single pixel is unpacked."""
    try:
        image = Image.open(file, formats=FORMATS)  # type: ignore[arg-type]  # any readable, seekable file will do
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("more pixels than Pillow reads safely") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(_what_else(file)) from error
    except Exception as error:  # header parsers of hostile bytes raise nearly anything
        raise UnreadableError(_reason(error)) from error
    check_size(image.height, image.width, limits)
    return image


def _what_else(file: io.IOBase) -> str:
    """What a file is that is none of the accepted formats, as far as its first bytes say."""
    file.seek(0)
    head = file.read(256)
    if head.startswith(_LFS_POINTER):
        return "a Git LFS pointer in the place of the image; git lfs pull fetches that"
    kind = next((name for start, mark, name in _OTHER_KINDS if head[start : start + len(mark)] == mark), None)
    if kind == dicom.HOW_TO_READ:
        return kind
    return f"{kind}, {_NO_IMAGE}; convert it" if kind else _NO_IMAGE


def _upright(image: Image.Image) -> Image.Image:
    kind = image.format
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not make the pixels wrong
        return image
    turned.format = kind
    return turned


def _eight_bits(image: Image.Image, scale: Scale, is_inverted: bool) -> tuple[NDArray[np.uint8], int]:
    if image.mode in _WIDE_MODES:
        values = np.asarray(image)
        try:
            pixels = to_eight_bits(values, scale)
        except ValueError as error:
            raise UnreadableError(str(error)) from error
        return 255 - pixels if is_inverted else pixels, depth(_extent(values)) or 16
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image), 8


def _has_deep_colour(image: Image.Image) -> bool:
    """Whether an image that is not yet loaded has 16 bits a colour; Pillow reads the upper 8 of them."""
    tiles = getattr(image, "tile", ())  # of a file; Pillow declares it there alone
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[3]) for tile in tiles)


def _extent(values: NDArray[np.generic]) -> Extent:
    return Extent(float(values.min()), float(values.max()), values.dtype.kind == "f")


def _has_white_zero(image: Image.Image) -> bool:
    """Whether a TIFF of more than 8 bits says that 0 is white; of 8 bits Pillow inverts it by itself."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _grey_if_equal(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        return pixels
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.ascontiguousarray(red) if (red == green).all() and (green == blue).all() else pixels


def _reason(error: Exception) -> str:
    """Pillow's words without memory addresses and line breaks."""
    if isinstance(error, MemoryError):
        return "too large for the memory"
    return f"damaged or truncated ({_words(error)})"


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).partition(" <")[0][:120] or type(error).__name__
