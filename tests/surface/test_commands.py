"""The command line: every command with its arguments and options, and the form of its files."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

import typer.main
from typer.core import TyperArgument, TyperCommand

from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.commands.schema import use_case_schema
from tests.surface.conftest import Compare

_EXITS = re.compile(r"exits with [^.]*", re.IGNORECASE)
_WORDS = {"description", "title", "examples"}
"""Of a schema: what people read, and may be said better."""


def test_commands(compare: Compare) -> None:
    group = typer.main.get_command(app)
    commands = {name: _command(command) for name, command in group.commands.items()}  # type: ignore[attr-defined]
    compare("commands", {"genaiops": {"parameters": _parameters(group)}, **commands})


def test_the_form_of_a_use_case_file(compare: Compare) -> None:
    compare("use_case_schema", _without_words(use_case_schema()))


def _command(command: TyperCommand) -> dict[str, Any]:
    codes = {
        code
        for sentence in _EXITS.findall(command.callback.__doc__ or "")
        for code in re.findall(r"\bwith (\d)\b", sentence)
    }
    return {"exit codes told": sorted(codes), "parameters": _parameters(command)}


def _parameters(command: Any) -> dict[str, Any]:
    """Options and arguments, the latter with their places."""
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    return {
        parameter.opts[0]: {
            **_parameter(parameter),
            **({"place": arguments.index(parameter) + 1} if parameter in arguments else {}),
        }
        for parameter in command.params
    }


def _parameter(parameter: Any) -> dict[str, Any]:
    """What a caller may write, and what is taken where they do not."""
    default = parameter.default
    shown = {
        "also": [*parameter.opts[1:], *parameter.secondary_opts],
        "type": _type_name(parameter.type_descriptor.annotation),
        "required": parameter.required,
        "default": "<as the machine has it>" if callable(default) else default,
        "min": parameter.min,
        "max": parameter.max,
        "variable": parameter.envvar,
        "asked for": bool(getattr(parameter, "prompt", None)),
    }
    told = {k: v for k, v in shown.items() if v is not None and v is not False and v != []}
    return {name: _plain(value) for name, value in told.items()}


def _type_name(annotation: Any) -> str:
    """The same with every version of Python, some of which name modules in between."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, parts))
    inner = f"[{', '.join(map(_type_name, parts))}]" if parts else ""
    return f"{annotation.__name__}{inner}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list) else str(value)


def _without_words(schema: Any, *, is_properties: bool = False) -> Any:
    """The same schema without its descriptions; a property may also have such a name."""
    if isinstance(schema, list):
        return [_without_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_words(part, is_properties=key in ("properties", "$defs"))
        for key, part in schema.items()
        if is_properties or key not in _WORDS
    }
