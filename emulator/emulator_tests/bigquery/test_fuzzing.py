"""Whatever a client sends, it gets an answer below 500 in Google's form."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
from google.cloud import bigquery
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vertex_emulator.testing import RunningEmulator

SETTINGS = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

WORDS = """SELECT FROM WHERE GROUP BY ORDER HAVING QUALIFY WITH AS UNION ALL DISTINCT JOIN LEFT ON
  USING UNNEST STRUCT ARRAY CAST SAFE_CAST CASE WHEN THEN ELSE END NULL TRUE IN LIKE BETWEEN IS NOT
  AND OR EXISTS OVER PARTITION ROWS INSERT UPDATE DELETE MERGE CREATE TABLE VIEW DROP TEMP FUNCTION
  VALUES SET INTO BEGIN COMMIT LIMIT OFFSET EXCEPT REPLACE INTERVAL DAY DATE TIMESTAMP JSON
  ( ) [ ] < > , . ; * + - / || = != @p ? 1 0 -1 1.5 'a' b'x' r'\\d' \'\'\'z\'\'\' t d.t `p.d.t` x y
  COUNT(*) SUM(x) SUBSTR('a',1) DATE_TRUNC(d,WEEK) ARRAY_AGG(x) ROW_NUMBER() FORMAT('%d',1)
  JSON_VALUE('{}','$.a') GENERATE_ARRAY(1,3) REGEXP_EXTRACT('a','(a)') NULLIF(1,1)"""
CONSTANTS = """NULL 1 -1 0 1.5 'a' '' b'x' TRUE [1] ['a',NULL] x DATE'2020-01-31' NUMERIC'1.5'
  TIMESTAMP'2020-01-01' STRUCT(1|AS|a) JSON'{"a":[1]}' TIME'10:00:00' DATETIME'2020-01-01'"""
FUNCTIONS = """SUBSTR CONCAT LENGTH UPPER SPLIT REPLACE LPAD REVERSE TRIM STRPOS REGEXP_EXTRACT
  REGEXP_REPLACE FORMAT FARM_FINGERPRINT NORMALIZE ROUND MOD DIV SAFE_DIVIDE GREATEST IF COALESCE
  NULLIF DATE DATE_ADD DATE_DIFF DATE_TRUNC TIMESTAMP TIMESTAMP_TRUNC EXTRACT FORMAT_DATE
  PARSE_TIMESTAMP LAST_DAY UNIX_SECONDS JSON_VALUE TO_JSON_STRING PARSE_JSON ARRAY_LENGTH
  ARRAY_CONCAT ARRAY_TO_STRING GENERATE_ARRAY ARRAY_AGG SUM COUNT AVG MAX STRING_AGG
  APPROX_QUANTILES ANY_VALUE STDDEV TO_HEX RANGE_BUCKET POW STRUCT LOG"""
KEYS = """datasetReference datasetId projectId tableReference tableId schema fields name type mode
  labels description view query timePartitioning clustering rangePartitioning range configuration
  load extract copy sourceUris destinationTable sourceTable destinationUris writeDisposition
  jobReference jobId rows json insertId queryParameters parameterType parameterValue value
  arrayValues structValues structTypes defaultDataset maximumBytesBilled dryRun formatOptions
  expirationTime skipLeadingRows fieldDelimiter maxBadRecords timeoutMs maxResults useLegacySql"""
TEXTS = "STRING INTEGER RECORD REPEATED DAY d t fuzz x CSV gs://b/o WRITE_TRUNCATE ARRAY STRUCT -1"


def _one_of(words: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word.replace("|", " ") for word in words.split()])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
EXPRESSIONS = st.recursive(
    _one_of(CONSTANTS),
    lambda inner: (
        st.builds(
            lambda name, arguments: f"{name}({', '.join(arguments)})",
            _one_of(FUNCTIONS),
            st.lists(inner, max_size=3),
        )
        | st.builds("({} {} {})".format, inner, _one_of("+ - * / || = < AND OR IN"), inner)
        | st.builds("CAST({} AS {})".format, inner, _one_of("INT64 STRING DATE JSON BYTES BOOL"))
        | st.builds("{}[{}]".format, inner, inner)
        | st.builds("({}).a".format, inner)
    ),
    max_leaves=6,
)
BODIES = st.recursive(
    _one_of(TEXTS) | st.none() | st.booleans() | st.integers(-5, 5) | st.just("SELECT 1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_one_of(KEYS), inner, max_size=5),
    max_leaves=20,
)


def _request(
    emulator: RunningEmulator, method: str, path: str, body: Any = None, raw: bytes | None = None
) -> tuple[int, bytes]:
    content = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{emulator.url}{path}",
        method=method,
        data=content,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _check(answer: tuple[int, bytes]) -> None:
    status, content = answer
    assert status < 500, content
    if status >= 400:
        error = json.loads(content)["error"]
        assert error["code"] == status
        assert error["message"]
        assert error["errors"][0]["reason"]
        assert "defect" not in error["message"]
        assert "The emulator failed" not in error["message"]


def _query(emulator: RunningEmulator, sql: str) -> None:
    body = {"query": sql, "useLegacySql": False, "timeoutMs": 20_000}
    answer = _request(emulator, "POST", "/bigquery/v2/projects/fuzz/queries", body)
    _check(answer)


@SETTINGS
@given(st.lists(_one_of(WORDS), min_size=1, max_size=25).map(" ".join))
@example("ELSE")
def test_sql_of_random_words(emulator: RunningEmulator, sql: str) -> None:
    _query(emulator, sql)


@SETTINGS
@given(EXPRESSIONS)
def test_sql_of_random_expressions(emulator: RunningEmulator, expression: str) -> None:
    _query(emulator, f"SELECT {expression} AS v FROM UNNEST(['a', '2']) AS x")


@SETTINGS
@given(st.text(max_size=60))
def test_sql_of_random_text(emulator: RunningEmulator, sql: str) -> None:
    _query(emulator, sql)


PATHS = [
    ("POST", "/bigquery/v2/projects/fuzz/datasets"),
    ("PATCH", "/bigquery/v2/projects/fuzz/datasets/d"),
    ("POST", "/bigquery/v2/projects/fuzz/datasets/d/tables"),
    ("PATCH", "/bigquery/v2/projects/fuzz/datasets/d/tables/t"),
    ("PUT", "/bigquery/v2/projects/fuzz/datasets/d/tables/t"),
    ("POST", "/bigquery/v2/projects/fuzz/datasets/d/tables/t/insertAll"),
    ("POST", "/bigquery/v2/projects/fuzz/jobs"),
    ("POST", "/bigquery/v2/projects/fuzz/queries"),
]


@pytest.fixture
def fuzzed(emulator: RunningEmulator) -> RunningEmulator:
    reference = {"datasetReference": {"datasetId": "d"}}
    _request(emulator, "POST", "/bigquery/v2/projects/fuzz/datasets", reference)
    table = {
        "tableReference": {"tableId": "t"},
        "schema": {"fields": [{"name": "x", "type": "STRING"}, {"name": "j", "type": "JSON"}]},
    }
    _request(emulator, "POST", "/bigquery/v2/projects/fuzz/datasets/d/tables", table)
    return emulator


@SETTINGS
@given(st.sampled_from(PATHS), st.dictionaries(_one_of(KEYS), BODIES, max_size=6))
def test_random_bodies(
    fuzzed: RunningEmulator, path: tuple[str, str], body: dict[str, Any]
) -> None:
    _check(_request(fuzzed, *path, body))


@SETTINGS
@given(st.sampled_from(PATHS), st.binary(max_size=50))
def test_random_bytes(fuzzed: RunningEmulator, path: tuple[str, str], content: bytes) -> None:
    _check(_request(fuzzed, *path, raw=content))


@SETTINGS
@given(VALUES)
def test_random_rows(fuzzed: RunningEmulator, value: Any) -> None:
    rows = {"rows": [{"json": {"x": value, "j": value}}, {"json": value}, value]}
    path = "/bigquery/v2/projects/fuzz/datasets/d/tables/t/insertAll"
    _check(_request(fuzzed, "POST", path, rows))


@SETTINGS
@given(
    st.sampled_from(
        [
            "/bigquery/v2/projects/fuzz/datasets/d/tables/t/data?{}={}",
            "/bigquery/v2/projects/fuzz/datasets?{}={}",
            "/bigquery/v2/projects/fuzz/jobs?{}={}",
            "/bigquery/v2/projects/fuzz/datasets/d/tables?{}={}",
        ]
    ),
    st.sampled_from(["maxResults", "pageToken", "startIndex", "selectedFields", "filter"]),
    st.text(max_size=12),
)
def test_random_query_strings(fuzzed: RunningEmulator, path: str, name: str, value: str) -> None:
    _check(_request(fuzzed, "GET", path.format(name, urllib.parse.quote(value, safe=""))))


@pytest.mark.parametrize(
    "name", ["..", "../../etc/passwd", "a/b", "a%00b", "x" * 2000, "'; DROP TABLE t; --", '"', "ü"]
)
def test_hostile_names_stay_out(fuzzed: RunningEmulator, name: str) -> None:
    quoted = urllib.parse.quote(name, safe="")
    for path in (
        f"/bigquery/v2/projects/{quoted}/datasets/d",
        f"/bigquery/v2/projects/fuzz/datasets/{quoted}",
        f"/bigquery/v2/projects/fuzz/datasets/d/tables/{quoted}",
        f"/bigquery/v2/projects/fuzz/jobs/{quoted}",
        f"/bigquery/v2/projects/fuzz/queries/{quoted}",
    ):
        _check(_request(fuzzed, "GET", path))
    body = {"tableReference": {"tableId": name}}
    _check(_request(fuzzed, "POST", "/bigquery/v2/projects/fuzz/datasets/d/tables", body))


@pytest.mark.parametrize("content", [b"", b"--x\r\n\r\n{}\r\n--x--", b"\x00" * 100])
@pytest.mark.parametrize("kind", ["multipart", "resumable", "media", ""])
def test_odd_uploads(fuzzed: RunningEmulator, kind: str, content: bytes) -> None:
    path = f"/upload/bigquery/v2/projects/fuzz/jobs?uploadType={kind}"
    _check(_request(fuzzed, "POST", path, raw=content))
    _check(_request(fuzzed, "PUT", f"{path}&upload_id=none", raw=content))


def test_no_sql_reaches_files_or_settings(client: bigquery.Client) -> None:
    for sql in (
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM `/etc/passwd`",
        "SELECT read_text('/etc/passwd')",
        "COPY t TO '/tmp/x'",
        "ATTACH '/tmp/x.db'",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "SELECT getenv('HOME')",
    ):
        with pytest.raises(Exception, match=r"400|404"):
            client.query_and_wait(sql, retry=None, job_retry=None)
