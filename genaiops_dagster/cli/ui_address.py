"""The address of the Dagster UI that serves a folder, and the token that it asks for."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import secrets
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from genaiops_dagster.cli.secret_file import SecretFileError, create_secret, read_secret
from genaiops_dagster.cli.web_guard import (
    PROOF_PATH,
    TICKET_PATH,
    TOKEN_CHARACTERS,
    proof,
)

_ADDRESS_FILE = "ui_address"
_TOKEN_FILE = "dev_token"  # noqa: S105


class TicketError(RuntimeError):
    """A Dagster UI gave no ticket; the message says where and what to do."""


@dataclass(frozen=True)
class UiAddress:
    """Where a Dagster UI is, and what lets a browser in.

    Attributes:
        url: Scheme, host and port.
        token: The secret that its guard asks for.
    """

    url: str
    token: str

    def page(self, path: str = "/") -> str:
        """A link to a page that works in any browser of this machine, for a terminal only.

        Every user of the machine can read what a program, such as a browser, is started with.
        """
        return f"{self.url}{path}?{urlencode({'token': self.token})}"

    def link(self, path: str = "/") -> str:
        """A link to a page that lets one browser in, once, within a minute; without the token.

        This sends the token: ask first whether the right server `answers`.

        Raises:
            TicketError: the server gave no ticket.
        """
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}{TICKET_PATH}", b"", {"Authorization": f"Bearer {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
                ticket = response.read(1000).decode()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise TicketError(
                f"the Dagster UI on {self.url} gave no link for a browser ({error}): "
                "start `genaiops dev` again"
            ) from error
        return f"{self.url}{path}?{urlencode({'ticket': ticket})}"

    def answers(self) -> bool:
        """Whether a server that holds the token answers there; the token is not sent.

        Without a proof any user's server could wait on the port and collect the token.
        """
        challenge = secrets.token_urlsafe()
        expected = proof(self.token, urlsplit(self.url).port or 80, challenge)
        address = f"{self.url}{PROOF_PATH}?{urlencode({'challenge': challenge})}"
        try:
            with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310
                given = response.read(1000)
        except (OSError, ValueError, http.client.HTTPException):
            return False
        return hmac.compare_digest(given.strip(), expected.encode())


def create_dev_token(folder: Path) -> str:
    """The token of the UI that serves `folder`: the one of an earlier start, or a new one.

    Tabs that are open stay valid when the UI starts again. Deleting the file shuts all out.

    Raises:
        SecretFileError: somebody else may know the earlier one, or its file is not whole.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        create_secret(folder / _TOKEN_FILE, secrets.token_urlsafe(32))
    return read_dev_token(folder)


def read_dev_token(folder: Path) -> str:
    """The token of the UI that serves `folder`.

    Raises:
        FileNotFoundError: none ever did.
        SecretFileError: somebody else may know it, or the file is not whole.
    """
    file = folder / _TOKEN_FILE
    token = read_secret(file).strip()
    if len(token) < TOKEN_CHARACTERS:
        raise SecretFileError(f"{file} holds no whole token: delete it, and start again")
    return token


@contextlib.contextmanager
def published_ui_address(folder: Path, address: UiAddress) -> Iterator[None]:
    """Let other commands of this user find the UI for as long as the context lasts."""
    file = folder / _ADDRESS_FILE
    file.unlink(missing_ok=True)
    create_secret(file, address.url + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read_ui_address(folder: Path) -> UiAddress | None:
    """Address of the UI that serves `folder`; None if none answers.

    Raises:
        SecretFileError: somebody else may have written the address, or may know the token.
    """
    try:
        url = read_secret(folder / _ADDRESS_FILE).strip()
        address = UiAddress(url, read_dev_token(folder))
    except FileNotFoundError:
        return None
    return address if address.answers() else None
