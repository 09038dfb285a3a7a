"""How long the code location takes to load, against locations that import less.

    python benchmarks/loading.py

Each location is loaded in a fresh interpreter, in turn, and the median of the rounds is compared.
The peers are a location that imports only `dagster`, and one that imports `dagster` and
`dagster_gcp`, which every project on Google Cloud pays for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 5
LOCATIONS = {
    "dagster": "import dagster",
    "dagster + dagster_gcp": "import dagster, dagster_gcp",
    "genaiops_dagster": (
        "from genaiops_dagster.definitions import defs; defs().get_repository_def()"
    ),
}


def seconds_to_run(code: str) -> float:
    """Wall time of a fresh interpreter that runs `code`."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    """Load every location in turn, and print medians and ratios."""
    times: dict[str, list[float]] = {name: [] for name in LOCATIONS}
    for code in LOCATIONS.values():
        seconds_to_run(code)  # compiles bytecode
    for _ in range(ROUNDS):
        for name, code in LOCATIONS.items():
            times[name].append(seconds_to_run(code))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:6.2f} s")
    ratio = medians["genaiops_dagster"] / medians["dagster + dagster_gcp"]
    print(f"genaiops_dagster takes {ratio:.2f}x of dagster + dagster_gcp")


if __name__ == "__main__":
    main()
