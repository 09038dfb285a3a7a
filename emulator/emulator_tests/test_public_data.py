"""The public tables: Google's schemas, filled from the standard library's documentation."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from vertex_emulator.bigquery.service import BigQueryService
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.errors import ApiError
from vertex_emulator.public_data import TABLES, PublicData, public_tables
from vertex_emulator.stats import Stats
from vertex_emulator.storage.service import StorageService
from vertex_emulator.testing import RunningEmulator

DIGEST = """
import hashlib, json
from vertex_emulator.public_data import public_tables
print(hashlib.sha256(json.dumps(list(public_tables())).encode()).hexdigest())
"""


@pytest.fixture
def warehouse(emulator: RunningEmulator) -> bigquery.Client:
    return bigquery.Client()


@pytest.fixture(scope="module")
def tables() -> Any:
    return {name.rpartition(".")[2]: rows for name, _, rows in public_tables()}


def query(warehouse: Any, sql: Any) -> Any:
    return [dict(row) for row in warehouse.query(sql).result()]


def test_questions_have_the_columns_of_the_public_table(warehouse: bigquery.Client) -> None:
    """https://console.cloud.google.com/marketplace/product/stack-exchange/stack-overflow"""
    table = warehouse.get_table("bigquery-public-data.stackoverflow.posts_questions")
    types = {field.name: field.field_type for field in table.schema}
    assert len(types) == 20
    assert types["id"] == types["accepted_answer_id"] == types["score"] == "INTEGER"
    assert types["creation_date"] == types["last_edit_date"] == "TIMESTAMP"
    assert types["title"] == types["body"] == types["tags"] == types["parent_id"] == "STRING"
    answers = warehouse.get_table("bigquery-public-data.stackoverflow.posts_answers")
    types = {field.name: field.field_type for field in answers.schema}
    assert types["parent_id"] == "INTEGER"
    assert types["accepted_answer_id"] == types["tags"] == "STRING"


def test_the_join_of_the_guide_gives_answers_since_a_date(warehouse: bigquery.Client) -> None:
    sql = """
        SELECT q.title, q.tags, a.body, a.creation_date
        FROM `bigquery-public-data.stackoverflow.posts_questions` AS q
        JOIN `bigquery-public-data.stackoverflow.posts_answers` AS a
          ON q.accepted_answer_id = a.id
        WHERE REGEXP_CONTAINS(q.tags, r'(^|\\|)python(\\||$)') AND a.creation_date >= '{since}'
    """
    late = query(warehouse, sql.format(since="2020-01-01"))
    everything = query(warehouse, sql.format(since="2008-01-01"))
    assert 1000 < len(late) < len(everything)
    for row in late[:50]:
        module = row["tags"].split("|")[1]
        assert f"<code>{module}</code>" in row["body"]


def test_articles_have_the_columns_of_the_public_table(warehouse: bigquery.Client) -> None:
    """https://console.cloud.google.com/marketplace/product/bbc/bbc-news-full-text"""
    rows = query(warehouse, "SELECT * FROM `bigquery-public-data.bbc_news.fulltext` LIMIT 5")
    assert set(rows[0]) == {"body", "title", "filename", "category"}


def test_questions_do_not_name_their_module(tables: Any) -> None:
    for row in tables["posts_questions"]:
        module = row["tags"].split("|")[1]
        assert not re.search(rf"\b{module}\b", f"{row['title']} {row['body']}", re.IGNORECASE)


def test_no_text_stands_under_two_modules(tables: Any) -> None:
    for name in ("posts_questions", "fulltext"):
        bodies = [row["body"] for row in tables[name]]
        assert len(bodies) == len(set(bodies))


def test_questions_answers_and_modules_are_enough_to_learn_from(tables: Any) -> None:
    questions = tables["posts_questions"]
    assert 1500 <= len(questions) <= 3000
    assert len({row["tags"] for row in questions}) > 40
    ids = {row["id"] for row in tables["posts_answers"]}
    accepted = [row["accepted_answer_id"] for row in questions if row["accepted_answer_id"]]
    assert set(accepted) <= ids
    assert 0.9 < len(accepted) / len(questions) < 1
    dates = sorted(row["creation_date"] for row in questions)
    assert (dates[0][:4], dates[-1][:4]) == ("2018", "2026")


def test_the_same_interpreter_makes_the_same_rows() -> None:
    here = hashlib.sha256(json.dumps(list(public_tables())).encode()).hexdigest()
    found = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == here


def test_tables_are_filled_once(tmp_path: Path) -> None:
    config = EmulatorConfig(state=tmp_path)
    counts: list[Any] = []
    for _ in range(2):
        storage = StorageService(config, Stats())
        service = BigQueryService(config, storage, Stats())
        filling = PublicData(service)
        before = filling.done
        filling.start()
        filling.wait()
        assert (before, filling.done) == (False, True)
        counts.append([sum(1 for _ in service.read_rows(table)) for table in TABLES])
        service.close()
        storage.close()
    assert counts[0] == counts[1]
    assert all(counts[0])


def test_stopping_leaves_whole_tables_only(tmp_path: Path, tables: Any) -> None:
    config = EmulatorConfig(state=tmp_path)
    storage = StorageService(config, Stats())
    service = BigQueryService(config, storage, Stats())
    filling = PublicData(service)
    filling.start()
    filling.stop()
    assert filling.done
    for table in TABLES:
        with contextlib.suppress(ApiError):  # it is not there
            count = sum(1 for _ in service.read_rows(table))
            assert count == len(tables[table.rpartition(".")[2]])
    service.close()
    storage.close()
