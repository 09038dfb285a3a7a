from __future__ import annotations

import io
import json
from typing import Any

import pytest

from genaiops_dagster.data.formats import read_rows

INSTRUCTION = "Be brief."


def read(name: str, content: bytes) -> list[tuple[int, Any, str | None]]:
    return [
        (row.number, row.fields and json.loads(row.fields), row.error)
        for row in read_rows(name, io.BytesIO(content), "answer", INSTRUCTION)
    ]


def turn(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text} for text in texts]}


def test_json_lines_keep_their_numbers() -> None:
    content = b'\xef\xbb\xbf{"a": 1}\n\n{"a": "\xc3\xa4"}\r\n'
    assert read("x.jsonl", content) == [(1, {"a": 1}, None), (3, {"a": "ä"}, None)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": 1e999}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[1]", "not_an_object"),
        (b'{"a": "\xff"}', "wrong_encoding"),
        (b'{"a": "\\ud800"}', "wrong_encoding"),
    ],
)
def test_a_bad_line_says_why_and_the_next_is_read(line: bytes, reason: str) -> None:
    assert read("x.ndjson", line + b'\n{"b": 2}') == [(1, None, reason), (2, {"b": 2}, None)]


def test_csv_has_columns_by_its_header() -> None:
    content = '\ufeffid,"the, question"\r\n1,"two\nlines ""quoted"""\r\n\r\n2,\n'.encode()
    assert read("x.CSV", content) == [
        (1, {"id": "1", "the, question": 'two\nlines "quoted"'}, None),
        (3, {"id": "2", "the, question": ""}, None),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1\n1,2\n", [(1, None, "wrong_columns"), (2, {"a": "1", "b": "2"}, None)]),
        (b"a,a\n1,2\n", [(1, None, "wrong_columns")]),
        (b"a\n\xff\nok\n", [(1, None, "wrong_encoding"), (2, {"a": "ok"}, None)]),
        (b'a\n1\n"open\n', [(1, {"a": "1"}, None), (2, None, "not_csv")]),
        (b'"open\n', [(0, None, "not_csv")]),
        (b"", []),
    ],
)
def test_a_bad_record_says_why(content: bytes, expected: list[Any]) -> None:
    assert read("x.csv", content) == expected


def test_a_row_in_tuning_form_becomes_turns_and_an_output() -> None:
    file = {"fileData": {"fileUri": "gs://b/a.png", "mimeType": "image/png"}}
    asked = {"role": "user", "parts": [file, {"text": "What is it?"}]}
    line: dict[str, Any] = {
        "systemInstruction": turn("system", INSTRUCTION),
        "contents": [
            asked,
            turn("model", "A cat"),
            turn("user", "Sure?"),
            turn("model", "Y", "es"),
        ],
        "topic": "animals",
    }
    assert read("x.jsonl", json.dumps(line).encode()) == [
        (1, {"topic": "animals", "contents": line["contents"][:-1], "answer": "Yes"}, None)
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contents": []}, "wrong_roles"),
        ({"contents": [turn("user", "q")]}, "wrong_roles"),
        ({"contents": [turn("model", "a"), turn("user", "q")]}, "wrong_roles"),
        ({"contents": ["q", "a"]}, "wrong_roles"),
        ({"contents": [turn("user"), turn("model", "a")]}, "wrong_parts"),
        ({"contents": [turn("user", "q"), {"role": "model", "parts": ["a"]}]}, "wrong_parts"),
        (
            {
                "contents": [
                    {"role": "user", "parts": [{"functionCall": {"name": "f"}}]},
                    turn("model", "a"),
                ]
            },
            "wrong_parts",
        ),
        (
            {
                "contents": [turn("user", "q"), turn("model", "a")],
                "systemInstruction": turn("system", "Be long."),
            },
            "other_system_instruction",
        ),
    ],
)
def test_a_row_that_tuning_would_not_take_says_why(fields: dict[str, Any], reason: str) -> None:
    assert read("x.jsonl", json.dumps(fields).encode()) == [(1, None, reason)]
