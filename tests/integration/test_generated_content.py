"""A day's prompts: each ends with a reason, is paid once, and stands once in table and file."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections import Counter
from typing import Any

import dagster as dg
import pytest
from google import genai
from google.cloud import bigquery

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.use_case import UseCase
from tests.integration.lifecycle import colours_use_case, error_text, open_store
from tests.integration.serving import asked, crown, failed_checks, made, rows, serve
from tests.values import present
from vertex_emulator.testing import RunningEmulator

DAY = "2026-11-19"


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def drop(store: ObjectStore, use_case: UseCase, name: str, *prompts: Any, day: str = DAY) -> None:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in prompts]
    content = "".join(f"{line}\n" for line in lines)
    store.write(f"{use_case.name}/prompts/{day}/{name}", content.encode())


def in_table(use_case: UseCase) -> list[dict[str, Any]]:
    sql = f"""SELECT * FROM genaiops.generated_content
        WHERE use_case = '{use_case.name}' ORDER BY day, source, source_row"""
    return [dict(row) for row in bigquery.Client().query(sql).result()]


def test_every_prompt_of_a_day_has_a_row_that_says_how_it_ended(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        budget={"per_request_tokens": 1200},
        serving={"guardrails": {"input": {"blocked_topics": {"war": ["tank"]}}}},
    )
    champion = crown(store, use_case)
    drop(
        store,
        use_case,
        "a.jsonl",
        {"id": "sky", "thing": "the sky"},
        {"id": "war", "thing": "a TANK"},
        {"id": "long", "thing": "blue " * 500},
        {"id": "lacks", "other": "x"},
        "no json",
    )
    drop(store, use_case, "b.csv", "thing", "grass", "blood")
    drop(store, use_case, "c.xlsx", "what is this")
    drop(store, use_case, "a.jsonl", {"thing": "another day"}, day="2026-11-18")
    before = asked(emulator)
    result = serve(use_case, DAY)
    assert result.success, error_text(result)
    assert asked(emulator) == before + 3
    found = {row.id: row for row in rows(store, use_case, DAY)}
    ended = {name: row.status for name, row in found.items()}
    assert ended.pop("sky") in ("answered", "truncated")
    assert {ended.pop("b.csv#1"), ended.pop("b.csv#2")} <= {"answered", "truncated"}
    assert ended == {
        "war": "refused",
        "long": "refused",
        "lacks": "failed",
        "a.jsonl#5": "failed",
        "c.xlsx#0": "failed",
    }
    assert found["war"].reason == "guardrails.input.blocked_topics.war: 1 of its terms found"
    assert "budget.per_request_tokens is 1,200 tokens; asked" in str(found["long"].reason)
    assert "'thing' is undefined" in str(found["lacks"].reason)
    assert found["a.jsonl#5"].reason == "not readable: not_json"
    assert "unknown format" in str(found["c.xlsx#0"].reason)
    assert failed_checks(result) == {"answered"}
    table = in_table(use_case)
    assert len(table) == 8
    assert {row["day"] for row in table} == {dt.date(2026, 11, 19)}
    sky = next(row for row in table if row["id"] == "sky")
    assert sky["champion"] == champion.number
    assert sky["prompt_digest"] == champion.prompt_digest
    assert sky["cost_usd"] > 0
    assert sky["emulated"]
    assert json.loads(next(r for r in table if r["id"] == "war")["guardrails"])[0]["rule"]


def test_a_day_again_pays_for_what_is_new_alone_and_replaces_its_rows(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"id": "1", "thing": "sky"}, {"id": "2", "thing": "sea"})
    drop(store, use_case, "a.jsonl", {"id": "1", "thing": "snow"}, day="2026-11-18")
    before = asked(emulator)
    assert serve(use_case, DAY).success
    assert serve(use_case, "2026-11-18").success
    first = made(store, use_case, DAY)
    assert serve(use_case, DAY).success
    assert asked(emulator) == before + 3
    assert made(store, use_case, DAY).digest == first.digest
    assert made(store, use_case, DAY).paid_requests == 0
    drop(store, use_case, "a.jsonl", {"id": "2", "thing": "sea"}, {"id": "3", "thing": "mud"})
    assert serve(use_case, DAY).success
    assert asked(emulator) == before + 4
    assert [(str(r["day"]), r["id"]) for r in in_table(use_case)] == [
        ("2026-11-18", "1"),
        (DAY, "2"),
        (DAY, "3"),
    ]


def test_the_same_prompt_twice_is_paid_once(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", *[{"thing": "the sky"}] * 5)
    before = asked(emulator)
    assert serve(use_case, DAY).success
    assert asked(emulator) == before + 1
    assert made(store, use_case, DAY).rows == 5


def test_a_day_without_prompts_is_an_empty_day(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"thing": "the sky"})
    assert serve(use_case, DAY).success
    store.delete(f"{use_case.name}/prompts/{DAY}/a.jsonl")
    result = serve(use_case, DAY)
    assert result.success, error_text(result)
    assert made(store, use_case, DAY).rows == 0
    assert in_table(use_case) == []


def test_prompts_of_a_query(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(
        serving={
            "defaults": {"thing": "(nothing)"},
            "daily": {
                "sql": """SELECT id, FORMAT_DATE('%Y-%m-%d', @day) AS thing, @more AS more
                    FROM UNNEST(['x', 'y']) AS id ORDER BY id""",
                "parameters": {"more": 3},
            },
        }
    )
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"id": "file"})
    result = serve(use_case, DAY)
    assert result.success, error_text(result)
    assert [row.id for row in rows(store, use_case, DAY)] == ["file", "x", "y"]
    assert {row.source.partition(":")[0] for row in rows(store, use_case, DAY)} == {
        "gs",
        "bigquery",
    }


def test_parquet_prompts(emulator: RunningEmulator, store: ObjectStore) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    use_case = colours_use_case()
    crown(store, use_case)
    content = io.BytesIO()
    pq.write_table(pa.table({"id": [7, 8], "thing": ["sky", "sea"]}), content)
    store.write(f"{use_case.name}/prompts/{DAY}/a.parquet", content.getvalue())
    store.write(f"{use_case.name}/prompts/{DAY}/b.parquet", b"broken")
    assert serve(use_case, DAY).success
    found = [(row.id, row.status) for row in rows(store, use_case, DAY)]
    assert [one for one, _ in found] == ["7", "8", "b.parquet#0"]
    assert found[-1][1] == "failed"


def test_a_run_budget_answers_as_many_as_it_reaches(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    prices = {
        "gemini-3.5-flash": {"input": 0.0, "output": 1000.0}
    }  # 8 tokens and 1,024 of thoughts: 1.032 USD
    use_case = colours_use_case(budget={"per_run_usd": 4.2, "prices": prices})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", *({"thing": f"thing {n}"} for n in range(10)))
    before = asked(emulator)
    assert serve(use_case, DAY).success
    assert asked(emulator) == before + 4
    found = [row.status for row in rows(store, use_case, DAY)]
    assert Counter(found)["refused"] == 6
    assert found[4:] == ["refused"] * 6
    assert serve(use_case, DAY).success  # another run, with a budget of its own, goes on
    assert asked(emulator) == before + 8


def test_many_prompts_are_asked_in_a_batch_job(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(serving={"daily": {"batch_from_rows": 20}})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", *({"thing": f"thing {n}"} for n in range(30)))
    before = asked(emulator)
    result = serve(use_case, DAY)
    assert result.success, error_text(result)
    assert asked(emulator) == before
    content = made(store, use_case, DAY)
    assert content.batch
    assert content.paid_requests == 30
    assert all(row.batch for row in rows(store, use_case, DAY))


def test_the_services_own_filters_are_told_and_what_they_block_is_recorded(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    guardrails = {"safety": {"dangerous_content": "block_medium_and_above"}}
    use_case = colours_use_case(serving={"guardrails": guardrails})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"id": "p", "thing": "poison"}, {"id": "s", "thing": "sky"})
    assert serve(use_case, DAY).success
    found = {row.id: row for row in rows(store, use_case, DAY)}
    assert found["p"].status == "blocked"
    assert "DANGEROUS" in str(found["p"].reason)
    assert found["s"].safety == {"HARM_CATEGORY_DANGEROUS_CONTENT": "NEGLIGIBLE"}


def test_model_armor_is_in_the_request_and_the_emulator_says_that_it_has_none(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    template = "projects/p/locations/us-central1/templates/strict"
    guardrails = {"model_armor": {"prompt_template": template}}
    use_case = colours_use_case(serving={"guardrails": guardrails})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"thing": "sky"})
    assert serve(use_case, DAY).success
    (row,) = rows(store, use_case, DAY)
    assert row.status == "failed"
    assert "modelArmorConfig" in str(row.reason)


def test_an_answer_that_breaks_a_rule_is_withheld(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    output = {"forbidden_patterns": ["."]}
    use_case = colours_use_case(serving={"guardrails": {"output": output}})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", {"thing": "sky"})
    assert serve(use_case, DAY).success
    (row,) = rows(store, use_case, DAY)
    assert (row.status, row.answer) == ("blocked", None)
    assert "guardrails.output.forbidden_patterns.0" in str(row.reason)
    assert row.cost_usd


LONG = "Blue things are blue. Red things are red. Green things are green. " * 300


@pytest.mark.parametrize("keep", [False, True])
def test_a_long_shared_start_is_paid_once(
    emulator: RunningEmulator, store: ObjectStore, keep: bool
) -> None:
    use_case = colours_use_case(
        prompt={"template": "Which colour is {{ thing }}?", "system_instruction": LONG},
        serving={"caching": {"enabled": True, "keep": keep}},
        budget={"per_run_usd": 20},
    )
    crown(store, use_case)
    plain = colours_use_case(
        prompt={"template": "Which colour is {{ thing }}?", "system_instruction": LONG},
        budget={"per_run_usd": 20},
    )
    crown(store, plain)
    prompts = [{"thing": f"thing {n}"} for n in range(40)]
    for one in (use_case, plain):
        drop(store, one, "a.jsonl", *prompts)
        result = serve(one, DAY)
        assert result.success, error_text(result)
    cached, full = made(store, use_case, DAY), made(store, plain, DAY)
    assert [r.answer for r in rows(store, use_case, DAY)] == [
        r.answer for r in rows(store, plain, DAY)
    ]
    use = cached.caching
    assert use.action == f"created, {'kept' if keep else 'deleted'}"
    assert use.cached_tokens == 40 * use.prefix_tokens
    assert cached.cached_tokens == use.cached_tokens
    assert use.saved_usd is not None
    assert cached.paid_usd is not None
    assert full.paid_usd is not None
    assert cached.paid_usd == pytest.approx(full.paid_usd - use.saved_usd, rel=0.01)
    assert cached.paid_usd < full.paid_usd / 2
    assert full.caching.action == "none: serving.caching is not enabled"
    drop(store, use_case, "a.jsonl", *({"thing": f"new {n}"} for n in range(40)))
    assert serve(use_case, DAY).success
    again = made(store, use_case, DAY).caching
    assert again.action == ("reused and extended, kept" if keep else "created, deleted")


def test_a_cache_whose_creation_got_no_answer_is_found_and_paid_once(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(
        prompt={"template": "Which colour is {{ thing }}?", "system_instruction": LONG},
        serving={"caching": {"enabled": True, "keep": True}},
        budget={"per_run_usd": 20},
    )
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", *({"thing": f"thing {n}"} for n in range(40)))
    emulator.add_fault(kind="drop", when="after", method="cachedContents.create", times=1)
    try:
        result = serve(use_case, DAY)
    finally:
        emulator.clear_faults()
    assert result.success, error_text(result)
    assert made(store, use_case, DAY).caching.action == "created, kept"
    client = genai.Client(location="us")  # where its model is served
    listed = [cache.display_name or "" for cache in client.caches.list()]
    assert len([name for name in listed if name.startswith(use_case.name)]) == 1


def test_a_short_start_is_not_cached(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(serving={"caching": {"enabled": True}})
    crown(store, use_case)
    drop(store, use_case, "a.jsonl", *({"thing": f"thing {n}"} for n in range(5)))
    assert serve(use_case, DAY).success
    assert "2,048 are needed" in made(store, use_case, DAY).caching.action


def test_the_schedule_asks_for_the_day_before() -> None:
    use_case = colours_use_case()
    repository = build_definitions([use_case]).get_repository_def()
    schedule = repository.get_schedule_def(f"{use_case.name}_generate_daily")
    moment = dt.datetime(2026, 11, 20, 4, tzinfo=dt.UTC)
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository)
    (request,) = present(schedule.evaluate_tick(context).run_requests)
    assert request.partition_key == "2026-11-19"
    lifecycle = repository.get_job(f"{use_case.name}_lifecycle")
    assert lifecycle.partitions_def is None


@pytest.mark.slow
def test_a_day_of_ten_thousand_prompts(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(
        budget={"per_run_usd": 50, "per_request_tokens": 1000},
        serving={"guardrails": {"input": {"blocked_topics": {"war": ["tank"]}}}},
    )
    crown(store, use_case)
    prompts = [{"id": str(n), "thing": f"thing {n}"} for n in range(10_000)]
    for n in range(0, 10_000, 100):
        prompts[n]["thing"] = f"tank {n}"
        prompts[n + 1]["thing"] = "long " * 2000 + str(n)
        del prompts[n + 2]["thing"]
    drop(store, use_case, "a.jsonl", *prompts)
    before = asked(emulator)
    result = serve(use_case, DAY)
    assert result.success, error_text(result)
    found = rows(store, use_case, DAY)
    assert [row.id for row in found] == [str(n) for n in range(10_000)]
    ended = Counter(row.status for row in found)
    assert ended["refused"] == 200
    assert ended["failed"] == 100
    assert ended["answered"] + ended["truncated"] == 9_700
    assert all(row.reason for row in found if row.status != "answered")
    assert len(in_table(use_case)) == 10_000
    assert asked(emulator) == before + 9_700
    assert serve(use_case, DAY).success
    assert asked(emulator) == before + 9_700
    assert made(store, use_case, DAY).paid_requests == 0
    assert len(in_table(use_case)) == 10_000
