"""A use case file: what is read, and how a mistake is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from genaiops_dagster.use_case import (
    SHIPPED,
    UseCaseError,
    load_use_case,
    load_use_cases,
)
from genaiops_dagster.use_case.gate import ThresholdRule

DEFAULT = (SHIPPED / "python_modules.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path))
    return tmp_path


def problem_of(folder: Path, found: str, replacement: str) -> str:
    """What is said of the default file after one replacement, without the file's folder."""
    assert found in DEFAULT
    path = folder / "mine.yaml"
    path.write_text(DEFAULT.replace(found, replacement, 1))
    with pytest.raises(UseCaseError) as error:
        load_use_case(path)
    return str(error.value).replace(f"{folder}/", "")


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(DEFAULT.splitlines(), 1) if text in line)


def test_shipped_use_cases_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENAIOPS_USE_CASES", raising=False)
    assert {"article_summaries", "python_modules", "stackoverflow_qa"} <= set(load_use_cases())


def test_inbox_defaults_to_a_prefix_named_for_the_use_case() -> None:
    assert load_use_case(SHIPPED / "python_modules.yaml").inbox == "python_modules/inbox/"


def test_an_inbox_that_holds_its_own_results_is_refused(folder: Path) -> None:
    said = problem_of(folder, "source:\n", "source:\n  inbox: python_modules\n")
    assert "source.inbox: the prefix 'python_modules/' holds what this use case writes" in said


def test_a_file_in_the_users_folder_adds_a_use_case(folder: Path) -> None:
    (folder / "mine.yaml").write_text(DEFAULT.replace("name: python_modules", "name: mine"))
    assert "mine" in load_use_cases()


def test_a_file_in_the_users_folder_replaces_a_shipped_one(folder: Path) -> None:
    (folder / "mine.yaml").write_text(DEFAULT.replace("at_least: 0.5", "at_least: 0.75"))
    rule = load_use_cases()["python_modules"].gate.rules[0]
    assert isinstance(rule, ThresholdRule)
    assert rule.at_least == 0.75


def test_two_files_of_one_folder_cannot_share_a_name(folder: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (folder / name).write_text(DEFAULT)
    with pytest.raises(UseCaseError, match=r"two\.yaml: name 'python_modules' is already used by"):
        load_use_cases()


def test_a_missing_users_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENAIOPS_USE_CASES", str(tmp_path / "absent"))
    with pytest.raises(UseCaseError, match="no such folder; create it or unset the variable"):
        load_use_cases()


def test_an_unknown_field_is_answered_with_the_allowed_ones(folder: Path) -> None:
    said = problem_of(folder, "seed: 7}", "sed: 7}")
    assert said.startswith(f"mine.yaml:{line_of('split:')}: split.sed: unknown field; allowed")
    assert "seed" in said.partition("allowed here:")[2]


def test_an_unknown_field_of_a_gate_rule_is_answered_with_that_rules_fields(folder: Path) -> None:
    said = problem_of(folder, "at_least: 0.5", "at_leest: 0.5")
    line = line_of("at_least: 0.5")
    assert f"mine.yaml:{line}: gate.rules.0.at_leest: unknown field; allowed here: rule" in said
    assert "at_most" in said


def test_a_wrong_value_is_shown(folder: Path) -> None:
    said = problem_of(folder, "epochs: 3", "epochs: three")
    assert said.startswith(f"mine.yaml:{line_of('epochs: 3')}: tuning.epochs: ")
    assert "(found 'three')" in said


@pytest.mark.parametrize(
    ("found", "replacement", "field", "allowed"),
    [
        ("candidate: pro}", "candidate: prooo}", "gate.rules.2.candidate", "champion, flash"),
        ("challenger: tuned", "challenger: best", "gate.challenger", "flash, flash_lite"),
        ("primary_metric: exact_match", "primary_metric: f1", "evaluation.primary_metric", "exact"),
    ],
)
def test_a_name_that_the_file_does_not_define_is_answered_with_those_it_does(
    folder: Path, found: str, replacement: str, field: str, allowed: str
) -> None:
    said = problem_of(folder, found, replacement)
    assert f"{field}: found " in said
    assert f"allowed: {allowed}" in said
    assert said.startswith(f"mine.yaml:{line_of(found)}: ")


def test_shares_of_a_split_must_add_up(folder: Path) -> None:
    said = problem_of(folder, "training: 0.7", "training: 0.8")
    assert "split: training + validation + evaluation must be 1, not 1.1" in said


def test_every_mistake_is_told_at_once(folder: Path) -> None:
    path = folder / "mine.yaml"
    path.write_text(DEFAULT.replace("epochs: 3", "epochs: 0").replace("seed: 7}", "sed: 7}"))
    with pytest.raises(UseCaseError) as error:
        load_use_case(path)
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list\n", ""])
def test_what_is_not_a_mapping_is_refused_with_the_file(folder: Path, text: str) -> None:
    path = folder / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UseCaseError, match=r"mine\.yaml: "):
        load_use_case(path)


def test_a_generation_config_may_be_a_preset_or_start_from_one(folder: Path) -> None:
    text = DEFAULT.replace(
        "generation: {temperature: 0, max_output_tokens: 16, thinking_level: MINIMAL}",
        "generation: balanced",
        1,
    )
    text = text.replace("generation: {temperature: 0,", "generation: {preset: random,", 1)
    (folder / "mine.yaml").write_text(text)

    found = [
        candidate.generation
        for candidate in load_use_case(folder / "mine.yaml").candidates.values()
    ]

    assert (found[0].temperature, found[0].top_p, found[0].top_k) == (0.5, 0.5, 20)
    assert (found[1].temperature, found[1].max_output_tokens) == (1.0, 16)


def test_an_unknown_preset_is_told_with_those_that_exist(folder: Path) -> None:
    found = "generation: {temperature: 0, max_output_tokens: 16, thinking_level: MINIMAL}"
    problem = problem_of(folder, found, "generation: lucky")
    assert "unknown preset, allowed: deterministic, balanced, random" in problem


MATRIX = """prompts:
  terse: {template: "Module? {{ title }}"}
matrix:
  models: {small: gemini-3.5-flash-lite, own: tuned}
  generations: [deterministic, random]
  prompts: [prompt, terse]

candidates:
"""


def test_a_matrix_adds_every_combination_that_makes_sense(folder: Path) -> None:
    (folder / "mine.yaml").write_text(DEFAULT.replace("candidates:\n", MATRIX, 1))

    candidates = load_use_case(folder / "mine.yaml").candidates

    assert set(candidates) - {"flash_lite", "flash", "pro", "tuned"} == {
        *("small_deterministic", "small_deterministic_terse", "small_random", "small_random_terse"),
        *("own_deterministic", "own_random"),
    }
    assert candidates["small_random_terse"].prompt == "terse"
    assert candidates["small_random_terse"].generation.temperature == 1.0


def test_a_prompt_that_no_section_defines_is_told(folder: Path) -> None:
    problem = problem_of(
        folder, "    model: gemini-3.5-flash\n", "    model: gemini-3.5-flash\n    prompt: terse\n"
    )
    assert f"mine.yaml:{line_of('  flash:') + 2}: candidates.flash.prompt: found 'terse'" in problem


def test_a_tuned_candidate_keeps_to_its_prompt(folder: Path) -> None:
    problem = problem_of(folder, "    model: tuned\n", "    model: tuned\n    prompt: terse\n")
    assert "asked with the prompt that it was trained with" in problem


def test_a_waiver_names_a_rule_in_words(folder: Path) -> None:
    waiver = "{rule: exact_match at least 0.6, owner: ann, reason: new data, expires: 2026-12-31}"
    problem = problem_of(
        folder, "  minimum_rows: 100\n", f"  minimum_rows: 100\n  waivers: [{waiver}]\n"
    )
    assert "gate.waivers.0.rule: found 'exact_match at least 0.6', allowed:" in problem
    assert "exact_match at least 0.5" in problem


def test_a_rule_names_a_slice_that_exists(folder: Path) -> None:
    rule = "    - {rule: no_slice_worse_than, metric: exact_match, slice: topic}\n"
    problem = problem_of(folder, "  rules:\n", "  rules:\n" + rule)
    assert "gate.rules.0.slice: found 'topic'" in problem
