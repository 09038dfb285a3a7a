"""Guardrails: what may be asked and what may be answered, by the rules of a use case.

Rules look at texts: at the values that a prompt brings (the template is ours), and at the answer.
Files are not looked into; the service's own filters (safety settings, Model Armor) see them.
A finding names the rule and never the text, so that it may be logged.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from genaiops_dagster.data.sensitive import Sensitive, find_sensitive, redact
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.serving import Finding, Place
from genaiops_dagster.use_case.guardrails import JsonSchema, OutputRules, TextRules

_COLLECTIONS = (list, tuple, set, frozenset)
_LOOKALIKES = str.maketrans(
    # Cyrillic, Greek and others, small and capital
    "аеорсухіјѕһԛԝкмтнвАЕОРСУХІЈЅНКМТВԚԜαορυνκιτηχεγΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɑɡօսⅼ",
    "aeopcyxijshqwkmthbAEOPCYXIJSHKMTBQWaopuvkitnxeyABEZHIKMNOPTYXiagoul",
)
"""Letters that look like Latin ones, by what they look like; one stands for one."""


class Screened(NamedTuple):
    """A value after the rules: itself, with what had to be redacted gone, and all findings."""

    value: Any
    findings: list[Finding]

    @property
    def reason(self) -> str | None:
        """Why it is blocked; None when it may pass."""
        blocking = [found.sentence for found in self.findings if found.action == "blocked"]
        return "; ".join(blocking) or None


def screen_input(rules: TextRules, variables: Mapping[str, Any]) -> Screened:
    """The values that a prompt brings, by the rules of the input."""
    texts = list(_texts([*variables.values()]))  # the names are the template's, and so ours
    findings = [*_findings(rules, "input", "\n".join(texts)), *_personal_data(rules, texts)]
    if rules.personal_data != "redact":
        return Screened(dict(variables), findings)
    return Screened(_map_texts(dict(variables), _redacted), findings)


def screen_output(rules: OutputRules, text: str) -> Screened:
    """An answer, by the rules of the output."""
    findings = [
        *_findings(rules, "output", text),
        *_personal_data(rules, [text], "output"),
        *_schema_findings(rules.json_schema, text),
    ]
    return Screened(_redacted(text) if rules.personal_data == "redact" else text, findings)


def guard(rules: OutputRules, answer: Answer) -> tuple[Answer, list[Finding]]:
    """An answer as it may be shown, by the rules of the output, and what these found.

    A text that a rule blocks is gone from it, and its state is `blocked` for the rule's reason.
    """
    if answer.text is None:
        return answer, []
    screened = screen_output(rules, answer.text)
    changes: dict[str, Any] = {"text": screened.value}
    if screened.reason:
        changes = {"text": None, "state": "blocked", "reason": screened.reason}
    return answer.model_copy(update=changes), screened.findings


def has_rules(rules: TextRules) -> bool:
    """Whether there is anything to look for."""
    return rules != type(rules)()


def _findings(rules: TextRules, place: Place, text: str) -> Iterator[Finding]:
    blocked = functools.partial(Finding, place=place, action="blocked")
    plain = _normalized(text)
    for topic, terms in rules.blocked_topics.items():
        found = sum(any(map(re.Pattern.search, _term(term), plain)) for term in terms)
        if found:
            yield blocked(rule=f"blocked_topics.{topic}", detail=f"{found} of its terms found")
    for number, pattern in enumerate(rules.forbidden_patterns):
        if _pattern(pattern).search(text):
            yield blocked(rule=f"forbidden_patterns.{number}", detail=f"{pattern!r} is found")
    for number, pattern in enumerate(rules.required_patterns):
        if not _pattern(pattern).search(text):
            yield blocked(rule=f"required_patterns.{number}", detail=f"{pattern!r} is not found")
    if rules.maximum_characters is not None and len(text) > rules.maximum_characters:
        yield blocked(
            rule="maximum_characters",
            detail=f"{len(text):,} characters, allowed are {rules.maximum_characters:,}",
        )


def _personal_data(rules: TextRules, texts: list[str], place: Place = "input") -> Iterator[Finding]:
    if rules.personal_data == "allow":
        return
    kinds = sorted({found.kind for text in texts for found in _sensitive(text)})
    if kinds:
        yield Finding(
            place=place,
            rule="personal_data",
            action="blocked" if rules.personal_data == "block" else "redacted",
            detail=", ".join(kinds),
        )


def _schema_findings(schema: JsonSchema | None, text: str) -> Iterator[Finding]:
    import jsonschema

    if schema is None:
        return
    try:
        jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
        return
    except ValueError:
        detail = "not JSON"
    except jsonschema.ValidationError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "the whole"
        detail = f"{place} breaks {error.validator!r}"
    yield Finding(place="output", rule="json_schema", action="blocked", detail=detail)


def _normalized(text: str) -> tuple[str, str]:
    """A text as topics are looked for in it, with its own letters and with those they look like.

    Letters of another width or style are as the plain ones (NFKC); case is folded, accents and
    characters that are not seen (category Cf, as zero-width spaces) are left out. In the second,
    letters of other alphabets are the Latin ones that they look like, small or capital.
    """
    plain = unicodedata.normalize("NFKC", text)
    return _folded(plain), _folded(plain.translate(_LOOKALIKES)).translate(_LOOKALIKES)


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Mn"))


@functools.lru_cache(maxsize=4096)
def _term(term: str) -> tuple[re.Pattern[str], ...]:
    """A term as whole words, however they are set apart: by spaces, lines, hyphens or dots.

    One pattern for each way in which a text is normalized.
    """
    patterns = []
    for plain in _normalized(term):
        words = [re.escape(word) for word in re.findall(r"\w+", plain)] or [re.escape(term)]
        patterns.append(re.compile(r"(?<!\w)" + r"[\W_]+".join(words) + r"(?!\w)"))
    return tuple(patterns)


@functools.lru_cache(maxsize=256)
def _pattern(pattern: str) -> Any:
    import re2

    return re2.compile(pattern)


def _sensitive(text: str) -> list[Sensitive]:
    """Personal data and secrets, also where invisible characters are in between."""
    return find_sensitive(_visible(text).translate(_LOOKALIKES))


def _redacted(text: str) -> str:
    found = _sensitive(text)
    return redact(_visible(text), found) if found else text


def _visible(text: str) -> str:
    return "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys included.

    A number is one, too, because cards and phones are numbers; bytes are read as UTF-8.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield value.decode(errors="replace")
    elif _is_number(value):
        yield str(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, _COLLECTIONS):
        for item in value:
            yield from _texts(item)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, bytes | bytearray):
        text = value.decode(errors="replace")
        return value if change(text) == text else change(text).encode()
    if isinstance(value, Mapping):
        return {_map_texts(k, change): _map_texts(item, change) for k, item in value.items()}
    if isinstance(value, _COLLECTIONS):
        return type(value)(_map_texts(item, change) for item in value)
    if _is_number(value) and change(str(value)) != str(value):
        return change(str(value))
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
