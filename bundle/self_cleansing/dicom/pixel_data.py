# SPDX-License-Identifier: Apache-2.0
"""Find out from a file's structure, without decoding, whether its pixel data can be read and are all there."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

# What ITK (through GDCM) was seen to decode to the same values as pydicom, plus the JPEG processes GDCM documents.
TRANSFER_SYNTAXES = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, first order",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
_PIXEL_DATA, _ITEM, _END_OF_ITEMS = (0x7FE0, 0x0010), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF


def missing_pixel_data(file: BinaryIO, transfer_syntax: str, expected_bytes: int) -> str:
    """Say what is wrong with the pixel data of one image.

    Args:
        file: open where the header ends (pydicom's stop_before_pixels leaves it there); not deflated.
        transfer_syntax: UID.
        expected_bytes: of the decoded pixels.

    Returns:
        "" if a pixel data element is there and complete, else what is missing, to follow the file's name.
    """
    order = ">" if transfer_syntax == BIG_ENDIAN else "<"
    if _numbers(file, order + "HH") != _PIXEL_DATA:
        return "has no pixel data (a header only, or cut short)"
    if transfer_syntax == IMPLICIT:
        length = _numbers(file, order + "I")
    else:
        length = _numbers(file, order + "xxxxI")  # VR and two reserved bytes first
    if not length:
        return "is cut short in its pixel data"
    if length[0] == _UNDEFINED:
        return "" if _items_end(file) else "is cut short in its compressed pixel data"
    there = min(length[0], _left(file))
    if there < max(expected_bytes, length[0]):
        return f"is cut short: {there} of {max(expected_bytes, length[0])} bytes of pixel data are there"
    return ""


def _items_end(file: BinaryIO) -> bool:
    """Whether the fragments of compressed pixel data (always little endian) are complete."""
    while head := _numbers(file, "<HHI"):
        if head[:2] == _END_OF_ITEMS:
            return True
        if head[:2] != _ITEM or head[2] > _left(file):
            return False
        file.seek(head[2], os.SEEK_CUR)
    return False


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    """The next numbers of the file; () where it ends before."""
    content = file.read(struct.calcsize(layout))
    return struct.unpack(layout, content) if len(content) == struct.calcsize(layout) else ()


def _left(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size - file.tell()
