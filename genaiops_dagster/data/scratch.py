"""Files that may be larger than memory: DuckDB over them, their digests, and their transfer."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from genaiops_dagster.google_cloud.object_store import ObjectStore

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

T = TypeVar("T")
R = TypeVar("R")

_MEMORY_LIMIT = "370MB"
_THREADS = 4  # each needs memory of its own
_BATCH_ROWS = 5_000
_JOINS_AS_WRITTEN = "join_order,build_side_probe_side"
"""A join holds its right side in memory. DuckDB would choose by rows, and cannot know that one side
is texts and the other one numbers: queries here name the texts first.
"""

_MOST_ROWS = 20_480

GROUP_BYTES = 4_000_000
_SORTED_BYTES = 16_000_000
_VECTOR_ROWS = 2_048
_FEW_ROWS = 64

GROUPS = f"ROW_GROUP_SIZE_BYTES '{GROUP_BYTES} bytes'"
"""How `COPY` groups the rows of a Parquet file: by bytes, for a row may fill a model's window.

DuckDB reads a group, or 2,048 rows of a larger one, at once, and reading JSON takes twelve times
its size.
"""


@contextmanager
def scratch() -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    """A temporary folder and a database in it that spills to that folder, both gone at the end."""
    import duckdb

    with TemporaryDirectory(prefix="genaiops-") as name:
        folder = Path(name)
        settings = {
            "memory_limit": _MEMORY_LIMIT,
            "threads": min(_THREADS, os.cpu_count() or 1),
            "temp_directory": str(folder / "spill"),
        }
        with duckdb.connect(str(folder / "work.duckdb"), config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
            connection.execute(f"SET disabled_optimizers = '{_JOINS_AS_WRITTEN}'")
            yield folder, connection


def rows_in(path: Path, size: int = GROUP_BYTES) -> int:
    """How many rows of a Parquet file take a number of bytes, on average; at most 20,480."""
    import pyarrow.parquet as pq

    found = pq.read_metadata(path)
    sizes = (found.row_group(n).total_byte_size for n in range(found.num_row_groups))
    return max(1, min(_MOST_ROWS, int(size * found.num_rows / max(sum(sizes), 1))))


def spare_memory(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Work with one thread from here on if the rows of a Parquet file are long documents.

    Each thread parses a group of rows several times at once, and none of that can be spilled.
    """
    if rows_in(path) < _FEW_ROWS:
        connection.execute("SET threads = 1")


def in_small_groups(path: Path) -> Path:
    """A Parquet file of long rows in groups that fit into memory; of short rows, the same file.

    An unreadable file stays as it is, so that DuckDB reports it.
    """
    import pyarrow as pa

    target = path.with_suffix(".small")
    try:
        rows = rows_in(path)
        if rows >= _VECTOR_ROWS:
            return path
        _copy_in_groups(path, target, rows)
    except (pa.ArrowException, OSError):
        target.unlink(missing_ok=True)
        return path
    path.unlink()
    return target


def _copy_in_groups(path: Path, target: Path, rows: int) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as found, pq.ParquetWriter(target, found.schema_arrow) as writer:
        for batch in found.iter_batches(rows):
            step = max(1, len(batch) * GROUP_BYTES // max(batch.nbytes, 1))
            for start in range(0, len(batch), step):
                writer.write_batch(batch.slice(start, step))


def insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Add rows to a table, a batch at a time; `rows` may come from a query of the connection."""
    import pyarrow as pa

    remaining = iter(rows)
    with connection.cursor() as cursor:  # the connection itself may still be reading
        schema = cursor.sql(f"SELECT {', '.join(columns)} FROM {table} LIMIT 0")  # noqa: S608
        kinds = schema.to_arrow_table().schema
        while batch := list(islice(remaining, _BATCH_ROWS)):
            values = zip(*batch, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(values, kinds, strict=True)
            ]
            cursor.register("batch", pa.table(arrays, schema=kinds))
            cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) FROM batch")


def write_in_order(
    connection: duckdb.DuckDBPyConnection, query: str, place: str, target: Path, like: Path
) -> None:
    """Write the rows of a query to a Parquet file, in order, whatever they take up together.

    Rows go to files that each hold a stretch of the order, and these are sorted one by one: a sort
    of all rows at once needs memory for all their texts.

    Args:
        connection: Runs the query.
        query: Gives the rows.
        place: Its column that counts them from 0 in the order wanted; it is not written.
        target: The file.
        like: A Parquet file with rows of the same length.
    """
    import numpy as np
    import pyarrow as pa

    group, stretch = rows_in(like), rows_in(like, _SORTED_BYTES)
    rows = connection.sql(query).to_arrow_reader(min(group, _BATCH_ROWS))
    with TemporaryDirectory(dir=target.parent) as folder, ExitStack() as opened:
        stretches: dict[int, tuple[Path, Any]] = {}
        for batch in rows:
            order = np.argsort(positions := batch.column(place).to_numpy())
            numbers, starts = np.unique(positions[order] // stretch, return_index=True)
            ordered, ends = batch.take(order), [*starts[1:], len(batch)]
            for number, start, end in zip(numbers.tolist(), starts, ends, strict=True):
                if number not in stretches:
                    path = Path(folder) / f"{number}.arrow"
                    writer = pa.ipc.new_file(path, rows.schema)
                    stretches[number] = path, opened.enter_context(writer)
                stretches[number][1].write(ordered.slice(start, end - start))
        opened.close()
        paths = [path for _, (path, _) in sorted(stretches.items())]
        with ThreadPoolExecutor(1) as pool:
            batches = (
                batch
                for sorted_rows in one_ahead(pool, partial(_sorted_rows, by=place), paths)
                for batch in sorted_rows.to_batches(group)
            )
            reader = pa.RecordBatchReader.from_batches(rows.schema, batches)
            connection.execute("SET preserve_insertion_order = true")
            connection.register("in_order", reader)
            connection.execute(
                f"COPY (SELECT * EXCLUDE {place} FROM in_order) TO '{target}' "  # noqa: S608
                f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, {GROUPS})"
            )
            connection.unregister("in_order")
            connection.execute("SET preserve_insertion_order = false")


def _sorted_rows(path: Path, by: str) -> pa.Table:
    """Rows of an Arrow file, sorted; the file is gone."""
    import pyarrow as pa

    with pa.ipc.open_file(path) as file:
        rows = file.read_all().sort_by(by).combine_chunks()
    path.unlink()
    return rows


def one_ahead(pool: Executor, do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `do` in order; the next one is made while the caller works on this one."""
    coming: Future[R] | None = None
    for item in items:
        following = pool.submit(do, item)
        if coming is not None:
            yield coming.result()
        coming = following
    if coming is not None:
        yield coming.result()


def number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one whole number that a query gives; 0 for NULL."""
    ((found,),) = connection.execute(query).fetchall()
    return int(found or 0)


def content_digest(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """sha256 over the rows of a query whose column `digest` is each row's own; order is ignored."""
    whole = hashlib.sha256()
    rows = connection.execute(f"SELECT digest FROM ({query}) ORDER BY digest")  # noqa: S608
    while batch := rows.fetchmany(10_000):
        whole.update("".join(digest for (digest,) in batch).encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(store: ObjectStore, name: str, path: Path, generation: int | None = None) -> Path:
    """Copy an object to a local file, a piece at a time; the file."""
    with store.open(name, generation) as content, path.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    return path


def keep(store: ObjectStore, name: str, path: Path) -> None:
    """Put a local file into the bucket, unless the object is there already."""
    with path.open("rb") as content:
        store.write_once(name, content, "application/octet-stream")
