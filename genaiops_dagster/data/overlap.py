"""Texts that share a long run of words with a text that is held out."""

# ruff: noqa: S608 - SQL is put together from constants and from queries of this package

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from genaiops_dagster.data.words import MOST_ROWS, distinct, flat, read, runs

if TYPE_CHECKING:
    import duckdb

    from genaiops_dagster.data.words import Hashes, Numbers

OVERLAP_WORDS = 13
"""Words of a run that counts as the same text.

Source: T. Brown et al., Language Models are Few-Shot Learners, arXiv 2005.14165, appendix C.
"""

COMMON_GROUPS = 3
"""A run of words in this many groups of held-out rows is a phrase, not a leak."""

_FILTER_BITS = 22, 26  # least, so that it stays in the cache, and most
_PART_BITS = 4


class HeldOutRuns:
    """Runs of words of the rows that no other row may repeat; `at_once` rows are read at a time.

    They wait in temporary files, each for a part of all hashes, until it is asked for them.
    """

    def __init__(self, at_once: int = MOST_ROWS) -> None:
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
        for batch in read(connection, words, self._at_once):
            hashes, starts = runs(*flat(batch.column(0)), OVERLAP_WORDS)
            groups = np.repeat(batch.column(1).to_numpy(), np.diff(starts))
            place = hashes >> np.uint64(64 - _PART_BITS)
            order = np.argsort(place, kind="stable")
            pairs = np.column_stack((hashes, groups))[order]
            ends = np.searchsorted(place[order], np.arange(1, len(self._parts), dtype=np.uint64))
            for part, some in zip(self._parts, np.split(pairs, ends), strict=True):
                part.write(some.tobytes())

    def _rare(self) -> Hashes:
        """Held-out runs that are not common phrases, sorted."""
        import numpy as np

        found = []
        for part in self._parts:  # in the order of their hashes
            part.seek(0)
            pairs = np.frombuffer(part.read(), np.uint64).reshape(-1, 2)
            hashes, _ = distinct(pairs[:, 0], pairs[:, 1])
            different, count = np.unique(hashes, return_counts=True)
            found.append(different[count < COMMON_GROUPS])
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


def _words(
    connection: duckdb.DuckDBPyConnection, query: str, size: int, at_once: int
) -> Iterator[tuple[Numbers, Hashes, Numbers]]:
    """Ranks, word hashes and offsets of the rows of a query (`rank`, `words`), in batches."""
    padded = f"SELECT rank, at_least(words, {size}) FROM ({query})"
    for batch in read(connection, padded, at_once):
        yield batch.column(0).to_numpy(), *flat(batch.column(1))
