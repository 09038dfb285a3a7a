"""The report page: complete, self-contained, safe, and drawn by a real browser."""

from __future__ import annotations

import datetime as dt
import html.parser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from genaiops_dagster.comparison.compare import compare
from genaiops_dagster.comparison.trend import TrendPoint
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.promotion.page import PageContent, report_page
from genaiops_dagster.records.promotion import Decision
from tests.comparison.examples import NO_CHAMPION, make_report, make_rows, make_use_case
from tests.hostile import TEXTS
from tests.promotion.examples import make_champion

RULES = [
    {"rule": "threshold", "metric": "exact_match", "at_least": 0.5},
    {"rule": "better_than", "metric": "exact_match", "candidate": "flash"},
    {"rule": "latency", "at_most_seconds": 0.05},
]
MEASURE = """<script type="module">
const page = document.documentElement;
const measure = () => { document.body.dataset.wide = page.scrollWidth > page.clientWidth; };
setTimeout(measure, 3000);
</script>"""
HOSTILE = "</script><script>window.hacked = true</script>"


def make_content(answer: str = HOSTILE, text: str = "a text", **evaluation: bool) -> PageContent:
    """What a page shows: `answer` in rows, and `text` in all that need not be a name."""
    use_case = make_use_case(RULES).model_copy(update={"description": text})  # type: ignore[arg-type]
    use_case = use_case.model_copy(
        update={"evaluation": use_case.evaluation.model_copy(update=evaluation)}
    )
    rows = {"flash": make_rows(0.3, seed=1), "pro": make_rows(0.6), "tuned": make_rows(0.8, seed=3)}
    changed = {"answer": answer, "reference": answer}
    rows["tuned"] = [row.model_copy(update=changed) for row in rows["tuned"]]
    reports = [make_report(name, found, model=text, rows_uri=text) for name, found in rows.items()]
    comparison = compare(use_case, reports, NO_CHAMPION, rows)
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    current = Current("models/tuned", "report-of-tuned", "data", "prompt", "", None, now)
    verdict = evaluate_gate(comparison, use_case.gate, use_case.evaluation, current)
    said = [rule.model_copy(update={"rule": f"{rule.rule} {text}"}) for rule in verdict.rules]
    decision = Decision(
        id="decision",
        use_case="modules",
        challenger="tuned",
        model="models/tuned",
        verdict=verdict.model_copy(update={"rules": said}),
        comparison_id=comparison.id,
        comparison_digest=comparison.digest(),
        report_fingerprint="report",
        report_uri="gs://bucket/report",
        policy_digest="policy",
        prompt_digest="prompt",
        evaluation_digest="data",
        champion_before=None,
        created="2026-11-20T12:00:00+00:00",
    )
    trend = [
        TrendPoint(f"2026-11-{day:02d}T12:00:00+00:00", name, 0.5 + day / 100)
        for day in (1, 8, 15)
        for name in (*rows, text)
    ]
    champion = make_champion(candidate=text)
    return PageContent(use_case, comparison, rows, decision, champion, trend)


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(make_content(show_texts=True))


def test_the_page_shows_verdict_reasons_and_figures(page: str) -> None:
    assert '<span class="badge REJECT">REJECT</span>' in page
    assert "the latency is 0.1 s" in page
    assert "McNemar exact" in page
    assert "Rows that tuned lost to pro" in page


class _Addresses(html.parser.HTMLParser):
    """Everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_page_needs_no_network(page: str) -> None:
    parser = _Addresses()
    parser.feed(page)

    assert parser.found == []
    assert not re.search(r"@import|url\(", page.partition("<style>")[2].partition("</style>")[0])


def test_texts_of_rows_cannot_break_out(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page


class _Structure(html.parser.HTMLParser):
    """Elements and attributes in their order, and all text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[object] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        names = [(name, value) for name, value in attrs if name != "data-value"]
        self.elements.append((tag, names))

    def handle_data(self, data: Any) -> None:
        if not self.cdata_elem:
            self.text += data


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_adds_no_element_to_the_page(text: str) -> None:
    found = _Structure(report_page(make_content(text, text, show_texts=True)))
    expected = _Structure(report_page(make_content("plain7text", "plain7text", show_texts=True)))
    assert found.elements == expected.elements
    shown = expected.text.count("plain7text")
    assert shown > 20
    assert found.text.count(text) >= shown - 1, "a reason shortens the name of the model"


def test_texts_of_rows_are_left_out_unless_the_use_case_shows_them() -> None:
    page = report_page(make_content())

    assert "window.hacked" not in page
    assert "Rows that tuned lost to pro" in page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("size", ["1280,900", "390,844"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_all_charts(page: str, tmp_path: Path, size: str, scheme: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>\n</html>", f"{MEASURE}</body></html>"))
    drawn = subprocess.run(
        [
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--window-size={size}", "--virtual-time-budget=8000"),
            *(["--force-dark-mode"] if scheme == "dark" else []),
            f"--user-data-dir={tmp_path / 'profile'}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert 'data-drawn="true"' in drawn
    assert len(re.findall(r"<svg[^>]*class=\"marks\"", drawn)) == 3
    assert 'data-wide="false"' in drawn
    assert "window.hacked = true</script>" not in drawn
