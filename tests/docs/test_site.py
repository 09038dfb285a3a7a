"""The site builds without a warning, and its names, links and commands are right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from genaiops_dagster.cli.app import app
from genaiops_dagster.use_case import UseCase
from tests.docs.pages import PAGES, ROOT, blocks_of, commands_of, name_of, text_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning ends the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_reference_knows_every_section_command_and_table(site: Path) -> None:
    page = (site / "reference" / "use-case-file" / "index.html").read_text()
    assert all(f"<code>{name}</code>" in page for name in UseCase.model_fields)
    commands = (site / "reference" / "commands" / "index.html").read_text()
    for command in typer.main.get_group(app).commands:
        assert f"genaiops {command}" in commands
    tables = (site / "reference" / "tables" / "index.html").read_text()
    assert all(f"<code>{name}</code>" in tables for name in ("evaluation_runs", "spend"))


def test_nothing_is_fetched_when_a_page_is_read(site: Path) -> None:
    """Scripts, styles, fonts and images are of the site itself."""
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text()
        )
        assert fetched == [], page


def test_every_block_is_shown_as_one(site: Path) -> None:
    """A fence that is not understood swallows what follows it, headings included."""
    assert [page for page in site.rglob("*.html") if "```" in page.read_text()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_ones_that_exist(page: Path) -> None:
    command = typer.main.get_group(app)
    for arguments in commands_of(page):
        if not arguments or arguments[0] == "--help":
            continue
        assert arguments[0] in command.commands, arguments
        if "--help" not in arguments:
            command.commands[arguments[0]].make_context(arguments[0], arguments[1:])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        found = page.parent / target
        generated = found.parent == ROOT / "docs" / "reference"
        assert generated or found.exists(), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks_of(page):
        if block.directive.startswith("not run:"):
            assert len(block.directive) > len("not run: because")


def test_every_variable_of_the_project_is_in_the_reference() -> None:
    code = "".join(path.read_text() for path in (ROOT / "genaiops_dagster").rglob("*.py"))
    reference = (ROOT / "docs" / "reference" / "environment.md").read_text()
    for variable in set(re.findall(r"[\"'](GENAIOPS_[A-Z_]+)[\"']", code)):
        assert f"`{variable}`" in reference, variable
