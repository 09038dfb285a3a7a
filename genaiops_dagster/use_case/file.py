"""Use case files: one task a model is tuned for, in one YAML file.

The file is the only place where a person describes the task; everything else is derived from it.
A mistake in it is answered with the file, the line, the field, what was found and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ValidationError,
)

from genaiops_dagster.use_case.model import UseCase

SHIPPED = Path(__file__).parents[1] / "use_cases"
EXTRA_FOLDER_VARIABLE = "GENAIOPS_USE_CASES"


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the former is ten times as fast


class UseCaseError(ValueError):
    """A use case file that cannot be used; the message names file, field and remedy."""


def load_use_case(path: Path) -> UseCase:
    """Read one use case file.

    Raises:
        UseCaseError: the file is missing, is not YAML, or a field is wrong; every wrong field is
            listed with its line, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - both loaders are safe ones
    except OSError as error:
        raise UseCaseError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UseCaseError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(content, dict):
        raise UseCaseError(f"{path}: expected a mapping of fields, found {type(content).__name__}")
    try:
        return UseCase.model_validate(content)
    except ValidationError as error:
        lines = _line_numbers(text)
        problems = [_problem(dict(problem), lines) for problem in error.errors()]
        raise UseCaseError("\n".join(f"{path}:{problem}" for problem in problems)) from error


def _problem(problem: Mapping[str, Any], lines: Mapping[tuple[str, ...], int]) -> str:
    """One validation error as `<line>: <field>: <what is wrong> (found ...)`."""
    context = problem.get("ctx", {})
    location = tuple(str(part) for part in problem["loc"])
    if "field" in context:
        location = tuple(context["field"].split("."))
    section: Any = UseCase
    path: tuple[str, ...] = ()  # the location without the tags of unions, which the file lacks
    for part in location[:-1]:
        section = _inside(section, part)
        path += (part,) if (*path, part) in lines else ()
    path += location[-1:]
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)
    found = problem["input"]
    shown = "" if isinstance(found, dict | list | BaseModel) else f" (found {found!r})"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden" and _is_section(section):
        message, shown = f"unknown field; allowed here: {', '.join(section.model_fields)}", ""
    return f"{line}: {'.'.join(path) or 'file'}: {message}{shown}"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inside(annotation: Any, part: str) -> Any:
    """Type of what is at `part` in a value of the annotated type, or None."""
    if _is_section(annotation):
        if part in annotation.model_fields:
            return annotation.model_fields[part].annotation
        return annotation  # the tag of a union that is already resolved
    arguments = get_args(annotation)
    if get_origin(annotation) in (list, dict):
        return arguments[-1]
    if get_origin(annotation) is Annotated:
        return _inside(arguments[0], part)
    for member in arguments:
        if _is_section(member) and part in get_args(
            member.model_fields["rule"].annotation if "rule" in member.model_fields else None
        ):
            return member
    return next((_inside(member, part) for member in arguments if _is_section(member)), None)


def _line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """Line of each field of a YAML text, by its path."""
    lines: dict[tuple[str, ...], int] = {}

    def visit(node: yaml.Node, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                lines[(*path, str(key.value))] = key.start_mark.line + 1
                visit(value, (*path, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[(*path, str(index))] = value.start_mark.line + 1
                visit(value, (*path, str(index)))

    root = yaml.compose(text)
    if root is not None:
        visit(root, ())
    return lines


def use_case_files() -> list[Path]:
    """Files of the shipped use cases and of the folder in `GENAIOPS_USE_CASES`, sorted by name.

    Raises:
        UseCaseError: the extra folder does not exist.
    """
    folders = [SHIPPED]
    extra = os.environ.get(EXTRA_FOLDER_VARIABLE)
    if extra:
        folder = Path(extra)
        if not folder.is_dir():
            raise UseCaseError(
                f"{EXTRA_FOLDER_VARIABLE}={extra}: no such folder; create it or unset the variable"
            )
        folders.append(folder)
    return [
        path
        for folder in folders
        for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    ]


def load_use_cases() -> dict[str, UseCase]:
    """All use cases by name; one in the extra folder replaces a shipped one of the same name.

    Raises:
        UseCaseError: a file is wrong, or two files of one folder share a name.
    """
    found: dict[str, tuple[Path, UseCase]] = {}
    for path in use_case_files():
        use_case = load_use_case(path)
        earlier = found.get(use_case.name)
        if earlier and earlier[0].parent == path.parent:
            raise UseCaseError(f"{path}: name {use_case.name!r} is already used by {earlier[0]}")
        found[use_case.name] = (path, use_case)
    return {name: use_case for name, (_, use_case) in sorted(found.items())}


def known_use_case(name: str) -> UseCase:
    """The use case called `name`.

    Raises:
        UseCaseError: there is none, or a file is wrong.
    """
    use_cases = load_use_cases()
    if name not in use_cases:
        raise UseCaseError(f"no use case {name!r}; there are: {', '.join(use_cases)}")
    return use_cases[name]
