"""`genaiops history`, `approve`, `rollback`, `prune` and `report`, as a person runs them."""

from __future__ import annotations

from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from genaiops_dagster.records.tuning import TunedModel
from tests.comparison.examples import make_rows
from tests.integration.promotion_bench import Bench, label, tune
from tests.values import present

BETTER = make_rows(0.97, seed=3)


def make_bench(folder: Path, models: list[TunedModel], **gate: object) -> Bench:
    """A bench whose use case is a file, as the commands want it."""
    bench = Bench(models, **gate)
    content = yaml.safe_dump(bench.use_case.model_dump(mode="json"))
    (folder / f"{bench.name}.yaml").write_text(content)
    return bench


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"TERM": "dumb"})


def test_history_verifies_and_prints_the_log(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models)
    bench.promote()

    result = run("history", bench.name)

    assert result.exit_code == 0, result.output
    assert "decision on tuned: PROMOTE" in result.output
    assert "promotion: champion 1 is tuned" in result.output
    assert f"The log is whole; champion 1 serves: {bench.tuned.endpoint}" in result.output


def test_history_tells_a_log_that_was_changed(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models)
    bench.promote()
    name = bench.store.name_of(bench.log.uri(2))
    bench.store.write(name, present(bench.store.read(name)).replace(b"tuned", b"flash"))

    result = run("history", bench.name)

    assert result.exit_code == 1
    assert "the entry was changed after it was written" in result.output


def test_history_tells_a_champion_that_was_changed(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models)
    bench.promote()
    edited = bench.champion.model_copy(update={"model": "another"})
    bench.store.write(f"{bench.name}/champion.json", edited.model_dump_json().encode())

    result = run("history", bench.name)

    assert result.exit_code == 1
    assert f"genaiops rollback {bench.name} --to 1" in " ".join(result.output.split())


def test_approve_records_who_and_why(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models, approval={"approvers": ["ann"]})
    bench.decide()

    refused = run("approve", bench.name, "--by", "eve", "--reason", "hm")
    approved = run("approve", bench.name, "--by", "ann", "--reason", "looked at the rows")

    assert refused.exit_code == 1
    assert "eve may not approve; who may: ann" in refused.output
    assert approved.exit_code == 0, approved.output
    entry = bench.log.read()[-1]
    assert (entry.kind, entry.by, entry.reason) == ("approval", "ann", "looked at the rows")
    assert {row["kind"] for row in bench.rows("promotions")} == {"approval", "decision"}


def test_rollback_brings_a_champion_back(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models)
    first = bench.promote()
    bench.retune(BETTER, models[1])
    bench.evaluate_champion(make_rows(0.9, seed=3))
    bench.promote()

    result = run("rollback", bench.name, "--reason", "complaints", "--by", "ann")

    assert result.exit_code == 0, result.output
    assert "Champion 1 serves again as champion 3" in result.output
    assert bench.champion.model == first.model
    assert run("rollback", bench.name, "--reason", "again", "--to", "9").exit_code == 1


def test_prune_deletes_only_when_told_to(folder: Path, models: list[TunedModel]) -> None:
    own = tune(3)
    bench = make_bench(folder, own)
    for model in own:
        label(bench, model.model)
    bench.promote()
    stale = own[1].model.partition("@")[0]

    listed = CliRunner().invoke(app, ["prune", bench.name, "--keep", "1"], input="n\n")
    assert stale in listed.output.replace("\n", "")
    assert "Nothing was deleted" in listed.output
    deleted = run("prune", bench.name, "--keep", "1", "--yes")

    assert f"Deleted {stale}" in deleted.output
    assert "Nothing to prune" in run("prune", bench.name, "--keep", "1").output


def test_report_writes_the_page(folder: Path, models: list[TunedModel]) -> None:
    bench = make_bench(folder, models)
    nothing = run("report", bench.name, "--no-open")
    assert nothing.exit_code == 1
    assert "was not compared yet" in nothing.output
    assert bench.materialize().success

    page = folder / "page.html"
    result = run("report", bench.name, "--no-open", "--output", str(page))

    assert result.exit_code == 0, result.output
    assert '<span class="badge PROMOTE">PROMOTE</span>' in page.read_text()
    assert "Champion 1 serves: tuned" in " ".join(page.read_text().split())


def test_an_unknown_use_case_is_told_with_those_that_exist(
    folder: Path, models: list[TunedModel]
) -> None:
    for command in ("history", "report", "prune"):
        result = run(command, "nothing_such")
        assert result.exit_code == 2
        assert "no use case 'nothing_such'; there are: " in result.output
