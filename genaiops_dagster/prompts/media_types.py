"""Types of the files that a prompt may bring, by the ending of their names.

This is a table of its own and not the one of the operating system, which differs from machine to
machine: the type is part of what decides an answer, and a slim image knows neither FLAC nor WebP.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, `mimeType`,
and the pages of the models.
"""

from __future__ import annotations

MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "webm": "video/webm",
    "wmv": "video/wmv",
    "flv": "video/x-flv",
    "3gp": "video/3gpp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "mpga": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/m4a",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "html": "text/html",
    "css": "text/css",
    "csv": "text/csv",
    "md": "text/markdown",
    "xml": "text/xml",
}


def media_type(address: str) -> str | None:
    """The type of a file by its name; None for an ending that models take no file of."""
    return MEDIA_TYPES.get(address.rpartition(".")[2].lower())
