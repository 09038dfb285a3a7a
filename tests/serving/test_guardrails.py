"""Guardrails: what our own red team tries, what is redacted, and that findings repeat no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.serving.answering.guardrails import guard, screen_input, screen_output
from genaiops_dagster.use_case.guardrails import Guardrails, OutputRules, TextRules

RULES = {
    "blocked_topics": {
        "weapons": ["make a bomb", "nerve agent"],
        "gambling": ["bet on", "straßenrennen"],
    },
    "personal_data": "block",
    "maximum_characters": 120,
    "forbidden_patterns": [r"(?i)ignore (all )?previous instructions"],
}
CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "red_team.yaml").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_red_team(case: dict[str, Any]) -> None:
    found_in = screen_input(TextRules.model_validate(RULES), {"question": case["text"]})
    found_out = screen_output(OutputRules.model_validate(RULES), case["text"])
    for screened in (found_in, found_out):
        assert [finding.rule for finding in screened.findings] == (
            [case["blocked_by"]] if case["blocked_by"] else []
        )
        assert bool(screened.reason) == bool(case["blocked_by"])
        assert all(case["text"] not in finding.sentence for finding in screened.findings)


def test_texts_are_looked_for_wherever_a_prompt_has_them() -> None:
    rules = TextRules.model_validate(RULES)
    nested = {"contents": [{"role": "user", "parts": [{"text": "make a bomb"}]}], "n": 3}
    assert screen_input(rules, nested).reason
    assert screen_input(rules, {"a": ["fine", {"b": "nerve agent"}]}).reason
    assert screen_input(rules, {"card": 4111111111111111}).reason
    assert not screen_input(rules, {"card": 4111111111111112, "yes": True, "none": None}).reason


def test_redaction_changes_what_is_sent_and_nothing_else() -> None:
    rules = TextRules(personal_data="redact")
    screened = screen_input(
        rules, {"q": "mail maria.huber@posteo.de now", "n": 7, "card": 4111111111111111}
    )
    assert screened.value == {"q": "mail [E-MAIL ADDRESS] now", "n": 7, "card": "[CARD NUMBER]"}
    assert screened.reason is None
    assert [(f.rule, f.action) for f in screened.findings] == [("personal_data", "redacted")]
    out = screen_output(OutputRules(personal_data="redact"), "it is maria.huber@posteo.de")
    assert out.value == "it is [E-MAIL ADDRESS]"


def test_an_answer_must_be_json_that_the_schema_allows() -> None:
    rules = OutputRules.model_validate(
        {
            "json_schema": {
                "type": "object",
                "properties": {"module": {"enum": ["csv", "json"]}},
                "required": ["module"],
            }
        }
    )
    assert screen_output(rules, '{"module": "csv"}').reason is None
    assert "not JSON" in str(screen_output(rules, "csv").reason)
    assert "module breaks 'enum'" in str(screen_output(rules, '{"module": "os"}').reason)
    assert "breaks 'required'" in str(screen_output(rules, "{}").reason)


def test_a_required_pattern_must_be_found() -> None:
    rules = OutputRules(required_patterns=[r"^[a-z]+$"])
    assert screen_output(rules, "csv").reason is None
    assert "is not found" in str(screen_output(rules, "the csv module").reason)


@pytest.mark.parametrize(("characters", "passes"), [(120, True), (121, False)])
def test_a_text_may_have_as_many_characters_as_are_allowed(characters: int, passes: bool) -> None:
    rules = OutputRules(maximum_characters=120)
    text = "a" * characters
    assert (screen_input(rules, {"question": text}).reason is None) == passes
    assert (screen_output(rules, text).reason is None) == passes


def test_the_name_of_a_variable_is_no_text_of_a_user() -> None:
    rules = TextRules(blocked_topics={"weapons": ["bomb"]}, forbidden_patterns=["bomb"])
    assert screen_input(rules, {"bomb": "fine"}).findings == []


def test_what_may_not_be_shown_is_gone_from_the_answer() -> None:
    answer = Answer(state="answered", text="make a bomb", output_tokens=3)
    shown, findings = guard(OutputRules.model_validate(RULES), answer)
    assert (shown.text, shown.state, shown.output_tokens) == (None, "blocked", 3)
    assert shown.reason == findings[0].sentence
    assert "bomb" not in shown.reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fine", "fine"),
        ("it is maria.huber@posteo.de", "it is [E-MAIL ADDRESS]"),
        (None, None),
    ],
)
def test_an_answer_that_may_be_shown_keeps_its_state(text: str | None, shown: str | None) -> None:
    answer = Answer(state="truncated", text=text, reason="MAX_TOKENS")
    found, _ = guard(OutputRules(personal_data="redact"), answer)
    assert found == answer.model_copy(update={"text": shown})


def test_a_pattern_takes_linear_time() -> None:
    rules = TextRules(forbidden_patterns=["(a+)+$"])
    assert not screen_input(rules, {"q": "a" * 200_000 + "b"}).reason


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"input": {"forbidden_patterns": ["("]}}, "not a regular expression of RE2"),
        ({"output": {"json_schema": {"type": "nothing"}}}, "not a JSON schema"),
        ({"safety": {"violence": "block_none"}}, "harassment"),
        ({"model_armor": {}}, "give prompt_template"),
        ({"model_armor": {"prompt_template": "mine"}}, "should match pattern"),
        (
            {
                "safety": {"harassment": "block_none"},
                "model_armor": {"prompt_template": "projects/p/locations/l/templates/t"},
            },
            "not both",
        ),
    ],
)
def test_a_wrong_section_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Guardrails.model_validate(section)


@pytest.mark.parametrize(
    "variables",
    [
        {"a": {"make a bomb": 1}},
        {"a": ("fine", "make a bomb")},
        {"a": {"make a bomb"}},
        {"a": [b"make a bomb", 1]},
        {"a": bytearray(b"make a bomb")},
        {"a": "m\u0430ke \u0430 b\u043emb"},
        {"a": "\u039cake a b\u03bfmb"},
        {"a": "make a b\uff4f\u200bmb"},
    ],
    ids=["key", "tuple", "set", "bytes", "bytearray", "Cyrillic", "Greek", "wide"],
)
def test_no_disguise_of_a_blocked_topic_passes(variables: dict[str, Any]) -> None:
    rules = TextRules.model_validate(RULES)
    assert [f.rule for f in screen_input(rules, variables).findings] == ["blocked_topics.weapons"]


def test_redaction_reaches_keys_tuples_and_bytes() -> None:
    rules = TextRules(personal_data="redact")
    address = "maria.huber@posteo.de"
    lookalike = address.replace("o", "\u043e")
    screened = screen_input(rules, {"a": {address: (f"is {address}",)}, "b": address.encode()})
    assert screened.value == {
        "a": {"[E-MAIL ADDRESS]": ("is [E-MAIL ADDRESS]",)},
        "b": b"[E-MAIL ADDRESS]",
    }
    assert screen_input(rules, {"a": lookalike}).value == {"a": "[E-MAIL ADDRESS]"}


def test_a_topic_in_another_alphabet_is_found_as_it_is_written() -> None:
    rules = TextRules(blocked_topics={"weapons": ["\u0431\u043e\u043c\u0431\u0430"]})
    assert screen_input(rules, {"a": "\u0411\u041e\u041c\u0411\u0410!"}).reason
    assert not screen_input(rules, {"a": "bomb"}).reason
