"""Records as they are stored: by this release, an earlier or a later one."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import genaiops_dagster
from genaiops_dagster.records.record import (
    NewerRecordError,
    Record,
    from_json,
    from_line,
    from_row,
    require_rewritable,
    to_json,
)

PACKAGE = Path(genaiops_dagster.__file__).parent
WHERE = "gs://bucket/colours/paint.json"


class Tin(Record):
    colour: str
    litres: float = 1.0


class Paint(Record):
    tins: list[Tin]
    best: Tin | None = None


class NewPaint(Record):
    """A later `Paint`: tins have labels, then a place."""

    schema_version = "3.1"
    migrations = {  # noqa: RUF012 - a class variable by its base
        1: lambda fields: {"labels": [tin["colour"] for tin in fields["tins"]]},
        2: lambda fields: {**fields, "place": "cellar"},
    }

    labels: list[str]
    place: str


PAINT = Paint(tins=[Tin(colour="grün", litres=1e-7)], best=Tin(colour="red"))


def stored(version: str | None = None, **changes: Any) -> bytes:
    """`PAINT` as another release stored it."""
    fields = PAINT.model_dump(mode="json") | changes
    return json.dumps(fields if version is None else {"schema_version": version, **fields}).encode()


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_stored_is_read(indent: int | None) -> None:
    content = to_json(PAINT, indent=indent)
    assert from_json(Paint, content, WHERE) == PAINT
    assert from_json(Paint, content.decode(), WHERE) == PAINT
    version, *fields = json.loads(content).items()
    assert version == ("schema_version", "1.0")
    assert dict(fields) == PAINT.model_dump(mode="json")


def test_fields_look_as_pydantic_writes_them() -> None:
    """Release 0.1.0 stored that; what people compare does not differ by more than the version."""
    content = to_json(PAINT, indent=2).decode()
    assert content.replace('  "schema_version": "1.0",\n', "") == PAINT.model_dump_json(indent=2)
    assert json.loads(to_json(PAINT, exclude=["best"])).keys() == {"schema_version", "tins"}


def test_a_record_never_holds_nan() -> None:
    made = Tin.model_construct(colour="red", litres=float("nan"))
    assert json.loads(to_json(made))["litres"] is None


def test_without_a_version_release_0_1_0_wrote_it() -> None:
    assert from_json(Paint, stored(), WHERE) == PAINT


def test_what_a_later_minor_version_added_is_ignored() -> None:
    tin = {"colour": "grün", "litres": 1e-7, "lid": {"colour": "red"}}
    content = stored("1.7", tins=[tin], shelf=3)
    assert from_json(Paint, content, WHERE) == PAINT
    assert from_line(Paint, content) == PAINT
    assert from_row(Paint, json.loads(content)) == PAINT


def test_in_code_a_record_has_its_own_fields_only() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Paint(tins=[], shelf=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Paint.model_validate({"schema_version": "1.0", "tins": []})


@pytest.mark.parametrize("version", ["2.0", "10.3"])
def test_a_later_major_version_is_refused_by_name(version: str) -> None:
    with pytest.raises(NewerRecordError) as refused:
        from_json(Paint, stored(version), WHERE)
    assert str(refused.value) == (
        f"{WHERE} was written by a later release, as Paint {version}; "
        "upgrade genaiops-dagster where this runs, which knows 1.0"
    )


def test_what_cannot_be_read_of_a_later_minor_version_is_refused_by_name() -> None:
    with pytest.raises(NewerRecordError, match=r"as Paint 1\.2; upgrade .* knows 1\.0: 1 valid"):
        from_json(Paint, stored("1.2", tins="many"), WHERE)


def test_what_is_wrong_is_no_matter_of_versions() -> None:
    for content in (stored("1.0", tins="many"), b"not JSON", b"[]", b""):
        with pytest.raises(ValidationError):
            from_json(Paint, content, WHERE)


@pytest.mark.parametrize("version", ["new", "1", "1.x", 1, None, {}])
def test_a_version_that_is_none_is_refused_by_name(version: Any) -> None:
    content = json.dumps({"schema_version": version, "tins": []})
    with pytest.raises(ValueError, match=re.escape(f"{WHERE}: schema_version is {version!r}")):
        from_json(Paint, content, WHERE)


@pytest.mark.parametrize("version", [None, "1.0", "1.9"])
def test_an_earlier_major_version_is_migrated(version: str | None) -> None:
    found = from_json(NewPaint, stored(version), WHERE)
    assert found == NewPaint(labels=["grün"], place="cellar")
    assert json.loads(to_json(found))["schema_version"] == "3.1"


def test_a_migration_begins_where_the_record_stands() -> None:
    content = json.dumps({"schema_version": "2.4", "labels": ["red"], "since": 3})
    assert from_json(NewPaint, content, WHERE) == NewPaint(labels=["red"], place="cellar")


def test_only_what_this_release_writes_is_written_again() -> None:
    require_rewritable(Paint, stored(), WHERE)
    require_rewritable(NewPaint, stored("3.1"), WHERE)
    require_rewritable(NewPaint, stored("2.9"), WHERE)
    for version in ("1.1", "2.0"):
        with pytest.raises(NewerRecordError, match=r"would lose what is new"):
            require_rewritable(Paint, stored(version), WHERE)


def every_record() -> Iterator[type[Record]]:
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"^class (\w+)\(Record\)", path.read_text("utf-8"), re.MULTILINE):
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            yield getattr(importlib.import_module(module), name)


def test_every_earlier_major_version_has_a_migration() -> None:
    records = list(every_record())
    assert len(records) > 40
    for record in [NewPaint, *records]:
        major = int(record.schema_version.split(".")[0])  # type: ignore[attr-defined]
        assert set(record.migrations) == set(range(1, major)), record  # type: ignore[attr-defined]
        assert "schema_version" not in record.model_fields, record  # type: ignore[attr-defined]


ELSEWHERE = {
    "serving/answering/one_question.py": "a service's answer, and rules that a person gave",
    "cli/commands/plan.py": "what a person asked to have in a file",
    "data/sensor.py": "a cursor, which has no version",
    "evaluation/asking/batch.py": "a service's answer",
    "evaluation/asking/cache.py": "a line of many, which has no version",
    "evaluation/asking/inference.py": "a service's request",
    "evaluation/checkpoints.py": "a line of many, which has no version",
    "evaluation/judging/calibration.py": "labels, which people write",
    "evaluation/suites/cases.py": "cases, which people write",
    "google_cloud/base_models.py": "facts of models, a file of the package's own release",
    "orchestration/steps.py": "a use case, a parameter of the pipeline's own release",
    "pipelines/lifecycle.py": "a use case, a parameter of the pipeline's own release",
    "probe/batch.py": "a service's answer",
    "serving/answering/ask.py": "a service's answer",
    "serving/daily/generate.py": "rows that are being made",
    "use_case/file.py": "a use case, which people write",
}
"""Modules that validate or write something else than a record's object, and what it is."""


def test_records_are_stored_and_read_in_one_place() -> None:
    methods = {"model_dump_json", "model_validate_json", "model_validate"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in methods:
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found - {"records/record.py"} == ELSEWHERE.keys()
