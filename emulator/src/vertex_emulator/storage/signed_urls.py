"""Signed URLs of version 4: whether one is genuine and still valid.

https://docs.cloud.google.com/storage/docs/access-control/signed-urls
https://docs.cloud.google.com/storage/docs/authentication/signatures
https://docs.cloud.google.com/storage/docs/authentication/canonical-requests
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from vertex_emulator.errors import ApiError, not_served

ALGORITHM = "GOOG4-RSA-SHA256"
_MAX_SECONDS = 7 * 24 * 3600
_CLOCK_SKEW = timedelta(minutes=15)
_PARAMETERS = {
    *("X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires"),
    *("X-Goog-SignedHeaders", "X-Goog-Signature"),
}
_OTHER_KINDS = {"Signature", "GoogleAccessId", "X-Amz-Signature"}


def check_signed_url(
    method: str, path: str, query: str, headers: Mapping[str, str], credentials: Path
) -> None:
    """Let unsigned and correctly signed requests pass.

    Args:
        method: HTTP method.
        path: As sent.
        query: As sent.
        headers: Request headers; names compare without regard to case.
        credentials: The service-account file whose key must have signed.

    Raises:
        ApiError: 400 for one that is expired or malformed; 403 for another signer or a wrong
            signature; 501 for a kind of signature that the emulator cannot check.
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if _OTHER_KINDS.intersection(parameters):
        raise not_served("signed URLs of version 2 or of HMAC keys")
    signed = _PARAMETERS.intersection(parameters)
    if not signed:
        return
    if signed != _PARAMETERS:
        missing = ", ".join(sorted(_PARAMETERS - signed))
        raise ApiError(400, f"The signed URL lacks {missing}.", reason="InvalidArgument")
    if parameters["X-Goog-Algorithm"] != ALGORITHM:
        raise not_served("signed URLs of HMAC keys")
    _check_time(parameters["X-Goog-Date"], parameters["X-Goog-Expires"])

    account = json.loads(credentials.read_text())
    signer, _, scope = parameters["X-Goog-Credential"].partition("/")
    if signer != account["client_email"]:
        raise ApiError(
            403,
            f"The URL is signed by {signer[:80]!r}; the emulator can check signatures of"
            f" {account['client_email']} alone.",
            reason="SignatureDoesNotMatch",
        )
    request = canonical_request(method, path, query, headers, parameters["X-Goog-SignedHeaders"])
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join([ALGORITHM, parameters["X-Goog-Date"], scope, digest])
    if not _verify(account["private_key"], parameters["X-Goog-Signature"], text):
        raise ApiError(
            403,
            "The request signature we calculated does not match the signature you provided. The"
            f" canonical request was: {request!r}",
            reason="SignatureDoesNotMatch",
        )


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], signed_headers: str
) -> str:
    """The text that the signer of a request signed."""
    pairs = sorted(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "X-Goog-Signature"
    )
    lines = "".join(
        f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed_headers.split(";")
    )
    payload = headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    resource = quote(unquote(path), safe="/~")
    return "\n".join([method, resource, "&".join(pairs), lines, signed_headers, payload])


def _check_time(date: str, seconds: str) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime = int(seconds)
    except ValueError:
        raise ApiError(
            400, "X-Goog-Date or X-Goog-Expires is malformed.", reason="InvalidArgument"
        ) from None
    if not 0 < lifetime <= _MAX_SECONDS:
        raise ApiError(
            400, f"X-Goog-Expires must be from 1 to {_MAX_SECONDS}.", reason="InvalidArgument"
        )
    now = datetime.now(UTC)
    if now > signed_at + timedelta(seconds=lifetime) or now < signed_at - _CLOCK_SKEW:
        raise ApiError(400, "The provided token has expired.", reason="ExpiredToken")


def _verify(private_key: str, signature: str, text: str) -> bool:
    key = serialization.load_pem_private_key(private_key.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        return False
    try:
        key.public_key().verify(
            bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, ValueError):
        return False
    return True
