"""Texts that are nearly the same: MinHash finds candidates, their shingles decide.

What stays in memory is a few numbers a row, whatever the length of the texts.
"""

# ruff: noqa: S608 - SQL is put together from constants and from queries of this package

from __future__ import annotations

from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genaiops_dagster.data.scratch import GROUP_BYTES, one_ahead
from genaiops_dagster.data.words import MOST_ROWS, MULTIPLIER, distinct, flat, read, runs

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from genaiops_dagster.data.words import Hashes, Numbers

SHINGLE_WORDS = 3
"""Words of a shingle: short, so that texts of a sentence can be compared."""

_BANDS, _BAND_ROWS = 16, 4
"""64 MinHash values in bands: of pairs with similarity 0.8 all but 2 in 10,000 share a band.

Source: J. Leskovec et al., Mining of Massive Datasets, section 3.4: 1 - (1 - s^r)^b.
"""

_SEED = 1


def write_words(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    signatures: Path | None = None,
    at_once: int = MOST_ROWS,
) -> None:
    """Write the words of rows to a Parquet file, for all that compares them, in one pass.

    Args:
        connection: Has the functions of `MACROS`.
        query: Gives `rank`, a number that orders rows, and `words`.
        target: The file, of the same columns.
        signatures: Folder for what `near_duplicates` needs to know of each row; None for nothing.
        at_once: Most rows to hold in memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    padded = f"SELECT rank, at_least(words, {SHINGLE_WORDS}) AS words FROM ({query})"
    schema = pa.schema([("rank", pa.int64()), ("words", pa.list_(pa.uint64()))])
    with ExitStack() as opened:
        pool = opened.enter_context(ThreadPoolExecutor(1))
        writer = opened.enter_context(
            pq.ParquetWriter(
                target, schema, compression="none", use_dictionary=False, write_statistics=False
            )
        )
        files = []
        if signatures is not None:
            signatures.mkdir(exist_ok=True)
            files = [opened.enter_context(path.open("wb")) for path in _signature_files(signatures)]
        waiting: list[Any] = []
        sign = _signed if files else _unsigned
        for batch, columns in one_ahead(pool, sign, read(connection, padded, at_once)):
            for file, column in zip(files, columns, strict=True):
                file.write(column.tobytes())
            waiting.append(batch)
            if sum(batch.nbytes for batch in waiting) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting).cast(schema))
                waiting.clear()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting).cast(schema))


def _signature_files(folder: Path) -> list[Path]:
    """Ranks, and the hashes of each band, as bare numbers of 8 bytes."""
    return [folder / "ranks", *(folder / f"band{band}" for band in range(_BANDS))]


def _unsigned(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Any]]:
    return batch, []


def _signed(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Any]]:
    """MinHash of each row, a hash for each band."""
    import numpy as np
    from rensa import RMinHash

    words, offsets = flat(batch.column(1))
    shingles, starts = runs(words, offsets, SHINGLE_WORDS)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles, starts.astype(np.uint64), _BANDS * _BAND_ROWS, _SEED
    )
    values = array("I")  # many times faster than an array of NumPy from lists
    for row in matrix.to_rows():
        values.fromlist(row)
    bands = np.frombuffer(values, np.uint32).reshape(len(batch), _BANDS, _BAND_ROWS)
    keys = np.zeros((len(batch), _BANDS), dtype=np.uint64)
    for place in range(_BAND_ROWS):
        keys = keys * np.uint64(MULTIPLIER) + bands[:, :, place]
    return batch, [batch.column(0).to_numpy(), *keys.T]


def near_duplicates(
    connection: duckdb.DuckDBPyConnection,
    words: Path,
    signatures: Path,
    similarity: float,
    at_once: int = MOST_ROWS,
) -> Iterator[tuple[int, int]]:
    """Rows that are nearly the same as an earlier one, each with the first of its cluster.

    Args:
        connection: Reads the words.
        words: What `write_words` wrote.
        signatures: The folder that it was given.
        similarity: Least share of common shingles among all of two texts (Jaccard).
        at_once: Most rows to hold in memory.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = _similar_pairs(connection, words, signatures, similarity, at_once)
    if not len(pairs):
        return
    ranks, inverse = np.unique(pairs, return_inverse=True)
    ends = inverse.reshape(pairs.shape)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(ranks),) * 2)
    _, clusters = connected_components(graph, directed=False)
    _, first = np.unique(clusters, return_index=True)  # ranks ascend: the first is the earliest
    for rank, origin in zip(ranks, ranks[first[clusters]], strict=True):
        if rank != origin:
            yield int(rank), int(origin)


def _similar_pairs(
    connection: duckdb.DuckDBPyConnection,
    words: Path,
    signatures: Path,
    similarity: float,
    at_once: int,
) -> Numbers:
    """Pairs of ranks (later, earlier) whose texts are as similar as asked, by their shingles."""
    import numpy as np
    import pyarrow as pa

    later, earlier = _sharing_a_band(signatures)
    connection.register("candidates", pa.table({"rank": later, "first": earlier}))
    reader = read(
        connection,
        f"""
        SELECT pairs.rank, first, pairs.words AS a, earlier.words AS b
        FROM read_parquet('{words}') AS earlier JOIN (
          SELECT rank, words, first FROM read_parquet('{words}') JOIN candidates USING (rank)
        ) AS pairs ON earlier.rank = first
    """,
        at_once,
    )
    found = []
    for batch in reader:
        later, earlier = (batch.column(place).to_numpy() for place in (0, 1))
        common, all_ = _overlap(*(_row_runs(batch.column(place)) for place in (2, 3)))
        similar = common >= similarity * all_
        found.append(np.column_stack((later[similar], earlier[similar])))
    return np.concatenate([np.zeros((0, 2), dtype=np.int64), *found])


def _sharing_a_band(signatures: Path) -> tuple[Numbers, Numbers]:
    """Ranks of texts that share a band with an earlier one, and of the earliest in that band."""
    import numpy as np

    file, *bands = _signature_files(signatures)
    ranks = np.fromfile(file, np.int64)
    by_rank = np.argsort(ranks)
    ranks = ranks[by_rank]
    later = earlier = np.zeros(0, dtype=np.int64)
    for band in bands:
        keys = np.fromfile(band, np.uint64)[by_rank]
        order = np.argsort(keys, kind="stable")
        new = np.ones(len(keys), dtype=bool)
        new[1:] = keys[order[1:]] != keys[order[:-1]]
        origin = ranks[order[np.flatnonzero(new)]][np.cumsum(new) - 1]
        later = np.concatenate([later, ranks[order[~new]]])
        later, earlier = distinct(later, np.concatenate([earlier, origin[~new]]))
    return later, earlier


def _row_runs(column: Any) -> tuple[Numbers, Hashes]:
    """The distinct shingles of a list column of words, each with its row."""
    import numpy as np

    shingles, starts = runs(*flat(column), SHINGLE_WORDS)
    return distinct(np.repeat(np.arange(len(starts) - 1), np.diff(starts)), shingles)


def _overlap(one: tuple[Numbers, Hashes], other: tuple[Numbers, Hashes]) -> tuple[Numbers, Numbers]:
    """How many shingles two texts share, and how many they have together, row by row."""
    import numpy as np

    rows, shingles = (np.concatenate(parts) for parts in zip(one, other, strict=True))
    order = np.lexsort((shingles, rows))
    rows, shingles = rows[order], shingles[order]
    repeated = (rows[1:] == rows[:-1]) & (shingles[1:] == shingles[:-1])
    sizes = np.bincount(rows)
    common = np.bincount(rows[1:][repeated], minlength=len(sizes))
    return common, sizes - common
