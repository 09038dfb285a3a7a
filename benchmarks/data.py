"""Training data at full size: from Parquet to curated, split JSONL, in bounded memory.

    python benchmarks/data.py [stages] [splits]

Without arguments both parts run, about ten minutes together. Rows are generated at run time:
questions and answers of about 1 KB, of which 2 % are near duplicates of others, 1 % exact ones, and
2 % hold an e-mail address, a phone number or a key.

stages  100,000 and 1,000,000 rows from a Parquet object in the inbox to the three sets, by the
        functions that the assets call, over an emulator of Cloud Storage; then curation alone
splits  200,000 examples to tuning JSONL, against pandas, `train_test_split` and `to_json`

Peak memory is the resident set of the process and of its children, not of the emulator.
"""

from __future__ import annotations

import random
from pathlib import Path

from genaiops_dagster.use_case import UseCase

ROWS = (100_000, 1_000_000)
SPLIT_ROWS = 200_000
BATCH = 20_000

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
    frequency = 1 / np.arange(10, len(words) + 10)
    frequency /= frequency.sum()
    topics = [f"topic {n}" for n in range(12)]
    secrets = ["jane.doe@mail.gov.uk", "+44 20 7946 0958", "gh" + "p_" + "a1B2" * 9]
    schema = pa.schema([(n, pa.string()) for n in ("id", "author", "topic", "question", "answer")])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, BATCH):
            count = min(BATCH, rows - start)
            drawn = numbers.choice(words, (count, 165), p=frequency)
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
