"""Small files of every kind that a prompt may bring."""

from __future__ import annotations

import io
import struct
import wave
import zlib

from pypdf import PdfWriter


def png(width: int, height: int) -> bytes:
    """A black picture; width and height in pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\0" * width for _ in range(height)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def wav(seconds: int) -> bytes:
    """Silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(1000)
        sound.writeframes(b"\x80" * 1000 * seconds)
    return file.getvalue()


def mp4(seconds: int) -> bytes:
    """The container of a film without a picture."""

    def atom(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    header = atom(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000 * seconds) + b"\0" * 80)
    return atom(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + atom(b"moov", header)


def pdf(pages: int) -> bytes:
    """Empty pages."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(200, 200)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()
