"""What the emulator does not serve is refused with its name, as an invalid query."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

REFUSED = [
    ("SELECT SOUNDEX('a')", "SOUNDEX"),
    ("SELECT NET.HOST('http://a.b')", "NET.HOST"),
    ("SELECT ST_GEOGPOINT(1, 2)", "ST_GEOGPOINT"),
    ("SELECT HLL_COUNT.INIT(1)", "HLL_COUNT"),
    ("SELECT KEYS.NEW_KEYSET('AEAD_AES_GCM_256')", "KEYS"),
    ("SELECT nothing_of_the_kind(1)", "NOTHING_OF_THE_KIND"),
    ("SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT 1))", "ML.PREDICT"),
    ("SELECT * FROM VECTOR_SEARCH(TABLE d.t, 'c', TABLE d.q)", "VECTOR_SEARCH"),
    ("SELECT * FROM AI.FORECAST(TABLE d.t, data_col => 'x')", "AI.FORECAST"),
    ("CREATE TEMP FUNCTION f(x INT64) RETURNS INT64 LANGUAGE js AS 'return x'; SELECT f(1)", "js"),
    ("CREATE FUNCTION d.f(x INT64) AS (x)", "not temporary"),
    ("CREATE MODEL d.m OPTIONS(model_type='linear_reg') AS SELECT 1 AS label", "CREATE MODEL"),
    ("CREATE PROCEDURE d.p() BEGIN SELECT 1; END", "PROCEDURE|BEGIN|procedure"),
    ("CREATE MATERIALIZED VIEW d.v AS SELECT 1 AS x", "(?i)materialized"),
    ("DECLARE x INT64 DEFAULT 1; SELECT x", "DECLARE"),
    ("SET x = 1", "SET"),
    ("IF TRUE THEN SELECT 1; END IF", "(?i)if"),
    ("CALL d.p()", "CALL"),
    ("EXECUTE IMMEDIATE 'SELECT 1'", "(?i)execute"),
    ("EXPLAIN SELECT 1", "EXPLAIN"),
    ("LOAD DATA INTO d.t FROM FILES(format='CSV', uris=['gs://a/b'])", "LOAD DATA"),
    ("SELECT CAST('1' AS BIGNUMERIC)", "BIGNUMERIC"),
    ("SELECT CAST('a' AS STRING(3))", r"STRING\(3\)"),
    ("SELECT CAST('1.5' AS NUMERIC(3, 1))", r"NUMERIC\(3, 1\)"),
    ("SELECT CAST('POINT(1 1)' AS GEOGRAPHY)", "GEOGRAPHY"),
    ("SELECT CAST(DATE '2020-01-01' AS STRING FORMAT 'YYYY')", "FORMAT"),
    ("SELECT FORMAT('%T', 'a')", "%T"),
    ("SELECT FORMAT_DATE('%E5Y', DATE '2020-01-01')", "%E"),
    ("SELECT PARSE_DATE('%U %Y', '1 2020')", "%U"),
    ("SELECT APPROX_TOP_COUNT(x, 1) FROM UNNEST([1]) AS x", "APPROX_TOP_COUNT"),
    ("SELECT INTERVAL '1-2' YEAR TO MONTH", "INTERVAL"),
    ("SELECT TIMESTAMP '2020-01-02' - TIMESTAMP '2020-01-01'", "operator -"),
    ("SELECT 1 << 2", "<<"),
    ("SELECT * FROM UNNEST([1]) AS x TABLESAMPLE SYSTEM (10 PERCENT)", "(?i)sample"),
    ("SELECT * FROM (SELECT 1 AS x, 'a' AS k) PIVOT(SUM(x) FOR k IN ('a'))", "PIVOT"),
    ("SELECT 1 AS x UNION ALL BY NAME SELECT 2 AS x", "BY NAME"),
    ("SELECT * FROM UNNEST([1]) INTERSECT ALL SELECT 1", "INTERSECT ALL"),
    ("SELECT PERCENTILE_CONT(x, 0.5 RESPECT NULLS) OVER () FROM UNNEST([1]) AS x", "RESPECT NULLS"),
    ("SELECT COUNT(DISTINCT x) OVER (ORDER BY x) FROM UNNEST([1]) AS x", "."),
    ("SELECT APPROX_QUANTILES(x, 2 RESPECT NULLS) FROM UNNEST([1]) AS x", "RESPECT NULLS"),
    ("GRANT `roles/bigquery.dataViewer` ON TABLE d.t TO 'user:a@b.c'", "GRANT"),
    ("CREATE TABLE d.t (x INT64 DEFAULT 1)", "DEFAULT"),
    ("CREATE TABLE d.t (x INT64) PARTITION BY _PARTITIONDATE", "_PARTITIONDATE"),
    ("CREATE TABLE d.t CLONE d.s", "(?i)clone"),
    ("CREATE TEMP TABLE t AS SELECT 1 AS x", "temporary tables"),
    ("SELECT * FROM `d.events_*`", "wildcard"),
    ("SELECT * FROM d.INFORMATION_SCHEMA.JOBS", "INFORMATION_SCHEMA.JOBS"),
]


@pytest.mark.parametrize(("sql", "named"), REFUSED)
def test_refused_with_its_name(client: bigquery.Client, sql: str, named: str) -> None:
    with pytest.raises(BadRequest, match=named) as caught:
        client.query_and_wait(sql)
    assert caught.value.errors[0]["reason"] == "invalidQuery"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_legacy_sql": True}, "legacy SQL"),
        ({"create_session": True}, "createSession"),
        ({"udf_resources": [bigquery.UDFResource("inlineCode", "x")]}, "JavaScript"),
    ],
)
def test_settings_that_are_not_served(
    client: bigquery.Client, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(BadRequest, match=named):
        client.query("SELECT 1", job_config=bigquery.QueryJobConfig(**settings)).result()


@pytest.mark.parametrize("type_", ["GEOGRAPHY", "BIGNUMERIC", "INTERVAL", "RANGE"])
def test_types_that_are_not_served(client: bigquery.Client, dataset: str, type_: str) -> None:
    table = bigquery.Table(f"{client.project}.{dataset}.t", [bigquery.SchemaField("x", type_)])
    with pytest.raises(BadRequest, match=type_):
        client.create_table(table)
