"""How fast the BigQuery emulator answers small queries, takes rows, and whether its memory grows.

    python benchmarks/emulator_bigquery.py [--queries 1000] [--rows 200000] [--flat 20000]

A new emulator process is asked by Google's own client. `at the server` is what the emulator itself
measured between the request and the answer; the rest is the client. Memory is that of the emulator
process (resident set).
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from emulator_process import ask, megabytes, start, timed

CLIENTS = 8
SMALL = {
    "SELECT 1": "SELECT 1",
    "point look-up": "SELECT name, score FROM bench.people WHERE id = 4711",
    "group by": "SELECT MOD(id, 10) AS k, COUNT(*) AS n, AVG(score) FROM bench.people GROUP BY k",
    "join and window": """SELECT a.id, RANK() OVER (ORDER BY b.score) FROM bench.people a
        JOIN bench.people b USING (id) WHERE id < 100""",
    "merge of one row": """MERGE bench.counts T USING (SELECT 1 AS id) S ON T.id = S.id
        WHEN MATCHED THEN UPDATE SET n = T.n + 1 WHEN NOT MATCHED THEN INSERT VALUES (1, 1)""",
}


def at_the_server(method: str, count: int) -> list[float]:
    """Milliseconds of the last `count` requests of a method, as the emulator logged them."""
    log = ask(os.environ, "GET", "log")
    return [entry["milliseconds"] for entry in log if entry["method"] == method][-count:]


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def small_queries(client: Any, count: int) -> None:
    """Latency of small queries, one after another and from several clients at once."""
    each = max(1, min(900, count // len(SMALL)))
    for name, sql in SMALL.items():
        client.query_and_wait(sql)
        seconds = [timed(lambda sql=sql: client.query_and_wait(sql)) for _ in range(each)]  # type: ignore[misc]
        server = at_the_server("jobs.query", each)
        print(
            f"{name:<18} at the server {statistics.median(server):6.2f} ms median,"
            f" {percentile(server, 0.99):6.2f} ms p99; with the client"
            f" {statistics.median(seconds) * 1000:6.2f} ms median"
        )
    with ThreadPoolExecutor(CLIENTS) as pool:
        sql = SMALL["point look-up"]
        total = timed(lambda: list(pool.map(lambda _: client.query_and_wait(sql), range(each))))
    print(f"{CLIENTS} clients at once   {each / total:8.0f} queries/s")


def bulk(client: Any, rows: int) -> None:
    """Loads, streamed inserts, and reading a table back."""
    from google.cloud import bigquery

    schema = [
        bigquery.SchemaField("id", "INTEGER"),
        bigquery.SchemaField("name", "STRING"),
        bigquery.SchemaField("score", "FLOAT"),
    ]
    lines = "".join(f'{{"id": {n}, "name": "name {n}", "score": {n / 7}}}\n' for n in range(rows))
    config = bigquery.LoadJobConfig(schema=schema, source_format="NEWLINE_DELIMITED_JSON")
    data = lines.encode()
    total = timed(
        lambda: client.load_table_from_file(
            io.BytesIO(data), "bench.people", job_config=config
        ).result()
    )
    print(f"load JSON lines    {rows / total:8.0f} rows/s")
    batch = [{"id": n, "name": "x", "score": 0.5} for n in range(500)]
    table = client.create_table(bigquery.Table(f"{client.project}.bench.streamed", schema))
    total = timed(lambda: [client.insert_rows_json(table, batch) for _ in range(20)])
    print(f"streamed inserts   {20 * len(batch) / total:8.0f} rows/s, 500 a request")
    total = timed(lambda: sum(1 for _ in client.list_rows("bench.people")))
    print(f"list rows          {rows / total:8.0f} rows/s")
    total = timed(lambda: sum(1 for _ in client.query_and_wait("SELECT * FROM bench.people")))
    print(f"query all rows     {rows / total:8.0f} rows/s")


def memory(client: Any, process: subprocess.Popen[bytes], requests: int) -> None:
    """Memory of the emulator over many queries."""
    sql = SMALL["point look-up"]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for part in range(5):
            list(pool.map(lambda _: client.query_and_wait(sql), range(requests // 5)))
            done = (part + 1) * requests // 5
            print(f"memory             {megabytes(process):8.0f} MB after {done} more queries")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--flat", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, variables = start(Path(folder))
        os.environ.update(variables)
        from google.cloud import bigquery

        try:
            client = bigquery.Client()
            client.create_dataset("bench")
            client.query_and_wait("CREATE TABLE bench.counts (id INT64, n INT64)")
            print(f"memory             {megabytes(process):8.0f} MB at the start")
            bulk(client, arguments.rows)
            small_queries(client, arguments.queries)
            memory(client, process, arguments.flat)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
