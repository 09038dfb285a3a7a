"""Every command of the documentation is run: page by page, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks_of, name_of
from vertex_emulator.testing import GOOGLE_VARIABLES

RUNNABLE = [page for page in PAGES if any(block.is_run for block in blocks_of(page))]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a newcomer: nothing of Google configured, and `genaiops` on the path."""
    mine = (*GOOGLE_VARIABLES, "DAGSTER_HOME", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    scripts = Path(sys.executable).parent
    home = tmp_path_factory.mktemp("home")
    return {**kept, "PATH": f"{scripts}:{kept['PATH']}", "HOME": str(home), "BROWSER": "true"}


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A folder in which the default use case was run, as the README tells first."""
    folder = tmp_path_factory.mktemp("after_a_run")
    run_script("genaiops run", folder, environment)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_commands_of(
    page: Path, after_a_run: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "folder"
    if page.name == "tutorial.md":  # its reader has an empty folder
        folder.mkdir()
    else:
        shutil.copytree(after_a_run, folder)
    for shared in ("genaiops_dagster", "emulator", "benchmarks", "deploy"):  # as in a checkout
        if (ROOT / shared).exists() and page.name != "tutorial.md":
            (folder / shared).symlink_to(ROOT / shared)
    script = []
    for block in blocks_of(page):
        if block.title and not block.directive.startswith("not run:"):
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            script.append(f"cat > {block.title} <<'END_OF_FILE'\n{block.body}END_OF_FILE")
        elif block.is_run:
            script.append(block.body)
    run_script("\n".join(script), folder, environment)


def run_script(script: str, folder: Path, environment: dict[str, str]) -> None:
    """Run lines in one shell that stops at the first that fails."""
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-6000:]
