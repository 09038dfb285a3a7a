"""Texts that are nearly the same, and texts that share a long run of words.

Words are compared by hash, as `word_hashes` gives them, and read from DuckDB a batch at a time;
what stays in memory is a few numbers a row, whatever the length of the texts.
"""

# ruff: noqa: S608 - SQL is put together from constants and from queries of this package

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar

from genaiops_dagster.data.bulk import GROUP_BYTES, one_ahead

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Hashes = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.int64]
    First = TypeVar("First", np.int64, np.uint64)
    Second = TypeVar("Second", np.int64, np.uint64)

SHINGLE_WORDS = 3
"""Words of a shingle: short, so that texts of a sentence can be compared."""

OVERLAP_WORDS = 13
"""Words of a run that counts as the same text.

Source: T. Brown et al., Language Models are Few-Shot Learners, arXiv 2005.14165, appendix C.
"""

COMMON_GROUPS = 3
"""A run of words in this many groups of held-out rows is a phrase, not a leak."""

_BANDS, _BAND_ROWS = 16, 4
"""64 MinHash values in bands: of pairs with similarity 0.8 all but 2 in 10,000 share a band.

Source: J. Leskovec et al., Mining of Massive Datasets, section 3.4: 1 - (1 - s^r)^b.
"""

_SEED = 1
_MOST_ROWS = 1_000  # so that a batch stays in the processor's cache: twice as fast as 10,000
_MULTIPLIER = 0x9E3779B97F4A7C15
_FILTER_BITS = 22, 26  # least, so that it stays in the cache, and most
_PART_BITS = 4

_SEPARATORS = "\t\n\r.,;:!?\"'()[]{}<>"

_SPACED = functools.reduce(
    lambda text, mark: f"replace({text}, chr({ord(mark)}), ' ')", _SEPARATORS, "lower(text)"
)  # many times faster than `translate`

MACROS = f"""
CREATE MACRO spaced(text) AS {_SPACED};
CREATE MACRO hashes_of(pieces) AS list_filter(
  list_transform(pieces, lambda piece: hash(piece)), lambda hashed: hashed <> hash(''));
CREATE MACRO word_hashes(text) AS list_transform([hashes_of(string_split(spaced(text), ' '))],
  lambda words: CASE WHEN len(words) * 20 < length(text)
    THEN hashes_of(string_split(text, '')) ELSE words END)[1];
CREATE MACRO at_least(hashes, size) AS list_resize(hashes, greatest(len(hashes), size), 0::UBIGINT);
"""
"""SQL functions: hashes of the words of a text, lower case and without punctuation marks; signs
that change the meaning of code or of a formula stay.

Scripts that put no spaces between words are compared by character. A text of fewer words than a
run is filled up, so that it counts as one run.
"""


def write_words(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    target: Path,
    signatures: Path | None = None,
    at_once: int = _MOST_ROWS,
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
        for batch, columns in one_ahead(pool, sign, _read(connection, padded, at_once)):
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

    words, offsets = _flat(batch.column(1))
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
        keys = keys * np.uint64(_MULTIPLIER) + bands[:, :, place]
    return batch, [batch.column(0).to_numpy(), *keys.T]


def near_duplicates(
    connection: duckdb.DuckDBPyConnection,
    words: Path,
    signatures: Path,
    similarity: float,
    at_once: int = _MOST_ROWS,
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
    ranks, places = np.unique(pairs, return_inverse=True)
    ends = places.reshape(pairs.shape)
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
    reader = _read(
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
        later, earlier = _distinct(later, np.concatenate([earlier, origin[~new]]))
    return later, earlier


def _row_runs(column: Any) -> tuple[Numbers, Hashes]:
    """The distinct shingles of a list column of words, each with its row."""
    import numpy as np

    shingles, starts = runs(*_flat(column), SHINGLE_WORDS)
    return _distinct(np.repeat(np.arange(len(starts) - 1), np.diff(starts)), shingles)


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


def _distinct(
    first: npt.NDArray[First], second: npt.NDArray[Second]
) -> tuple[npt.NDArray[First], npt.NDArray[Second]]:
    """Distinct pairs of two columns, sorted."""
    import numpy as np

    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    new = np.ones(len(first), dtype=bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[new], second[new]


class HeldOutRuns:
    """Runs of words of the rows that no other row may repeat; `at_once` rows are read at a time.

    They wait in temporary files, each for a part of all hashes, until it is asked for them.
    """

    def __init__(self, at_once: int = _MOST_ROWS) -> None:
        self._at_once = at_once
        self._opened = ExitStack()
        files = (TemporaryFile() for _ in range(1 << _PART_BITS))  # noqa: SIM115 - see `close`
        self._parts = [self._opened.enter_context(file) for file in files]

    def close(self) -> None:
        """Forget everything."""
        self._opened.close()

    def add(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        """Hold out the rows of a query that gives `words` and `group`."""
        import numpy as np

        words = f'SELECT at_least(words, {OVERLAP_WORDS}), hash("group") FROM ({query})'
        for batch in _read(connection, words, self._at_once):
            hashes, starts = runs(*_flat(batch.column(0)), OVERLAP_WORDS)
            groups = np.repeat(batch.column(1).to_numpy(), np.diff(starts))
            place = hashes >> np.uint64(64 - _PART_BITS)
            order = np.argsort(place, kind="stable")
            pairs = np.column_stack((hashes, groups))[order]
            ends = np.searchsorted(place[order], np.arange(1, len(self._parts)))
            for part, some in zip(self._parts, np.split(pairs, ends), strict=True):
                part.write(some.tobytes())

    def _rare(self) -> Hashes:
        """Held-out runs that are not common phrases, sorted."""
        import numpy as np

        found = []
        for part in self._parts:  # in the order of their hashes
            part.seek(0)
            pairs = np.frombuffer(part.read(), np.uint64).reshape(-1, 2)
            hashes, _ = _distinct(pairs[:, 0], pairs[:, 1])
            distinct, count = np.unique(hashes, return_counts=True)
            found.append(distinct[count < COMMON_GROUPS])
        return np.concatenate(found)

    def overlapping(self, connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[int]:
        """Ranks of the rows of a query (`rank`, `words`) that repeat a held-out run."""
        import numpy as np

        held_out = self._rare()
        if not len(held_out):
            return
        fewest, most = _FILTER_BITS
        shift = np.uint64(64 - min(max((8 * len(held_out)).bit_length(), fewest), most))
        quick = np.zeros(1 << (64 - int(shift)), dtype=bool)
        quick[held_out >> shift] = True
        for ranks, words, offsets in _words(connection, query, OVERLAP_WORDS, self._at_once):
            hashes, starts = runs(words, offsets, OVERLAP_WORDS)
            (possible,) = np.nonzero(quick[hashes >> shift])
            possible = possible[np.argsort(hashes[possible])]  # to search in order is much faster
            nearest = np.searchsorted(held_out, hashes[possible]) % len(held_out)
            hits = possible[held_out[nearest] == hashes[possible]]
            rows = np.unique(np.searchsorted(starts, hits, side="right") - 1)
            yield from ranks[rows].tolist()


def overlapping(
    connection: duckdb.DuckDBPyConnection, query: str, at_once: int, golden: str | None = None
) -> Iterator[list[int]]:
    """Ranks of rows that repeat a run of words of a held-out row, one exposed side at a time.

    Evaluation rows and golden cases must not be repeated on either other side, validation rows not
    in training. A caller that drops the rows it is given holds out only what is left.

    Args:
        connection: Has the functions of `MACROS`.
        query: Gives `rank`, `words`, `group` and `side` of all rows.
        at_once: Most rows to hold in memory.
        golden: Gives `words` and `group` of cases that no side may repeat.
    """
    with closing(HeldOutRuns(at_once)) as held_out:
        if golden is not None:
            held_out.add(connection, golden)
        for held, exposed in (("evaluation", "validation"), ("validation", "training")):
            held_out.add(connection, f"SELECT * FROM ({query}) WHERE side = '{held}'")
            rows = f"SELECT rank, words FROM ({query}) WHERE side = '{exposed}'"
            yield list(held_out.overlapping(connection, rows))


def runs(words: Hashes, offsets: Numbers, size: int) -> tuple[Hashes, Numbers]:
    """Hashes of all runs of `size` words that lie within one row, and where each row's begin.

    Args:
        words: Hashes of the words of all rows, one row after the other.
        offsets: Where each row begins, and the end; every row has at least `size` words.
        size: Words of a run.
    """
    import numpy as np

    count = max(len(words) - size + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for place in range(size):
        hashes = hashes * np.uint64(_MULTIPLIER) + words[place : place + count]
    within = np.ones(count, dtype=bool)
    crossing = (offsets[1:-1, None] - np.arange(1, size)).ravel()
    within[crossing] = False
    return hashes[within], offsets - np.arange(len(offsets)) * (size - 1)


def _words(
    connection: duckdb.DuckDBPyConnection, query: str, size: int, at_once: int
) -> Iterator[tuple[Numbers, Hashes, Numbers]]:
    """Ranks, word hashes and offsets of the rows of a query (`rank`, `words`), in batches."""
    padded = f"SELECT rank, at_least(words, {size}) FROM ({query})"
    for batch in _read(connection, padded, at_once):
        yield batch.column(0).to_numpy(), *_flat(batch.column(1))


def _read(connection: duckdb.DuckDBPyConnection, query: str, at_once: int) -> Iterable[Any]:
    reader = connection.sql(query).to_arrow_reader(min(at_once, _MOST_ROWS))
    return (batch for batch in reader if len(batch))


def _flat(column: Any) -> tuple[Hashes, Numbers]:
    """Values and offsets of a list column."""
    import numpy as np

    offsets = np.asarray(column.offsets, dtype=np.int64)
    return column.flatten().to_numpy(), offsets - offsets[0]
