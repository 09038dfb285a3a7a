"""Blocking calls that an event loop waits for, and may give up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genaiops_dagster.evaluation.asking.threads import in_thread


async def test_a_blocking_call_gives_what_it_returns_or_raises() -> None:
    assert await in_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


def test_a_blocking_call_that_hangs_keeps_no_process_from_ending() -> None:
    script = (
        "import asyncio, time\n"
        "from genaiops_dagster.evaluation.asking.threads import in_thread\n"
        "async def main():\n"
        "    try:\n"
        "        await asyncio.wait_for(in_thread(lambda: time.sleep(600)), 0.1)\n"
        "    except TimeoutError:\n"
        "        print('given up')\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout == "given up\n"
