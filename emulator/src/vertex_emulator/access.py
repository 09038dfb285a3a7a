"""The token of the generated credentials, which calls that run code or set faults ask for.

Whoever can read the credentials file has it: Google's clients get it from `/token` for an assertion
that the file's key signed (RFC 7523), and `VERTEX_EMULATOR_TOKEN` holds it for everybody else.

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

    def exchange(self, body: bytes) -> str:
        """The access token for the form that Google's clients post to `/token`.

        Raises:
            ApiError: 400, the form holds no assertion that the key of the credentials signed.
        """
        form = parse_qs(body.decode("latin-1"))
        assertion = form.get("assertion", [""])[0]
        if form.get("grant_type") != [_GRANT] or not self._signed(assertion):
            raise ApiError(
                400,
                "invalid_grant: the request has no assertion that is signed by the key of"
                f" {self._credentials}.",
            )
        return self._token

    def require(self, headers: Mapping[str, str]) -> None:
        """Let pass a request that carries the token, or a JWT that the same key signed.

        Args:
            headers: Of the request; names in lower case, or without regard to case.

        Raises:
            ApiError: 401, it carries neither.
        """
        value = headers.get("authorization", "")
        sent = value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else ""
        if not sent or not (self._is_token(sent) or self._signed(sent)):
            raise ApiError(
                401,
                "This call needs the token of the emulator's credentials. Google's clients send it"
                " when GOOGLE_APPLICATION_CREDENTIALS is set as the emulator printed it; others add"
                f" the header `Authorization: Bearer ${TOKEN_VARIABLE}`.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _is_token(self, sent: str) -> bool:
        return self._credentials.exists() and hmac.compare_digest(
            sent.encode("utf-8", "replace"), self._token.encode()
        )

    def _signed(self, jwt: str) -> bool:
        """Whether `jwt` is signed by the key of the credentials."""
        from google.auth import exceptions
        from google.auth import jwt as google_jwt

        if jwt.count(".") != 2 or not self._credentials.exists():
            return False
        try:
            google_jwt.decode(jwt, certs=self._public_key, clock_skew_in_seconds=_ANY_TIME)
        except (ValueError, TypeError, exceptions.GoogleAuthError):
            return False
        return True
