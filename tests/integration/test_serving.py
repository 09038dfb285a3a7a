"""Content of the champion for the samples: asked once, with its own prompt, within the budget."""

from __future__ import annotations

import pytest

from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.records.tuning import TunedModel
from tests.integration.lifecycle import colours_use_case, error_text, open_store
from tests.integration.serving import asked, crown, failed_checks, made, rows, serve
from vertex_emulator.testing import RunningEmulator


@pytest.fixture
def store(emulator: RunningEmulator) -> ObjectStore:
    return open_store(emulator)


def test_samples_are_asked_once_and_kept_whole(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    champion = crown(store, use_case)
    before = asked(emulator)
    result = serve(use_case)
    assert result.success, error_text(result)
    assert asked(emulator) == before + 2
    content = made(store, use_case)
    assert content.rows == 2
    assert content.emulated
    assert content.cost_usd
    assert content.paid_requests == 2
    assert content.paid_usd == pytest.approx(content.cost_usd)
    kept = rows(store, use_case)
    assert [one.source_row for one in kept] == [1, 2]
    for one in kept:
        assert one.prompt_digest == champion.prompt_digest
        assert one.finish_reason
        assert one.input_tokens > 5
        assert "emulated" in one.model_version
    assert serve(use_case).success
    assert asked(emulator) == before + 2
    again = made(store, use_case)
    assert (again.digest, again.paid_requests, again.paid_usd) == (content.digest, 0, 0)


def test_answers_are_not_in_the_metadata(emulator: RunningEmulator, store: ObjectStore) -> None:
    use_case = colours_use_case(serving={"samples": [{"thing": "a very secret zebra"}]})
    crown(store, use_case)
    result = serve(use_case)
    (event,) = result.get_asset_materialization_events()
    metadata = str(event.materialization.metadata)
    (one,) = rows(store, use_case)
    assert "zebra" not in metadata
    assert one.answer
    assert f"'{one.answer}'" not in metadata


def test_a_budget_that_is_too_small_asks_nothing_and_says_so(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case(budget={"per_run_usd": 0.000_001})
    crown(store, use_case)
    before = asked(emulator)
    result = serve(use_case)
    assert result.success
    assert failed_checks(result) == {"answered"}
    assert asked(emulator) == before
    for one in rows(store, use_case):
        assert one.status == "refused"
        assert "budget.per_run_usd is 1e-06 USD; asked" in str(one.reason)


def test_a_prompt_that_was_changed_after_the_promotion_is_not_served(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case, prompt_template="Say something else about {{ thing }}.")
    before = asked(emulator)
    result = serve(use_case)
    assert not result.success
    assert "was changed after its promotion" in error_text(result)
    assert asked(emulator) == before


@pytest.mark.parametrize("same", [True, False])
def test_a_tuned_champion_is_asked_with_the_prompt_of_its_training_data_or_not_at_all(
    emulator: RunningEmulator, store: ObjectStore, same: bool
) -> None:
    use_case = colours_use_case()
    champion = crown(store, use_case)
    tuned = TunedModel(
        fingerprint="f",
        job="j",
        state="JOB_STATE_SUCCEEDED",
        base_model=champion.base_model,
        model="m",
        endpoint=champion.model,
        checkpoints=[],
        training_digest="t",
        prompt_digest=champion.prompt_digest if same else "another",
        epochs=1,
        examples=1,
        steps=1,
        billable_tokens=1,
        dropped_count=0,
        dropped_examples={},
        cost_usd=None,
        emulated=True,
    )
    store.write(f"{use_case.name}/assets/tuned_model.json", tuned.model_dump_json().encode())
    before = asked(emulator)
    result = serve(use_case)
    assert result.success == same
    assert ("was tuned with the prompt another" in error_text(result)) == (not same)
    assert asked(emulator) == before + (2 if same else 0)


def test_a_pointer_that_the_log_does_not_vouch_for_is_not_asked(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    champion = crown(store, use_case)
    changed = champion.model_copy(update={"model": "gemini-3.1-pro-preview"})
    body = changed.model_dump_json().encode()
    store.write(f"{use_case.name}/champion.json", body)
    store.write(f"{use_case.name}/assets/champion.json", body)
    before = asked(emulator)
    for day in (None, "2026-11-19"):
        result = serve(use_case, day)
        assert not result.success
        assert "not what the decision log says" in error_text(result)
    assert asked(emulator) == before


def test_the_same_champion_with_new_samples_is_asked_for_these_alone(
    emulator: RunningEmulator, store: ObjectStore
) -> None:
    use_case = colours_use_case()
    crown(store, use_case)
    assert serve(use_case).success
    before = asked(emulator)
    samples = [*use_case.serving.samples, {"thing": "snow"}]
    more = use_case.serving.model_copy(update={"samples": samples})
    assert serve(use_case.model_copy(update={"serving": more})).success
    assert asked(emulator) == before + 1
