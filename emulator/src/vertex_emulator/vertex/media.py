"""Tokens of images, video, audio and documents, by the rules that Google documents.

Images, frames and pages count by media resolution
(https://ai.google.dev/gemini-api/docs/media-resolution, section "Token counts"), audio at a fixed
rate (https://ai.google.dev/gemini-api/docs/tokens, section "Multimodal tokens").
"""

from __future__ import annotations

import io
import logging
import math
import struct
from dataclasses import dataclass

from vertex_emulator.errors import ApiError, not_served
from vertex_emulator.vertex.messages import Document

_AUDIO_TOKENS_PER_SECOND = 32

# The same types as https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
_IMAGES = {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}
_VIDEOS = {
    *("video/mp4", "video/quicktime", "video/mov", "video/3gpp", "video/x-m4v"),
    *("video/mpeg", "video/mpg", "video/mpegs", "video/webm", "video/wmv", "video/x-flv"),
}
_AUDIO = {
    *("audio/wav", "audio/x-wav", "audio/mp3", "audio/mpeg", "audio/mpga", "audio/flac"),
    *("audio/x-flac", "audio/ogg", "audio/opus", "audio/m4a", "audio/mp4", "audio/aac"),
    *("audio/pcm", "audio/webm", "audio/aiff"),
}
_TEXTS = {"text/plain", "text/html", "text/css", "text/csv", "text/markdown", "text/xml"}

_IMAGE_BY_RESOLUTION = {"LOW": 280, "MEDIUM": 560, "HIGH": 1120, "ULTRA_HIGH": 2240}
_FRAME_BY_RESOLUTION = {"LOW": 70, "MEDIUM": 70, "HIGH": 280, "ULTRA_HIGH": 280}
_PAGE_BY_RESOLUTION = {"LOW": 280, "MEDIUM": 560, "HIGH": 1120, "ULTRA_HIGH": 1120}


@dataclass(frozen=True)
class Media:
    """What a media part adds to a prompt: tokens of one modality, and text where it is text."""

    modality: str
    tokens: int
    text: str = ""


def measure(part: Document, mime_type: str, data: bytes, resolution: str) -> Media:
    """Count the tokens of one media part.

    Args:
        part: The part, for its video metadata.
        mime_type: IANA media type that the request names.
        data: The bytes.
        resolution: `LOW`, `MEDIUM`, `HIGH`, `ULTRA_HIGH` or empty for the model's default.

    Raises:
        ApiError: 400 for a type that the API does not take or bytes that are not of it; 501 for a
            container whose duration the emulator cannot read.
    """
    mime_type = mime_type.partition(";")[0].strip().lower()
    if mime_type in _IMAGES:
        return Media("IMAGE", _image_tokens(data, resolution))
    if mime_type in _VIDEOS:
        return Media("VIDEO", _video_tokens(part, mime_type, data, resolution))
    if mime_type in _AUDIO:
        return Media("AUDIO", math.ceil(_duration(mime_type, data) * _AUDIO_TOKENS_PER_SECOND))
    if mime_type == "application/pdf":
        return Media("DOCUMENT", _PAGE_BY_RESOLUTION[resolution or "MEDIUM"] * _pages(data))
    if mime_type in _TEXTS:
        return Media("TEXT", 0, data.decode("utf-8", "replace"))
    raise ApiError(
        400,
        f"Unable to submit request because it has a mimeType parameter with value {mime_type},"
        " which is not supported. Update the mimeType and try again. Learn more:"
        " https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini",
    )


def _image_tokens(data: bytes, resolution: str) -> int:
    import imagesize

    try:
        size: tuple[int, int] = imagesize.get(io.BytesIO(data))
    except (ValueError, struct.error, OSError, OverflowError) as error:
        raise ApiError(400, "Provided image is not valid.") from error
    width, height = size
    if width < 1 or height < 1:
        raise ApiError(400, "Provided image is not valid.")
    return _IMAGE_BY_RESOLUTION[resolution or "HIGH"]


def _video_tokens(part: Document, mime_type: str, data: bytes, resolution: str) -> int:
    details = part.get("videoMetadata", {})
    start = _seconds(details.get("startOffset", "0s"))
    end = _seconds(details["endOffset"]) if "endOffset" in details else _duration(mime_type, data)
    seconds = max(0.0, end - start)
    rate = details.get("fps", 1.0)
    if not 0 < rate <= 24:
        raise ApiError(400, "video_metadata.fps must be in the range (0.0, 24.0].")
    return math.ceil(seconds * float(rate) * _FRAME_BY_RESOLUTION[resolution or "LOW"])


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _duration(mime_type: str, data: bytes) -> float:
    """Seconds that a recording lasts, from its container."""
    from tinytag import TinyTag, TinyTagException

    logging.getLogger("tinytag").setLevel(logging.ERROR)
    try:
        seconds = TinyTag.get("recording", file_obj=io.BytesIO(data), tags=False).duration
    except (TinyTagException, ValueError, struct.error, OSError, LookupError) as error:
        raise not_served(f"{mime_type} of a container that it cannot read ({error})") from error
    if not seconds or seconds <= 0:
        raise not_served(f"{mime_type} without a duration in its container")
    return float(seconds)


def _pages(data: bytes) -> int:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        pages = len(PdfReader(io.BytesIO(data)).pages)
    except (PyPdfError, ValueError, LookupError, TypeError, RecursionError, OSError) as error:
        raise ApiError(400, "The document could not be read as a PDF.") from error
    if pages < 1:
        raise ApiError(400, "The document has no pages.")
    return pages
