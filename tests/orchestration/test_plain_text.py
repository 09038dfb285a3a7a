"""Texts stay texts in Dagster's Markdown, and no module makes Markdown of them by itself."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

import genaiops_dagster
from genaiops_dagster.data.assets import _check_results
from genaiops_dagster.data.checks import CheckOutcome
from genaiops_dagster.evaluation.checks import check_results
from genaiops_dagster.evaluation.page import report_metadata
from genaiops_dagster.orchestration.assembly import build_definitions
from genaiops_dagster.orchestration.metadata import code, markdown_list, markdown_table, png_image
from genaiops_dagster.orchestration.plain_text import escape_markdown, unescape_markdown, visible
from genaiops_dagster.promotion.assets import verdict_metadata
from genaiops_dagster.promotion.smoke_test import check_result
from genaiops_dagster.prompts.assets import build_assets as prompt_assets
from genaiops_dagster.records.evaluation import SuiteReport
from genaiops_dagster.records.promotion import RuleResult, Verdict
from genaiops_dagster.use_case import UseCase
from tests.comparison.examples import make_report, make_rows, make_use_case
from tests.hostile import TEXTS, markdown_of, markup_in, text_of

PACKAGE = Path(genaiops_dagster.__file__).parent
ALL = "\n".join(TEXTS)


def on_a_line(text: str) -> str:
    return " ".join(visible(text).split())


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_markdown_shows_a_text_as_it_stands(text: str) -> None:
    table = markdown_table([text, "figure"], [[text, 1], [None, 0.25]]).md_str  # type: ignore[attr-defined]
    for markdown in (escape_markdown(text), markdown_list([text]).md_str, table):  # type: ignore[attr-defined]
        assert markup_in(markdown) == []
    assert text_of(escape_markdown(text)) == on_a_line(text)
    assert text_of(table) == f"{on_a_line(text)} figure {on_a_line(text)} 1 - 0.25"
    assert len(table.splitlines()) == 4
    assert markup_in(png_image(b"png", text).md_str) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_terminal_gets_the_text_back_of_what_is_markdown_in_a_page(text: str) -> None:
    lines = [line.strip() for line in visible(text).split("\n")]
    assert unescape_markdown(escape_markdown(text)) == "\n".join(lines)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_code_does_not_end_its_block(text: str) -> None:
    markdown = code(f"a\n{text}\nb", "jinja").md_str  # type: ignore[attr-defined]
    assert markup_in(markdown) == []
    assert text_of(markdown) == on_a_line(f"a {text} b")


def test_what_ends_a_line_elsewhere_ends_none_here() -> None:
    assert visible("a\r\nb\tc\u2028d\x85e") == "a\nb\tc\\u2028d\\x85e"


def test_what_reorders_or_hides_a_text_shows() -> None:
    for character in "\u061c\u200e\u200f\u202a\u202e\u2066\u2069\ufeff":
        assert visible(character) == f"\\u{ord(character):04x}"
    for tag in "\U000e0000\U000e0001\U000e0041\U000e007f":
        assert visible(tag) == f"\\U{ord(tag):08x}"
    assert visible("\u200d \u200b \u0436 \U0001f600") == "\u200d \u200b \u0436 \U0001f600"


def test_many_signs_of_an_address_take_no_time() -> None:
    start = time.process_time()
    escape_markdown("@" * 200_000)
    assert time.process_time() - start < 5


def test_a_readable_text_stays_readable_in_the_source() -> None:
    text = "0.31 of exact_match, not 0.5; 1 e-mail address in gs://b/o.json#1, x@001 -> y\n-1.5"
    assert escape_markdown(text) == text


def markdown_in(metadata: dict[str, object]) -> dict[str, str]:
    return {
        name: value.md_str or ""
        for name, value in metadata.items()
        if isinstance(value, dg.MarkdownMetadataValue)
    }


def test_reasons_of_a_verdict_are_texts() -> None:
    rule = RuleResult(rule=ALL, outcome="REJECT", reason=ALL)
    shown = markdown_in(dict(verdict_metadata(Verdict(outcome="REJECT", rules=[rule]))))
    assert shown.keys() == {"rules", "reasons"}
    for markdown in shown.values():
        assert markup_in(markdown) == []
        assert on_a_line(ALL) in text_of(markdown)


def test_rows_and_answers_of_a_report_are_texts() -> None:
    changes = {"id": ALL, "reason": ALL, "answer": ALL, "reference": ALL, "slices": {"half": ALL}}
    rows = [row.model_copy(update=changes) for row in make_rows(0.5, 4)]
    evaluation = make_use_case(evaluation={"show_texts": True}).evaluation
    shown = markdown_in(report_metadata(make_report("tuned", rows), rows, evaluation))
    assert {"worst rows", "by half", "chart"} <= shown.keys()
    for name, markdown in shown.items():
        assert markup_in(markdown) == [], name
    assert on_a_line(ALL) in text_of(shown["by half"])


def test_rows_that_a_check_of_the_data_shows_are_texts() -> None:
    [result] = _check_results({"schema": CheckOutcome(False, {}, [{"reason": ALL, ALL: ALL}])})
    shown = markdown_in(dict(result.metadata))
    assert markup_in(shown["rows_shown"]) == []
    assert on_a_line(ALL) in text_of(shown["rows_shown"])


def test_names_in_descriptions_of_checks_are_texts() -> None:
    report = make_report("tuned", make_rows(0.5))
    passed = next(iter(report.metrics.values()))
    suite = SuiteReport(
        cases=[], passed=passed, blocked=0, refused=0, base_model=ALL, base_passed=passed
    )
    report = report.model_copy(update={"suites": {"safety": suite}})
    results = [*check_results(make_use_case(), report), check_result([], ALL)]
    found = {result.check_name: result.description or "" for result in results}
    assert [text for text in found.values() if markup_in(text)] == []
    for name in ("safety", "smoke_test"):
        assert on_a_line(ALL) in text_of(found[name])


@pytest.fixture
def use_case() -> UseCase:
    """A use case whose description, template and models are texts of every kind."""
    found = make_use_case()
    flash = found.candidates["flash"].model_copy(update={"model": ALL})
    return found.model_copy(
        update={
            "description": ALL,
            "prompt": found.prompt.model_copy(update={"template": "````\n[a](https://e.example)"}),
            "candidates": {**found.candidates, "flash": flash},
        }
    )


def test_texts_of_the_use_case_file_are_texts(use_case: UseCase) -> None:
    repository = build_definitions([use_case]).get_repository_def()
    assets = [s for asset in repository.assets_defs_by_key.values() for s in asset.specs]
    found = [one.description or "" for one in (*repository.get_all_jobs(), *assets)]  # type: ignore[attr-defined]
    hostile = [text for text in found if on_a_line(ALL) in text_of(text)]
    assert len(hostile) == 2, "the job of the lifecycle, and the report of a base model"
    assert [text for text in hostile if markup_in(text)] == []


def test_a_template_stays_in_its_block(use_case: UseCase) -> None:
    shown = markdown_of(dg.materialize(prompt_assets(use_case)))
    [template] = [text for place, text in shown.items() if place.endswith("template")]
    assert markup_in(template) == []
    assert "[a](https://e.example)" in text_of(template)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text(encoding="utf-8"))


def test_one_module_makes_the_markdown_of_metadata() -> None:
    found = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "md")
        or (isinstance(node, ast.Name | ast.Attribute) and "MarkdownMeta" in ast.unparse(node))
    }
    assert found == {"orchestration/metadata.py"}


def is_safe(description: ast.expr) -> bool:
    """Whether it is a literal, one from a table of them, or escaped."""
    match description:
        case ast.Constant() | ast.Name() | ast.Subscript() | ast.Attribute():
            return True
        case ast.Call(func=ast.Name(id="escape_markdown")):
            return True
        case ast.BoolOp(values=values):
            return all(map(is_safe, values))
        case ast.IfExp(body=body, orelse=orelse):
            return is_safe(body) and is_safe(orelse)
    return False


def test_every_description_that_dagster_renders_is_escaped() -> None:
    seen = 0
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("dg.", "dict")):
                for keyword in node.keywords:
                    if keyword.arg == "description":
                        seen += 1
                        assert is_safe(keyword.value), f"{name}:{keyword.value.lineno}"
    assert seen > 50
