"""How fast, how sure and how large an evaluation is, against the emulator.

    python benchmarks/evaluation.py [quota] [peer] [faults] [kill] [memory]

Without arguments all parts run, one after the other, in about six minutes on two cores. Every part
starts an emulator of its own; in all but the last it answers after 200 ms and lets 50 requests a
second through to content and 50 to evaluation. Exits with 1 when a target is missed.

quota   2,000 rows, three computed metrics and one judged, against what the quota allows
peer    the same metrics by `agentplatform.Client.evals` at its defaults, on 100 rows
faults  2,000 rows, 10 % of answers 429 or 503 and 1 % hanging: no row lost or doubled
kill    1,000 rows, killed at half with SIGKILL, started again: no answered row asked again
memory  50,000 rows by batch prediction, without latency and judge: peak memory

Seconds are those of `evaluate`, from the call to the report in the bucket, and of the peer's two
calls. Neither counts imports: ours has evaluated a few rows of another use case before, so that the
emulator has loaded its models, too.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulator_process import ask

from genaiops_dagster.budget.payment import Purse
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.evaluate import evaluate
from genaiops_dagster.evaluation.report import read_rows
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.prompts.rendering import render, version
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.data import DatasetSplit, Example
from genaiops_dagster.records.evaluation import EvaluationReport
from genaiops_dagster.use_case import UseCase

MODEL = "gemini-3.5-flash"
JUDGE = "gemini-3.1-pro-preview"
CRITERIA = "The response says what the prompt is about, and nothing else."
MODULES = ["argparse", "asyncio", "calendar", "csv", "datetime", "decimal", "json", "logging"]
SUBJECTS = [
    "the parsing of command line options",
    "tasks that wait for each other",
    "calendars of months and of years",
    "tables of comma separated values",
    "dates with times and with zones",
    "decimal numbers that are exact",
    "objects in the notation of JavaScript",
    "records of what a program does",
]
METHODS = ("generateContent", "evaluateInstances")
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
    for method in METHODS
]

USE_CASE = UseCase.model_validate(
    {
        "name": "benchmark",
        "description": "What is it about?",
        "source": {"sql": "SELECT 1"},
        "columns": {"output": "answer"},
        "prompt": {
            "template": "What is this about?\n{{ text }}",
            "system_instruction": "Answer in a few words and with nothing else.",
        },
        "candidates": {"flash": {"model": MODEL, "generation": {"max_output_tokens": 64}}},
        "tuning": {"base_model": MODEL},
        "evaluation": {
            "metrics": ["exact_match", "bleu", "rouge_l_sum"],
            "judge": {"model": JUDGE, "metrics": {"quality": {"criteria": CRITERIA}}},
        },
        "budget": {"per_run_usd": 100_000},
        "gate": {
            "challenger": "flash",
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0}],
        },
    }
)

LARGE = 10_000
"""From this number of rows on, the answers come from a batch job, and no judge is asked."""

USE_CASE_OF_LARGE_SETS = USE_CASE.model_copy(
    update={
        "evaluation": USE_CASE.evaluation.model_copy(
            update={"judge": None, "batch_from_rows": LARGE}
        )
    }
)

missed: list[str] = []


def target(
    value: float, text: str, *, most: float | None = None, least: float | None = None
) -> str:
    """The measured figure next to its target; a missed one is remembered."""
    good = (most is None or value <= most) and (least is None or value >= least)
    bound = f"at most {most:g}" if most is not None else f"at least {least:g}"
    if not good:
        missed.append(text)
    return f"{text}: {value:.2f} ({bound}: {'met' if good else 'MISSED'})"


@contextmanager
def emulator(*faults: dict[str, Any]) -> Iterator[str]:
    """An emulator process with `faults`; its URL. This process talks to it while it lives."""
    with tempfile.TemporaryDirectory() as folder:
        variables = Path(folder) / "variables"
        command = [
            *(sys.executable, "-m", "vertex_emulator", "--port", "0"),
            *("--state", f"{folder}/state", "--env-file", str(variables), "--stop-with-input"),
        ]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        while not variables.exists():
            time.sleep(0.05)
        for line in variables.read_text().splitlines():
            name, _, value = line.partition("=")
            os.environ[name] = value.strip("'")
        url = os.environ["GOOGLE_VERTEX_BASE_URL"]
        ask(os.environ, "PUT", "faults", {"faults": list(faults)})
        try:
            yield url
        finally:
            process.terminate()
            process.wait()


def requests_of(method: str) -> tuple[int, int]:
    """How often `method` was answered well, and how often with an error."""
    stats = ask(os.environ, "GET", "stats")
    errors = sum(e["count"] for e in stats["errors"] if e["method"] == method)
    return stats["requests"].get("vertex", {}).get(method, 0) - errors, errors


def clients() -> tuple[ObjectStore, VertexAI]:
    """The bucket and Vertex AI of the emulator that runs now."""
    from google.cloud import storage

    settings = GoogleCloudSettings.from_environment()
    return ObjectStore(storage.Client(), settings.bucket), VertexAI(settings)


def examples(rows: int) -> list[Example]:
    """Rows whose answers are a word of several, and a sentence, in turn.

    The BLEU of an answer with fewer than four words is always 0.
    """
    return [
        Example(
            id=f"row-{index:06}",
            group=f"group-{index // 2}",
            slices={},
            variables={"text": _one_of(index) if index % 2 else _open(index)},
            output=(MODULES if index % 2 else SUBJECTS)[index % 8],
        )
        for index in range(rows)
    ]


def _one_of(index: int) -> str:
    right, other = MODULES[index % 8], MODULES[index * 3 % 8]
    return (
        f"Question {index}: I use {other} or {right}, and {right} it is, says number {index}.\n"
        f"Choose one of: {', '.join(MODULES)}"
    )


def _open(index: int) -> str:
    return f"Note {index}: {SUBJECTS[index % 8]}, or {SUBJECTS[(index // 8) % 8]}."


def put_examples(store: ObjectStore, rows: int) -> DatasetSplit:
    """An evaluation set of a number of rows in the bucket."""
    content = "\n".join(example.model_dump_json() for example in examples(rows)).encode()
    name = f"benchmark/datasets/{rows}/evaluation.jsonl"
    store.write_once(name, content)
    return DatasetSplit(
        name="evaluation",
        uri=store.uri(name),
        digest=hashlib.sha256(content).hexdigest(),
        dataset_digest="",
        prompt_digest=version(USE_CASE.prompt).digest,
        rows=rows,
        characters=len(content),
    )


def run(rows: int, name: str = USE_CASE.name) -> tuple[EvaluationReport, float]:
    """Evaluate `rows` rows; the report, and how many seconds it took.

    The count of rows done goes to standard error.
    """
    from google.cloud import bigquery

    store, vertex_ai = clients()
    use_case = USE_CASE_OF_LARGE_SETS if rows >= LARGE else USE_CASE
    use_case = use_case.model_copy(update={"name": name})
    task = EvaluationTask(
        use_case=use_case.name,
        evaluation=use_case.evaluation,
        candidate="flash",
        model=Model(vertex_ai.model_address(MODEL), MODEL, USE_CASE.candidates["flash"].generation),
        prompt=version(USE_CASE.prompt),
        evaluation_set=put_examples(store, rows),
    )
    warehouse = Warehouse(
        lambda: bigquery.Client(project=vertex_ai.settings.project), "benchmark", SYSTEM_CLOCK
    )
    purse = Purse(
        use_case.name, use_case.budget, store, warehouse, SYSTEM_CLOCK, run_id=str(os.getpid())
    )

    def progress(done: int, total: int) -> None:
        if done % 20 == 0:
            print(f"{done}/{total}", file=sys.stderr, flush=True)

    started = time.perf_counter()
    report = evaluate(task, vertex_ai, purse, progress)
    return report, time.perf_counter() - started


def in_child(rows: int, *, kill_at: int | None = None, warm: bool = False) -> dict[str, Any]:
    """Evaluate in a process of its own; what it measured, or nothing when it was killed.

    Args:
        rows: How many rows.
        kill_at: So many rows done, it is killed.
        warm: Whether it evaluates a few rows of another use case first, which is not measured.
    """
    command = [sys.executable, __file__, "--child", str(rows), *["--warm"] * warm]
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
        return {}
    if process.returncode:
        raise RuntimeError("".join(log[-30:]))
    measured: dict[str, Any] = json.loads(output)
    return measured


def child(rows: int, *, warm: bool) -> None:
    """Evaluate here and print what it took."""
    if warm:
        run(8, "warm")
        ask(os.environ, "DELETE", "stats")
    before = time.process_time()
    report, seconds = run(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = read_rows(clients()[0], report)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": time.process_time() - before,
                "peak_mb": peak,
                "answered": report.states["answered"],
                "in place": sum(
                    row.id == example.id for row, example in zip(kept, examples(rows), strict=True)
                ),
                "scores": {name: metric.mean for name, metric in report.metrics.items()},
                "scored": {name: metric.rows for name, metric in report.metrics.items()},
            }
        )
    )


def quota(rows: int = 2000) -> float:
    """Wall time against the quota's bound; rows a second."""
    with emulator(LATENCY, *QUOTAS):
        found = in_child(rows, warm=True)
        seconds, bound = found["seconds"], rows / PER_SECOND
        print(f"quota   {rows} rows in {seconds:.1f} s; the quota allows them in {bound:.0f} s")
        print(f"        {target(seconds / bound, 'times the bound', most=1.15)}")
        print(f"        {found['cpu']:.0f} s of one core")
        for method in METHODS:
            good, bad = requests_of(method)
            print(f"        {method}: {good} answered, {bad} refused")
        print(f"        {found['answered']} answered; means {figures(found['scores'])}")
    return rows / float(seconds)


def figures(scores: dict[str, float]) -> str:
    """Means, as they are printed."""
    return ", ".join(f"{name} {mean:.4f}" for name, mean in scores.items())


def faults(rows: int = 2000) -> None:
    """Wall time and rows with errors, refusals and hangs."""
    spoiled = [
        {"kind": "error", "service": "vertex", "method": method, "status": status}
        | {"probability": 0.05}
        for method in METHODS
        for status in (429, 503)
    ]
    hanging = [
        {"kind": "hang", "service": "vertex", "method": method, "probability": 0.01}
        for method in METHODS
    ]
    with emulator(LATENCY, *QUOTAS, *spoiled, *hanging):
        found = in_child(rows, warm=True)
        print(f"faults  {rows} rows in {found['seconds']:.1f} s with 10 % errors and 1 % hanging")
        ratio = found["seconds"] * PER_SECOND / rows
        print(f"        {target(ratio, 'times the bound', most=1.6)}")
        lost = rows - min(found["answered"], found["in place"], *found["scored"].values())
        print(f"        {target(lost, 'rows lost, or without a score', most=0)}")
        for method in METHODS:
            good, bad = requests_of(method)
            print(f"        {method}: {good} answered, {bad} with an error")
            print(f"        {target(good - rows, 'answered more than once', most=0)}")


def kill(rows: int = 1000) -> None:
    """How many answered rows are asked again after a kill at half."""
    with emulator(LATENCY, *QUOTAS):
        in_child(rows, kill_at=rows // 2)
        time.sleep(1)
        before = {method: requests_of(method)[0] for method in METHODS}
        found = in_child(rows)
        print(f"kill    at {rows // 2} of {rows} rows; started again: {found['answered']} answered")
        for method, answered in before.items():
            again = requests_of(method)[0] - rows
            print(f"        {method}: {answered} answered before the kill")
            most = USE_CASE.evaluation.concurrency
            print(f"        {target(again, 'asked again, all under way at the kill', most=most)}")


def memory(rows: int = 50_000) -> None:
    """Peak memory of a large evaluation."""
    with emulator():
        found = in_child(rows)
    print(f"memory  {rows} rows by a batch job in {found['seconds']:.0f} s")
    print(f"        {target(found['peak_mb'], 'MB at most', most=600)}")


def peer(own_rate: float | None, rows: int = 100) -> None:
    """The same by `agentplatform.Client.evals`, and whether the scores are the same."""
    with emulator(LATENCY, *QUOTAS) as url:
        report, _ = run(rows)
        ours = [row.scores for row in read_rows(clients()[0], report)]
        inferred, seconds, theirs = by_peer(url, rows)
    print(f"peer    {rows} rows in {seconds:.1f} s, {inferred:.1f} s of it inference:", end=" ")
    print(f"{rows / seconds:.1f} rows a second")
    if own_rate:
        print(f"        ours {own_rate:.1f} rows a second")
        print(f"        {target(own_rate * seconds / rows, 'times as fast', least=8)}")
    for name in theirs[0]:
        gap = max(abs(a[name] - (b[name] or 0.0)) for a, b in zip(theirs, ours, strict=True))
        print(f"        {target(gap, f'largest difference of a row in {name}', most=1e-6)}")


def by_peer(url: str, rows: int) -> tuple[float, float, list[dict[str, float]]]:
    """Seconds of inference and of all, and each row's scores, by the SDK at its defaults."""
    import agentplatform
    import pandas as pd
    from agentplatform import types

    from genaiops_dagster.evaluation.judging.judge import prompt_template

    judge = USE_CASE.evaluation.judge
    template = prompt_template(judge.metrics["quality"]) if judge else None
    prompt, asked = version(USE_CASE.prompt), examples(rows)
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
    metrics = [
        *(types.Metric(name=name) for name in USE_CASE.evaluation.metrics),
        types.LLMMetric(  # which rates once, as ours does
            name="quality",
            prompt_template=template,
            judge_model=JUDGE,
            judge_model_sampling_count=1,
        ),
    ]
    generation = {"temperature": 0.0, "max_output_tokens": 64, "seed": 0}
    config = {"system_instruction": prompt.system_instruction, **generation}
    evals = client.evals  # imports what it needs, which is not measured
    started = time.perf_counter()
    answers = evals.run_inference(
        model=MODEL, src=frame, config={"generate_content_config": config}
    )
    inferred = time.perf_counter() - started
    result = evals.evaluate(dataset=answers, metrics=metrics)
    seconds = time.perf_counter() - started
    scores = [
        {
            name: float(found.score)
            for name, found in case.response_candidate_results[0].metric_results.items()
        }
        for case in sorted(result.eval_case_results, key=lambda case: case.eval_case_index)
    ]
    return inferred, seconds, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, warm=arguments.warm)
        return
    parts = arguments.parts or ["quota", "peer", "faults", "kill", "memory"]
    rate = quota() if "quota" in parts else None
    if "peer" in parts:
        peer(rate)
    for part in (faults, kill, memory):
        if part.__name__ in parts:
            part()
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
