"""A champion without a promotion, and runs of the assets that serve it."""

from __future__ import annotations

from typing import Any

import dagster as dg

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.orchestration.asset_options import asset_key
from genaiops_dagster.orchestration.bindings import build_resources
from genaiops_dagster.promotion.log import DecisionLog
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.records.clock import SYSTEM_CLOCK
from genaiops_dagster.records.promotion import Champion, Decision, Verdict
from genaiops_dagster.records.record import from_row
from genaiops_dagster.records.serving import GeneratedContent, GeneratedRow
from genaiops_dagster.serving.daily.assets import build_assets, generate_job_name
from genaiops_dagster.serving.daily.assets import build_schedule as generate_schedule
from genaiops_dagster.serving.daily.tables import from_parquet
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import GenerationConfig
from tests.integration.lifecycle import record_of
from tests.values import present
from vertex_emulator.testing import RunningEmulator


def crown(store: ObjectStore, use_case: UseCase, **changes: Any) -> Champion:
    """Make `flash` the champion, with the entries of the log that a promotion would write."""
    prompt = version(use_case.prompt)
    champion = Champion.model_validate(
        {
            "number": 1,
            "use_case": use_case.name,
            "candidate": "flash",
            "model": "gemini-3.5-flash",
            "base_model": "gemini-3.5-flash",
            "registered_model": None,
            "generation": GenerationConfig(max_output_tokens=8, thinking_level="MINIMAL"),
            "prompt_digest": prompt.digest,
            "prompt_template": prompt.template,
            "system_instruction": prompt.system_instruction,
            "report_fingerprint": "r",
            "report_uri": "gs://b/r",
            "decision_id": "d",
            "decision_uri": "gs://b/d",
            "promoted": "2026-11-20T12:00:00+00:00",
            "emulated": True,
            **changes,
        }
    )
    decision = Decision(
        id=champion.decision_id,
        use_case=use_case.name,
        challenger=champion.candidate,
        model=champion.model,
        verdict=Verdict(outcome="PROMOTE", rules=[]),
        comparison_id="c",
        comparison_digest="c",
        report_fingerprint=champion.report_fingerprint,
        report_uri=champion.report_uri,
        policy_digest="p",
        prompt_digest=champion.prompt_digest,
        evaluation_digest="e",
        champion_before=None,
        created=champion.promoted,
    )
    log = DecisionLog(store, use_case.name, SYSTEM_CLOCK)
    log.append(log.read(), "decision", decision=decision)
    log.append(log.read(), "promotion", champion=champion)
    log.append(log.read(), "completion", completes=champion.number)
    store.write(f"{use_case.name}/champion.json", champion.model_dump_json().encode())
    return champion


def serve(use_case: UseCase, day: str | None = None) -> dg.ExecuteInProcessResult:
    """Materialize the content of a day, or of the samples."""
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(asset_key(use_case, "champion")), *build_assets(use_case)],
        schedules=[generate_schedule(use_case)],
        jobs=[
            dg.define_asset_job(
                "samples",
                selection=dg.AssetSelection.assets(asset_key(use_case, "sample_content")),
            )
        ],
        resources=build_resources(),
    )
    name = generate_job_name(use_case.name) if day else "samples"
    job = definitions.resolve_job_def(name)
    return job.execute_in_process(partition_key=day, raise_on_error=False)


def made(store: ObjectStore, use_case: UseCase, day: str | None = None) -> GeneratedContent:
    """What the asset handed on."""
    asset = f"generated_content/{day}" if day else "sample_content"
    return from_row(GeneratedContent, present(record_of(store, use_case, asset)))


def rows(store: ObjectStore, use_case: UseCase, day: str | None = None) -> list[GeneratedRow]:
    """The rows that it wrote."""
    content = store.read(store.name_of(made(store, use_case, day).uri))
    assert content is not None
    return from_parquet(content)


def asked(emulator: RunningEmulator) -> int:
    """Requests for content that the emulator had so far."""
    vertex = emulator.stats()["requests"].get("vertex", {})
    return int(vertex.get("generateContent", 0))


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """Names of the checks that did not pass."""
    return {
        event.asset_check_evaluation_data.check_name
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
        and not event.asset_check_evaluation_data.passed
    }
