"""The load test as an asset, with the check that can gate a promotion."""

import json
from typing import Any

import dagster as dg
from pydantic import Field

from genaiops_dagster.budget.ledger import Usage
from genaiops_dagster.budget.pricing import is_tuned
from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.evaluation_set import read_examples
from genaiops_dagster.evaluation.run_config import purse_of
from genaiops_dagster.orchestration.asset_options import Materialized, asset_key, use_case_asset
from genaiops_dagster.orchestration.metadata import chart_image, markdown_table
from genaiops_dagster.orchestration.plain_text import escape_markdown
from genaiops_dagster.orchestration.workspace import Workspace, open_workspace
from genaiops_dagster.promotion.assets import read_challenge
from genaiops_dagster.promotion.champion import gated_champion
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.prompts.tokens import api_counter
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import anchor
from genaiops_dagster.records.record import read_record
from genaiops_dagster.records.serving import LoadTest, load_test_subject
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.serving.load_testing.charts import latency_chart
from genaiops_dagster.serving.load_testing.load_test import (
    LoadTask,
    LoadTestError,
    build_load_test,
    estimate_load,
    generate_load,
)
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.gate import LatencySloRule
from genaiops_dagster.use_case.section import CHAMPION
from genaiops_dagster.use_case.serving import LoadTestPolicy

CHECK = "latency_slo"


class LoadTestConfig(dg.Config):
    """What to load: a candidate of the use case, or `champion`; default the gate's challenger."""

    candidate: str = Field(default="")


def gates_promotion(use_case: UseCase) -> bool:
    """Whether the gate asks for a load test."""
    return any(isinstance(rule, LatencySloRule) for rule in use_case.gate.rules)


def load_test_job_name(use_case: str) -> str:
    """Name of the job that materializes the load test alone."""
    return f"{use_case}_load_test"


def build_assets(use_case: UseCase) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset `load_test` with its check, where the use case has a load-test policy."""
    policy = use_case.serving.load_test
    return [] if policy is None else [_load_test(use_case, policy)]


def build_jobs(use_case: UseCase) -> list[Any]:
    """The job `<use case>_load_test`, where the use case has a load-test policy."""
    if use_case.serving.load_test is None:
        return []
    return [
        dg.define_asset_job(
            load_test_job_name(use_case.name),
            selection=dg.AssetSelection.assets(asset_key(use_case, "load_test")),
            description="Latency of a candidate or of the champion under load.",
        )
    ]


def _load_test(use_case: UseCase, policy: LoadTestPolicy) -> dg.AssetsDefinition:
    gates = gates_promotion(use_case)
    challenger = use_case.candidates[use_case.gate.challenger]

    @use_case_asset(
        use_case,
        "serving" if gates else "operations",
        description=(
            "Latency, time to first token, errors and throughput of a model under load, as the "
            "use case's steps generate it, against its latency objective."
        ),
        deps=[
            asset_key(use_case, *challenger.tuned_model),
            asset_key(use_case, "evaluation_set"),
            asset_key(use_case, "prompt"),
        ],
        kinds={"gemini", "gcs", "json"},
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=asset_key(use_case, "load_test"),
                description="The latency objective holds under load.",
            )
        ],
        dagster_type=LoadTest,
    )
    def load_test(context: dg.AssetExecutionContext, config: LoadTestConfig) -> Materialized:
        run_id = context.run.run_id
        with open_workspace(context, use_case) as here:
            purse, emulated = purse_of(here, context), here.models.emulated
            task = _task(here, policy, config.candidate or use_case.gate.challenger)
            counter = api_counter(here.models, task.model.base_model)
            with purse.paying(
                f"load_test/{task.fingerprint}/{run_id}",
                stage="load_test",
                model=task.model.base_model,
                estimate=estimate_load(task, counter, purse.prices(), emulated=emulated),
                tuned=is_tuned(task.model.address),
                grounded=task.is_grounded,
            ) as payment:
                try:
                    samples = generate_load(task, here.models.settings)
                except LoadTestError as error:
                    raise dg.Failure(str(error), allow_retries=False) from error
                tokens_in = sum(sample["input_tokens"] for sample in samples)
                tokens_out = sum(sample["output_tokens"] for sample in samples)
                payment.add(Usage(len(samples), tokens_in, tokens_out))
            name = Layout(use_case.name).load_test(run_id)
            lines = "".join(f"{json.dumps(sample)}\n" for sample in samples)
            here.store.write(name, lines.encode(), "application/jsonl")
            test = build_load_test(
                task,
                samples,
                here.store.uri(name),
                purse.prices(),
                here.clock.timestamp(),
                emulated=emulated,
            )
            digests = {load_test_subject(test): fingerprint(test)}
            anchor(here.store, use_case.name, digests, here.clock)
        return dg.MaterializeResult(
            value=test,
            metadata=_metadata(test),
            check_results=[
                dg.AssetCheckResult(
                    check_name=CHECK,
                    passed=test.met is not False,
                    description=escape_markdown("; ".join(test.reasons)),
                    metadata={"objective": test.objective or "none"},
                )
            ],
        )

    return load_test


def _task(here: Workspace, policy: LoadTestPolicy, candidate: str) -> LoadTask:
    use_case, store = here.use_case, here.store
    if candidate == CHAMPION:
        champion = gated_champion(store, use_case.name)
        if champion is None:
            raise dg.Failure(f"{use_case.name} has no champion yet", allow_retries=False)
        address = here.models.model_address(champion.model)
        model = Model(address, champion.base_model, champion.generation)
        prompt = prompt_of(champion)
    elif candidate in use_case.candidates:
        task = read_challenge(here, candidate).task
        model, prompt = task.model, task.prompt
    else:
        known = ", ".join([*use_case.candidates, CHAMPION])
        raise dg.Failure(f"no candidate {candidate!r}; there are: {known}", allow_retries=False)
    split = read_record(store, DatasetSplit, use_case.name, "evaluation_set")
    examples = read_examples(store, split)[: policy.questions]
    questions = [request_contents(prompt, example.variables) for example in examples]
    return LoadTask(use_case.name, policy, candidate, model, prompt, questions)


def _metadata(test: LoadTest) -> dict[str, Any]:
    headers = ["load", "requests", "failed", "answered/s", "p50 s", "p95 s", "p99 s"]
    return {
        "candidate": test.candidate,
        "model": test.model,
        "objective": test.objective or "none",
        "outcome": {True: "met", False: "missed", None: "not judged"}[test.met],
        "reasons": "; ".join(test.reasons),
        "cost_usd": "unknown" if test.cost_usd is None else test.cost_usd,
        "charged": "emulated, nothing was charged" if test.emulated else "charged",
        "dagster/uri": test.samples_uri,
        "steps": markdown_table(
            [*headers, "first token p95 s", "late p95 s"],
            [
                (
                    step.load,
                    step.requests,
                    step.failed,
                    step.throughput,
                    *(step.latency.p50, step.latency.p95, step.latency.p99),
                    step.first_token.p95,
                    step.lateness_p95_seconds,
                )
                for step in test.steps
            ],
        ),
        "latency_against_load": chart_image(latency_chart(test), "Latency against throughput"),
    }
