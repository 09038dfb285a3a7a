"""The token of the generated credentials, which calls that run code or set faults ask for.

Anyone who can read the credentials file has it: Google's clients get it from `/token` for an
assertion that the file's key signed (RFC 7523), and `VERTEX_EMULATOR_TOKEN` holds it for others.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization

from vertex_emulator.errors import ApiError

TOKEN_VARIABLE = "VERTEX_EMULATOR_TOKEN"  # noqa: S105
"""Environment variable that holds the token."""

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_BEARER = "bearer "
_TOKEN_PATH = "/token"  # noqa: S105
_ANY_TIME = 10**12
"""In seconds: programs under test may have moved their clock; the signature is what counts."""


def access_token(credentials: Path) -> str:
    """The access token of a service-account file, derived from its key: a restart keeps it."""
    key = json.loads(credentials.read_text())["private_key"]
    digest = hmac.digest(key.encode(), b"access token of the emulator", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Access:
    """Checks who holds the emulator's credentials.

    Args:
        credentials: The service-account file; it may be written later than this is made.
    """

    def __init__(self, credentials: Path) -> None:
        self._credentials = credentials

    @functools.cached_property
    def _token(self) -> str:
        return access_token(self._credentials)

    @functools.cached_property
    def _public_key(self) -> bytes:
        text = json.loads(self._credentials.read_text())["private_key"]
        key = serialization.load_pem_private_key(text.encode(), password=None)
        return key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def proof(self, challenge: str, port: int) -> str:
        """The answer to `challenge` that only a server with the token, on `port`, can give.

        A client that is about to send the token asks for this first, because another account's
        program may have taken the port. The port is part of the challenge, so that such a program
        cannot pass on another server's answer.
        """
        text = f"{port} {challenge}"
        return hmac.new(self._token.encode(), text.encode(), hashlib.sha256).hexdigest()

    def exchange(self, body: bytes) -> str:
        """The access token for the form that Google's clients post to `/token`.

        Raises:
            ApiError: 400 if the form holds no assertion that the key of the credentials signed.
        """
        form = parse_qs(body.decode("latin-1"))
        assertion = form.get("assertion", [""])[0]
        audience = self._audience(assertion)
        if form.get("grant_type") != [_GRANT] or not audience.endswith(_TOKEN_PATH):
            raise ApiError(
                400,
                "invalid_grant: the request has no assertion that is signed by the key of"
                f" {self._credentials} for its token_uri.",
            )
        return self._token

    def require(self, headers: Mapping[str, str]) -> None:
        """Let a request pass if it carries the token, or a JWT that the same key signed.

        Args:
            headers: Of the request; names in lower case, or without regard to case.

        Raises:
            ApiError: 401 if it carries neither.
        """
        value = headers.get("authorization", "")
        sent = value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else ""
        if not (self._is_token(sent) or self._is_signed_for_an_api(sent)):
            raise ApiError(
                401,
                "This call needs the token of the emulator's credentials. Google's clients send it"
                " when GOOGLE_APPLICATION_CREDENTIALS is set as the emulator printed it; others add"
                f" the header `Authorization: Bearer ${TOKEN_VARIABLE}`.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _is_token(self, sent: str) -> bool:
        return (
            bool(sent)
            and self._credentials.exists()
            and hmac.compare_digest(sent.encode("utf-8", "replace"), self._token.encode())
        )

    def _is_signed_for_an_api(self, jwt: str) -> bool:
        """Whether `jwt` is what Google's generated clients send in place of a token.

        An assertion for `/token` is not one, because a program that takes the port of a stopped
        emulator receives those.
        """
        audience = self._audience(jwt)
        return bool(audience) and not audience.endswith(_TOKEN_PATH)

    def _audience(self, jwt: str) -> str:
        """The account for which the key of the credentials signed `jwt`; empty if it did not."""
        from google.auth import exceptions
        from google.auth import jwt as google_jwt

        if jwt.count(".") != 2 or not self._credentials.exists():
            return ""
        try:
            payload = google_jwt.decode(
                jwt, certs=self._public_key, clock_skew_in_seconds=_ANY_TIME
            )
        except (ValueError, TypeError, exceptions.GoogleAuthError):
            return ""
        # A client with scopes sends those, and no audience.
        return str(payload.get("aud") or payload.get("scope") or "")
