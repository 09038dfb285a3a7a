"""Answers as rows of a Parquet file and of the BigQuery table `generated_content`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from genaiops_dagster.google_cloud.warehouse import Column, Table
from genaiops_dagster.records import layout
from genaiops_dagster.records.record import from_row
from genaiops_dagster.records.serving import GeneratedContent, GeneratedRow

GENERATED_CONTENT = Table(
    name=layout.GENERATED_CONTENT,
    description="Answers of champions to the prompts of a day: one row for each prompt.",
    columns=(
        Column("use_case", "STRING", "Use case.", "REQUIRED"),
        Column("day", "DATE", "Day of the prompt.", "REQUIRED"),
        Column("id", "STRING", "Id of the prompt.", "REQUIRED"),
        Column("source", "STRING", "Object or query that the prompt came from.", "REQUIRED"),
        Column("source_row", "INT64", "Its row there, from 1.", "REQUIRED"),
        Column("status", "STRING", "answered, refused, blocked, truncated or failed.", "REQUIRED"),
        Column("reason", "STRING", "What explains a status but answered."),
        Column("answer", "STRING", "The model's text; NULL where a rule withholds it."),
        Column("guardrails", "STRING", "JSON: what the rules decided."),
        Column("finish_reason", "STRING", "The service's own."),
        Column("safety", "STRING", "JSON: probability by harm category."),
        Column("tool_calls", "STRING", "JSON: function calls of the answer."),
        Column("grounding", "STRING", "JSON: what a search brought."),
        Column("champion", "INT64", "Number of the champion.", "REQUIRED"),
        Column("model", "STRING", "Endpoint or base model that was called.", "REQUIRED"),
        Column("model_version", "STRING", "What the response says answered."),
        Column("response_id", "STRING", "The service's own name of the response."),
        Column("prompt_digest", "STRING", "Prompt that it was rendered with.", "REQUIRED"),
        Column("input_tokens", "INT64", "Tokens in, cached ones included."),
        Column("output_tokens", "INT64", "Tokens out, thinking included."),
        Column("cached_tokens", "INT64", "Tokens in that were read from a context cache."),
        Column("cost_usd", "FLOAT64", "Price of the answer in US dollars; NULL: not known."),
        Column("latency_seconds", "FLOAT64", "From request to response; 0 in a batch."),
        Column("batch", "BOOL", "Whether a batch job answered."),
        Column("emulated", "BOOL", "Whether the emulator answered: nothing was charged."),
    ),
    keys=("use_case", "day", "id"),
    partition="day",
    clustering=("use_case", "status"),
)

_JSON = ("guardrails", "safety", "tool_calls", "grounding")


def table_rows(
    use_case: str, made: GeneratedContent, rows: Sequence[GeneratedRow]
) -> list[dict[str, Any]]:
    """The rows of a day as `generated_content` has them."""
    shared = {
        "use_case": use_case,
        "day": made.of,
        "champion": made.champion,
        "model": made.model,
        "emulated": made.emulated,
    }
    return [{**shared, **_flat(row)} for row in rows]


def to_parquet(rows: Sequence[GeneratedRow]) -> bytes:
    """The rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"INT64": pa.int64(), "FLOAT64": pa.float64(), "BOOL": pa.bool_()}
    schema = pa.schema(
        [
            pa.field(column.name, kinds.get(column.type, pa.string()))
            for column in GENERATED_CONTENT.columns
            if column.name in GeneratedRow.model_fields
        ]
    )
    target = io.BytesIO()
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for start in range(0, len(rows), 4096):
            records = [_flat(row) for row in rows[start : start + 4096]]
            writer.write_table(pa.Table.from_pylist(records, schema=schema))
    return target.getvalue()


def from_parquet(content: bytes) -> list[GeneratedRow]:
    """The rows of a Parquet file that `to_parquet` made."""
    import pyarrow.parquet as pq

    found = pq.read_table(io.BytesIO(content)).to_pylist()
    return [
        from_row(GeneratedRow, {**row, **{name: json.loads(row[name]) for name in _JSON}})
        for row in found
    ]


def _flat(row: GeneratedRow) -> dict[str, Any]:
    fields = row.model_dump(mode="json")
    return {**fields, **{name: json.dumps(fields[name]) for name in _JSON}}
