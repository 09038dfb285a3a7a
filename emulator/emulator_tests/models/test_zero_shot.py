"""Base models answer from the prompt alone, the larger the better."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vertex_emulator.errors import ApiError
from vertex_emulator.models.catalog import ModelCatalog
from vertex_emulator.models.instructions import find_options, read_instruction
from vertex_emulator.models.language_model import Turn
from vertex_emulator.public_data import public_tables
from vertex_emulator.vertex.database import ResourceStore

ARTICLE = (
    "The town library opens on Sundays from June. The council agreed to pay for two more"
    " librarians. It rained during the meeting. Opening the library on Sundays was asked for by"
    " readers of the library for years."
)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[ModelCatalog]:
    resources = ResourceStore(tmp_path / "resources.sqlite")
    yield ModelCatalog(tmp_path / "models", resources)
    resources.close()


def ask(model: Any, prompt: Any, system: str = "", **settings: Any) -> Any:
    return model.answer(system, [Turn("user", prompt)], **settings)


@pytest.mark.parametrize(
    "text",
    [
        "Choose one of: red, dark blue, green.\nThe sky?",
        "Which colour is the sky?\nColours to choose from: red, dark blue, green",
        "Choose one of: red, dark blue,\ngreen.",
        "Options:\n- red\n- dark blue\n- green\n\nWhich colour is the sky?",
        "Choose a label:\n1. red\n2. dark blue\n3. green",
        "Answer with one of the following: `red`, `dark blue` or `green`.",
        "Classify. Labels: red | dark blue | green",
    ],
)
def test_lists_of_options_are_read_in_their_usual_forms(text: str) -> None:
    assert find_options(text)[0] == ("red", "dark blue", "green")


@pytest.mark.parametrize(
    "text",
    [
        "Why does a list of two items, a tuple and a set differ?",
        "The steps are:\n- read the whole file from the disk into memory\n- close it",
        "Note: commas, as here, are no options.",
    ],
)
def test_other_lists_are_not_options(text: str) -> None:
    assert find_options(text)[0] == ()


def test_the_answer_to_a_closed_question_is_one_of_its_options(catalog: ModelCatalog) -> None:
    for name in catalog.base_models():
        answer = ask(
            catalog.resolve(name), "How do I parse arguments?", "Choose one of: csv, json."
        )
        assert answer in {"csv", "json"}


def test_a_summary_keeps_to_the_requested_length(catalog: ModelCatalog) -> None:
    model = catalog.resolve("gemini-3.1-pro-preview")
    one = ask(model, f"Summarize the article in one sentence.\n\nArticle: {ARTICLE}\n\nSummary:")
    assert one in ARTICLE
    assert one.count(".") == 1
    assert "library" in one
    short = ask(model, f"Write a headline of at most 5 words.\n\n{ARTICLE}")
    assert len(short.split()) <= 5


def test_options_inside_a_text_to_summarize_do_not_make_it_a_choice() -> None:
    prompt = "Summarize this.\n\nThe command has options: left, right, up and down."
    assert type(read_instruction("", prompt)).__name__ == "Summary"


def test_larger_models_do_better_on_real_questions(catalog: ModelCatalog) -> None:
    (_, _, questions), *_ = public_tables()
    modules = sorted({row["tags"].split("|")[1] for row in questions})
    system = f"Name the module. Choose one of: {', '.join(modules)}."
    sample = questions[::7]

    def accuracy(name: Any) -> Any:
        model = catalog.resolve(name)
        right = [
            ask(model, f"{row['title']}\n{row['body']}", system) == row["tags"].split("|")[1]
            for row in sample
        ]
        return sum(right) / len(right)

    lite, flash, pro = map(
        accuracy, ("gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-3.1-pro-preview")
    )
    assert 2 / len(modules) < lite < flash < pro < 0.5


def test_the_same_input_and_seed_give_the_same_answer(catalog: ModelCatalog) -> None:
    model = catalog.resolve("gemini-3.5-flash")
    options = "Choose one of: a1, b2, c3, d4, e5, f6."
    warm = [ask(model, "?", options, temperature=2.0, seed=seed) for seed in range(40)]
    assert warm == [ask(model, "?", options, temperature=2.0, seed=seed) for seed in range(40)]
    assert len(set(warm)) > 1
    cold = {ask(model, "?", options, seed=seed) for seed in range(40)}
    assert len(cold) == 1


@pytest.mark.parametrize(
    "form",
    [
        "gemini-3.5-flash",
        "publishers/google/models/gemini-3.5-flash",
        "models/gemini-3.5-flash",
        "projects/p/locations/eu/publishers/google/models/gemini-3.5-flash",
        "gemini-3.5-flash@default",
    ],
)
def test_a_model_answers_under_every_form_of_its_name(catalog: ModelCatalog, form: str) -> None:
    assert catalog.resolve(form).version == "gemini-3.5-flash-emulated"


@pytest.mark.parametrize(
    ("model", "location"),
    [("gemini-3.5-flash", "us-central1"), ("gemini-3.1-pro-preview", "us")],
)
def test_a_model_is_found_where_it_is_served_alone(
    catalog: ModelCatalog, model: str, location: str
) -> None:
    resource = f"projects/p/locations/{location}/publishers/google/models/{model}"
    with pytest.raises(
        ApiError, match=rf"`{resource}` was not found .*served in: global"
    ) as caught:
        catalog.resolve(resource)
    assert caught.value.code == 404


@pytest.mark.parametrize(
    "name", ["gemini-1.0-pro", "projects/p/locations/l/endpoints/1", "", "../../etc/passwd"]
)
def test_an_unknown_model_is_not_found(catalog: ModelCatalog, name: str) -> None:
    with pytest.raises(ApiError) as error:
        catalog.resolve(name)
    assert error.value.code == 404


def test_a_judge_prompt_gets_a_rating_on_its_own_scale(catalog: ModelCatalog) -> None:
    prompt = (
        "# Instruction\nYou are an expert evaluator.\n## Rating Rubric\n10: perfect\n0: wrong\n"
        "# User Inputs\n### Prompt\nSay hello to the world\n## AI-generated Response\n{}"
    )
    judge = catalog.resolve("gemini-3.1-pro-preview")
    good = json.loads(ask(judge, prompt.format("hello world")))
    bad = json.loads(ask(judge, prompt.format("bananas")))
    assert 0 <= bad["score"] < good["score"] <= 10
    assert "emulated judge" in good["explanation"].lower()


def test_a_judge_prompt_with_two_responses_gets_a_choice(catalog: ModelCatalog) -> None:
    prompt = (
        "You are an expert evaluator.\n## Rating Rubric\nA: first\nSAME: equal\nB: second\n"
        "### Prompt\nSay hello to the world\n### Response A\n{}\n\n### Response B\n{}\n"
    )
    judge = catalog.resolve("gemini-3.1-pro-preview")
    choices = [
        json.loads(ask(judge, prompt.format(*pair)))["pairwise_choice"]
        for pair in (("hello world", "no"), ("no", "hello world"), ("hello", "hello"))
    ]
    assert choices == ["A", "B", "SAME"]
