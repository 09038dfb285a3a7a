"""What a tick of the inbox sensor costs, next to `dagster_gcp.gcs.sensor.get_gcs_keys`.

    python benchmarks/sensor.py [--known 10000 100000]

A new emulator process holds many objects that were reported before, and 50 that are new. Each
measurement is a process of its own: wall time, peak resident memory above a process that has only
made the client, and requests, as the emulator counted them. Ours is the sensor's own function, once
over the whole prefix and once for a use case that says that names sort by time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from emulator_process import ask, start
from emulator_storage import fill

from genaiops_dagster.use_case import UseCase

NEW = 50
PREFIX = "fill/"
WAYS = ("one listing", "names sort by time", "get_gcs_keys")


def use_case(sorted_by_time: bool) -> UseCase:
    """A use case whose inbox is the prefix that is filled."""
    return UseCase.model_validate(
        {
            "name": f"benchmark_{'sorted' if sorted_by_time else 'any'}",
            "description": "Which objects are new?",
            "source": {"inbox": PREFIX, "names_sort_by_time": sorted_by_time},
            "columns": {"output": "answer"},
            "prompt": {"template": "{{ question }}"},
            "candidates": {"tuned": {"model": "tuned"}},
            "tuning": {"base_model": "gemini-3.5-flash"},
            "gate": {"rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0}]},
        }
    )


def remember() -> dict[str, str]:
    """Put down all objects as reported, as earlier ticks would have; cursors by way."""
    from google.cloud import storage

    from genaiops_dagster.data import inbox
    from genaiops_dagster.data.inbox import Cursor
    from genaiops_dagster.google_cloud.object_store import ObjectStore
    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings

    client, bucket = storage.Client(), GoogleCloudSettings.from_environment().bucket
    store = ObjectStore(client, bucket)
    objects = list(store.list(PREFIX))
    cursors = {"get_gcs_keys": max(objects, key=lambda one: one.updated).name}
    for way, case in (
        ("one listing", use_case(False)),
        ("names sort by time", use_case(True)),
    ):
        seen = inbox.new_objects(objects, {}, case.source, len(objects)).seen
        cursors[way] = Cursor(seen=inbox.write_seen(store, case.name, seen)).model_dump_json()
    return cursors


def child(way: str, cursor: str) -> None:
    """One tick here; print what it took."""
    import dagster_gcp.gcs.sensor
    from google.cloud import storage

    from genaiops_dagster.data.inbox import Cursor
    from genaiops_dagster.data.sensor import look
    from genaiops_dagster.google_cloud.object_store import ObjectStore

    client, bucket = storage.Client(), os.environ["GENAIOPS_BUCKET"]
    client.bucket(bucket).exists()  # the token is not the tick's
    before, requests, started = peak_mb(), requests_now(), time.perf_counter()
    if way == "get_gcs_keys":
        new = len(dagster_gcp.gcs.sensor.get_gcs_keys(bucket, PREFIX, cursor, client))
    else:
        case = use_case(way == "names sort by time")
        state = Cursor.model_validate_json(cursor)
        result = look(case, ObjectStore(client, bucket), state, time.time())
        new = len(result.asset_events)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "new": new,
                "seconds": seconds,
                "megabytes": peak_mb() - before,
                "requests": requests_now() - requests,
            }
        )
    )


def peak_mb() -> float:
    """Most resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def requests_now() -> int:
    """Requests for objects that the emulator has counted."""
    return sum(ask(os.environ, "GET", "stats")["requests"]["storage"].values())


def measure(known: int, ways: list[str]) -> dict[str, dict[str, Any]]:
    """What a tick takes over `known` objects and some new ones, by way."""
    with tempfile.TemporaryDirectory() as folder:
        process, variables = start(Path(folder))
        os.environ.update(variables)
        try:
            address = (variables["STORAGE_EMULATOR_HOST"], variables["GENAIOPS_BUCKET"])
            fill(*address, 0, known)
            cursors = remember()
            time.sleep(1.1)  # so that the new objects are newer, to any clock
            fill(*address, known, NEW)
            return {way: in_child(way, cursors[way]) for way in ways}
        finally:
            process.terminate()
            process.wait()


def in_child(way: str, cursor: str) -> dict[str, Any]:
    """A tick in a process of its own."""
    command = [sys.executable, __file__, "--child", way, cursor]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--known", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(f"{'known':>8}  {'tick':20} {'new':>5} {'seconds':>9} {'MB':>7} {'requests':>9}")
    for known in options.known:
        found = measure(known, list(WAYS))
        for way, one in found.items():
            print(
                f"{known:8,}  {way:20} {one['new']:5} {one['seconds']:9.3f} "
                f"{one['megabytes']:7.1f} {one['requests']:9}"
            )
        peer = found["get_gcs_keys"]["seconds"]
        for way in WAYS[:2]:
            ratio = peer / found[way]["seconds"]
            print(f"{'':8}  {way}: {ratio:.2f}x the speed of get_gcs_keys")


if __name__ == "__main__":
    main()
