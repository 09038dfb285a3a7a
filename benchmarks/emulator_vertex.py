"""How many `generateContent` requests a second the emulator answers, how late, and if it grows.

    python benchmarks/emulator_vertex.py [--requests 20000] [--connections 32]

A plain HTTP load generator with keep-alive connections asks a new emulator process; every request
is a different prompt of about 150 tokens. Memory is that of the emulator process (resident set),
after a tenth of the requests and after each third of the rest; its processor time per request does
not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from emulator_process import cpu_seconds, megabytes, start

MODEL = "gemini-3.5-flash"
TEXT = (
    "The harbour of the town lies below the lighthouse. Fishing boats leave at dawn and come back"
    " before noon with herring and crab. In summer there are visitors, who walk along the pier and"
    " buy ice cream. In winter the storms break over the wall and the square stays empty. "
) * 2


def build_request(host: str, project: str, number: int) -> bytes:
    """One HTTP request, whole."""
    body = json.dumps(
        {
            "systemInstruction": {"parts": [{"text": "Answer in one sentence."}]},
            "contents": [{"role": "user", "parts": [{"text": f"Question {number}: {TEXT}"}]}],
            "generationConfig": {"temperature": 0, "maxOutputTokens": 256, "seed": number},
        }
    ).encode()
    path = (
        f"/v1beta1/projects/{project}/locations/us-central1/publishers/google/models/{MODEL}"
        ":generateContent"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connection(
    host: str, project: str, numbers: asyncio.Queue[int], latencies: list[float]
) -> None:
    """Ask over one connection until no number is left."""
    address, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    while not numbers.empty():
        request = build_request(host, project, numbers.get_nowait())
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head!r} {body[:500]!r}")
    writer.close()


async def load(host: str, project: str, count: int, connections: int) -> list[float]:
    """Ask `count` times over so many connections; the latency of each in seconds."""
    numbers: asyncio.Queue[int] = asyncio.Queue()
    for number in range(count):
        numbers.put_nowait(number)
    latencies: list[float] = []
    await asyncio.gather(
        *(connection(host, project, numbers, latencies) for _ in range(connections))
    )
    return latencies


def report(name: str, latencies: list[float], seconds: float) -> None:
    """Print one line of what was measured."""
    ordered = sorted(latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    rate = len(ordered) / seconds
    print(f"{name:12} {rate:8.0f} requests/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")


def main() -> None:
    """Start an emulator, load it, and print rate, latencies and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, variables = start(Path(folder))
        try:
            host = variables["GOOGLE_VERTEX_BASE_URL"].removeprefix("http://")
            project = variables["GOOGLE_CLOUD_PROJECT"]
            tenth = options.requests // 10
            parts = [("warm-up", tenth), *[("load", (options.requests - tenth) // 3)] * 3]
            for name, count in parts:
                started, used = time.perf_counter(), cpu_seconds(process)
                latencies = asyncio.run(load(host, project, count, options.connections))
                report(name, latencies, time.perf_counter() - started)
                each = (cpu_seconds(process) - used) / count * 1000
                print(f"{'':12} {each:8.2f} ms of processor time a request, in the emulator")
                print(f"{'':12} {megabytes(process):8.0f} MB resident")
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    main()
