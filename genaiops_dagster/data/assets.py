"""From source rows to three disjoint sets, and the checks that stop bad data before it costs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from genaiops_dagster.data.checks import CheckOutcome
from genaiops_dagster.data.exploration import explore, sample
from genaiops_dagster.data.storing import (
    Sets,
    SourceReport,
    store_examples,
    store_sets,
    store_source_rows,
)
from genaiops_dagster.orchestration.asset_options import (
    Materialized,
    asset_key,
    asset_options,
    inputs,
    use_case_asset,
)
from genaiops_dagster.orchestration.metadata import column_schema, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import RESOURCES, open_workspace
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.data import DatasetSplit, SourceTables, StoredRows
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import UseCase

SHOWN_DELIVERIES = 50
"""Most objects that the metadata of `source_rows` lists."""

_WARNINGS = {"readable", "no_duplicates", "label_balance", "no_drift"}

_CHECKS = {
    "source_rows": {
        "schema": "The columns that the use case names are there.",
        "readable": "Every object and every row can be read.",
    },
    "examples": {
        "few_rejected": "Few enough rows are unusable.",
        "no_duplicates": "No example is there twice.",
        "no_leakage": "No group, input or long run of words is on two sides.",
        "no_sensitive_data": "There are no personal data and no secrets.",
    },
    "training_set": {
        "enough_examples": "There is enough to tune on and to decide by.",
        "within_tuning_limits": "Examples and files are within the limits of the service.",
        "prompt_parity": "The set was made with the prompt that evaluation and serving use.",
        "label_balance": "Every label occurs often enough to be learned.",
        "no_drift": "The data looks like the data of the last tuned model.",
    },
}
"""Checks with what they say, by asset; those that are not warnings block."""


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets from the sources of a use case to its three sets, with the checks.

    Assets are `inbox` (outside of Dagster), `source_tables` (where the use case names a dataset),
    `source_rows`, `examples`, `training_set`, `validation_set` and `evaluation_set`.
    """
    return [
        _inbox(use_case),
        *(_source_tables(use_case) if use_case.source.dataset else []),
        *_source_rows(use_case),
        *_examples(use_case),
        *_sets(use_case),
    ]


def _inbox(use_case: UseCase) -> dg.AssetSpec:
    """Objects that others deliver; the sensor reports them."""
    options = asset_options(use_case, "data")
    return dg.AssetSpec(
        key=asset_key(use_case, "inbox"),
        description=escape_markdown(
            f"Objects delivered under {use_case.inbox}: JSONL, CSV or Parquet."
        ),
        kinds={"gcs"},
        group_name=options["group_name"],
        owners=options["owners"],
        tags=options["tags"],
    )


def _source_tables(use_case: UseCase) -> list[Any]:
    dataset = use_case.source.dataset or ""

    @use_case_asset(
        use_case,
        "data",
        description=escape_markdown(
            f"Tables and columns of {dataset}, to look at before writing SQL."
        ),
        kinds={"bigquery"},
        code_version="1",
        dagster_type=SourceTables,
    )
    def source_tables(context: dg.AssetExecutionContext) -> Materialized:
        with open_workspace(context, use_case) as here:
            found = explore(here.warehouse, dataset)
            rows = sample(here.warehouse, found, use_case.source.sample_rows)
        return dg.MaterializeResult(
            value=found, metadata=_tables_metadata(found) | _sample_metadata(rows)
        )

    return [source_tables]


def _source_rows(use_case: UseCase) -> list[Any]:
    @use_case_asset(
        use_case,
        "data",
        description="Rows of the query and of the objects in the inbox, as they were found.",
        kinds={"bigquery", "gcs"},
        code_version="2",
        deps=[asset_key(use_case, "inbox")],
        dagster_type=StoredRows,
        check_specs=_check_specs(use_case, "source_rows"),
        retry_policy=dg.RetryPolicy(max_retries=1, delay=5),
    )
    def source_rows(context: dg.AssetExecutionContext) -> Materialized:
        with open_workspace(context, use_case) as here:
            now = here.clock.now().timestamp()
            rows, report, outcomes = store_source_rows(use_case, here.store, here.warehouse, now)
        return dg.MaterializeResult(
            value=rows,
            data_version=dg.DataVersion(rows.digest),
            metadata=_rows_metadata(rows) | _source_metadata(report),
            check_results=_check_results(outcomes),
        )

    return [source_rows]


def _examples(use_case: UseCase) -> list[Any]:
    @use_case_asset(
        use_case,
        "data",
        description="Curated examples: bad rows are rejected, each with a reason.",
        kinds={"python", "gcs"},
        code_version="2",
        ins=inputs(use_case, "source_rows"),
        dagster_type=StoredRows,
        check_specs=_check_specs(use_case, "examples"),
    )
    def examples(context: dg.AssetExecutionContext, source_rows: StoredRows) -> Materialized:
        with open_workspace(context, use_case) as here:
            count = api_counter(here.models, use_case.tuning.base_model)
            rows, figures, outcomes = store_examples(use_case, here.store, source_rows, count)
        return dg.MaterializeResult(
            value=rows,
            data_version=dg.DataVersion(rows.digest),
            metadata=_rows_metadata(rows)
            | figures
            | {
                "rejected": sum(rows.rejected.values()),
                "rejected_by_reason": markdown_table(["reason", "rows"], rows.rejected.items()),
                "rejected_rows": rows.rejected_uri,
            },
            check_results=_check_results(outcomes),
        )

    return [examples]


def _sets(use_case: UseCase) -> list[dg.AssetsDefinition]:
    descriptions = {
        "training_set": "What the model is tuned on.",
        "validation_set": "What tuning is watched on.",
        "evaluation_set": "What every candidate is scored on.",
    }
    options = asset_options(use_case, "data")
    prefix = options.pop("key_prefix")

    @dg.multi_asset(
        name=f"{use_case.name}__sets",
        outs={
            name: dg.AssetOut(
                key_prefix=prefix,
                description=description,
                kinds={"gcs", "json"},
                code_version="2",
                dagster_type=DatasetSplit,
                **options,
            )
            for name, description in descriptions.items()
        },
        ins=inputs(use_case, "examples", "prompt"),
        check_specs=_check_specs(use_case, "training_set"),
        required_resource_keys=set(RESOURCES),
    )
    def sets(
        context: dg.AssetExecutionContext, examples: StoredRows, prompt: PromptVersion
    ) -> Iterator[Materialized]:
        with open_workspace(context, use_case) as here:
            count = api_counter(here.models, use_case.tuning.base_model)
            found = store_sets(use_case, here.store, examples, prompt, count)
        for name, split in found.splits.items():
            yield dg.MaterializeResult(
                asset_key=asset_key(use_case, f"{name}_set"),
                value=split,
                data_version=dg.DataVersion(split.digest),
                metadata={
                    "dagster/uri": split.uri,
                    "dagster/row_count": split.rows,
                    "characters": split.characters,
                    "dataset_digest": split.dataset_digest,
                    "prompt_digest": split.prompt_digest,
                    **_spread_metadata(found),
                },
                check_results=_check_results(found.outcomes) if name == "training" else [],
            )

    return [sets]


def _tables_metadata(found: SourceTables) -> dict[str, Any]:
    sizes = [(table.name, table.rows, table.bytes, len(table.columns)) for table in found.tables]
    return {
        "tables": markdown_table(["table", "rows", "bytes", "columns"], sizes),
        **{f"columns_of_{table.name}": column_schema(table.columns) for table in found.tables},
    }


def _sample_metadata(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """A table for each source table that has rows."""
    return {
        f"rows_of_{table}": markdown_table(list(some[0]), [list(row.values()) for row in some])
        for table, some in rows.items()
        if some
    }


def _rows_metadata(rows: StoredRows) -> dict[str, Any]:
    return {
        "dagster/uri": rows.uri,
        "dagster/row_count": rows.rows,
        "dagster/column_schema": column_schema(rows.columns),
    }


def _source_metadata(report: SourceReport) -> dict[str, Any]:
    shown = report.deliveries[:SHOWN_DELIVERIES]
    return {
        "deliveries": len(report.deliveries),
        "waiting": report.waiting,
        "sources": markdown_table(
            ["source", "generation", "rows", "unusable", "reasons"],
            [(one.uri, _text(one.generation), *one[2:]) for one in shown],
        ),
        **({"bytes_estimated": report.bytes_estimated} if report.bytes_estimated else {}),
        **({"bytes_billed": report.bytes_billed} if report.bytes_billed else {}),
    }


def _spread_metadata(found: Sets) -> dict[str, Any]:
    """Rows by slice and by label, on all sides."""
    sides = ["training", "validation", "evaluation"]
    tables = {}
    if found.slices:
        tables["slices"] = markdown_table(["slice", "value", *sides], found.slices)
    if found.balance.labels:
        tables["labels"] = markdown_table(
            ["label", *sides],
            [
                (label, *(counts.get(side, 0) for side in found.splits))
                for label, counts in found.balance.labels.items()
            ],
        )
    return tables


def _check_specs(use_case: UseCase, asset: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            name,
            asset=asset_key(use_case, asset),
            description=description,
            blocking=name not in _WARNINGS,
        )
        for name, description in _CHECKS[asset].items()
    ]


def _check_results(outcomes: Mapping[str, CheckOutcome]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=outcome.passed,
            severity=(
                dg.AssetCheckSeverity.WARN if name in _WARNINGS else dg.AssetCheckSeverity.ERROR
            ),
            metadata=outcome.figures | _row_table(outcome.rows),
        )
        for name, outcome in outcomes.items()
    ]


def _row_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A table of rows that may have different columns."""
    if not rows:
        return {}
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    return {"rows_shown": markdown_table(columns, cells)}


def _text(value: object) -> object:
    """A whole number as text, so that a table does not round a generation."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
