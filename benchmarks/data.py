"""Training data at full size: from Parquet to curated, split JSONL, in bounded memory.

    python benchmarks/data.py [stages] [splits] [--rows 100000 1000000]

Without arguments both parts run, about ten minutes together. Rows are generated at run time:
questions and answers of about 1 KB, of which 2 % are near duplicates of others, 1 % exact ones, and
2 % hold an e-mail address, a phone number or a key.

stages  100,000 and 1,000,000 rows from a Parquet object in the inbox to the three sets, by the
        functions that the assets call, over an emulator of Cloud Storage; then curation alone
splits  200,000 examples to tuning JSONL, against pandas, `train_test_split` and `to_json` over a
        file with the same questions and answers as plain columns, and DuckDB's own `COPY` of it

Peak memory is the resident set of the process and of its children, not of the emulator.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genaiops_dagster.data.curation import curate, prepare
from genaiops_dagster.data.scratch import GROUPS, fetch, scratch
from genaiops_dagster.data.splits import write_splits
from genaiops_dagster.data.storing import (
    example_counter,
    store_examples,
    store_sets,
    store_source_rows,
)
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.use_case import UseCase

ROWS = (100_000, 1_000_000)
SPLIT_ROWS = 200_000
BATCH = 20_000
ROUNDS = 2

USE_CASE = UseCase.model_validate(
    {
        "name": "benchmark",
        "description": "Answers to questions.",
        "source": {},
        "columns": {"output": "answer", "group": "author", "slices": ["topic"]},
        "prompt": {
            "template": "Answer this question:\n{{ question }}",
            "system_instruction": "Be brief and correct.",
        },
        "candidates": {"tuned": {"model": "tuned"}},
        "tuning": {"base_model": "gemini-3.5-flash"},
        "gate": {"rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0}]},
    }
)


def generate(path: Path, rows: int) -> None:
    """Write `rows` questions with answers to a Parquet file."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = np.random.default_rng(7)
    chance = random.Random(7)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "en", "or")]
    words = np.array(["".join(chance.choices(syllables, k=k % 3 + 1)) for k in range(40_000)])
    words = words.astype(object)
    share = np.cumsum(1 / np.arange(10, len(words) + 10))  # of the n most frequent words
    topics = [f"topic {n}" for n in range(12)]
    secrets = ["jane.doe@mail.gov.uk", "+44 20 7946 0958", "gh" + "p_" + "a1B2" * 9]
    schema = pa.schema([(n, pa.string()) for n in ("id", "author", "topic", "question", "answer")])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, BATCH):
            count = min(BATCH, rows - start)
            drawn = words[np.searchsorted(share, numbers.random((count, 165)) * share[-1])]
            questions = [" ".join(row[:65]) + "?" for row in drawn]
            answers = [" ".join(row[65:]) + "." for row in drawn]
            for n in range(100, count, 100):
                questions[n], answers[n] = questions[n - 1], answers[n - 1]
                questions[n + 20] = questions[n + 19].replace(drawn[n + 19][-110], "other", 1)
                questions[n + 40] = questions[n + 39] + " please?"
                answers[n + 60] += " " + secrets[n // 100 % 3]
                questions[n + 80] += " " + secrets[n // 100 % 3]
            columns = [
                [f"{start + n:07}" for n in range(count)],
                [f"author {chance.randrange(rows // 4)}" for _ in range(count)],
                chance.choices(topics, k=count),
                questions,
                answers,
            ]
            writer.write_table(pa.table(columns, schema=schema))


@contextmanager
def emulator() -> Iterator[None]:
    """An emulator of its own, which this process and its children talk to."""
    from emulator_process import start

    with tempfile.TemporaryDirectory() as folder:
        process, variables = start(Path(folder))
        os.environ.update(variables)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def peak_mb() -> float:
    """Most resident memory so far of this process, or of the largest of its children."""
    status = Path("/proc/self/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0])
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def store() -> ObjectStore:
    """The emulator's bucket."""
    return ObjectStore.connect(GoogleCloudSettings.from_environment())


def one_token_per_four(contents: Sequence[dict[str, Any]]) -> int:
    """Tokens of messages, about; no row here is long enough to be counted."""
    return len(json.dumps(contents)) // 4


def stages_child(_: Path) -> dict[str, float]:
    """The inbox to three sets, as the assets do it."""
    bucket, seconds = store(), {}
    started = time.perf_counter()
    warehouse: Any = None  # there is no query
    now = SYSTEM_CLOCK.now().timestamp()
    source = store_source_rows(USE_CASE, bucket, warehouse, now)[0]
    seconds["read"] = time.perf_counter() - started
    examples = store_examples(USE_CASE, bucket, source, one_token_per_four)[0]
    seconds["curate and check"] = time.perf_counter() - started - sum(seconds.values())
    store_sets(USE_CASE, bucket, examples, version(USE_CASE.prompt), one_token_per_four)
    seconds["split and check"] = time.perf_counter() - started - sum(seconds.values())
    return seconds


def curate_child(path: Path) -> dict[str, float]:
    """All rules of curation over a local file, near duplicates and personal data among them."""
    import pandas  # noqa: F401 - the code location has it loaded

    with scratch() as (folder, connection):
        count = example_counter(USE_CASE, one_token_per_four)
        started = time.perf_counter()
        curate(connection, path, folder, USE_CASE, count)
        return {"curate": time.perf_counter() - started}


def splits_child(path: Path) -> dict[str, float]:
    """Examples to three sets of tuning JSONL, with their digests."""
    import pandas  # noqa: F401 - as for the guide's way, loaded beforehand
    import pyarrow.compute  # noqa: F401

    with scratch() as (folder, connection):
        prepare(connection, USE_CASE)
        started = time.perf_counter()
        write_splits(connection, path, version(USE_CASE.prompt), folder)
        return {"splits": time.perf_counter() - started}


def guide_child(path: Path) -> dict[str, float]:
    """The guide's way: a frame in memory, a column with the prompt, a split, two files."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    started = time.perf_counter()
    frame = pd.read_parquet(path)
    frame["input_text"] = "Answer this question:\n" + frame["question"]
    frame["output_text"] = frame["answer"]
    training, held_out = train_test_split(
        frame[["input_text", "output_text"]], test_size=0.2, random_state=42
    )
    with tempfile.TemporaryDirectory() as folder:
        training.to_json(f"{folder}/training.jsonl", orient="records", lines=True)
        held_out.to_json(f"{folder}/evaluation.jsonl", orient="records", lines=True)
    return {"guide": time.perf_counter() - started}


def copy_child(path: Path) -> dict[str, float]:
    """DuckDB's own `COPY` to JSON lines: one file in any order, no prompt, no digest."""
    with scratch() as (folder, connection):
        started = time.perf_counter()
        connection.execute(f"""
            COPY (SELECT 'Answer this question:\n' || question AS input_text,
              answer AS output_text FROM read_parquet('{path}'))
            TO '{folder}/all.jsonl' (FORMAT json)
        """)
        return {"copy": time.perf_counter() - started}


CHILDREN: dict[str, Callable[[Path], dict[str, float]]] = {
    "stages": stages_child,
    "curate": curate_child,
    "splits": splits_child,
    "guide": guide_child,
    "copy": copy_child,
}


def in_child(what: str, path: Path) -> tuple[dict[str, float], float]:
    """Seconds and peak megabytes of one of `CHILDREN` in a process of its own."""
    command = [sys.executable, __file__, "--child", what, str(path)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found["seconds"], found["peak_mb"]


def stages(folder: Path, sizes: Sequence[int]) -> None:
    """Each size, by all stages over Cloud Storage, and curation alone."""
    for rows in sizes:
        path = folder / "rows.parquet"
        generate(path, rows)
        with emulator():
            with path.open("rb") as content:
                store().write(f"{USE_CASE.inbox}rows.parquet", content)
            path.unlink()
            seconds, peak = in_child("stages", path)
            (source,) = store().list(f"{USE_CASE.name}/sources/")
            fetch(store(), source.name, path)
        total = sum(seconds.values())
        print(
            f"{rows:9,} rows  {total:6.1f} s  {rows / total:8,.0f} rows/s  {peak:4.0f} MB  ", end=""
        )
        print(", ".join(f"{stage} {one:.1f} s" for stage, one in seconds.items()), flush=True)
        seconds, peak = in_child("curate", path)
        rate = rows / seconds["curate"]
        print(f"  curation alone   {seconds['curate']:6.1f} s  {rate:8,.0f} rows/s  {peak:4.0f} MB")


def splits(folder: Path, _: Sequence[int]) -> None:
    """Split and JSONL alone: ours, the guide's, and what DuckDB needs at least, in turn."""
    import duckdb

    raw, path = folder / "rows.parquet", folder / "examples.parquet"
    generate(raw, SPLIT_ROWS)
    with duckdb.connect() as connection:
        connection.execute(f"""
            COPY (
              SELECT id, author AS "group", json_object('topic', topic)::VARCHAR AS slices,
                json_object('question', question)::VARCHAR AS variables, answer AS output,
                CASE WHEN file_row_number < {SPLIT_ROWS * 0.8} THEN 'training' ELSE 'evaluation' END
                  AS side, file_row_number AS position
              FROM read_parquet('{raw}', file_row_number = true) ORDER BY file_row_number
            ) TO '{path}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, {GROUPS})
        """)
    found: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):  # type: ignore[assignment]
        for what, source in (("splits", path), ("guide", raw), ("copy", raw)):
            seconds, peak = in_child(what, source)
            before = found.get(what, (float("inf"), 0.0))
            found[what] = min(before[0], seconds[what]), max(before[1], peak)
    for what, (seconds, peak) in found.items():  # type: ignore[assignment]
        print(f"{SPLIT_ROWS:9,} rows  {what:7} {seconds:6.2f} s  {peak:5.0f} MB")
    print(f"the guide's way takes {found['guide'][0] / found['splits'][0]:.1f}x as long")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=["stages", "splits", []], default=[])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="of the part stages")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, path = options.child
        seconds = CHILDREN[what](Path(path))
        print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))
        return
    for part in (stages, splits):
        if not options.parts or part.__name__ in options.parts:
            with tempfile.TemporaryDirectory() as folder:
                part(Path(folder), options.rows)


if __name__ == "__main__":
    main()
