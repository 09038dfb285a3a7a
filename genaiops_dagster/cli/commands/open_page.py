"""`genaiops open`: the page of an asset, in the Dagster UI or in the Google Cloud console."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from genaiops_dagster.cli.options import FOLDER, fail
from genaiops_dagster.cli.secret_file import SecretFileError
from genaiops_dagster.cli.session import prepare_dagster_home
from genaiops_dagster.cli.terminal import Terminal
from genaiops_dagster.cli.ui_address import TicketError, UiAddress, read_ui_address
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.google_cloud.console import object_page, table_page
from genaiops_dagster.use_case import UseCaseError, known_use_case

_HOW_IT_OPENS = "For a browser that was not let in yet; it opens once, within a minute:"


def open_page(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")] = "python_modules",
    asset: Annotated[
        str | None, typer.Argument(help="Such as tuned_model or evaluation_report/pro.")
    ] = None,
    console_page: Annotated[
        bool, typer.Option("--console", help="What the asset made, in the Google Cloud console.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, not only print it.")
    ] = True,
    folder: FOLDER = Path(".genaiops"),
) -> None:
    """Open the lineage of a use case, or the page of one of its assets."""
    try:
        chosen = known_use_case(use_case)
    except UseCaseError as error:
        fail(str(error), code=2)
    if console_page:
        pages = _console_pages(folder, [chosen.name, *(asset or "champion").split("/")])
        _print(*pages)
        link = pages[0]
    else:
        ui, path = _ui(folder), _ui_path(chosen.name, asset)
        try:
            _print(f"{ui.url}{path}", _HOW_IT_OPENS, ui.link(path))
            link = ui.link(path) if browser else ""
        except TicketError as error:
            fail(str(error))
    if browser:
        with files_of_the_user():
            webbrowser.open(link)  # every user of the machine sees it: no token in it


def _print(*lines: str) -> None:
    for line in lines:
        Terminal().print(line, soft_wrap=True)


def _ui(folder: Path) -> UiAddress:
    """The UI that serves the folder, which has proved that it holds the token."""
    try:
        address = read_ui_address(folder)
    except SecretFileError as error:
        fail(str(error), code=2)
    if address is None:
        fail(f"no Dagster UI serves {folder}; start it in another terminal with `genaiops dev`")
    return address


def _ui_path(use_case: str, asset: str | None) -> str:
    if asset is None:
        return f"/asset-groups/__repository__@genaiops_dagster/{use_case}/lineage"
    return f"/assets/{use_case}/{asset}"


def _console_pages(folder: Path, key: list[str]) -> list[str]:
    """Console pages of what the asset's latest materialization made; the record's own is last."""
    import dagster as dg

    prepare_dagster_home(folder)
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(key))
    materialization = event.asset_materialization if event else None
    if materialization is None:
        fail(f"{'/'.join(key)} was never materialized in {folder}")
    found = {name: str(entry.value) for name, entry in materialization.metadata.items()}
    pages = [
        value for value in found.values() if value.startswith("https://console.cloud.google.com/")
    ]
    if "dagster/table_name" in found:
        pages.append(table_page(found["dagster/table_name"]))
    addresses = (found.get(name, "") for name in ("dagster/uri", "record"))
    pages += [object_page(address) for address in addresses if address.startswith("gs://")]
    if not pages:
        fail(f"{'/'.join(key)} names nothing that the console has a page for")
    return list(dict.fromkeys(pages))
