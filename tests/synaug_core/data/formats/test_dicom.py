"""DICOM as scanners write it, without a scanner: rescaled, windowed, the right way round."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synaug_core.config import DataConfig
from synaug_core.data import decode
from synaug_core.data.formats import dicom
from synaug_core.data.reading import list_images, read_all

RAMP = np.linspace(0, 4095, 64, dtype=np.uint16).reshape(8, 8)


def written(values: np.ndarray, bits: int = 12, kind: str = "MONOCHROME2", **tags: Any) -> bytes:
    """A DICOM file; `values` of shape (h, w), (frames, h, w) or (h, w, 3)."""
    pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    is_colour = values.shape[-1] == 3
    frames = values.shape[0] if values.ndim == 3 and not is_colour else 1
    dataset.Rows, dataset.Columns = values.shape[-3:-1] if is_colour else values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if is_colour else (1, kind)
    if is_colour:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def pixels(*arguments: Any, **tags: Any) -> np.ndarray:
    return decode.decode(written(*arguments, **tags)).pixels


def test_without_a_window_the_stored_bits_are_the_range() -> None:
    np.testing.assert_array_equal(pixels(RAMP), np.rint(RAMP / 4095 * 255))
    assert decode.decode(written(RAMP)).bits == 12
    assert decode.decode(written(RAMP)).format == "DICOM"
    assert decode.image_size(io.BytesIO(written(RAMP))) == (8, 8)
    assert decode.extent(io.BytesIO(written(RAMP))) is None


def test_hounsfield_units_through_a_window() -> None:
    """Soft tissue: 40 +- 200 HU of values that are stored as HU + 1024."""
    shown = pixels(RAMP, RescaleSlope="1", RescaleIntercept="-1024", WindowCenter="40", WindowWidth="400")
    units = RAMP.astype(float) - 1024
    expected = np.clip(((units - 39.5) / 399 + 0.5) * 255, 0, 255)  # PS3.3 C.11.2.1.2.1
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9
    assert shown.min() == 0
    assert shown.max() == 255
    several = pixels(RAMP, RescaleSlope="1", RescaleIntercept="-1024", WindowCenter=["40", "500"],
                     WindowWidth=["400", "50"])  # fmt: skip
    np.testing.assert_array_equal(several, shown)


def test_signed_values() -> None:
    values = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    np.testing.assert_array_equal(pixels(values), np.rint(RAMP / 4095 * 255))


def test_where_zero_is_white_values_are_inverted() -> None:
    np.testing.assert_array_equal(pixels(RAMP, 12, "MONOCHROME1"), 255 - pixels(RAMP))


def test_colour_and_the_first_of_several_frames() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels(colour, 8), colour)
    frames = np.stack([RAMP, RAMP[::-1]])
    np.testing.assert_array_equal(pixels(frames), pixels(RAMP))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:400], "a DICOM file that cannot be read"),
        (lambda data: data[:132] + bytes(200), "a DICOM file that cannot be read"),
        (lambda data: written(RAMP, Rows=30_000, Columns=30_000), "over the limit"),
    ],
)
def test_damaged_files_are_refused_with_a_reason(change: Any, words: str) -> None:
    with pytest.raises(decode.UnreadableError, match=words):
        decode.decode(change(written(RAMP)))


def test_without_the_extra_a_file_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "is_readable", lambda: False)
    with pytest.raises(decode.UnreadableError, match=r"^a DICOM file, which the extra `dicom` reads \(pip install"):
        decode.decode(bytes(128) + b"DICM" + bytes(300))


def test_a_folder_of_scans(tmp_path: Path) -> None:
    for n in range(12):
        folder = tmp_path / "scans" / ("ill" if n % 3 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(n).integers(0, 4096, (20, 20), dtype=np.uint16)
        (folder / f"IM{n:04}{'.dcm' if n % 2 else ''}").write_bytes(written(noise))
    read = read_all(list_images(DataConfig(source=str(tmp_path / "scans"))).items, 16)
    assert (len(read.items), read.rejected, read.facts.formats) == (12, (), {"DICOM": 12})
    assert read.all_grey
