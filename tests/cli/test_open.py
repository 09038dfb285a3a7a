"""`genaiops open`: pages of an asset in the UI that runs, and in the Google Cloud console."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.session import prepare_dagster_home
from genaiops_dagster.cli.ui_address import create_dev_token, published_ui_address
from genaiops_dagster.google_cloud.console import object_page, table_page
from tests.cli.guarded import guarded

CONSOLE = "https://console.cloud.google.com"


@pytest.fixture(autouse=True)
def no_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")


def open_page(folder: Path, *arguments: str) -> tuple[int, str]:
    command = ["open", *arguments, "--no-browser", "--folder", str(folder)]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.output


def test_without_a_ui_it_says_how_to_start_one(tmp_path: Path) -> None:
    code, output = open_page(tmp_path)
    assert code == 1
    assert "genaiops dev" in output


def test_the_page_of_the_ui_that_serves_the_folder(tmp_path: Path) -> None:
    with (
        guarded(create_dev_token(tmp_path)) as server,
        published_ui_address(tmp_path, server.address),
    ):
        code, output = open_page(tmp_path, "python_modules", "evaluation_report/pro")
        page, how, link = output.splitlines()
        assert code == 0
        assert page == f"{server.address.url}/assets/python_modules/evaluation_report/pro"
        assert "once, within a minute" in how
        assert link.startswith(f"{page}?ticket=")
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(link) as response:  # follows on to the page, with the cookie
            assert response.url == page
        assert server.reached == ["GET /assets/python_modules/evaluation_report/pro"]
        assert "/python_modules/lineage?ticket=" in open_page(tmp_path)[1]
        (tmp_path / "dev_token").chmod(0o644)
        code, output = open_page(tmp_path)
        assert code == 2
        assert "open to other users" in output
    assert open_page(tmp_path)[0] == 1


def test_the_browser_is_started_with_a_link_that_opens_once(tmp_path: Path) -> None:
    """Every user of the machine can read what a program is started with."""
    started = tmp_path / "started"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {started}\n')
    program.chmod(0o700)
    token = create_dev_token(tmp_path)
    with guarded(token) as server, published_ui_address(tmp_path, server.address):
        result = subprocess.run(
            [sys.executable, "-m", "genaiops_dagster.cli", "open", "--folder", str(tmp_path)],
            env={**os.environ, "BROWSER": str(program)},
            capture_output=True,
            text=True,
            check=True,
        )
        [link] = started.read_text().splitlines()
        page, _, printed = result.stdout.splitlines()
        assert link.startswith(f"{page}?ticket=")
        assert token not in link + result.stdout
        for each in (link, printed):  # two tickets: the one does not use up the other
            assert urllib.request.build_opener(NoRedirect).open(each).status == 303
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(each)


class NoRedirect(urllib.request.HTTPErrorProcessor):
    """Leaves every answer as it is."""

    def http_response(self, request: object, response: object) -> object:
        return response


def test_console_pages_of_what_the_latest_materialization_made(tmp_path: Path) -> None:
    prepare_dagster_home(tmp_path)
    with dg.DagsterInstance.get() as instance:
        for version in ("old", "new"):
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    ["python_modules", "champion"],
                    metadata={
                        "dagster/uri": f"gs://bucket/{version} one.json",
                        "dagster/table_name": "project.genaiops.promotions",
                    },
                )
            )
    code, output = open_page(tmp_path, "python_modules", "champion", "--console")
    assert code == 0
    assert output.splitlines() == [
        f"{CONSOLE}/bigquery?p=project&d=genaiops&t=promotions&page=table",
        f"{CONSOLE}/storage/browser/_details/bucket/new%20one.json",
    ]
    code, output = open_page(tmp_path, "python_modules", "examples", "--console")
    assert code == 1
    assert "never materialized" in output


def test_addresses_that_are_none_are_refused() -> None:
    assert object_page("gs://bucket/folder/") == f"{CONSOLE}/storage/browser/bucket/folder/"
    for wrong in ("https://bucket/x", "gs://"):
        with pytest.raises(ValueError, match="gs://"):
            object_page(wrong)
    with pytest.raises(ValueError, match=r"project\.dataset\.table"):
        table_page("dataset.table")
