"""The data from bucket to bucket: read, work in a temporary folder, store once."""

# ruff: noqa: S608 - the only text put into SQL is the path of a temporary file

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genaiops_dagster.data import checks
from genaiops_dagster.data.checks import CheckOutcome
from genaiops_dagster.data.curation import curate, prepare, prompt_bytes
from genaiops_dagster.data.inbox import complete
from genaiops_dagster.data.profile import Balance, Profile, balance, profile, slices_by_side
from genaiops_dagster.data.scratch import (
    GROUPS,
    content_digest,
    fetch,
    file_digest,
    keep,
    number,
    scratch,
    spare_memory,
)
from genaiops_dagster.data.screening import CountExample
from genaiops_dagster.data.sources import (
    SourceRow,
    check_query,
    export_query,
    read_objects,
    write_source_rows,
)
from genaiops_dagster.data.splits import write_splits
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.prompts.rendering import tuning_line, version
from genaiops_dagster.prompts.tokens import CountTokens, user_message
from genaiops_dagster.records.data import DatasetSplit, SplitName, StoredRows
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import find_object, find_record, to_json
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import UseCase

if TYPE_CHECKING:
    import duckdb

SHOWN_VALUES = 20
"""Most values of a slice that are reported."""


class Delivery(NamedTuple):
    """One source of the rows.

    Attributes:
        uri: Address of the object, or `bigquery:` and the query's digest.
        generation: Generation of the object; None for a query.
        rows: Rows that it holds; a whole object that cannot be read is one.
        unusable: How many of them cannot be read.
        reasons: Why.
    """

    uri: str
    generation: int | None
    rows: int
    unusable: int
    reasons: str


class SourceReport(NamedTuple):
    """The result of reading the sources, for people.

    Attributes:
        deliveries: The rows of each source; those with unusable rows first.
        waiting: Objects whose batch is not complete, which were left out.
        bytes_estimated, bytes_billed: Of the query; None without one.
    """

    deliveries: list[Delivery]
    waiting: int
    bytes_estimated: int | None
    bytes_billed: int | None


def store_source_rows(
    use_case: UseCase, store: ObjectStore, warehouse: Warehouse, now: float
) -> tuple[StoredRows, SourceReport, dict[str, CheckOutcome]]:
    """Read all sources and keep their rows at `<use case>/sources/<digest>.parquet`.

    Args:
        use_case: Sources and columns.
        store: Bucket of the inbox and of the rows.
        warehouse: Runs the query.
        now: The moment in seconds since 1970, by which objects are old enough.

    Returns:
        The rows, what was found where, and the outcome of the checks by name.

    Raises:
        SourceError: the query would read too much or lacks a column.
    """
    ready, waiting = complete(store.list(use_case.inbox), use_case.source, now)
    estimated = billed = None
    with scratch() as (folder, connection):
        parts = folder / "parts"
        parts.mkdir()
        if use_case.source.sql:
            estimated = check_query(use_case, warehouse).bytes
            billed = export_query(use_case, store, warehouse, connection, parts)
        read_objects(use_case, store, ready, connection, parts)
        path = folder / "rows.parquet"
        connection.execute(
            f"COPY (FROM read_parquet('{parts}/*.parquet')) TO '{path}' "
            f"(FORMAT parquet, COMPRESSION zstd, {GROUPS})"
        )
        rows = _stored(use_case, store, connection, path)
        report = SourceReport(_deliveries(connection, path), len(waiting), estimated, billed)
        outcomes = {
            "schema": checks.schema(rows, use_case),
            "readable": checks.readable(connection, path),
        }
    return rows, report, outcomes


def _stored(
    use_case: UseCase, store: ObjectStore, connection: duckdb.DuckDBPyConnection, path: Path
) -> StoredRows:
    relation = f"read_parquet('{path}')"
    text = "concat_ws('|', source_uri, source_generation, source_row, fields, error)"
    digest = content_digest(connection, f"SELECT sha256({text}) AS digest FROM {relation}")
    count = number(connection, f"SELECT count(*) FROM {relation}")
    columns = connection.execute(f"""
        SELECT name, string_agg(DISTINCT kind, ' | ' ORDER BY kind) FILTER (kind <> 'NULL')
        FROM (SELECT name, json_type(fields, '/' || replace(replace(name, '~', '~0'), '/', '~1'))
                AS kind
              FROM (SELECT fields, unnest(json_keys(fields)) AS name FROM {relation}))
        GROUP BY name ORDER BY name
    """).fetchall()
    name = Layout(use_case.name).source_rows(digest)
    keep(store, name, path)
    return StoredRows(
        uri=store.uri(name),
        digest=digest,
        rows=count,
        columns={column: kind or "NULL" for column, kind in columns},
    )


def _deliveries(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Delivery]:
    rows = connection.execute(f"""
        SELECT source_uri, source_generation, count(*), count(error),
          coalesce(string_agg(DISTINCT error, ', ' ORDER BY error), '')
        FROM read_parquet('{path}') GROUP BY ALL ORDER BY count(error) DESC, source_uri
    """).fetchall()
    return [Delivery(*row) for row in rows]


def store_examples(
    use_case: UseCase, store: ObjectStore, source_rows: StoredRows, count_contents: CountTokens
) -> tuple[StoredRows, dict[str, int], dict[str, CheckOutcome]]:
    """Curate source rows; keep examples and rejected rows under `<use case>/examples/<digest>/`.

    Returns:
        The examples, figures on them (rows by side, and `redacted`), and the outcome of the checks
        by name.
    """
    policy = use_case.curation
    with scratch() as (folder, connection):
        source = fetch(store, store.name_of(source_rows.uri), folder / "source.parquet")
        golden = _golden(use_case, folder)
        curated = curate(
            connection, source, folder, use_case, example_counter(use_case, count_contents), golden
        )
        path = curated.examples
        digest = content_digest(
            connection,
            f"SELECT sha256(to_json(t)::VARCHAR) AS digest FROM read_parquet('{path}') AS t",
        )
        columns = connection.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()
        name = Layout(use_case.name).examples(digest)
        keep(store, name, path)
        rejected = Layout(use_case.name).rejected(digest, file_digest(curated.rejected))
        keep(store, rejected, curated.rejected)
        rows = StoredRows(
            uri=store.uri(name),
            digest=digest,
            rows=sum(curated.sides.values()),
            columns={name: kind for name, kind, *_ in columns},
            rejected=curated.counts,
            rejected_uri=store.uri(rejected),
        )
        checks.key_examples(connection, path)
        outcomes = {
            "few_rejected": checks.few_rejected(
                connection, rows, curated.rejected, policy.maximum_rejected
            ),
            "no_duplicates": checks.no_duplicates(connection, path),
            "no_leakage": checks.no_leakage(connection, path, golden),
            "no_sensitive_data": checks.no_sensitive_data(connection, path, policy),
        }
    return rows, curated.sides | {"redacted": curated.redacted}, outcomes


def example_counter(use_case: UseCase, count_contents: CountTokens) -> CountExample:
    """Counts the tokens of an example with everything that the prompt adds."""
    prompt = version(use_case.prompt)

    def count(variables: dict[str, Any], output: str) -> int:
        system = prompt.system_instruction
        instruction = [user_message(system)] if system else []
        return count_contents([*instruction, *tuning_line(prompt, variables, output)["contents"]])

    return count


def _golden(use_case: UseCase, folder: Path) -> Path | None:
    """Inputs of the use case's golden cases as source rows, if it has some."""
    column_of = use_case.columns.variables
    rows = [
        json.dumps({column_of.get(name, name): value for name, value in case.variables.items()})
        for case in use_case.evaluation.golden
    ]
    if not rows:
        return None
    path = folder / "golden.parquet"
    write_source_rows(
        (SourceRow("golden", None, number, row, None) for number, row in enumerate(rows, 1)), path
    )
    return path


class Sets(NamedTuple):
    """The three sets, with the figures and checks about them.

    Attributes:
        splits: The sets by name.
        slices: Rows of each slice: slice, value, training, validation, evaluation.
        balance: Rows by label, where outputs are labels.
        outcomes: Outcome of the checks by name.
    """

    splits: dict[SplitName, DatasetSplit]
    slices: list[tuple[str, str, int, int, int]]
    balance: Balance
    outcomes: dict[str, CheckOutcome]


def store_sets(
    use_case: UseCase,
    store: ObjectStore,
    examples: StoredRows,
    prompt: PromptVersion,
    count_contents: CountTokens,
) -> Sets:
    """Write the three sets once under `<use case>/datasets/<dataset digest>/`."""
    with scratch() as (folder, connection):
        prepare(connection, use_case)
        source = fetch(store, store.name_of(examples.uri), folder / "examples.parquet")
        spare_memory(connection, source)
        files = write_splits(connection, source, prompt, folder)
        dataset_digest = fingerprint({name: file.digest for name, file in files.items()})
        layout = Layout(use_case.name)
        for name, file in files.items():
            keep(store, layout.data_set(dataset_digest, name), file.path)
        splits = {
            name: DatasetSplit(
                name=name,
                uri=store.uri(layout.data_set(dataset_digest, name)),
                digest=file.digest,
                dataset_digest=dataset_digest,
                prompt_digest=prompt.digest,
                rows=file.rows,
                characters=file.characters,
            )
            for name, file in files.items()
        }
        described = profile(connection, source)
        trained = _trained_profile(use_case, store)
        store.write_once(layout.profile(files["training"].digest), to_json(described))
        labels = balance(connection, source, described)
        outcomes = {
            "enough_examples": checks.enough_examples(splits, use_case),
            "within_tuning_limits": checks.within_limits(
                connection,
                source,
                files,
                prompt_bytes(use_case),
                example_counter(use_case, count_contents),
            ),
            "prompt_parity": checks.prompt_parity(
                connection, source, files["training"].path, prompt, use_case
            ),
            "label_balance": checks.label_balance(labels),
            "no_drift": checks.no_drift(described, trained),
        }
        return Sets(splits, slices_by_side(connection, source, SHOWN_VALUES), labels, outcomes)


def _trained_profile(use_case: UseCase, store: ObjectStore) -> Profile | None:
    """Profile of the data that the last tuned model was trained on, if there is one."""
    tuned = find_record(store, TunedModel, use_case.name, "tuned_model")
    if tuned is None:
        return None
    return find_object(store, Layout(use_case.name).profile(tuned.training_digest), Profile)
