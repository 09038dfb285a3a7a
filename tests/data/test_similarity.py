from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from genaiops_dagster.data.near_duplicates import near_duplicates, write_words
from genaiops_dagster.data.overlap import OVERLAP_WORDS, HeldOutRuns, overlapping
from genaiops_dagster.data.scratch import scratch
from genaiops_dagster.data.words import MACROS, runs

SENTENCE = (
    "the quick brown fox jumps over the lazy dog while seven old wizards watch it from the hill "
    "and wonder whether anybody will ever ask them for the way to the sea"
)


@pytest.fixture
def held() -> Iterator[HeldOutRuns]:
    with closing(HeldOutRuns()) as held:
        yield held


@pytest.fixture
def database() -> Iterator[tuple[Path, duckdb.DuckDBPyConnection]]:
    with scratch() as (folder, connection):
        connection.execute(MACROS)
        connection.execute('CREATE TABLE texts (rank BIGINT, text VARCHAR, "group" VARCHAR)')
        yield folder, connection


WORDS = "SELECT rank, word_hashes(text) AS words FROM texts"


def alike(
    folder: Path, connection: duckdb.DuckDBPyConnection, similarity: float
) -> list[tuple[int, int]]:
    words, signatures = folder / "words.parquet", folder / f"signatures-{similarity}"
    write_words(connection, WORDS, words, signatures)
    return list(near_duplicates(connection, words, signatures, similarity))


def test_runs_never_cross_rows() -> None:
    words = np.arange(1, 8, dtype=np.uint64)
    hashes, starts = runs(words, np.array([0, 4, 7]), 3)
    again, _ = runs(words[4:], np.array([0, 3]), 3)

    assert starts.tolist() == [0, 2, 3]
    assert len(hashes) == 3
    assert hashes[2] == again[0]


def test_near_duplicates_name_the_first_of_their_cluster(
    database: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    folder, connection = database
    other = " ".join(f"word{n}" for n in range(40))
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, '')",
        [
            (5, SENTENCE.upper() + "!"),
            (2, SENTENCE),
            (9, SENTENCE + " again"),
            (1, other),
            (3, "the quick brown fox"),
            (4, "短いテキストですがスペースはありませんので文字で比べます"),
            (6, "短いテキストですがスペースはありませんので文字で比べます。"),
        ],
    )
    assert dict(alike(folder, connection, 0.8)) == {5: 2, 9: 2, 6: 4}


def test_nothing_similar_is_no_duplicate(
    database: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    folder, connection = database
    connection.execute(
        "INSERT INTO texts SELECT i, 'text ' || md5(i::VARCHAR), '' FROM range(99) t(i)"
    )
    assert alike(folder, connection, 0.8) == []


def test_similarity_is_jaccards(database: tuple[Path, duckdb.DuckDBPyConnection]) -> None:
    folder, connection = database
    words = [f"w{n}" for n in range(42)]  # 40 shingles; the pair shares 36 of 44: 0.818
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, '')",
        [(0, " ".join(words)), (1, " ".join([*words[:38], "x1", "x2", "x3", "x4"]))],
    )
    assert alike(folder, connection, 0.81) == [(1, 0)]
    assert alike(folder, connection, 0.82) == []


def test_a_held_out_run_of_words_is_found_in_longer_texts(
    database: tuple[Path, duckdb.DuckDBPyConnection], held: HeldOutRuns
) -> None:
    _, connection = database
    run = " ".join(SENTENCE.split()[4:17])
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, ?)",
        [
            (0, SENTENCE, "held"),
            (1, f"before, {run}; after", "a"),
            (2, " ".join(SENTENCE.split()[4:16]) + " after", "a"),
            (3, "short question", "held"),
            (4, "Short question?", "b"),
            (5, "a short question", "b"),
        ],
    )
    held.add(
        connection, 'SELECT word_hashes(text) AS words, "group" FROM texts WHERE "group" = \'held\''
    )
    query = "SELECT rank, word_hashes(text) AS words FROM texts WHERE \"group\" <> 'held'"
    assert list(held.overlapping(connection, query)) == [1, 4]


def test_a_phrase_of_many_held_out_groups_is_no_leak(
    database: tuple[Path, duckdb.DuckDBPyConnection], held: HeldOutRuns
) -> None:
    _, connection = database
    connection.executemany(
        "INSERT INTO texts VALUES (?, ?, ?)",
        [(n, f"{SENTENCE} {n}", f"g{n}") for n in range(4)],
    )
    held.add(connection, 'SELECT word_hashes(text) AS words, "group" FROM texts WHERE rank < 2')
    assert list(held.overlapping(connection, f"{WORDS} WHERE rank = 3")) == [3]
    held.add(connection, 'SELECT word_hashes(text) AS words, "group" FROM texts WHERE rank = 2')
    assert list(held.overlapping(connection, f"{WORDS} WHERE rank = 3")) == []


ON_SIDES = """
    SELECT rank, word_hashes(text) AS words, "group", regexp_extract("group", '[a-z]+') AS side
    FROM texts"""
"""The side of a text is the beginning of its group's name."""


def repeated(connection: duckdb.DuckDBPyConnection, *rows: tuple[int, str, str]) -> list[list[int]]:
    """Ranks of what is repeated in validation, and of what is repeated in training."""
    connection.executemany("INSERT INTO texts VALUES (?, ?, ?)", rows)
    return list(overlapping(connection, ON_SIDES, 1_000))


@pytest.mark.parametrize(
    ("held", "exposed", "expected"),
    [
        ("evaluation", "validation", [[2], []]),
        ("evaluation", "training", [[], [2]]),
        ("validation", "training", [[], [2]]),
        ("training", "evaluation", [[], [1]]),
        ("validation", "evaluation", [[1], []]),
    ],
)
def test_no_side_repeats_what_another_holds_out(
    database: tuple[Path, duckdb.DuckDBPyConnection],
    held: str,
    exposed: str,
    expected: list[list[int]],
) -> None:
    _, connection = database
    assert repeated(connection, (1, SENTENCE, held), (2, SENTENCE, exposed)) == expected


def test_one_run_of_words_is_enough(
    database: tuple[Path, duckdb.DuckDBPyConnection],
) -> None:
    _, connection = database
    run = " ".join(SENTENCE.split()[:OVERLAP_WORDS])
    rows = (1, run, "evaluation"), (2, SENTENCE, "training"), (3, SENTENCE[10:], "training")
    assert repeated(connection, *rows) == [[], [2]]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["evaluation1", "evaluation1", "evaluation1"], [[], [4]]),
        (["evaluation1", "evaluation2", "evaluation2"], [[], [4]]),
        (["evaluation1", "evaluation2", "evaluation3"], [[], []]),
    ],
)
def test_a_phrase_is_what_several_groups_use(
    database: tuple[Path, duckdb.DuckDBPyConnection],
    groups: list[str],
    expected: list[list[int]],
) -> None:
    """Not what one group repeats: a leak of it would tell the answers of all its rows."""
    _, connection = database
    held = [(n, SENTENCE, group) for n, group in enumerate(groups, 1)]
    assert repeated(connection, *held, (4, SENTENCE, "training")) == expected
