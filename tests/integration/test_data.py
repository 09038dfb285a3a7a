"""The data stages over Cloud Storage, as Google's own client library sees it."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import uuid4

import dagster as dg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery, storage

from genaiops_dagster.data.assets import build_assets
from genaiops_dagster.data.sources import SourceError
from genaiops_dagster.data.storing import store_source_rows
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.planning.assets import build_assets as build_budget_assets
from genaiops_dagster.prompts.assets import build_assets as build_prompt_assets
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.tuning.assets import build_assets as build_tuning
from genaiops_dagster.use_case import UseCase
from tests.data.conftest import use_case_of
from tests.values import text_of
from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def bucket(emulator: RunningEmulator) -> storage.Bucket:
    client = storage.Client(project=emulator.variables["GOOGLE_CLOUD_PROJECT"])
    return client.bucket(emulator.variables["GENAIOPS_BUCKET"])


def lines(bucket: storage.Bucket, uri: str) -> list[dict[str, Any]]:
    blob = bucket.blob(uri.removeprefix(f"gs://{bucket.name}/"))
    return [json.loads(line) for line in blob.download_as_text().splitlines()]


def test_inbox_to_sets(bucket: storage.Bucket) -> None:
    use_case = use_case_of(name=f"questions_{uuid4().hex[:8]}")
    rows = [
        {"id": n, "author": n, "topic": "t", "question": f"What is {n}?", "answer": f"It is {n}"}
        for n in range(100)
    ]
    bucket.blob(f"{use_case.inbox}first.jsonl").upload_from_string(
        "\n".join(json.dumps(row) for row in rows) + "\n{not json"
    )
    result = dg.materialize(
        [*build_assets(use_case), *build_prompt_assets(use_case)], resources=build_resources()
    )

    assert result.success
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [e.check_name for e in failed] == ["readable"]
    assert "not_json" in text_of(failed[0].metadata["rows_shown"])
    examples = result.asset_value([use_case.name, "examples"])
    assert examples.rows == 100
    assert examples.rejected == {"unreadable": 1}
    training = result.asset_value([use_case.name, "training_set"])
    evaluation = result.asset_value([use_case.name, "evaluation_set"])
    first = lines(bucket, training.uri)[0]
    assert first["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert [turn["role"] for turn in first["contents"]] == ["user", "model"]
    assert set(lines(bucket, evaluation.uri)[0]) == {
        "id",
        "group",
        "slices",
        "variables",
        "output",
    }


def answers(count: int) -> list[dict[str, object]]:
    return [{"id": n, "question": f"What is {n}?", "answer": f"It is {n}"} for n in range(count)]


BAD_ROWS = {
    "not_json": b'{"question": "cut',
    "wrong_encoding": b'{"question": "\xff", "answer": "b"}',
    "empty_input": b'{"id": "bad", "question": " ", "answer": "x"}',
    "empty_output": b'{"id": "bad", "question": "What is missing?", "answer": " "}',
    "personal_data": b'{"id": "bad", "question": "Who is jane@mail.gov.uk?", "answer": "x"}',
    "secret": b'{"id": "bad", "question": "Why?", "answer": "gh' + b"p_" + b"a" * 36 + b'"}',
    "conflicting_outputs": b'{"id": "bad", "question": "What is 5?", "answer": "Not 5"}',
    "other_system_instruction": b'{"id": "bad", "systemInstruction": {"parts": [{"text": "No."}]}, '
    b'"contents": [{"role": "user", "parts": [{"text": "x"}]}, '
    b'{"role": "model", "parts": [{"text": "y"}]}]}',
    "wrong_parts": b'{"id": "bad", "contents": [{"role": "user", "parts": "x"}, '
    b'{"role": "model", "parts": [{"text": "y"}]}]}',
    "wrong_roles": b'{"id": "bad", "contents": [{"role": "model", "parts": [{"text": "x"}]}]}',
    "too_long": b'{"id": "bad", "question": "' + b"word " * 150_000 + b'", "answer": "x"}',
}


@pytest.mark.parametrize("reason", [*BAD_ROWS, "schema", "enough_examples"])
def test_bad_data_stops_before_anything_is_tuned(
    emulator: RunningEmulator, bucket: storage.Bucket, reason: str
) -> None:
    use_case = strict_use_case()
    rows = [json.dumps(row).encode() for row in answers(20 if reason == "enough_examples" else 90)]
    if reason == "schema":
        rows = [row.replace(b'"question"', b'"asked"') for row in rows]
    inbox = bucket.blob(f"{use_case.inbox}delivery.jsonl")
    inbox.upload_from_string(b"\n".join([*rows, *filter(None, [BAD_ROWS.get(reason)])]))
    failed = stopped(emulator, use_case)
    check = reason if reason in failed else "few_rejected"
    shown = text_of(failed[check].metadata["rows_shown"])
    assert (
        "question" if reason == "schema" else "training" if check == reason else reason
    ) in shown
    if check == "few_rejected":
        assert f"{use_case.inbox}delivery.jsonl" in shown
        assert "91" in shown


BAD_OBJECTS = {
    "not_parquet": ("bad.parquet", b"PAR1 and no more"),
    "not_csv": ("bad.csv", b'question,answer\na,"b"c\n'),
    "wrong_columns": ("bad.csv", b"question,answer\na,b,c\n"),
    "unknown_format": ("bad.pdf", b"%PDF"),
    "empty_object": ("bad.jsonl", b""),
}


@pytest.mark.parametrize("reason", BAD_OBJECTS)
def test_a_bad_object_stops_before_anything_is_tuned(
    emulator: RunningEmulator, bucket: storage.Bucket, reason: str
) -> None:
    use_case = strict_use_case()
    good = "\n".join(json.dumps(row) for row in answers(90))
    bucket.blob(f"{use_case.inbox}good.jsonl").upload_from_string(good)
    name, content = BAD_OBJECTS[reason]
    bucket.blob(f"{use_case.inbox}{name}").upload_from_string(content)
    failed = stopped(emulator, use_case)
    for check in ("readable", "few_rejected"):
        shown = text_of(failed[check].metadata["rows_shown"])
        assert reason in shown
        assert f"{use_case.inbox}{name}" in shown


def strict_use_case() -> UseCase:
    return use_case_of(
        name=f"bad_{uuid4().hex[:8]}",
        columns={"output": "answer"},
        curation={"maximum_rejected": 0},
        budget={"unknown_price": "allow"},
    )


def stopped(emulator: RunningEmulator, use_case: UseCase) -> dict[str, dg.AssetCheckEvaluation]:
    """Checks that failed in a run, by name; it ended before any call that tunes."""
    before = tuning_calls(emulator)
    result = materialize_until_tuned(use_case)
    assert not result.success
    assert tuning_calls(emulator) == before
    return {e.check_name: e for e in result.get_asset_check_evaluations() if not e.passed}


def materialize_until_tuned(use_case: UseCase) -> dg.ExecuteInProcessResult:
    rooms = (build_assets, build_prompt_assets, build_budget_assets, build_tuning)
    return dg.materialize(
        [asset for build in rooms for asset in build(use_case)],
        resources=build_resources(),
        raise_on_error=False,
    )


def tuning_calls(emulator: RunningEmulator) -> dict[str, int]:
    calls = emulator.stats()["requests"].get("vertex", {})
    return {method: count for method, count in calls.items() if "tuning" in method.lower()}


def test_a_good_delivery_is_tuned_on(emulator: RunningEmulator, bucket: storage.Bucket) -> None:
    """What the test above counts would not be zero if anything got through."""
    use_case = use_case_of(
        name=f"good_{uuid4().hex[:8]}",
        columns={"output": "answer"},
        budget={"unknown_price": "allow"},
    )
    inbox = bucket.blob(f"{use_case.inbox}delivery.jsonl")
    inbox.upload_from_string("\n".join(json.dumps(row) for row in answers(90)))
    before = tuning_calls(emulator)
    assert materialize_until_tuned(use_case).success
    assert tuning_calls(emulator) != before


def training_digest(use_case: UseCase) -> str:
    result = dg.materialize(
        [*build_assets(use_case), *build_prompt_assets(use_case)],
        resources=build_resources(),
        raise_on_error=False,
    )
    return result.asset_value([use_case.name, "training_set"]).digest


def test_every_kind_of_source_gives_the_same_sets(bucket: storage.Bucket) -> None:
    rows = [{k: str(v) for k, v in row.items()} for row in answers(60)]
    table = pa.Table.from_pylist(rows)
    parquet, comma_separated = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    pa.csv.write_csv(table, comma_separated)
    deliveries = {
        "rows.jsonl": "\n".join(json.dumps(row) for row in reversed(rows)).encode(),
        "rows.csv": comma_separated.getvalue(),
        "rows.parquet": parquet.getvalue(),
    }
    structs = ", ".join(
        f"STRUCT('{row['id']}' AS id, '{row['question']}' AS question, '{row['answer']}' AS answer)"
        for row in rows
    )
    digests = set()
    for name, content in deliveries.items():
        use_case = use_case_of(name=f"same_{uuid4().hex[:8]}", columns={"output": "answer"})
        bucket.blob(f"{use_case.inbox}{name}").upload_from_string(content)
        digests.add(training_digest(use_case))
    queried = use_case_of(
        name=f"same_{uuid4().hex[:8]}",
        columns={"output": "answer"},
        source={"sql": f"SELECT * FROM UNNEST([{structs}])"},
    )
    digests.add(training_digest(queried))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"sql": "SELECT id, title AS question FROM `T`"},
            r"no column 'answer' \(columns.output\); it has id, question",
        ),
        (
            {"sql": "SELECT id, title AS question, body AS answer FROM `T`",
             "maximum_bytes_billed": 10},
            "more than source.maximum_bytes_billed = 10; select fewer columns",
        ),
    ],
)  # fmt: skip
def test_a_query_is_checked_before_it_is_paid_for(
    emulator: RunningEmulator, source: dict[str, object], message: str
) -> None:
    table = "bigquery-public-data.stackoverflow.posts_questions"
    use_case = use_case_of(
        columns={"output": "answer"},
        source=source | {"sql": source["sql"].replace("`T`", f"`{table}`")},  # type: ignore[attr-defined]
    )
    resources = build_resources()
    with dg.build_resources(resources) as built:
        store = built.object_store.get_store()
        with (
            built.warehouse.get_warehouse(SYSTEM_CLOCK) as warehouse,
            pytest.raises(SourceError, match=message),
        ):
            store_source_rows(use_case, store, warehouse, SYSTEM_CLOCK.now().timestamp())
        assert list(store.list(f"{use_case.name}/exports/")) == []


def test_a_query_runs_where_its_source_is(bucket: storage.Bucket) -> None:
    rows = ", ".join(f"STRUCT('{n}' AS id, 'Q{n}' AS question, 'A' AS answer)" for n in range(40))
    name = f"there_{uuid4().hex[:8]}"
    sql = f"SELECT * FROM UNNEST([{rows}]) /* {name} */"
    use_case = use_case_of(
        name=name, columns={"output": "answer"}, source={"sql": sql, "location": "EU"}
    )
    training_digest(use_case)
    jobs = bigquery.Client().list_jobs(max_results=50)
    found = {job.location for job in jobs if name in (getattr(job, "query", None) or "")}
    assert found == {"EU"}


def test_a_source_dataset_is_shown(emulator: RunningEmulator) -> None:
    use_case = use_case_of(
        name=f"shown_{uuid4().hex[:8]}",
        source={"dataset": "bigquery-public-data.stackoverflow", "sample_rows": 2},
    )
    result = dg.materialize(
        [*build_assets(use_case), *build_prompt_assets(use_case)],
        selection=[dg.AssetKey([use_case.name, "source_tables"])],
        resources=build_resources(),
    )
    found = result.asset_value([use_case.name, "source_tables"])
    questions = next(table for table in found.tables if table.name == "posts_questions")
    assert questions.columns["creation_date"] == "TIMESTAMP"
    assert questions.rows
    (event,) = result.get_asset_materialization_events()
    shown = text_of(event.materialization.metadata["rows_of_posts_questions"])
    assert len(shown.splitlines()) == 2 + 2
