"""A use case and its files, without any service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from genaiops_dagster.data.curation import Curated, curate
from genaiops_dagster.data.scratch import scratch
from genaiops_dagster.data.screening import CountExample
from genaiops_dagster.data.sources import SourceRow, write_source_rows
from genaiops_dagster.use_case import UseCase

Curate = Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]], Curated]]


def use_case_of(**sections: Any) -> UseCase:
    """A small use case; sections replace the defaults."""
    content: dict[str, Any] = {
        "name": "questions",
        "description": "Questions and answers.",
        "source": {},
        "columns": {"output": "answer", "group": "author", "slices": ["topic"]},
        "prompt": {"template": "Question: {{ question }}", "system_instruction": "Be brief."},
        "candidates": {"tuned": {"model": "tuned"}},
        "tuning": {"base_model": "gemini-3.5-flash"},
        "gate": {
            "minimum_rows": 5,
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.5}],
        },
    }
    return UseCase.model_validate(content | sections)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


@pytest.fixture
def curated(tmp_path: Path) -> Curate:
    """Curates rows; what came out as examples and as rejected rows."""

    def run(
        rows: Iterable[dict[str, Any] | SourceRow],
        use_case: UseCase | None = None,
        golden: Path | None = None,
        count_tokens: CountExample = lambda variables, output: len(str(variables)) + len(output),
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Curated]:
        found = [
            row
            if isinstance(row, SourceRow)
            else SourceRow("bigquery:test", None, None, json.dumps(row), None)
            for row in rows
        ]
        source = tmp_path / "source.parquet"
        write_source_rows(found, source)
        with scratch() as (_, connection):
            result = curate(
                connection,
                source,
                tmp_path,
                use_case or use_case_of(),
                count_tokens,
                golden,
            )
            return rows_of(result.examples), rows_of(result.rejected), result

    return run
