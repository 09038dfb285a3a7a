"""Reference pages, made from the code whenever the site is built, so that they are never stale."""

from __future__ import annotations

import importlib
import json
import pkgutil
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import genaiops_dagster
from genaiops_dagster.cli.commands.schema import use_case_schema
from genaiops_dagster.google_cloud.warehouse import Table
from genaiops_dagster.use_case import UseCase


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    pages = {
        "reference/use-case-file.md": use_case_page(),
        "reference/commands.md": commands_page(),
        "reference/tables.md": tables_page(),
        "reference/use_case.schema.json": json.dumps(use_case_schema(), indent=2),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def use_case_page() -> str:
    """Every field of a use case file: its type, default and meaning."""
    parts = [
        "# Use case file\n",
        "One YAML file describes one use case. Every field is listed here, section by section; a",
        "mistake is answered with the file, line, field, what was found and what is allowed.",
        "Editors complete and check the file with the [JSON Schema](use_case.schema.json), which",
        "`genaiops schema` prints, too.\n",
    ]
    for model in _sections(UseCase):
        parts += [f"## {_title(model)} {{#{_anchor(model)}}}\n", _summary(model), ""]
        parts += ["| field | type | default | meaning |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            meaning = _cell(field.description or _described(field.annotation))
            parts.append(
                f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {meaning} |"
            )
        parts.append("")
    return "\n".join(parts)


def _sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and every model in its fields, in the order of the file."""
    found = [model]
    for current in found:
        for field in current.model_fields.values():
            for inner in _models(field.annotation):
                if inner not in found:
                    found.append(inner)
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _title(model: type[BaseModel]) -> str:
    return "The file" if model is UseCase else model.__name__


def _anchor(model: type[BaseModel]) -> str:
    return model.__name__.lower()


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _described(annotation: Any) -> str:
    first = next(_models(annotation), None)
    return _summary(first).split(". ")[0] if first else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ("", [], {}):
        return "none"
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"`{_cell(shown)}`"


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_anchor(annotation)})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is not None and issubclass_safe(origin, dict):
        return f"mapping to {_type(arguments[1])}"
    if origin is types.UnionType or arguments:
        members = [_type(member) for member in arguments if member is not type(None)]
        return " or ".join(dict.fromkeys(members))
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def issubclass_safe(value: Any, parent: type) -> bool:
    """Whether `value` is a class below `parent`."""
    return isinstance(value, type) and issubclass(value, parent)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def commands_page() -> str:
    """Help of every command."""
    import typer.main
    from typer.cli import get_docs_for_click

    from genaiops_dagster.cli.app import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command, info_name="genaiops"), name="genaiops"
    )
    return text.replace("# `genaiops`", "# Commands", 1)


def tables_page() -> str:
    """Every BigQuery table that the project writes, with its columns."""
    parts = [
        "# Tables\n",
        "In the dataset that `GENAIOPS_DATASET` names. Rows are written by idempotent merges on",
        "the keys: writing the same run again changes nothing.\n",
    ]
    for table in _tables():
        parts += [f"## `{table.name}`\n", f"{table.description}\n"]
        parts.append(
            f"Keys: {', '.join(f'`{key}`' for key in table.keys)}. Partitioned by the day of "
            f"`{table.partition}`, clustered by {', '.join(f'`{c}`' for c in table.clustering)}.\n"
        )
        parts += ["| column | type | mode | meaning |", "|---|---|---|---|"]
        for column in table.columns:
            cells = (f"`{column.name}`", column.type, column.mode, _cell(column.description))
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def _tables() -> list[Table]:
    found: dict[str, Table] = {}
    prefix = f"{genaiops_dagster.__name__}."
    for module in pkgutil.walk_packages(genaiops_dagster.__path__, prefix):
        if not module.name.endswith("__main__"):
            members = vars(importlib.import_module(module.name)).values()
            found |= {value.name: value for value in members if isinstance(value, Table)}
    return [found[name] for name in sorted(found)]
