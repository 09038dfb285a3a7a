"""Errors in the JSON form that Google's APIs use.

The form and the mapping from canonical codes to HTTP statuses follow
https://cloud.google.com/apis/design/errors (AIP-193); the `errors[].reason` words are those of the
older JSON APIs (Cloud Storage, BigQuery).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

_CANONICAL = {
    400: ("INVALID_ARGUMENT", "invalid"),
    401: ("UNAUTHENTICATED", "authError"),
    403: ("PERMISSION_DENIED", "forbidden"),
    404: ("NOT_FOUND", "notFound"),
    405: ("INVALID_ARGUMENT", "methodNotAllowed"),
    409: ("ALREADY_EXISTS", "conflict"),
    411: ("INVALID_ARGUMENT", "required"),
    412: ("FAILED_PRECONDITION", "conditionNotMet"),
    413: ("INVALID_ARGUMENT", "uploadTooLarge"),
    416: ("OUT_OF_RANGE", "requestedRangeNotSatisfiable"),
    429: ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    499: ("CANCELLED", "stopped"),
    500: ("INTERNAL", "internalError"),
    501: ("UNIMPLEMENTED", "notImplemented"),
    503: ("UNAVAILABLE", "backendError"),
    504: ("DEADLINE_EXCEEDED", "timeout"),
}


class ApiError(Exception):
    """An error that a service answers a request with.

    Args:
        code: HTTP status.
        message: What was wrong, for a person.
        reason: Word for `errors[].reason`; the status's usual one when left out.
        status: Canonical code name; the usual one of the status when left out.
        details: Typed details, each an object with an `@type`.
        headers: Extra response headers, such as `Retry-After`.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        status: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        usual_status, usual_reason = _CANONICAL.get(code, ("UNKNOWN", "unknown"))
        self.code = code
        self.message = message
        self.reason = reason or usual_reason
        self.status = status or usual_status
        self.details = list(details)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The error as the JSON object that clients parse."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
            "status": self.status,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}

    def response(self) -> JSONResponse:
        """The HTTP response that carries this error."""
        return JSONResponse(self.body(), status_code=self.code, headers=self.headers)


def not_served(what: str) -> ApiError:
    """The refusal of a method or feature that the emulator does not have."""
    return ApiError(501, f"The emulator does not serve {what}.")
