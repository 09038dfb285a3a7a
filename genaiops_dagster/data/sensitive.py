"""Personal data and secrets in a text: the kinds that are known, where they are, and redaction.

Every kind is recognized by its form and, where it has one, by its checksum, so that a long number
is not taken for a card. Names and postal addresses have no form and are not looked for.
"""

from __future__ import annotations

import bisect
import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

Category = Literal["personal_data", "secret"]


class Sensitive(NamedTuple):
    """A stretch of a text that should not be in training data."""

    category: Category
    kind: str
    start: int
    end: int


HINTS: dict[Category, str] = {
    "personal_data": "|".join(
        (
            r"[A-Za-z0-9]@[A-Za-z0-9]",
            r"\+\d[\d ().-]{5}",
            r"\d{3}[)]?[ .-]\d{3}[ .-]\d{4}",
            r"\d{3}-\d{2}-\d{4}",
            r"\d(?:[ -]?\d){12}",
            r"[A-Z]{2}\d{2} ?[A-Z0-9]{4}",
        )
    ),
    "secret": "|".join(
        (
            r"PRIVATE KEY",
            r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{8}",
            r"(?i:aws).{0,45}['\"]",
            r"AccountKey=|://[^\s/]+@|gh[oprsu]_|GR1348941|T3BlbkFJ|pypi-Ag|SG\.|sq0csp-",
            r"[rs]k_live_|gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-",
            r"eyJ[A-Za-z0-9_=-]+\.|:_authToken|(?i:xox[abopsr]-|hooks\.slack)|-us\d",
            r"(?:AC|SK)[a-z0-9]{16}|\d{8}:[0-9A-Za-z_-]{16}",
            r"AIza|GOCSPX-|ya29\.",
        )
    ),
}
"""Patterns of RE2 that every text with something sensitive matches, by category.

RE2 looks for all of them at once, so that the patterns themselves are tried on few texts only.
"""

_WINDOW, _OVERLAP = 8192, 4096
"""Characters; a secret of up to `_OVERLAP` of them is found whole, wherever it stands."""

HINT = "|".join(HINTS.values())

_RESERVED_DOMAINS = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|local|localhost|localdomain)$", re.I
)
"""Domains that belong to nobody (RFC 2606, RFC 6761, RFC 6762)."""


def _is_email(text: str) -> bool:
    return not _RESERVED_DOMAINS.search(text.rpartition("@")[2])


def _is_phone_number(text: str) -> bool:
    """Whether libphonenumber knows the number; without a country code it is North American."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, None if text.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def _is_card_number(text: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1, annex B), over an issuer's prefix and length."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _is_iban(text: str) -> bool:
    """Remainder 1 modulo 97 (ISO 13616), and a country's length is between 15 and 34."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _always(_: str) -> bool:
    return True


_PATTERNS: tuple[tuple[Category, str, str, Callable[[str], bool]], ...] = (
    (
        "personal_data",
        "e-mail address",
        r"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,63})@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b",
        _is_email,
    ),
    (
        "personal_data",
        "IBAN",
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        _is_iban,
    ),
    (  # issuers' prefixes: Visa, Mastercard, American Express, Discover, JCB, Diners, UnionPay
        "personal_data",
        "card number",
        r"(?<![\d.-])(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|5\d\d|4[4-9]\d|2\d\d)|35\d\d)"
        r"(?:[ -]?\d{4}){3}(?![\d.-]\d|\d)"
        r"|(?<![\d.-])(?:3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3(?:0[0-5]|[689]\d)\d[ -]?\d{6}[ -]?\d{4})"
        r"(?![\d.-]\d|\d)",
        _is_card_number,
    ),
    (
        "personal_data",
        "US social security number",
        r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])",
        _always,
    ),
    (
        "personal_data",
        "phone number",
        r"(?<![\w+.-])\+\d[\d ().-]{5,18}\d(?!\d)"
        r"|(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])",
        _is_phone_number,
    ),
    (
        "secret",
        "private key",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[\s\S]*)",
        _always,
    ),
    ("secret", "Google API key", r"AIza[0-9A-Za-z_-]{35}(?![\w-])", _always),
    ("secret", "Google OAuth secret", r"GOCSPX-[0-9A-Za-z_-]{28}(?![\w-])", _always),
    ("secret", "Google access token", r"\bya29\.[0-9A-Za-z_-]{20,}", _always),
)

_DETECTORS = {  # of detect-secrets: those that go by an issuer's own form, not by guessing
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}


def find_sensitive(text: str) -> list[Sensitive]:
    """Everything sensitive in a text, in order and without overlaps; a secret goes first."""
    separate: list[Sensitive] = []  # in order; none overlaps another
    for match in sorted(_matches(text), key=lambda m: (m.category != "secret", m.start, -m.end)):
        place = bisect.bisect_left(separate, match.start, key=lambda other: other.start)
        after = separate[place : place + 1]
        before = separate[place - 1 : place] if place else []
        if all(m.end <= match.start for m in before) and all(match.end <= m.start for m in after):
            separate.insert(place, match)
    return separate


def redact(text: str, found: Iterable[Sensitive]) -> str:
    """The text with each stretch replaced by its kind, such as `[E-MAIL ADDRESS]`."""
    for match in reversed(list(found)):
        text = f"{text[: match.start]}[{match.kind.upper()}]{text[match.end :]}"
    return text


def redacted(value: Any) -> Any:
    """A JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value, find_sensitive(value))
    if isinstance(value, list):
        return [redacted(member) for member in value]
    if isinstance(value, Mapping):
        return {name: redacted(member) for name, member in value.items()}
    return value


def _matches(text: str) -> Iterator[Sensitive]:
    hinted = {category for category, hint in _hints().items() if hint.search(text)}
    for category, kind, pattern, holds in _compiled() if hinted else ():
        if category in hinted:
            for match in pattern.finditer(text):
                if holds(match.group()):
                    yield Sensitive(category, kind, *match.span())
    windows = list(_windows(text)) if "secret" in hinted else []
    for detector in _detectors() if windows else ():
        spans = (span for start, part in windows for span in _secrets(detector, start, part))
        for start, end in _joined(spans):
            yield Sensitive("secret", detector.secret_type, start, end)


def _windows(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a text with their starts; a long one in pieces, which overlap.

    Some patterns of the detectors take a time that grows with the square of the text. Over pieces
    of bounded length it grows with the text.
    """
    start = 0
    for line in text.splitlines(keepends=True):
        for offset in range(0, max(1, len(line) - _OVERLAP), _WINDOW - _OVERLAP):
            yield start + offset, line[offset : offset + _WINDOW]
        start += len(line)


def _secrets(detector: RegexBasedDetector, start: int, part: str) -> Iterator[tuple[int, int]]:
    """Where a detector finds secrets in a piece of a text that begins at `start`."""
    secrets = set(detector.analyze_string(part))
    for pattern in detector.denylist if secrets else ():
        for match in pattern.finditer(part):
            if not secrets.isdisjoint((match.group(), *match.groups())):
                yield start + match.start(), start + match.end()


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order, those joined to one that overlap, as the parts of a cut secret do."""
    first, last = -1, -1
    for start, end in sorted(spans):
        if start < last:
            last = max(last, end)
            continue
        if last >= 0:
            yield first, last
        first, last = start, end
    if last >= 0:
        yield first, last


@functools.cache
def _hints() -> dict[Category, Any]:
    import re2

    return {category: re2.compile(hint) for category, hint in HINTS.items()}


@functools.cache
def _compiled() -> list[tuple[Category, str, re.Pattern[str], Callable[[str], bool]]]:
    return [(category, kind, re.compile(form), holds) for category, kind, form, holds in _PATTERNS]


@functools.cache
def _detectors() -> list[RegexBasedDetector]:
    return [
        getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in _DETECTORS.items()
    ]
