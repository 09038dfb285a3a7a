"""How long `genaiops run` takes: from nothing, and again when nothing changed.

    python benchmarks/lifecycle.py [USE_CASE]

Both runs are whole processes in a new folder, the start of the emulator included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLOUD_VARIABLES = ("GOOGLE_", "GENAIOPS_", "STORAGE_EMULATOR", "BIGQUERY_EMULATOR", "DAGSTER_HOME")


def run(use_case: str, folder: Path) -> tuple[float, dict[str, float]]:
    """Wall seconds of one run, and the seconds of each of its assets and checks."""
    results = folder / "results.json"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(CLOUD_VARIABLES)}
    started = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-m", "genaiops_dagster.cli", "run", use_case),
            *("--folder", str(folder / "state"), "--json", str(results)),
        ],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    assets = json.loads(results.read_text())["assets"]
    return seconds, {name: asset["seconds"] for name, asset in assets.items()}


def main() -> None:
    """Run twice, and print both times and the slowest assets of each."""
    use_case = sys.argv[1] if len(sys.argv) > 1 else "python_modules"
    with tempfile.TemporaryDirectory() as folder:
        first, first_assets = run(use_case, Path(folder))
        second, second_assets = run(use_case, Path(folder))
    for name, seconds, assets in (
        ("first run", first, first_assets),
        ("second run", second, second_assets),
    ):
        slowest = sorted(assets.items(), key=lambda item: -item[1])[:5]
        print(f"{name:12} {seconds:6.1f} s   slowest: ", end="")
        print(", ".join(f"{asset} {spent:.1f} s" for asset, spent in slowest))
    print(f"the second run takes {second / first:.2f}x of the first")


if __name__ == "__main__":
    main()
