"""A short life of a small use case, through the command line, that leaves nearly every trace.

What it stores is what later versions have to read, and what a picture of a run lists.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from google.cloud import bigquery, storage
from typer.testing import CliRunner

from genaiops_dagster.cli.app import app
from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.serving import Router
from genaiops_dagster.use_case import known_use_case
from vertex_emulator.testing import GOOGLE_VARIABLES, start_emulator

NAME = "colours"
DAY = "2026-11-19"
TABLE = "paint.things"
LABELS = f"{NAME}/labels.jsonl"

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_THINGS = {
    "red": ["brick", "poppy", "strawberry", "fire engine", "ruby", "cherry", "lobster", "rose"],
    "green": ["meadow", "lime", "cucumber", "frog", "emerald", "fern", "parrot", "clover"],
    "blue": ["ocean", "sapphire", "cornflower", "whale", "denim jacket", "lake", "iris", "sky"],
}
_PLACES = ["the harbour", "a quiet street", "our garden"]
_LOOKS = ["old", "shining", "tiny", "broken", "painted"]


def rows() -> list[dict[str, str]]:
    """Source rows, good ones and three that are rejected."""
    good = [
        {
            "id": f"{colour}-{number}-{look}",
            "thing": f"{_LOOKS[number]} {things[(number + look) % 8]} beside {_PLACES[look]}",
            "place": _PLACES[look],
            "colour": colour,
        }
        for number, look in itertools.product(range(5), range(3))
        for colour, things in _THINGS.items()
    ]
    bad = [
        {**good[0], "id": "twice"},
        {"id": "empty", "thing": "a thing of no colour", "place": "nowhere", "colour": ""},
        {
            "id": "private",
            "thing": "call +44 20 7946 0958 for it",
            "place": "nowhere",
            "colour": "red",
        },
    ]
    return [*good, *bad]


def use_case_file(**changes: Any) -> dict[str, Any]:
    """Content of the use case file; `changes` are sections, merged with those below."""
    content: dict[str, Any] = {
        "name": NAME,
        "description": "Which colour does this thing have?",
        "owners": ["team:painters"],
        "source": {"sql": f"SELECT id, thing, place, colour FROM `{TABLE}` ORDER BY id"},
        "columns": {"output": "colour", "slices": ["place"]},
        "prompt": {
            "template": "Which colour has this?\n{{ thing }}\nOne of: red, green, blue.",
            "system_instruction": "Answer with one word.",
        },
        "split": {"training": 0.6, "validation": 0.2, "evaluation": 0.2, "seed": 3},
        "candidates": {
            "flash": {"model": "gemini-3.5-flash", "generation": {"max_output_tokens": 8}},
            "pro": {"model": "gemini-3.1-pro-preview", "generation": {"max_output_tokens": 8}},
            "tuned": {"model": "tuned", "generation": {"max_output_tokens": 8}},
        },
        "tuning": {"base_model": "gemini-3.5-flash-lite", "epochs": 2, "adapter_size": 1},
        "evaluation": {
            "metrics": ["exact_match"],
            "primary_metric": "exact_match",
            "golden": [
                {
                    "id": "garden",
                    "variables": {"thing": "a green cucumber, frog, fern, clover and lime"},
                    "equals": "green",
                }
            ],
            "judge": {
                "model": "gemini-3.1-pro-preview",
                "metrics": {"rightness": {"criteria": "It is the right colour."}},
                "pairwise": {"criteria": "The right colour is better.", "baseline": "pro"},
                "calibration": {"labels": LABELS, "minimum_kappa": -1},
            },
        },
        "gate": {
            "challenger": "flash",
            "minimum_rows": 3,
            "rules": [{"rule": "threshold", "metric": "exact_match", "at_least": 0.01}],
            "approval": {"approvers": ["ann"]},
        },
        "budget": {"per_run_usd": 20.0, "prices": {"gemini-3.5-flash-lite": {"tuning": 6.0}}},
        "serving": {
            "samples": [{"thing": "a leaf in spring"}],
            "log_texts": True,
            "monitoring": {"minimum_rows": 2},
            "load_test": {"steps": [{"users": 1, "seconds": 0.2}], "most_requests": 4},
            "guardrails": {"input": {"blocked_topics": {"war": ["tank"]}}},
        },
        "pipelines": {"hello": {"template": "hello_world"}},
    }
    for section, change in changes.items():
        content[section] = {**content[section], **change}
    return content


class Story:
    """The story in one folder, told step by step.

    Args:
        folder: Where use case files, inputs and `.genaiops` are.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / ".genaiops"
        self._files = folder / "use_cases"
        self._inputs = folder / "inputs"
        for made in (self._files, self._inputs):
            made.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def emulator(self) -> Iterator[str]:
        """Serve the folder's emulator, and point this process at it; the bucket's name."""
        running = start_emulator(self.home / "emulator")
        try:
            with self.environment(running.variables):
                yield running.variables["GENAIOPS_BUCKET"]
        finally:
            running.stop()

    @contextmanager
    def environment(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Set these variables and those of the folder, and nothing else of Google's."""
        before = dict(os.environ)
        for name in before:
            if name.startswith((*GOOGLE_VARIABLES, "DAGSTER_HOME")):
                del os.environ[name]
        os.environ.update(
            variables, GENAIOPS_USE_CASES=str(self._files), COLUMNS="200", TERM="dumb"
        )
        instance = self.home / "dagster"
        if instance.exists():  # else the first command makes it
            os.environ["DAGSTER_HOME"] = str(instance)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def command(self, *arguments: str) -> str:
        """Run one command to its end; what it printed.

        Raises:
            RuntimeError: it failed.
        """
        result = CliRunner().invoke(app, [*arguments, "--folder", str(self.home)])
        if result.exit_code:
            told = f"{arguments}: {result.exit_code}: {result.output}"
            raise RuntimeError(told) from result.exception
        return result.output

    def job(self, suffix: str, **options: Any) -> None:
        """Run a job of the use case."""
        definitions = build_definitions([known_use_case(NAME)])
        with dg.DagsterInstance.get() as instance:
            definitions.resolve_job_def(f"{NAME}_{suffix}").execute_in_process(
                instance=instance, run_config=_QUIET, **options
            )

    def materialize(self, *asset: str, **config: Any) -> None:
        """Materialize one asset; `config` is what a person chooses in the launchpad."""
        definitions = build_definitions([known_use_case(NAME)])
        op = "__".join([NAME, *asset])
        ops = {"ops": {op: {"config": config}}} if config else {}
        with dg.DagsterInstance.get() as instance:
            definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey([NAME, *asset])],
                run_config={**_QUIET, **ops},
            )

    def look_at_inbox(self) -> None:
        """One tick of the inbox sensor."""
        repository = build_definitions([known_use_case(NAME)]).get_repository_def()
        with (
            dg.DagsterInstance.get() as instance,
            dg.build_sensor_context(instance, resources=build_resources()) as context,
        ):
            repository.get_sensor_def(f"{NAME}_inbox").evaluate_tick(context)

    def define(self, **changes: Any) -> None:
        """Write the use case file."""
        content = yaml.safe_dump(use_case_file(**changes), sort_keys=False)
        (self._files / f"{NAME}.yaml").write_text(content)

    def begin(self) -> None:
        """From data in a table and in a delivered file to a champion."""
        self.define(gate={"approval": None})
        self._deliver()
        self.command("run", NAME)

    def go_on(self) -> None:
        """What happens after the first champion, in order."""
        self._change_champions()
        self._serve()
        self._roll_out()

    def _deliver(self) -> None:
        """Half of the rows are in a table, the others are delivered; labels are in the bucket."""
        bucket = storage.Client().bucket(os.environ["GENAIOPS_BUCKET"])
        labels = [
            {
                "metric": "rightness",
                "prompt": f"Which colour has {thing}?",
                "reference": "green",
                "response": colour,
                "rating": 5 if colour == "green" else 1,
            }
            for thing, colour in itertools.product(["grass", "a frog"], ["green", "blue"])
        ]
        bucket.blob(LABELS).upload_from_string("\n".join(map(json.dumps, labels)))
        tabled, delivered = rows()[::2], rows()[1::2]
        client = bigquery.Client()
        client.create_dataset(TABLE.partition(".")[0])
        client.load_table_from_json(tabled, TABLE).result()
        path = self._inputs / "things.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(delivered[0]))
            writer.writeheader()
            writer.writerows(delivered)
        self.command("deliver", NAME, str(path))

    def _change_champions(self) -> None:
        """A promotion that a person approves, a rejection and a rollback."""
        self.define(gate={"challenger": "tuned"})
        for job in ("tune_and_evaluate", "compare_models", "promote"):
            self.job(job, raise_on_error=False)
        self.command("approve", NAME, "--by", "ann", "--reason", "looked at the rows")
        self.job("promote")
        at_least = {"rule": "threshold", "metric": "exact_match", "at_least": 1.0}
        self.define(gate={"challenger": "tuned", "rules": [at_least]})
        self.job("promote", raise_on_error=False)
        self.command("rollback", NAME, "--by", "ann", "--reason", "complaints")

    def _serve(self) -> None:
        """Requests of users, feedback, a load test, prompts of a day, and what is watched."""
        self.define()
        with Router.connect(NAME) as router:
            answers = [
                router.generate({"thing": thing}, user=f"user {number}").request_id
                for number, thing in enumerate(["grass", "blood", "a tank", "the sea"])
            ]
        self.command("feedback", NAME, answers[0], "--by", "ann", "--rating", "1")
        self.command("feedback", NAME, answers[1], "--by", "ann", "--correct", "red")
        self.command("load-test", NAME, "--candidate", "champion")
        prompts = self._inputs / "prompts.jsonl"
        asked = [{"id": "leaf", "thing": "a leaf"}, {"id": "war", "thing": "a tank"}]
        prompts.write_text("\n".join(map(json.dumps, asked)))
        self.command("generate-day", NAME, "--day", DAY, "--prompts", str(prompts))
        self.job("online_evaluation_day", partition_key=DAY)
        self.materialize("vertex_pipeline_run", "hello")
        self.look_at_inbox()

    def _roll_out(self) -> None:
        """Another candidate is rolled out, looked at and taken back."""
        pairwise = {"criteria": "The right colour is better.", "baseline": "flash"}
        stages = [{"share": 0.5, "mirrored": 0.5}, {"share": 1.0}]
        judge = use_case_file()["evaluation"]["judge"]
        self.define(
            gate={"challenger": "pro", "approval": None},
            evaluation={"judge": {**judge, "pairwise": pairwise}},
            serving={"rollout": {"stages": stages, "minimum_requests": 100}},
        )
        for job in ("tune_and_evaluate", "compare_models", "promote"):
            self.job(job)
        with Router.connect(NAME) as router:
            for number in range(4):
                router.generate({"thing": "grass"}, user=f"user {number}")
        self.command("rollout", NAME)
        self.command("rollback", NAME, "--by", "ann", "--reason", "enough seen")
        self.define()
