"""`genaiops generate`, as a person runs it: what is asked, what is refused, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from genaiops_dagster.cli.app import app
from tests.integration.lifecycle import colours_use_case, open_store
from tests.integration.promotion_bench import Bench
from tests.integration.serving import asked
from vertex_emulator.testing import RunningEmulator
from vertex_emulator.testing.media import mp4, pdf, png, wav


@pytest.fixture
def bench(bench: Bench, folder: Path) -> Bench:
    """A use case with a promoted, tuned champion whose prompt is `{{ question }}`."""
    bench.promote()
    write(folder, bench.use_case.model_dump(mode="json"))
    return bench


def write(folder: Path, content: dict[str, Any]) -> None:
    (folder / f"{content['name']}.yaml").write_text(yaml.safe_dump(content))


def colours(folder: Path, **sections: Any) -> str:
    """A use case of its own without a champion; its name."""
    content = colours_use_case(**sections).model_dump(mode="json")
    write(folder, content)
    return str(content["name"])


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate", *arguments])


def full(folder: Path, *arguments: str) -> dict[str, Any]:
    """The response in full, as `--json` writes it."""
    target = folder / "response.json"
    result = generate(*arguments, "--json", str(target))
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(target.read_text())
    return found


def test_the_champion_answers_with_its_prompt_and_its_price(bench: Bench, folder: Path) -> None:
    result = generate(bench.name, "question 4")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] in ("csv", "json")
    assert f"champion 1 of {bench.name}, prompt {bench.champion.prompt_digest[:12]}" in (
        result.output
    )
    assert "emulated, nothing was charged" in result.output
    response = full(folder, bench.name, "question 4")
    assert response["model"] == bench.tuned.endpoint
    assert response["request"]["contents"][0]["parts"] == [{"text": "question 4"}]
    assert response["status"] == "answered"
    assert response["cost_usd"] > 0
    assert response["response"]["candidates"][0]["finish_reason"] == "STOP"
    usage = response["response"]["usage_metadata"]
    assert usage["prompt_token_count"] == response["counted_tokens"]


def test_a_pointer_that_the_log_does_not_vouch_for_is_not_asked(
    bench: Bench, emulator: RunningEmulator
) -> None:
    changed = bench.champion.model_copy(update={"model": "gemini-3.1-pro-preview"})
    bench.store.write(f"{bench.name}/champion.json", changed.model_dump_json().encode())
    before = asked(emulator)
    result = generate(bench.name, "question 4")
    assert result.exit_code == 1
    assert "not what the decision log says" in result.output
    assert asked(emulator) == before


def test_without_a_champion_it_says_what_makes_one(folder: Path) -> None:
    name = colours(folder)
    result = generate(name, "the sky")
    assert result.exit_code == 2
    assert f"genaiops run {name}" in result.output


def test_the_name_as_an_option_works_for_one_release_more(folder: Path) -> None:
    name = colours(folder)
    result = generate("the sky", "--use-case", name, "--model", "gemini-3.5-flash")
    assert result.exit_code == 0, result.output
    assert f"write `genaiops generate {name} ...`" in result.stderr


def test_a_text_alone_is_asked_of_the_default_use_case() -> None:
    result = generate("How do I read a table?")
    assert result.exit_code == 2
    assert "python_modules has no champion yet" in result.output


def test_any_model_is_asked_with_the_prompt_or_without(folder: Path) -> None:
    name = colours(folder)
    options = ("--model", "gemini-3.5-flash")
    with_prompt = full(folder, name, "the sky", *options)["request"]
    (text,) = with_prompt["contents"][0]["parts"]
    assert text["text"] == "Which colour is the sky? One of: red, green, blue."
    assert with_prompt["config"]["system_instruction"] == "Answer with one word."
    raw = full(folder, name, "the sky", *options, "--raw", "--system", "Be brief.")["request"]
    assert raw["contents"][0]["parts"] == [{"text": "the sky"}]
    assert raw["config"]["system_instruction"] == "Be brief."


def test_a_long_answer_streams_whole(folder: Path) -> None:
    name = colours(folder)
    text = "Tell me much about: " + " ".join(f"word{n}" for n in range(60))
    response = full(folder, name, text, "--model", "gemini-3.5-flash", "--raw")
    parts = response["response"]["candidates"][0]["content"]["parts"]
    assert len(parts) == 1
    assert generate(name, text, "--model", "gemini-3.5-flash", "--raw").output.startswith(
        parts[0]["text"]
    )


def test_the_text_must_have_one_place(folder: Path) -> None:
    prompt = {"template": "{{ one }} and {{ two }}"}
    name, options = colours(folder, prompt=prompt), ("--model", "gemini-3.5-flash")
    result = generate(name, "x", *options)
    assert result.exit_code == 2
    assert "asks for one, two" in result.output
    assert "--var two=..." in result.output
    texts = full(folder, name, "x", *options, "--var", "two=y")["request"]["contents"][0]["parts"]
    assert texts == [{"text": "x and y"}]
    assert (
        "no such variable; it has: one, two" in generate(name, "x", *options, "--var", "a=b").output
    )
    assert "give the text of two" in generate(name, *options, "--var", "one=b").output
    filled = ("--var", "one=1", "--var", "two=2")
    assert "the text has no place" in generate(name, "x", *options, *filled).output


def test_files_of_the_bucket_and_of_this_machine_are_attached(
    emulator: RunningEmulator, folder: Path
) -> None:
    name, options = colours(folder), ("--model", "gemini-3.5-flash")
    picture = folder / "small.png"
    picture.write_bytes(png(1, 1))
    note = folder / "note.txt"
    note.write_text("The sky was red that day.")
    request = full(folder, name, "the sky", *options, "--file", str(picture), "--file", str(note))
    first, second, text = request["request"]["contents"][0]["parts"]
    assert first["fileData"]["mimeType"] == "image/png"
    assert second["fileData"]["mimeType"] == "text/plain"
    assert "Which colour" in text["text"]
    again = full(folder, name, "the sky", *options, "--file", first["fileData"]["fileUri"])
    assert again["request"]["contents"][0]["parts"][0] == first
    details = again["response"]["usage_metadata"]["prompt_tokens_details"]
    assert {one["modality"] for one in details} == {"IMAGE", "TEXT"}
    assert "no such file" in generate(name, "x", *options, "--file", "nowhere.png").output
    odd = folder / "odd.unknown"
    odd.write_text("?")
    assert "known file extension" in generate(name, "x", *options, "--file", str(odd)).output


@pytest.mark.parametrize(
    ("name", "content", "kind", "modality", "tokens"),
    [
        ("talk.wav", wav(3), "audio/wav", "AUDIO", 3 * 32),
        ("film.mp4", mp4(4), "video/mp4", "VIDEO", 4 * 70),
        ("report.PDF", pdf(2), "application/pdf", "DOCUMENT", 2 * 560),
    ],
)
def test_recordings_films_and_documents_of_the_bucket_are_asked_about(
    emulator: RunningEmulator,
    folder: Path,
    name: str,
    content: bytes,
    kind: str,
    modality: str,
    tokens: int,
) -> None:
    """Rates by https://ai.google.dev/gemini-api/docs/tokens, "Multimodal tokens"."""
    store = open_store(emulator)
    store.write(f"media/{name}", content)
    uri = store.uri(f"media/{name}")
    name, options = colours(folder), ("--model", "gemini-3.5-flash", "--file", uri)
    response = full(folder, name, "the sky", *options)
    part = response["request"]["contents"][0]["parts"][0]
    assert part == {"fileData": {"fileUri": uri, "mimeType": kind}}
    usage = response["response"]["usage_metadata"]
    counted = {one["modality"]: one["token_count"] for one in usage["prompt_tokens_details"]}
    assert counted[modality] == tokens
    assert response["counted_tokens"] == usage["prompt_token_count"] > tokens
    assert response["status"] == "answered"


def test_a_file_that_is_not_there_is_told(emulator: RunningEmulator, folder: Path) -> None:
    name, options = colours(folder), ("--model", "gemini-3.5-flash")
    result = generate(
        name, "the sky", *options, "--file", f"gs://{open_store(emulator).bucket}/no.pdf"
    )
    assert result.exit_code == 1
    assert "no.pdf" in result.output


def test_search_presets_candidates_and_safety_are_in_the_request(folder: Path) -> None:
    name, options = colours(folder), ("--model", "gemini-3.5-flash")
    found = full(folder, name, "the sky", *options, "--search")
    candidate = found["response"]["candidates"][0]
    assert candidate["grounding_metadata"]["web_search_queries"]
    shown = generate(name, "the sky", *options, "--search")
    assert "searched for:" in shown.output
    assert "source:" in shown.output
    several = full(folder, name, "the sky", *options, "--candidates", "3", "--preset", "random")
    assert len(several["response"]["candidates"]) == 3
    assert several["request"]["config"]["temperature"] == 1.0
    assert generate(name, "the sky", *options, "--candidates", "3").output.startswith("[1] ")
    blocked = generate(
        name, "poison", *options, "--safety", "dangerous_content=block_medium_and_above"
    )
    assert blocked.exit_code == 1
    assert "DANGEROUS_CONTENT" in blocked.output
    wrong = generate(name, "poison", *options, "--safety", "violence=block_none")
    assert (wrong.exit_code, "--safety" in wrong.output) == (2, True)


def test_an_answer_by_schema(folder: Path) -> None:
    schema = folder / "schema.json"
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
                "required": ["colour"],
            }
        )
    )
    name, options = colours(folder), ("--model", "gemini-3.5-flash")
    found = full(folder, name, "the sky", *options, "--schema", str(schema), "--max-tokens", "64")
    text = found["response"]["candidates"][0]["content"]["parts"][0]["text"]
    assert json.loads(text)["colour"] in ("red", "blue")
    schema.write_text("[]")
    assert "expected a JSON object" in generate(name, "x", *options, "--schema", str(schema)).output


def test_a_budget_that_does_not_reach_refuses_with_figures(
    emulator: RunningEmulator, folder: Path
) -> None:
    name = colours(folder, budget={"per_request_tokens": 100})
    before = emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0)
    result = generate(name, "the sky", "--model", "gemini-3.5-flash")
    assert result.exit_code == 1
    assert "budget.per_request_tokens is 100 tokens; asked 9,2" in " ".join(result.output.split())
    assert emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0) == before


def test_guardrails_hold_for_the_command(emulator: RunningEmulator, folder: Path) -> None:
    guardrails = {
        "input": {"blocked_topics": {"war": ["tank"]}, "personal_data": "redact"},
        "output": {"forbidden_patterns": ["."]},
    }
    name = colours(folder, serving={"guardrails": guardrails})
    options = ("--model", "gemini-3.5-flash")
    before = emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0)
    refused = generate(name, "a Tank", *options)
    assert refused.exit_code == 1
    assert "guardrails.input.blocked_topics.war" in refused.output
    assert emulator.stats()["requests"]["vertex"].get("streamGenerateContent", 0) == before
    held = generate(name, "the sky over maria.huber@posteo.de", *options)
    assert held.exit_code == 1
    assert "the answer is not shown: guardrails.output.forbidden_patterns.0" in held.output
    assert "Redacted: guardrails.input.personal_data: e-mail address" in held.output
    assert not held.output.startswith(("red", "green", "blue"))
