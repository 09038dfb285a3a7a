from __future__ import annotations

from typing import Any

import pytest

from genaiops_dagster.prompts.rendering import (
    PromptError,
    plain_pieces,
    render,
    request_contents,
    template_variables,
    tuning_line,
    version,
)
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.use_case import Prompt


def prompt_of(template: str, **fields: Any) -> PromptVersion:
    return version(Prompt(template=template, **fields))


def test_the_digest_covers_all_that_the_model_is_told() -> None:
    digests = {
        prompt_of("{{ a }}").digest,
        prompt_of("{{ b }}").digest,
        prompt_of("{{ a }}", system_instruction="x").digest,
        prompt_of("{{ a }}", files=["image"]).digest,
    }
    assert len(digests) == 4
    assert prompt_of("{{ a }}").digest in digests


def test_an_empty_value_renders_as_nothing_and_an_unknown_variable_is_an_error() -> None:
    assert render(prompt_of("[{{ a }}]"), {"a": None}) == "[]"
    with pytest.raises(PromptError, match=r"'b' is undefined; the row has: a"):
        render(prompt_of("{{ b }}"), {"a": 1})


def test_a_syntax_error_is_told_with_its_line() -> None:
    with pytest.raises(PromptError, match="line 2"):
        prompt_of("fine\n{{ a")


def test_training_asks_what_evaluation_and_serving_ask() -> None:
    prompt = prompt_of("Q: {{ q }}", system_instruction="Be brief.", files=["image"])
    row = {"q": "what?", "image": "gs://b/a.jpg"}
    line = tuning_line(prompt, row, "this")
    assert line["contents"][:-1] == request_contents(prompt, row)
    assert line["contents"][-1] == {"role": "model", "parts": [{"text": "this"}]}
    assert line["systemInstruction"]["parts"] == [{"text": "Be brief."}]


def test_a_missing_file_is_left_out_and_a_wrong_one_refused() -> None:
    prompt = prompt_of("look", files=["image"])
    assert request_contents(prompt, {"image": None})[0]["parts"] == [{"text": "look"}]
    for wrong in ("http://b/a.png", "gs://b/noending"):
        with pytest.raises(PromptError, match="image"):
            request_contents(prompt, {"image": wrong})


def test_a_row_may_bring_its_own_turns() -> None:
    turns = [{"role": "user", "parts": [{"text": "hello"}]}]
    assert request_contents(prompt_of("{{ q }}"), {"contents": turns}) == turns
    assert render(prompt_of("{{ contents }}"), {"contents": "a text"}) == "a text"


def test_variables_and_pieces_of_a_template() -> None:
    assert template_variables("{{ b }}{% if a %}{{ c.d }}{% endif %}") == ["a", "b", "c"]
    assert plain_pieces("x {{ a }}\n{{ b }}\n") == [
        ("x ", False),
        ("a", True),
        ("\n", False),
        ("b", True),
    ]
    assert plain_pieces("{{ a|upper }}") is None
    assert plain_pieces("{% for x in a %}{{ x }}{% endfor %}") is None
    assert plain_pieces("{# note #}{{ a }}") == [("a", True)]
