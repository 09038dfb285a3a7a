"""What the pages name exists: files, modules, commands with their options, fields of a file."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import typer.main

from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.commands.schema import use_case_schema
from tests.docs.pages import PAGES, ROOT, name_of, text_of

COMMANDS = typer.main.get_group(app).commands
SCHEMA = use_case_schema()
FIELDS = {field for part in SCHEMA["$defs"].values() for field in part.get("properties", ())}
FILE = re.compile(r"(genaiops_dagster|emulator|tests|deploy|benchmarks|docs)/[\w/.]+")
MODULE = re.compile(r"(genaiops_dagster|vertex_emulator)(\.\w+)+")
FIELD = re.compile(r"([a-z_]+(?:\.[a-z_]+)+)(?:: .*)?")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_named_exists(page: Path) -> None:
    assert "```" not in text_of(page), "a block that pages.py does not understand"
    wrong = [name for name in re.findall(r"`([^`\n]+)`", text_of(page)) if not _exists(name)]
    assert wrong == []


def test_what_does_not_exist_is_noticed() -> None:
    for name in (
        "genaiops_dagster/no_such.py",
        "genaiops_dagster.serving.NoRouter",
        "genaiops fly",
        "genaiops run --fast",
        "budget.per_week_usd",
        "serving.rollout.stages.speed",
    ):
        assert not _exists(name), name
    for name in ("tests/docs", "genaiops_dagster.serving.Router", "serving.rollout.stages.share"):
        assert _exists(name), name


def _exists(name: str) -> bool:
    """Whether the text between backticks names nothing of ours, or something that there is."""
    if FILE.fullmatch(name):
        return (ROOT / name).exists()
    if MODULE.fullmatch(name):
        return _is_importable(name)
    if name.startswith("genaiops "):
        return _is_command(name.split()[1:])
    field = FIELD.fullmatch(name)
    if field:
        section, *fields = field[1].split(".")
        return section not in SCHEMA["properties"] or FIELDS.issuperset(fields)
    return True


def _is_importable(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        return hasattr(importlib.import_module(module), attribute)
    return True


def _is_command(words: list[str]) -> bool:
    if words[0].startswith("-"):
        return True
    if words[0] not in COMMANDS:
        return False
    options = {name for given in COMMANDS[words[0]].params for name in given.opts}
    return {word for word in words if word.startswith("--")} <= options | {"--help"}
