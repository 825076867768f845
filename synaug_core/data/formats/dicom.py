"""DICOM files, with pydicom (the extra `dicom`): stored values to what a viewer shows.

Grey values are rescaled (slope and intercept) and put through the file's own window, or, where it has none, over the
full range of its stored bits. With MONOCHROME1, 0 is white. Of several frames the first is taken.
Source: DICOM PS3.3 C.7.6.3 (Image Pixel), C.11.1 (Modality LUT) and C.11.2 (VOI LUT).
"""

import importlib.util
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOW_TO_READ", "MARK", "MARK_AT", "decode_dicom", "dicom_size", "is_readable"]

MARK, MARK_AT = b"DICM", 128
HOW_TO_READ = "a DICOM file, which the extra `dicom` reads (pip install 'synaug[dicom]')"
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")


def is_readable() -> bool:
    """Whether pydicom is installed."""
    return importlib.util.find_spec("pydicom") is not None


def dicom_size(file: Any) -> tuple[int, int]:
    """Height and width from the header of an open file.

    Raises:
        ValueError: it has no pixels.
    """
    import pydicom

    header = pydicom.dcmread(file, stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise ValueError("it has no image")
    return int(header.Rows), int(header.Columns)


def decode_dicom(data: bytes) -> tuple[NDArray[np.uint8], int]:
    """The pixels, uint8 (h, w) or (h, w, 3), and the bits that hold the stored values.

    Raises:
        ValueError: it has no pixels, or these are compressed in a way that cannot be read here.
    """
    import pydicom
    from pydicom import pixels as processing

    dataset = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in dataset:
        raise ValueError("it has no image")
    try:
        values = processing.pixel_array(dataset, index=0)
    except (NotImplementedError, RuntimeError) as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise ValueError(f"its pixels are compressed as {syntax}, which cannot be read here") from error
    bits = int(dataset.BitsStored)
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        values = processing.apply_color_lut(values, dataset)
        return _eight_bits(values, 0.0, float(2 ** (values.dtype.itemsize * 8) - 1)), 8
    if kind in _COLOUR:
        return _eight_bits(values, 0.0, float(2**bits - 1)), bits
    if "ModalityLUTSequence" in dataset:
        raise ValueError("its values stand for others by a table (Modality LUT), which is not read")
    grey = _eight_bits(*_shown_range(dataset, processing.apply_rescale(values, dataset), processing))
    return (255 - grey if kind == "MONOCHROME1" else grey), bits


def _shown_range(dataset: Any, values: NDArray[Any], processing: Any) -> tuple[NDArray[Any], float, float]:
    """The values as they are shown, with what is black and what is white of them."""
    bits, is_signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    stored = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    low, high = (slope * value + intercept for value in stored)
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        return processing.apply_windowing(values, dataset, index=0), low, high  # which a falling slope turns round
    return values, min(low, high), max(low, high)


def _eight_bits(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (np.asarray(values, dtype=np.float64) - low) * (255.0 / ((high - low) or 1.0))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
