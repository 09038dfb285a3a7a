"""Pages of the Google Cloud console, for links that a person follows."""

from __future__ import annotations

from urllib.parse import quote

_CONSOLE = "https://console.cloud.google.com"


def object_page(uri: str) -> str:
    """Page of an object, or of a folder when `uri` ends with a slash.

    Args:
        uri: A `gs://` address.

    Raises:
        ValueError: it is not one.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket:
        raise ValueError(f"expected a gs:// address, found {uri!r}")
    place = "" if not name or name.endswith("/") else "_details/"
    return f"{_CONSOLE}/storage/browser/{place}{quote(f'{bucket}/{name}')}"


def table_page(table: str) -> str:
    """Page of a BigQuery table.

    Args:
        table: `project.dataset.table`.

    Raises:
        ValueError: it is not one.
    """
    parts = table.split(".")
    if len(parts) != 3:
        raise ValueError(f"expected project.dataset.table, found {table!r}")
    project, dataset, name = map(quote, parts)
    return f"{_CONSOLE}/bigquery?p={project}&d={dataset}&t={name}&page=table"
