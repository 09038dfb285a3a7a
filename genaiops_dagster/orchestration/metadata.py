"""Metadata that Dagster's pages show: tables, their schemas, and charts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from genaiops_dagster.orchestration.plain_text import code_block, escape_markdown

if TYPE_CHECKING:
    import altair as alt


def column_schema(columns: Mapping[str, str]) -> dg.TableSchema:
    """Column types by name, in the form that the UI shows as a table's schema."""
    return dg.TableSchema([dg.TableColumn(name, type=kind) for name, kind in columns.items()])


def chart_image(chart: alt.Chart, text: str) -> dg.MetadataValue:
    """A chart that the UI renders, as a PNG in Markdown; `text` says what it shows.

    Not larger than the window in which the UI shows it: what does not fit is cut off.
    """
    import vl_convert

    return png_image(vl_convert.vegalite_to_png(chart.to_json(), scale=1.25), text)


def png_image(png: bytes, text: str) -> dg.MetadataValue:
    """An image that the UI renders; `text` says what it shows."""
    content = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{_in_a_line(text)}](data:image/png;base64,{content})")


def code(text: str, language: str) -> dg.MetadataValue:
    """A text that the UI shows as code."""
    return dg.MetadataValue.md(code_block(text, language))


def markdown_list(items: Iterable[str]) -> dg.MetadataValue:
    """A list of texts that the UI renders."""
    return dg.MetadataValue.md("\n".join(f"- {_in_a_line(item)}" for item in items))


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MetadataValue:
    """A table of texts that the UI renders; None is shown as a dash, floats with four digits.

    Without padding, because the UI folds Markdown of 1000 characters away behind a link.
    """

    def line(cells: Iterable[Any]) -> str:
        return f"| {' | '.join(_shown(cell) for cell in cells)} |"

    return dg.MetadataValue.md(
        "\n".join([line(headers), f"|{'---|' * len(headers)}", *(line(row) for row in rows)])
    )


def _shown(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else _in_a_line(str(cell))


def _in_a_line(text: str) -> str:
    return escape_markdown(text).replace("\n", " ")
