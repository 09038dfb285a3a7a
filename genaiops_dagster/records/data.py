"""The data assets' records: addresses, digests and counts of rows, never the rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from genaiops_dagster.records.record import Record

SplitName = Literal["training", "validation", "evaluation"]


class StoredRows(Record):
    """Rows in a Parquet file in the bucket.

    Attributes:
        uri: `gs://` address; contains the digest.
        digest: sha256 of the rows' content, independent of file layout.
        rows: How many rows the file holds.
        columns: Column types by name.
        rejected: How many rows were left out, by reason.
        rejected_uri: Parquet file that lists the rows left out, each with its reason and origin.
    """

    uri: str
    digest: str
    rows: int
    columns: dict[str, str]
    rejected: dict[str, int] = Field(default_factory=dict)
    rejected_uri: str | None = None


class Example(Record):
    """One input with its expected output.

    Attributes:
        id: Identifies the example in its use case.
        group: Examples of one group stay on one side of a split.
        slices: Values by slice name, for results by slice.
        variables: Variables of the prompt template.
        output: The expected output.
    """

    id: str
    group: str
    slices: dict[str, str]
    variables: dict[str, Any]
    output: str


class DatasetSplit(Record):
    """One of the three disjoint sets, as a JSONL file in the bucket.

    Training and validation lines are in Gemini's tuning form, rendered with the use case's prompt;
    evaluation lines are `Example` records, so that each candidate can be asked with its own prompt.

    Attributes:
        name: Which of the three.
        uri: `gs://<bucket>/<use case>/datasets/<dataset digest>/<name>.jsonl`.
        digest: sha256 of this file's content.
        dataset_digest: sha256 over the three sets, which they share.
        prompt_digest: Digest of the prompt that the set was made with.
        rows: Lines of the file.
        characters: Characters of all inputs and outputs together, to estimate tokens.
    """

    name: SplitName
    uri: str
    digest: str
    dataset_digest: str
    prompt_digest: str
    rows: int
    characters: int


class SourceTable(Record):
    """A table that source rows may be selected from.

    Attributes:
        name: Table name in its dataset.
        rows, bytes: Its size; None for a view.
        columns: BigQuery types by column.
    """

    name: str
    rows: int | None
    bytes: int | None
    columns: dict[str, str]


class SourceTables(Record):
    """The tables of a dataset, for a person who writes the query.

    Attributes:
        dataset: `project.dataset`.
        tables: By name.
    """

    dataset: str
    tables: list[SourceTable]
