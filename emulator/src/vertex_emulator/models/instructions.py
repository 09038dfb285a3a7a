"""Reads a prompt: does it ask for a choice, a summary or an answer?

The emulated base models understand no language. They recognise these forms, which cover the
prompts that evaluation and tuning of text tasks use, and answer anything else from its words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vertex_emulator.models.text import sentences

_OPTION_HINT = re.compile(
    r"\b(?:one of|options?|choices?|choose|select|labels?|categor(?:y|ies)|class(?:es)?|modules?"
    r"|candidates?|possible answers|allowed (?:answers|values))\b",
    re.IGNORECASE,
)
_LIST_START = re.compile(r":[ \t]*\n?[ \t]*(?=\S)|\bone of (?!the following)", re.IGNORECASE)
# A line, and the next ones as long as each ends in a separator.
_ITEMS = re.compile(r"(?:[^\n]*[,;|][ \t]*\n)*[^\n]*")
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])\s+(?P<item>\S.*?)\s*$")
_SEPARATOR = re.compile(r"\s*[,;|]\s*(?:or\s+|and\s+)?|\s+or\s+")
_SUMMARY = re.compile(
    r"\b(?:summar(?:y|ies|i[sz]e[sd]?|i[sz]ing)|headline|tl;?dr)\b", re.IGNORECASE
)
_LENGTH = re.compile(
    r"\b(?P<number>\d+|one|two|three|four|five|a|single)[ -]"
    r"(?P<unit>words?|sentences?|characters?)\b",
    re.IGNORECASE,
)
_NUMBERS = {"a": 1, "single": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_LONGEST_OPTION = 60
_OPTION_WORDS = 5


@dataclass(frozen=True)
class Choice:
    """A closed question: one of `options`."""

    question: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """A text to shorten to a number of sentences and words."""

    text: str
    max_sentences: int
    max_words: int


@dataclass(frozen=True)
class Question:
    """Anything else."""

    text: str


def read_instruction(system: str, prompt: str) -> Choice | Summary | Question:
    """What the system instruction and the last user message ask for together.

    The outer lines of a message count as its instruction: a list of options or the word "summary"
    amid a long text is part of that text.
    """
    options, rest = find_options(system)
    if options:
        return Choice(prompt, options)
    instruction = f"{system}\n{_outer_lines(prompt)}"
    if _SUMMARY.search(instruction):
        max_sentences, max_words = _length(instruction)
        return Summary(_body(prompt), max_sentences, max_words)
    options, rest = find_options(prompt)
    if options:
        return Choice(rest, options)
    return Question(prompt)


def find_options(text: str) -> tuple[tuple[str, ...], str]:
    """The closed list of answers that `text` gives, and `text` without it.

    Understands a comma-separated list after a colon or after "one of", and a bullet list, each
    where the words before it speak of options; the longest one counts. No list gives an empty
    tuple.
    """
    best, rest = _find_bullets(text)
    for match in _LIST_START.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        before = text[start : match.end()]
        if not before.strip(" :\n"):
            before = text[max(0, start - 200) : match.end()]
        if not _OPTION_HINT.search(before):
            continue
        items = _ITEMS.match(text, match.end())
        options, length = _split_items(items[0] if items else "")
        if len(options) > max(1, len(best)):
            best, rest = options, f"{text[:start]}{text[match.end() + length :]}"
    return best, rest


def _split_items(items: str) -> tuple[tuple[str, ...], int]:
    end = re.search(r"\.(?:\s|$)", items)
    length = end.end() if end else len(items)
    found = []
    for item in _SEPARATOR.split(items[: end.start() if end else None]):
        option = item.strip().strip("`'\"[](){}")
        if not option:
            continue
        if len(option) > _LONGEST_OPTION or len(option.split()) > _OPTION_WORDS:
            return (), 0
        found.append(option)
    return tuple(dict.fromkeys(found)), length


def _find_bullets(text: str) -> tuple[tuple[str, ...], str]:
    lines = text.splitlines()
    first = 0
    while first < len(lines):
        last = first
        while last < len(lines) and _BULLET.match(lines[last]):
            last += 1
        options = [
            match["item"].strip("`'\"").rstrip(".")
            for match in map(_BULLET.match, lines[first:last])
            if match
        ]
        if (
            len(options) >= 2
            and all(len(option.split()) <= _OPTION_WORDS for option in options)
            and _OPTION_HINT.search("\n".join(lines[max(0, first - 3) : first]))
        ):
            return tuple(dict.fromkeys(options)), "\n".join(lines[:first] + lines[last:])
        first = max(last, first + 1)
    return (), text


def _outer_lines(prompt: str) -> str:
    """The first and the last line of a prompt, 300 characters of each."""
    lines = prompt.strip().splitlines() or [""]
    return "\n".join(dict.fromkeys((lines[0][:300], lines[-1][:300])))


def _body(prompt: str) -> str:
    """The text to work on: `prompt` without its instruction and without a label before the text."""
    lines = [line for line in prompt.splitlines() if line.strip()]
    kept = [line for line in lines if not _SUMMARY.search(line) or len(line) >= 300]
    text = "\n".join(kept)
    if not text:  # instruction and text share a line
        found = sentences(prompt)
        text = " ".join(sentence for sentence in found if not _SUMMARY.search(sentence))
        text = text or prompt.partition(":")[2] or prompt
    return re.sub(r"^\s*(?:article|text|context|document|body)\s*:\s*", "", text, flags=re.I)


def _length(instruction: str) -> tuple[int, int]:
    max_sentences, max_words = 2, 60
    if re.search(r"\bheadline\b", instruction, re.IGNORECASE):
        max_sentences, max_words = 1, 15
    for match in _LENGTH.finditer(instruction):
        number = match["number"].lower()
        count = _NUMBERS.get(number) or int(number)
        unit = match["unit"].lower()
        if unit.startswith("word"):
            max_words = count
        elif unit.startswith("sentence"):
            max_sentences = count
        else:
            max_words = max(1, count // 6)
    return max(1, max_sentences), max(1, max_words)
