"""What others say is a text on the terminal: no markup, and nothing that steers the terminal."""

from __future__ import annotations

import ast
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.live import Live
from rich.table import Table
from typer.testing import CliRunner

import genaiops_dagster.cli
from genaiops_dagster.cli.app import app
from genaiops_dagster.cli.commands.history import _print
from genaiops_dagster.cli.lifecycle import StepProgress
from genaiops_dagster.cli.options import fail
from genaiops_dagster.cli.summary import progress_table
from genaiops_dagster.cli.terminal import Terminal, joined, panel, progress, styled
from genaiops_dagster.orchestration.plain_text import visible
from genaiops_dagster.records.promotion import LogEntry, RuleResult, Verdict
from tests.cli.test_summary import make_comparison, make_decision, printed
from tests.hostile import TEXTS

COLOURS = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "4000"}
_STYLE = re.compile(r"\x1b\[[\d;]*m")
_CURSOR = re.compile(r"\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")


def plain(output: str) -> str:
    """Output without colours, on one line; nothing else in it steers a terminal."""
    text = _STYLE.sub("", output)
    assert text == visible(text)
    return " ".join(text.split())


def on_a_line(text: str) -> str:
    return " ".join(visible(text).split())


@pytest.fixture
def terminal() -> Terminal:
    """A wide terminal with colours, whose output is in `file`."""
    return Terminal(file=io.StringIO(), width=4000, force_terminal=True, color_system="truecolor")


def output(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_a_text_wherever_it_is_printed(terminal: Terminal, text: str) -> None:
    shown = on_a_line(text)
    terminal.print(styled("Done", "green"), text)
    terminal.print(joined(styled(text, "red"), text))
    assert plain(output(terminal)) == f"Done {shown} {on_a_line(text + text)}"
    table = Table(text, title=text, caption=text, box=None)
    table.add_row(text)
    terminal.print(table)
    assert plain(output(terminal)).endswith(" ".join([shown] * 4))
    terminal.print(panel("content", text.replace("\n", " "), "green"))
    assert f"─ {shown} ─" in plain(output(terminal))


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_a_text_while_something_goes_on(terminal: Terminal, text: str) -> None:
    text = text.replace("\n", " ")
    steps = {text: StepProgress(text, "running", note=text, started=1.0)}
    with Live(console=terminal, auto_refresh=False) as live:
        live.update(progress_table(steps, {}, set()), refresh=True)
    shown = on_a_line(text)
    assert f"run {shown} 0.0 s {shown}" in plain(_CURSOR.sub("", output(terminal)))
    with progress(io.BytesIO(b"abc"), 3, f"file {text}", terminal) as file:
        assert file.read() == b"abc"
    assert f"file {shown}" in plain(_CURSOR.sub("", output(terminal)))


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_the_history_shows_every_reason_and_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name, value in COLOURS.items():
        monkeypatch.setenv(name, value)
    rule = RuleResult(rule=text, outcome="REJECT", reason=text)
    verdict = Verdict(outcome="REJECT", rules=[rule])
    decision = make_decision(rule).model_copy(update={"challenger": text, "verdict": verdict})
    kept = {"at": "2026-11-20T12:00:00+00:00", "previous": "", "digest": "0" * 64}
    entries = [
        LogEntry(number=1, kind="decision", decision=decision, **kept),
        LogEntry(number=2, kind="approval", by=text, reason=text, **kept),
    ]
    _print(entries, as_json=False)
    found = plain(capsys.readouterr().out)
    for line in visible(text).split("\n"):
        assert found.count(" ".join(line.split())) >= 5


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_the_summary_of_a_run_shows_every_reason_and_name(text: str) -> None:
    comparison = make_comparison()
    reports = [one.model_copy(update={"candidate": text}) for one in comparison.leaderboard]
    comparison = comparison.model_copy(update={"leaderboard": reports, "use_case": text})
    rule = RuleResult(rule=text, outcome="PROMOTE", reason=text)
    decision = make_decision(rule).model_copy(update={"challenger": text})
    found = plain(printed(comparison, 4000, decision))
    for line in visible(text).split("\n"):
        assert found.count(" ".join(line.split())) >= 6


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_an_error_shows_what_was_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name, value in COLOURS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(typer.Exit):
        fail(text)
    assert plain(capsys.readouterr().err) == f"Error: {on_a_line(text)}"


def test_names_of_files_and_columns_are_texts(tmp_path: Path) -> None:
    name, column = "[bold]\x1b[2J[", "[/x]\x1b]0;title\x07"
    rows = "".join(f"{n},{'ab'[n % 2]}\n" for n in range(40))
    file = tmp_path / f"{name}.csv"
    file.write_text(f'"{column}",answer\n{rows}')
    command = ["init", str(file), "--to", str(tmp_path), "--name", "mine"]
    result = CliRunner().invoke(app, command, input="\n\n\n\n", env=COLOURS)
    assert result.exit_code == 0, result.output
    found = plain(result.output)
    assert f"Columns for the prompt [{visible(column)}]" in found
    assert f"genaiops deliver mine {tmp_path}/{visible(name)}.csv" in found


def on_a_terminal(script: str, **streams: int) -> bytes:
    """What a terminal gets that Python runs `script` on, besides `streams`."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", script]
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, **{**terminal, **streams}) as process:  # type: ignore[call-overload]
        os.close(theirs)
        found = b""
        while process.poll() is None or found.count(b"\n") == 0:
            try:
                found += os.read(ours, 4096)
            except OSError:  # so Linux says that nobody has the other end any more
                break
    os.close(ours)
    return found.replace(b"\r\n", b"\n")


def test_an_answer_is_a_text_on_a_terminal_and_itself_in_a_pipe() -> None:
    answer = "one\n\ttwo \x1b[2J\r\nthree\x07\n"
    script = f"from genaiops_dagster.cli.terminal import write; write({answer!r})"
    piped = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert piped.stdout == answer.encode()
    assert on_a_terminal(script).expandtabs() == (b"one\n        two \\x1b[2J\nthree\\x07\n")


LOGS = """
import dagster as dg
from genaiops_dagster.cli.lifecycle import run_job
@dg.asset
def said(context):
    link = "\\x1b]8;;https://evil.example\\x1b\\\\here\\x1b]8;;\\x1b\\\\"
    context.log.info(f"it said \\x1b[2J {link} \\u202e")
job = dg.Definitions(assets=[said], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
with dg.instance_for_test() as instance:
    run_job(job, instance, lambda _: None, "INFO")
"""


def test_log_lines_of_a_run_do_not_steer_the_terminal() -> None:
    found = plain(on_a_terminal(LOGS).decode())
    assert "it said" in found
    assert "evil.example" not in found


STARTS = r"""
import subprocess, sys
from genaiops_dagster.cli.terminal import visible_streams
program = r'''
import os, sys
for number, name in enumerate(("out", "err"), 1):
    text = f"\x1b[1;31m{name}\x1b[0m \x1b[2J\x9b2J \u202e over\rwritten\x1b]0;title\x07"
    os.write(number, text.encode() + b" \xff\n")
    os.write(number, b"x" * 70000 + b" last of " + name.encode())
'''
with visible_streams() as (output, errors):
    subprocess.run([sys.executable, "-c", program], stdout=output, stderr=errors, check=True)
print("end")
"""


def test_what_started_programs_write_is_text_with_colours_on_a_terminal() -> None:
    found = on_a_terminal(STARTS)
    for name in (b"out", b"err"):
        shown = rb"\x1b[2J\x9b2J \u202e over\rwritten\x1b]0;title\x07 \xff"
        assert b"\x1b[1;31m" + name + b"\x1b[0m " + shown + b"\n" in found
        assert b" last of " + name in found
    assert found.endswith(b"end\n")


def test_what_started_programs_write_to_a_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log:
        found = on_a_terminal(STARTS, stdout=log.fileno())
    assert file.read_bytes().startswith(b"\x1b[1;31mout\x1b[0m \x1b[2J\xc2\x9b2J")
    assert rb"\x1b[2J" in found


MODULES = sorted(Path(genaiops_dagster.cli.__file__).parent.rglob("*.py"))
SAFE = {
    *("rich.box", "rich.console.Group", "rich.console.RenderableType", "rich.live.Live"),
    *("rich.progress.BarColumn", "rich.progress.MofNCompleteColumn", "rich.progress.Progress"),
    *("rich.progress.TextColumn", "rich.table.Table"),
}
"""What takes strings for texts when a `Terminal` prints it."""


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_commands_write_through_the_one_terminal(file: Path) -> None:
    if file.stem == "terminal":
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        place = f"{file.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
            for name in node.names:
                assert {node.module, f"{node.module}.{name.name}"} & SAFE, f"{place}: {name.name}"
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith("rich")], place
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("from_markup", "secho", "stdout", "stderr"), place
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "TextColumn":
            assert "markup=False" in ast.unparse(node), place
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            *("typer.echo", "typer.prompt", "typer.confirm", "print"),
        ):
            for given in (*node.args, *(keyword.value for keyword in node.keywords)):
                assert isinstance(given, ast.Constant), f"{place}: use Terminal, write or ask"
