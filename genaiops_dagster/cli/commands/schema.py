"""`genaiops schema`: the JSON Schema of a use case file, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from genaiops_dagster.cli.terminal import Terminal, write
from genaiops_dagster.cli.umask import files_of_the_user
from genaiops_dagster.use_case import UseCase


def schema(
    output: Annotated[Path | None, typer.Option(help="File to write; default: print it.")] = None,
) -> None:
    """Print the JSON Schema of use case files.

    Editors with a YAML language server complete and check a file that begins with

      # yaml-language-server: $schema=./use_case.schema.json
    """
    text = json.dumps(use_case_schema(), indent=2) + "\n"
    if output is None:
        write(text)
        return
    with files_of_the_user():
        output.write_text(text, encoding="utf-8")
    Terminal().print(f"Written {output}", soft_wrap=True)


def use_case_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a use case file, from the models that read it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **UseCase.model_json_schema(),
        "title": "Use case of genaiops_dagster",
    }
