"""How fast, how sure and how large an evaluation is, against the emulator.

    python benchmarks/evaluation.py [quota] [peer] [faults] [kill] [memory]

Without arguments all parts run, one after the other, about five minutes together. Every part
starts an emulator of its own that answers after 200 ms and lets 50 requests a second through to
content and 50 to evaluation.

quota   2,000 rows, three computed metrics and one judged, against what the quota allows
peer    the same metrics by `agentplatform.Client.evals` at its defaults, on 200 rows
faults  10 % of answers 429 or 503 and 1 % hanging: no row lost or doubled
kill    killed at half with SIGKILL, started again: no answered row asked again
memory  50,000 rows without latency: peak memory
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.data.records import DatasetSplit, Example
from genaiops_dagster.evaluation.evaluate import EvaluationTask, evaluate
from genaiops_dagster.evaluation.inference import Model
from genaiops_dagster.evaluation.records import EvaluationReport
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.prompts.rendering import render, version
from genaiops_dagster.use_case import UseCase

MODEL = "gemini-3.5-flash"
JUDGE = "gemini-3.1-pro-preview"
CRITERIA = "The response names the module that the prompt describes, and nothing else."
MODULES = ["argparse", "asyncio", "calendar", "csv", "datetime", "decimal", "json", "logging"]
PER_SECOND = 50
LATENCY = {"kind": "latency", "service": "vertex", "seconds": 0.2}
QUOTAS = [
    {
        "kind": "quota",
        "service": "vertex",
        "method": method,
        "requests_per_minute": 60 * PER_SECOND,
        "window_seconds": 1,
    }
    for method in ("generateContent", "evaluateInstances")
]

USE_CASE = UseCase.model_validate(
    {
        "name": "benchmark",
        "description": "Which module?",
        "source": {"sql": "SELECT 1"},
        "columns": {"output": "module"},
        "prompt": {
            "template": "Which module does this describe?\n{{ text }}\nChoose one of: "
            + ", ".join(MODULES),
            "system_instruction": "Answer with the name of one module and nothing else.",
        },
        "candidates": {"flash": {"model": MODEL, "generation": {"max_output_tokens": 16}}},
        "tuning": {"base_model": MODEL},
        "evaluation": {
            "metrics": ["exact_match", "bleu", "rouge_l"],
            "judge": {"model": JUDGE, "metrics": {"quality": {"criteria": CRITERIA}}},
        },
        "budget": {"per_run_usd": 10_000, "per_month_usd": 100_000},
        "gate": {
            "challenger": "flash",
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0}],
        },
    }
)


@contextmanager
def emulator(*faults: dict[str, Any]) -> Iterator[str]:
    """An emulator process with `faults`; its URL. This process talks to it while it lives."""
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "variables"
        command = [
            *(sys.executable, "-m", "genaiops_dagster.cli", "emulator", "--port", "0"),
            *("--state", f"{folder}/state", "--env-file", str(variables), "--stop-with-input"),
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while not variables.exists():
            time.sleep(0.05)
        for line in variables.read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ[name] = value.strip("'")
        url = os.environ["GOOGLE_VERTEX_BASE_URL"]
        put_faults(url, *faults)
        try:
            yield url
        finally:
            process.terminate()
            process.wait()


def put_faults(url: str, *faults: dict[str, Any]) -> None:
    """Put `faults` in force in place of all others."""
    body = json.dumps({"faults": list(faults)}).encode()
    request = urllib.request.Request(f"{url}/emulator/faults", method="PUT", data=body)
    urllib.request.urlopen(request).close()


def requests_of(url: str, method: str) -> tuple[int, int]:
    """How often `method` was answered well, and how often with an error."""
    with urllib.request.urlopen(f"{url}/emulator/stats") as response:
        stats = json.load(response)
    errors = sum(e["count"] for e in stats["errors"] if e["method"] == method)
    return stats["requests"].get("vertex", {}).get(method, 0) - errors, errors


def clients() -> tuple[ObjectStore, VertexAI]:
    """The bucket and Vertex AI of the emulator that runs now."""
    from google.cloud import storage

    settings = GoogleCloudSettings.from_environment()
    return ObjectStore(storage.Client(), settings.bucket), VertexAI(settings)


def examples(rows: int) -> list[Example]:
    """Rows whose answer is in their text, more or less well hidden."""
    return [
        Example(
            id=f"row-{index:06}",
            group=f"group-{index // 2}",
            slices={},
            variables={
                "text": f"Question {index}: I use {MODULES[index * 7 % 8]} or "
                f"{MODULES[index % 8]}, and {MODULES[index % 8]} it is, says number {index}."
            },
            output=MODULES[index % 8],
        )
        for index in range(rows)
    ]


def run(rows: int) -> EvaluationReport:
    """Evaluate `rows` rows, writing each row's count to standard error."""
    store, vertex_ai = clients()
    content = "\n".join(example.model_dump_json() for example in examples(rows)).encode()
    name = f"benchmark/datasets/{rows}/evaluation.jsonl"
    store.write_once(name, content)
    prompt = version(USE_CASE.prompt)
    split = DatasetSplit(
        name="evaluation",
        uri=store.uri(name),
        digest=hashlib.sha256(content).hexdigest(),
        dataset_digest="",
        prompt_digest=prompt.digest,
        rows=rows,
        characters=len(content),
    )
    task = EvaluationTask(
        use_case=USE_CASE,
        candidate="flash",
        model=Model(vertex_ai.model_address(MODEL), MODEL, USE_CASE.candidates["flash"].generation),
        prompt=prompt,
        evaluation_set=split,
    )

    def progress(done: int, total: int) -> None:
        print(f"{done}/{total}", file=sys.stderr, flush=True)

    from google.cloud import bigquery

    warehouse = Warehouse(bigquery.Client(project=vertex_ai.settings.project), "benchmark")
    purse = Purse(USE_CASE, store, warehouse, run_id=str(os.getpid()))
    return evaluate(task, store, vertex_ai, purse, progress)


def in_child(rows: int, kill_at: int | None = None) -> dict[str, Any] | None:
    """Evaluate in a process of its own; what it measured, or None when it was killed."""
    command = [sys.executable, __file__, "--child", str(rows)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log: list[str] = []
    for line in process.stderr or ():
        done = line.partition("/")[0]
        if not done.isdigit():
            log.append(line)
        elif kill_at is not None and int(done) >= kill_at:
            process.send_signal(signal.SIGKILL)
            break
    output = process.communicate()[0]
    if kill_at is not None:
        return None
    if process.returncode:
        raise RuntimeError("".join(log[-30:]))
    return json.loads(output)


def child(rows: int) -> None:
    """Evaluate here and print what it took."""
    started = time.perf_counter()
    report = run(rows)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - started,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "states": report.states,
                "scores": {name: m.mean for name, m in report.metrics.items()},
                "errors": {name: m.errors for name, m in report.metrics.items()},
            }
        )
    )


def quota(rows: int = 2000) -> float:
    """Wall time against the quota's bound; rows a second."""
    with emulator(LATENCY, *QUOTAS) as url:
        found = in_child(rows) or {}
        bound = rows / PER_SECOND
        print(f"quota   {rows} rows in {found['seconds']:.1f} s; the quota allows {bound:.0f} s:")
        print(f"        {found['seconds'] / bound:.2f}x; {found['states']}")
        for method in ("generateContent", "evaluateInstances"):
            good, bad = requests_of(url, method)
            print(f"        {method}: {good} answered, {bad} refused")
        print(f"        scores {found['scores']}")
        return rows / found["seconds"]


def faults(rows: int = 2000) -> None:
    """Wall time and rows with errors, refusals and hangs."""
    spoiled = [
        {"kind": "error", "service": "vertex", "method": method, "status": status}
        | {"probability": 0.05}
        for method in ("generateContent", "evaluateInstances")
        for status in (429, 503)
    ]
    hanging = [
        {"kind": "hang", "service": "vertex", "method": method, "probability": 0.01}
        for method in ("generateContent", "evaluateInstances")
    ]
    with emulator(LATENCY, *QUOTAS, *spoiled, *hanging):
        found = in_child(rows) or {}
    bound = rows / PER_SECOND
    print(f"faults  {rows} rows in {found['seconds']:.1f} s: {found['seconds'] / bound:.2f}x")
    print(f"        {found['states']}, judge errors {found['errors']}")


def kill(rows: int = 1000) -> None:
    """How many answered rows are asked again after a kill at half."""
    with emulator(LATENCY, *QUOTAS) as url:
        in_child(rows, kill_at=rows // 2)
        time.sleep(1)
        before = {m: requests_of(url, m)[0] for m in ("generateContent", "evaluateInstances")}
        found = in_child(rows) or {}
        print(f"kill    at {rows // 2} of {rows} rows, then {found['states']}")
        for method, answered in before.items():
            again = requests_of(url, method)[0] - rows
            print(f"        {method}: {answered} answered before, {again} more than rows in all")
        print("        (what was under way at the kill was answered to nobody and is asked again)")


def memory(rows: int = 50_000) -> None:
    """Peak memory of a large evaluation."""
    with emulator():
        found = in_child(rows) or {}
    print(f"memory  {rows} rows: {found['peak_mb']:.0f} MB at most, in {found['seconds']:.0f} s")


def peer(own_rate: float | None, rows: int = 200) -> None:
    """The same by `agentplatform.Client.evals`, and whether the scores are the same."""
    import pandas as pd

    with emulator(LATENCY, *QUOTAS) as url:
        report = run(rows)
        own = {row.id: row for row in read_rows(clients()[0], report)}
        import agentplatform
        from agentplatform import types

        prompt = version(USE_CASE.prompt)
        asked = examples(rows)
        frame = pd.DataFrame(
            {
                "prompt": [render(prompt, example.variables) for example in asked],
                "reference": [example.output for example in asked],
            }
        )
        client = agentplatform.Client(
            project=os.environ["GOOGLE_CLOUD_PROJECT"],
            location=os.environ["GOOGLE_CLOUD_LOCATION"],
            http_options={"base_url": url},
        )
        started = time.perf_counter()
        answers = client.evals.run_inference(
            model=MODEL,
            src=frame,
            config={
                "generate_content_config": {
                    "system_instruction": prompt.system_instruction,
                    "temperature": 0.0,
                    "max_output_tokens": 16,
                    "seed": 0,
                }
            },
        )
        inferred = time.perf_counter() - started
        judged = types.LLMMetric(name="quality", prompt_template=_judge_template())
        result = client.evals.evaluate(
            dataset=answers,
            metrics=[
                *(types.Metric(name=name) for name in ("exact_match", "bleu", "rouge_l_sum")),
                judged,
            ],
        )
        seconds = time.perf_counter() - started
    print(f"peer    {rows} rows in {seconds:.1f} s (inference {inferred:.1f} s):", end=" ")
    print(f"{rows / seconds:.1f} rows a second")
    if own_rate:
        print(f"        ours: {own_rate:.1f} rows a second, {own_rate * seconds / rows:.1f}x")
    theirs = {m.metric_name: m.mean_score for m in result.summary_metrics}
    ours = {name: summary.mean for name, summary in report.metrics.items()}
    print(f"        their means {theirs}")
    print(f"        our means   {ours}; {len(own)} rows")


def _judge_template() -> str:
    from genaiops_dagster.evaluation.judge import prompt_template

    judge = USE_CASE.evaluation.judge
    template = prompt_template(judge.metrics["quality"]) if judge else None
    return template or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    parts = arguments.parts or ["quota", "peer", "faults", "kill", "memory"]
    rate = quota() if "quota" in parts else None
    if "peer" in parts:
        peer(rate)
    for part in (faults, kill, memory):
        if part.__name__ in parts:
            part()


if __name__ == "__main__":
    main()
