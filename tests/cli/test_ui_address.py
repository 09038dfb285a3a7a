"""The token of `genaiops dev` and the address that it publishes: files of one user."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from genaiops_dagster.cli.secret_file import SecretFileError
from genaiops_dagster.cli.ui_address import (
    TicketError,
    UiAddress,
    create_dev_token,
    published_ui_address,
    read_dev_token,
    read_ui_address,
)
from tests.cli.guarded import guarded


def test_the_token_of_a_folder_stays_and_is_for_the_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / ".genaiops"
    token = create_dev_token(folder)
    assert create_dev_token(folder) == read_dev_token(folder) == token
    assert len(token) == 43
    assert (folder / "dev_token").stat().st_mode & 0o777 == 0o600
    assert create_dev_token(tmp_path / "other") != token


def test_a_token_that_others_may_know_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dev_token"
    token = create_dev_token(tmp_path)
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(SecretFileError, match=rf"{file}.*mode 0{mode:o}.*delete it"):
            create_dev_token(tmp_path)
    file.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o600)
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretFileError, match="symbolic link"):
        create_dev_token(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "not_there")
    with pytest.raises(SecretFileError, match="symbolic link"):
        create_dev_token(tmp_path)
    assert not (tmp_path / "not_there").exists()
    file.unlink()
    file.mkdir()
    with pytest.raises(SecretFileError, match="not a regular file"):
        create_dev_token(tmp_path)
    file.rmdir()
    file.touch(mode=0o600)
    with pytest.raises(SecretFileError, match="no whole token"):
        create_dev_token(tmp_path)
    file.unlink()
    assert create_dev_token(tmp_path) != token


def test_the_address_is_found_while_its_server_answers(tmp_path: Path) -> None:
    assert read_ui_address(tmp_path) is None
    with guarded(create_dev_token(tmp_path)) as server:
        assert read_ui_address(tmp_path) is None
        (tmp_path / "ui_address").write_text("left over")
        with published_ui_address(tmp_path, server.address):
            assert (tmp_path / "ui_address").stat().st_mode & 0o777 == 0o600
            assert read_ui_address(tmp_path) == server.address
        assert read_ui_address(tmp_path) is None


def test_the_token_is_not_sent_to_a_server_that_does_not_hold_it(tmp_path: Path) -> None:
    """Such as another user's, on the port of a `genaiops dev` that was killed."""
    token = create_dev_token(tmp_path)
    with guarded("the-token-of-somebody-else-is-as-long-as-this") as other:
        with published_ui_address(tmp_path, UiAddress(other.address.url, token)):
            assert read_ui_address(tmp_path) is None
        assert other.reached == []


def test_a_link_holds_no_token_and_opens_once() -> None:
    token = "the-token-of-a-link-that-is-long-enough"
    with guarded(token) as server:
        link = server.address.link("/assets/x")
        assert link.startswith(f"{server.address.url}/assets/x?ticket=")
        assert token not in link
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        for _ in range(2):  # the cookie is what counts the second time
            assert browser.open(link, timeout=20).status == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(link, timeout=20)
        with pytest.raises(TicketError, match=r"127\.0\.0\.1.*401.*genaiops dev"):
            UiAddress(server.address.url, token + "x").link()
    with pytest.raises(TicketError, match="gave no link"):
        server.address.link()


def test_an_address_that_others_may_have_written_is_refused(tmp_path: Path) -> None:
    address = UiAddress("http://127.0.0.1:1", create_dev_token(tmp_path))
    with published_ui_address(tmp_path, address):
        (tmp_path / "ui_address").chmod(0o666)
        with pytest.raises(SecretFileError, match="ui_address is open to other users"):
            read_ui_address(tmp_path)
