"""Content of the champion over the emulator: asked once, with its own prompt, within the budget."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from genaiops_dagster.asset_options import asset_key
from genaiops_dagster.candidates import GenerationConfig
from genaiops_dagster.google_cloud.bindings import build_resources
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.promotion.records import Champion
from genaiops_dagster.prompts.rendering import version
from genaiops_dagster.serving.assets import build_assets
from genaiops_dagster.serving.generate import read_content
from genaiops_dagster.serving.records import GeneratedContent
from genaiops_dagster.use_case import UseCase
from tests.conftest import RunningEmulator
from tests.integration.lifecycle import colours_use_case, error_text, open_store, record_of


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def crown(store: ObjectStore, use_case: UseCase, **changes: Any) -> Champion:
    """Make `flash` the champion, as promotion would."""
    prompt = version(use_case.prompt)
    champion = Champion.model_validate(
        {
            "number": 1,
            "use_case": use_case.name,
            "candidate": "flash",
            "model": "gemini-2.5-flash",
            "base_model": "gemini-2.5-flash",
            "registered_model": None,
            "generation": GenerationConfig(max_output_tokens=8),
            "prompt_digest": prompt.digest,
            "prompt_template": prompt.template,
            "system_instruction": prompt.system_instruction,
            "report_fingerprint": "r",
            "report_uri": "gs://b/r",
            "decision_uri": "gs://b/d",
            "promoted": "2026-11-20T12:00:00+00:00",
            "emulated": True,
            **changes,
        }
    )
    store.write(f"{use_case.name}/assets/champion.json", champion.model_dump_json().encode())
    return champion


def serve(use_case: UseCase) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(asset_key(use_case, "champion")), *build_assets(use_case)],
        jobs=[dg.define_asset_job("serve", selection=dg.AssetSelection.all().materializable())],
        resources=build_resources(),
    )
    return definitions.resolve_job_def("serve").execute_in_process(raise_on_error=False)


def asked(emulator: RunningEmulator) -> int:
    vertex = emulator.stats()["requests"].get("vertex", {})
    return int(vertex.get("generateContent", 0))


def test_samples_are_asked_once_and_kept_whole(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    champion = crown(store, use_case)
    before = asked(emulator)
    result = serve(use_case)
    assert result.success, error_text(result)
    assert asked(emulator) == before + 2
    made = GeneratedContent.model_validate(record_of(store, use_case, "generated_content"))
    assert made.rows == 2
    assert made.emulated
    assert made.cost_usd
    assert made.uri == store.uri(f"{use_case.name}/generated/{made.fingerprint}.jsonl")
    kept = read_content(store, store.name_of(made.uri))
    assert kept is not None
    assert [one.sample for one in kept] == [0, 1]
    for one in kept:
        assert one.prompt_digest == champion.prompt_digest
        assert one.answer.finish_reason
        assert one.answer.input_tokens > 5
        assert "emulated" in one.answer.model_version
    assert serve(use_case).success
    assert asked(emulator) == before + 2


def test_answers_are_not_in_the_metadata(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(
        serving={"samples": [{"thing": "a very secret zebra"}]},
    )
    crown(store, use_case)
    result = serve(use_case)
    (event,) = result.get_asset_materialization_events()
    metadata = str(event.materialization.metadata)
    made = GeneratedContent.model_validate(record_of(store, use_case, "generated_content"))
    (one,) = read_content(store, store.name_of(made.uri)) or []
    assert "zebra" not in metadata
    assert one.answer.text
    assert f"'{one.answer.text}'" not in metadata


def test_a_budget_that_is_too_small_asks_nothing(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(budget={"per_run_usd": 0.000_001})
    crown(store, use_case)
    before = asked(emulator)
    result = serve(use_case)
    assert not result.success
    assert "budget.per_run_usd" in error_text(result)
    assert asked(emulator) == before


def test_a_prompt_that_was_changed_after_the_promotion_is_not_served(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case, prompt_template="Say something else about {{ thing }}.")
    before = asked(emulator)
    result = serve(use_case)
    assert "was changed after its promotion" in error_text(result)
    assert asked(emulator) == before


def test_content_of_another_prompt_fails_the_check(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    assert serve(use_case).success
    made = GeneratedContent.model_validate(record_of(store, use_case, "generated_content"))
    name = store.name_of(made.uri)
    (first, second) = read_content(store, name) or []
    tampered = second.model_copy(update={"prompt_digest": "another"})
    store.write(name, f"{first.model_dump_json()}\n{tampered.model_dump_json()}\n".encode())
    result = serve(use_case)
    failed = {
        e.asset_check_evaluation_data.check_name
        for e in result.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION"
        and not e.asset_check_evaluation_data.passed
    }
    assert failed == {"prompt_parity"}


def test_the_same_champion_with_new_samples_is_asked_again(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    assert serve(use_case).success
    before = asked(emulator)
    more = use_case.serving.model_copy(update={"samples": [{"thing": "snow"}]})
    assert serve(use_case.model_copy(update={"serving": more})).success
    assert asked(emulator) == before + 1
