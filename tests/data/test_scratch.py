from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genaiops_dagster.data.scratch import (
    GROUP_BYTES,
    GROUPS,
    in_small_groups,
    scratch,
    write_in_order,
)

LONG = [f"{n} {'x' * 500_000}" for n in range(20)]


def groups(path: Path) -> list[int]:
    found = pq.read_metadata(path)
    return [found.row_group(n).total_byte_size for n in range(found.num_row_groups)]


def test_long_rows_are_put_into_small_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": LONG}), path, use_dictionary=False)
    assert max(groups(path)) > 2 * GROUP_BYTES

    small = in_small_groups(path)
    assert max(groups(small)) <= GROUP_BYTES
    assert pq.read_table(small).column("text").to_pylist() == LONG

    copied = tmp_path / "copied.parquet"
    with scratch() as (_, connection):
        connection.execute(
            f"COPY (FROM read_parquet('{small}')) TO '{copied}' (FORMAT parquet, {GROUPS})"
        )
    assert max(groups(copied)) <= 2 * GROUP_BYTES
    assert sorted(pq.read_table(copied).column("text").to_pylist()) == sorted(LONG)


def test_short_rows_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [str(n) for n in range(10_000)]}), path)
    assert in_small_groups(path) == path


def test_what_is_no_parquet_file_is_left_for_the_reader_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert in_small_groups(path) == path
    assert path.exists()


def test_rows_of_many_groups_are_written_in_order(tmp_path: Path) -> None:
    like, target = tmp_path / "like.parquet", tmp_path / "ordered.parquet"
    with scratch() as (_, connection):
        connection.execute(f"""
            COPY (SELECT i * 77_777 % 100_000 AS place, repeat('x', 900) || i AS text
              FROM range(100_000) AS rows (i)) TO '{like}' (FORMAT parquet, {GROUPS})
        """)
        write_in_order(connection, f"FROM read_parquet('{like}')", "place", target, like)
    wanted = pq.read_table(like).sort_by("place").column("text")
    written = pq.read_table(target)
    assert written.column_names == ["text"]
    assert written.column("text").equals(wanted)
    assert len(groups(target)) > 10
