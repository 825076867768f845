"""The bytes of an image file to the pixels that a person would expect.

- EXIF orientation is applied. Of several frames or pages the first is taken.
- Transparency, of a palette too, is laid over white, as a page shows it.
- CMYK becomes RGB, with Adobe's inverted JPEGs the right way round. Colour profiles are not applied.
- More than 8 bits a pixel are scaled down, never clipped. The full scale is the smallest of 8, 12 and 16 bits that
  holds the image's largest value, since 12-bit cameras and scanners write 16-bit files. Floating point is read as
  0 to 1, or 0 to 255 where a value exceeds 1.
- An image whose three channels are equal everywhere is grey.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from synaug_core import errors, vocabulary
from synaug_core.data.resize import resize, with_channels

__all__ = [
    "FORMATS", "Decoded", "Limits", "TooManyPixelsError", "UnreadableError", "decode", "image_size", "load_square",
    "resize",
]  # fmt: skip

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
_NO_IMAGE = "not a JPEG, PNG, BMP, TIFF or WebP image"
_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")


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
        bits: full scale that the stored values were read with: 8, 12 or 16.
    """

    pixels: NDArray[np.uint8]
    format: str
    bits: int


def decode(data: bytes, limits: Limits = Limits()) -> Decoded:
    """Read one image.

    Raises:
        UnreadableError: not an image of an accepted format, damaged, truncated, or over a limit.
    """
    if not data:
        raise UnreadableError("empty file")
    check_bytes(len(data), limits)
    image = _open(io.BytesIO(data), limits)
    try:
        image.load()
        image = _upright(image)
        array, bits = _eight_bits(image)
    except UnreadableError:
        raise
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise UnreadableError(_reason(error)) from error
    return Decoded(_grey_if_equal(array), image.format or "", bits)


def image_size(file: io.IOBase, limits: Limits = Limits()) -> tuple[int, int]:
    """Height and width from an open file's header alone, before any rotation.

    Raises:
        UnreadableError: not an image of an accepted format, or too many pixels.
    """
    image = _open(file, limits)
    return image.height, image.width


def load_square(
    data: bytes,
    size: int,
    channels: int,
    *,
    fit: vocabulary.Fit = "crop",
    limits: Limits = Limits(),
) -> NDArray[np.uint8]:
    """File bytes to uint8 (channels, size, size), just as `prepare` makes a data set's images.

    Raises:
        UnreadableError: as `decode`.
    """
    return with_channels(resize(decode(data, limits).pixels, size, fit), channels)


def check_bytes(count: int, limits: Limits) -> None:
    """Refuse a file by its size alone.

    Raises:
        UnreadableError: over the limit.
    """
    if count > limits.megabytes * 1e6:
        raise UnreadableError(f"{count / 1e6:.1f} MB, over the limit of {limits.megabytes:g} MB (data.max_megabytes)")


def _open(file: io.IOBase, limits: Limits) -> Image.Image:
    """The header only; size is checked here, before a single pixel is unpacked."""
    try:
        image = Image.open(file, formats=FORMATS)  # type: ignore[arg-type]  # any readable, seekable file will do
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("more pixels than Pillow reads safely") from error
    except UnidentifiedImageError as error:
        raise UnreadableError(_NO_IMAGE) from error
    except Exception as error:  # header parsers of hostile bytes raise nearly anything
        raise UnreadableError(_reason(error)) from error
    megapixels = image.width * image.height / 1e6
    if megapixels > limits.megapixels:
        raise TooManyPixelsError(f"{megapixels:.1f} megapixels, over the limit of {limits.megapixels:g}")
    return image


def _upright(image: Image.Image) -> Image.Image:
    kind = image.format
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not make the pixels wrong
        return image
    turned.format = kind
    return turned


def _eight_bits(image: Image.Image) -> tuple[NDArray[np.uint8], int]:
    if image.mode in _WIDE_MODES:
        return _scaled(np.asarray(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    elif image.mode in ("1", "L"):
        image = image.convert("L")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image), 8


def _scaled(values: NDArray[np.generic]) -> tuple[NDArray[np.uint8], int]:
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise UnreadableError("has values that are not finite numbers")
    low, high = float(wide.min()), float(wide.max())
    if low < 0:
        raise UnreadableError(f"has negative values (down to {low:g}); save it with 8 or 16 unsigned bits")
    if values.dtype.kind == "f" and high <= 255:
        return np.rint(wide * (255 if high <= 1 else 1)).astype(np.uint8), 8
    bits = next((b for b in (8, 12, 16) if high < 2**b), None)
    if bits is None:
        raise UnreadableError(f"has values up to {high:g}; save it with 8 or 16 unsigned bits")
    return np.rint(wide * (255 / (2**bits - 1))).astype(np.uint8), bits


def _grey_if_equal(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        return pixels
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.ascontiguousarray(red) if (red == green).all() and (green == blue).all() else pixels


def _reason(error: Exception) -> str:
    """Pillow's words without memory addresses and line breaks."""
    if isinstance(error, MemoryError):
        return "too large for the memory"
    words = " ".join(str(error).split()).partition(" <")[0][:120]
    return f"damaged or truncated ({words or type(error).__name__})"
