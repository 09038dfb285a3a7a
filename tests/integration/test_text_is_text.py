"""Reasons, names and rows that are hostile: in the decision log's commands and Dagster's pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.orchestration.plain_text import visible
from genaiops_dagster.promotion.jobs import build_jobs
from genaiops_dagster.records.tuning import TunedModel
from tests.comparison.examples import make_rows
from tests.hostile import TEXTS, markdown_of, markup_in, text_of
from tests.integration.promotion_bench import Bench
from tests.integration.test_promotion_commands import BETTER, make_bench

HOSTILE = "\n".join(text for text in TEXTS if text.isprintable() or "\n" in text)
STEERING = "".join(text for text in TEXTS if "\udcff" not in text)
COLOURS = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "6000"}


def run(*arguments: str) -> str:
    """What a command shows on a terminal with colours, without these and on one line."""
    result = CliRunner().invoke(app, [*arguments], env=COLOURS)
    assert result.exit_code == 0, result.output
    text = re.sub(r"\x1b\[[\d;]*m", "", result.output)
    assert text == visible(text)
    return " ".join(text.split())


def on_a_line(text: str) -> str:
    return " ".join(visible(text).split())


def test_reasons_of_people_are_texts_on_the_terminal(
    folder: Path, models: list[TunedModel]
) -> None:
    bench = make_bench(folder, models, approval={})
    bench.decide()
    approved = run("approve", bench.name, "--by", STEERING, "--reason", STEERING)
    assert f"Approved by {on_a_line(STEERING)} as entry 2" in approved
    first = bench.promote()
    bench.retune(BETTER, models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.decide()
    run("approve", bench.name, "--by", "ann", "--reason", "yes")
    bench.promote()
    back = run("rollback", bench.name, "--by", STEERING, "--reason", STEERING)
    assert f"Champion 1 serves again as champion 3: {first.model}" in back
    history = run("history", bench.name)
    for line in visible(STEERING).split("\n"):
        assert history.count(" ".join(line.split())) >= 2


@pytest.fixture
def hostile(models: list[TunedModel]) -> Bench:
    """A bench whose tuned candidate gave hostile answers to hostile rows."""
    bench = Bench(models)
    for name, share in {"flash": 0.3, "pro": 0.6, "tuned": 0.9}.items():
        rows = make_rows(share, seed=len(name))
        renamed = [row.model_copy(update={"id": f"{row.id} {HOSTILE}"}) for row in rows]
        bench.evaluate(name, renamed, model_version=HOSTILE)
    return bench


def test_rows_and_reasons_are_texts_in_dagsters_pages(hostile: Bench) -> None:
    result = hostile.materialize()
    assert result.success
    shown = markdown_of(result)
    [lost] = [text for place, text in shown.items() if ": rows_lost_to_" in place]
    assert on_a_line(HOSTILE) in text_of(lost)
    assert {place: markup_in(text) for place, text in shown.items() if markup_in(text)} == {}


def test_who_rolls_back_is_a_text_in_dagsters_pages(bench: Bench, models: list[TunedModel]) -> None:
    bench.promote()
    bench.retune(BETTER, models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()
    _, rollback = build_jobs(bench.use_case)
    config = {"by": HOSTILE, "reason": HOSTILE}
    result = rollback.execute_in_process(
        run_config={"ops": {f"{bench.name}_former_champion": {"config": config}}},
        resources=build_resources(),
    )
    shown = markdown_of(result)
    told = [text for text in shown.values() if "Rolled back" in text]
    assert [text_of(text) for text in told] == [
        f"Rolled back to champion 1 by {on_a_line(HOSTILE)}"
    ]
    assert [text for text in shown.values() if markup_in(text)] == []
