"""Grounding metadata of the shape that Google Search brings, plainly made up.

The shape: https://cloud.google.com/vertex-ai/generative-ai/docs/grounding/grounding-with-google-search
("Understand your response"). No search is done; every source is under `emulated.example`.
"""

from __future__ import annotations

import html
import re

from vertex_emulator.models.text import content_words
from vertex_emulator.vertex.messages import Document

_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
_MOST_SUPPORTS = 5


def wants_search(request: Document) -> bool:
    """Whether a tool of `request` is Google Search."""
    return any(
        "googleSearch" in tool or "googleSearchRetrieval" in tool
        for tool in request.get("tools", [])
    )


def metadata(question: str, answer: str) -> Document:
    """The `GroundingMetadata` document of `answer`; segments count UTF-8 bytes, as the API's do."""
    query = " ".join(dict.fromkeys(content_words(question)[:6])) or "emulated search"
    slug = "-".join(query.split())
    supports = []
    for match in list(_SENTENCE.finditer(answer))[:_MOST_SUPPORTS]:
        text = match[0].strip()
        if not text:
            continue
        start = len(answer[: match.start()].encode("utf-8", "surrogatepass"))
        end = start + len(match[0].encode("utf-8", "surrogatepass"))
        segment: Document = {"endIndex": end, "text": match[0]}
        if start:
            segment["startIndex"] = start
        supports.append(
            {"segment": segment, "groundingChunkIndices": [0], "confidenceScores": [0.9]}
        )
    return {
        "webSearchQueries": [query],
        "searchEntryPoint": {
            "renderedContent": f"<div>Emulated search: {html.escape(query)}</div>"
        },
        "groundingChunks": [
            {
                "web": {
                    "uri": f"https://emulated.example/search/{slug}",
                    "title": f"Emulated source on {query}",
                }
            }
        ],
        "groundingSupports": supports,
    }
