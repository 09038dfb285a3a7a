"""Queries: what the clauses mean.

Rules and values are those of
https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax, .../operators,
.../lexical, .../arrays, .../data-types and .../subqueries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

Rows = Callable[..., list[tuple[Any, ...]]]

PEOPLE = """
  WITH people AS (
    SELECT 'Ada' AS name, 36 AS age, ['math', 'poetry'] AS likes UNION ALL
    SELECT 'Bob', NULL, [] UNION ALL
    SELECT 'Cleo', 39, ['math'])
"""


def test_unnamed_columns_are_called_f0_f1(client: bigquery.Client) -> None:
    found = client.query_and_wait("SELECT 1, 'a' AS x, 2.5")
    assert [field.name for field in found.schema] == ["f0_", "x", "f1_"]


def test_null_is_the_smallest_value_of_an_order(rows: Rows) -> None:
    assert rows(f"{PEOPLE} SELECT name FROM people ORDER BY age") == [("Bob",), ("Ada",), ("Cleo",)]
    assert rows(f"{PEOPLE} SELECT name FROM people ORDER BY age DESC")[-1] == ("Bob",)
    assert rows(f"{PEOPLE} SELECT name FROM people ORDER BY age NULLS LAST")[-1] == ("Bob",)


def test_order_by_position_and_alias_and_limit_with_offset(rows: Rows) -> None:
    sql = f"{PEOPLE} SELECT name, LENGTH(name) AS size FROM people ORDER BY 2 DESC, name LIMIT 1"
    assert rows(sql) == [("Cleo", 4)]
    assert rows(f"{PEOPLE} SELECT name AS n FROM people ORDER BY n LIMIT 1 OFFSET 2") == [("Cleo",)]


def test_star_except_and_replace(rows: Rows) -> None:
    sql = f"{PEOPLE} SELECT * EXCEPT (likes) REPLACE (age + 1 AS age) FROM people WHERE age = 36"
    assert rows(sql) == [("Ada", 37)]


def test_cross_join_of_an_array_of_the_row(rows: Rows) -> None:
    sql = f"{PEOPLE} SELECT name, hobby FROM people, UNNEST(likes) AS hobby ORDER BY 1, 2"
    assert rows(sql) == [("Ada", "math"), ("Ada", "poetry"), ("Cleo", "math")]
    implicit = f"{PEOPLE} SELECT name, hobby FROM people p, p.likes AS hobby ORDER BY 1, 2"
    assert rows(implicit) == rows(sql)


def test_left_join_of_an_array_keeps_rows_without_elements(rows: Rows) -> None:
    sql = f"{PEOPLE} SELECT name, h FROM people LEFT JOIN UNNEST(likes) AS h ORDER BY 1, 2"
    assert ("Bob", None) in rows(sql)


def test_with_offset_counts_from_zero(rows: Rows) -> None:
    sql = "SELECT x, place FROM UNNEST(['a', 'b', 'c']) AS x WITH OFFSET AS place ORDER BY place"
    assert rows(sql) == [("a", 0), ("b", 1), ("c", 2)]
    assert rows("SELECT offset FROM UNNEST(['a']) WITH OFFSET") == [(0,)]


def test_array_of_structs_unnests_into_columns(rows: Rows) -> None:
    array = "[STRUCT(1 AS x, 'foo' AS y), STRUCT(3 AS x, 'bar' AS y)]"
    assert rows(f"SELECT * FROM UNNEST({array}) ORDER BY x") == [(1, "foo"), (3, "bar")]
    assert rows(f"SELECT s.y, x FROM UNNEST({array}) AS s WHERE s.x = 3") == [("bar", 3)]
    assert rows(f"SELECT s FROM UNNEST({array}) AS s ORDER BY s.x LIMIT 1") == [
        ({"x": 1, "y": "foo"},)
    ]


def test_array_subquery_keeps_the_order_of_its_order_by(rows: Rows) -> None:
    sql = "SELECT ARRAY(SELECT x * 2 FROM UNNEST([3, 1, 2]) AS x ORDER BY x)"
    assert rows(sql) == [([2, 4, 6],)]
    assert rows("SELECT ARRAY(SELECT x FROM UNNEST([1]) AS x WHERE x > 1)") == [([],)]


def test_array_of_structs_by_select_as_struct(rows: Rows) -> None:
    sql = f"""{PEOPLE}
      SELECT ARRAY(SELECT AS STRUCT name, age FROM people WHERE age IS NOT NULL ORDER BY age)"""
    assert rows(sql) == [([{"name": "Ada", "age": 36}, {"name": "Cleo", "age": 39}],)]


def test_correlated_exists_over_an_array(rows: Rows) -> None:
    sql = f"""{PEOPLE}
      SELECT name FROM people WHERE EXISTS (SELECT 1 FROM UNNEST(likes) l WHERE l = 'poetry')"""
    assert rows(sql) == [("Ada",)]


def test_joins_on_and_using(rows: Rows) -> None:
    tables = """WITH
      a AS (SELECT 1 AS id, 'x' AS v UNION ALL SELECT 2, 'y'),
      b AS (SELECT 2 AS id, 'z' AS w UNION ALL SELECT 3, 'q')"""
    assert rows(f"{tables} SELECT * FROM a JOIN b USING (id)") == [(2, "y", "z")]
    assert rows(f"{tables} SELECT a.v, b.w FROM a LEFT JOIN b ON a.id = b.id ORDER BY a.id") == [
        ("x", None),
        ("y", "z"),
    ]
    assert rows(f"{tables} SELECT id, v, w FROM a FULL JOIN b USING (id) ORDER BY id") == [
        (1, "x", None),
        (2, "y", "z"),
        (3, None, "q"),
    ]
    assert rows(f"{tables} SELECT id FROM a RIGHT JOIN b USING (id) ORDER BY 1") == [(2,), (3,)]
    assert len(rows(f"{tables} SELECT 1 FROM a CROSS JOIN b")) == 4


def test_group_by_alias_position_having_and_all(rows: Rows) -> None:
    data = "UNNEST(['a', 'b', 'a', 'c', 'a']) AS x"
    expected = [("A", 3)]
    assert (
        rows(f"SELECT UPPER(x) AS u, COUNT(*) AS n FROM {data} GROUP BY u HAVING n > 1") == expected
    )
    assert rows(f"SELECT UPPER(x), COUNT(*) FROM {data} GROUP BY 1 HAVING COUNT(*) > 1") == expected
    assert rows(f"SELECT UPPER(x), COUNT(*) AS n FROM {data} GROUP BY ALL HAVING n = 3") == expected


def test_rollup_and_grouping_sets(rows: Rows) -> None:
    data = "UNNEST([STRUCT('a' AS k, 1 AS v), ('a', 2), ('b', 4)])"
    expected = [(None, 7), ("a", 3), ("b", 4)]
    assert rows(f"SELECT k, SUM(v) FROM {data} GROUP BY ROLLUP (k) ORDER BY 1") == expected
    assert (
        rows(f"SELECT k, SUM(v) FROM {data} GROUP BY GROUPING SETS (k, ()) ORDER BY 1") == expected
    )


def test_qualify_keeps_the_best_row_of_each_group(rows: Rows) -> None:
    data = "UNNEST([STRUCT('a' AS k, 1 AS v), ('a', 2), ('b', 4)])"
    sql = f"""SELECT k, v FROM {data} WHERE TRUE
      QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) = 1 ORDER BY k"""
    assert rows(sql) == [("a", 2), ("b", 4)]


def test_set_operations(rows: Rows) -> None:
    assert rows("SELECT 1 UNION DISTINCT SELECT 1") == [(1,)]
    assert rows("SELECT 1 AS x UNION ALL SELECT 2 ORDER BY x DESC LIMIT 1") == [(2,)]
    assert rows("SELECT * FROM UNNEST([1, 2, 2]) INTERSECT DISTINCT SELECT 2") == [(2,)]
    assert rows("SELECT * FROM UNNEST([1, 2]) EXCEPT DISTINCT SELECT 2") == [(1,)]
    assert rows("SELECT 1 AS x UNION ALL SELECT 2.5 ORDER BY x") == [(1.0,), (2.5,)]
    assert rows("SELECT NULL AS x UNION ALL SELECT 'a' ORDER BY x") == [(None,), ("a",)]


def test_recursive_cte(rows: Rows) -> None:
    sql = """WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 4)
      SELECT SUM(n) FROM t"""
    assert rows(sql) == [(10,)]


def test_cte_hides_an_outer_one_of_the_same_name(rows: Rows) -> None:
    sql = "WITH t AS (SELECT 1 AS x) SELECT (WITH t AS (SELECT 2 AS x) SELECT x FROM t), x FROM t"
    assert rows(sql) == [(2, 1)]


def test_strings_escapes_and_raw_strings(rows: Rows) -> None:
    sql = r"""SELECT 'a\tb\\', r'\d', '''it's''', "say \"hi\"", b'\x00\xff', '\u00e9', 'naïve'"""
    assert rows(sql) == [("a\tb\\", "\\d", "it's", 'say "hi"', b"\x00\xff", "é", "naïve")]


def test_like_escapes_with_a_backslash(rows: Rows) -> None:
    sql = r"SELECT 'a_b' LIKE r'a\_b', 'axb' LIKE r'a\_b', 'abc' LIKE 'a%', 'abc' NOT LIKE '_b_'"
    assert rows(sql) == [(True, False, True, False)]
    assert rows("SELECT 'abc' LIKE ANY ('x%', 'a%'), 'abc' LIKE ALL ('x%', 'a%')") == [
        (True, False)
    ]


def test_three_valued_logic(rows: Rows) -> None:
    assert rows("SELECT NULL AND FALSE, NULL OR TRUE, NOT NULL, NULL = NULL, NULL IS NULL") == [
        (False, True, None, None, True)
    ]
    assert rows("SELECT 1 IN (2, NULL), 1 NOT IN (1, NULL), 5 BETWEEN 1 AND 5") == [
        (None, False, True)
    ]
    assert rows("SELECT 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL") == [(True, True)]


def test_division_by_zero_fails(rows: Rows) -> None:
    with pytest.raises(BadRequest, match="division by zero"):
        rows("SELECT 1 / x FROM UNNEST([0]) AS x")
    with pytest.raises(BadRequest, match="division by zero"):
        rows("SELECT MOD(1, 0)")


def test_integer_overflow_fails(rows: Rows) -> None:
    with pytest.raises(BadRequest, match=r"[Oo]verflow"):
        rows("SELECT 9223372036854775807 + x FROM UNNEST([1]) AS x")
    with pytest.raises(BadRequest, match="out of range"):
        rows("SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x")


def test_scalar_subquery_with_two_rows_fails(rows: Rows) -> None:
    with pytest.raises(BadRequest, match=r"[Ss]ubquery|more than one"):
        rows("SELECT (SELECT x FROM UNNEST([1, 2]) AS x)")


def test_types_must_match(rows: Rows) -> None:
    for sql, message in (
        ("SELECT 1 = 'a'", "No matching signature for operator ="),
        ("SELECT 1 + 'a'", r"No matching signature for operator \+"),
        ("SELECT UPPER(1)", "No matching signature for function UPPER for argument types: INT64"),
        ("SELECT IF(1, 2, 3)", "Cannot coerce"),
        ("SELECT [1, 'a']", "No supertype"),
        ("SELECT CAST('abc' AS INT64)", "Could not cast to type INT64: abc"),
        ("SELECT CAST('2020-13-01' AS DATE)", "2020-13-01"),
        ("SELECT x FROM (SELECT 1 AS y)", r"Unrecognized name: x at \[1:8\]"),
        ("SELECT SUM(x), x FROM UNNEST([1]) AS x", "GROUP BY"),
        ("SELECT 1 AS a, 2 AS a", "Duplicate column names"),
        ("SELECT *", "FROM"),
    ):
        with pytest.raises(BadRequest, match=message):
            rows(sql)


def test_unknown_table_is_not_found(rows: Rows, dataset: str) -> None:
    with pytest.raises(NotFound, match=r"Not found: Table .*nothing"):
        rows(f"SELECT * FROM {dataset}.nothing")
    with pytest.raises(NotFound, match=r"Not found: Dataset .*:no_such_dataset"):
        rows("SELECT * FROM no_such_dataset.t")
    with pytest.raises(BadRequest, match="must be qualified with a dataset"):
        rows("SELECT * FROM t")


def test_syntax_error_says_where(rows: Rows) -> None:
    with pytest.raises(BadRequest, match="Syntax error") as caught:
        rows("SELECT 1 +")
    assert caught.value.errors[0]["reason"] == "invalidQuery"


def test_named_parameters_of_every_type(rows: Rows) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    values = {
        "INT64": 5,
        "FLOAT64": 2.5,
        "NUMERIC": Decimal("1.25"),
        "BOOL": True,
        "STRING": "it's",
        "BYTES": b"\x00\xff",
        "DATE": dt.date(2020, 1, 2),
        "TIME": dt.time(3, 4, 5, 600000),
        "DATETIME": dt.datetime(2020, 1, 2, 3, 4, 5),
        "TIMESTAMP": moment,
    }
    for type_, value in values.items():
        parameter = bigquery.ScalarQueryParameter("p", type_, value)
        missing = bigquery.ScalarQueryParameter("q", type_, None)
        assert rows("SELECT @p, @q", parameter, missing) == [(value, None)]


def test_array_struct_and_positional_parameters(rows: Rows) -> None:
    array = bigquery.ArrayQueryParameter("names", "STRING", ["a", "b"])
    assert rows("SELECT x FROM UNNEST(['a', 'c']) AS x WHERE x IN UNNEST(@names)", array) == [
        ("a",)
    ]
    assert rows("SELECT @names", bigquery.ArrayQueryParameter("names", "INT64", [])) == [([],)]
    struct = bigquery.StructQueryParameter(
        "s",
        bigquery.ScalarQueryParameter("x", "INT64", 1),
        bigquery.ScalarQueryParameter("y", "STRING", "foo"),
    )
    assert rows("SELECT @s.y, @s.x + 1", struct) == [("foo", 2)]
    first = bigquery.ScalarQueryParameter(None, "INT64", 7)
    second = bigquery.ScalarQueryParameter(None, "STRING", "z")
    assert rows("SELECT ?, ?", first, second) == [(7, "z")]


def test_array_of_struct_parameter(rows: Rows) -> None:
    elements = [
        bigquery.StructQueryParameter(
            None,
            bigquery.ScalarQueryParameter("id", "INT64", number),
            bigquery.ScalarQueryParameter("name", "STRING", name),
        )
        for number, name in ((1, "a"), (2, "b"))
    ]
    parameter = bigquery.ArrayQueryParameter("rows", "STRUCT", elements)
    assert rows("SELECT name FROM UNNEST(@rows) WHERE id = 2", parameter) == [("b",)]


def test_missing_parameter_is_named(rows: Rows) -> None:
    with pytest.raises(BadRequest, match="Query parameter 'nobody' not found"):
        rows("SELECT @nobody")


def test_temporary_functions(rows: Rows) -> None:
    sql = """
      CREATE TEMP FUNCTION AddFour(x INT64) AS (x + 4);
      CREATE TEMP FUNCTION Twice(x ANY TYPE) RETURNS FLOAT64 AS (AddFour(x) * 2.0);
      SELECT AddFour(n), Twice(n) FROM UNNEST([1, 2]) AS n ORDER BY n
    """
    assert rows(sql) == [(5, 10.0), (6, 12.0)]


def test_whole_row_as_a_struct(rows: Rows) -> None:
    assert rows("SELECT t FROM (SELECT 1 AS x, 'a' AS y) AS t") == [({"x": 1, "y": "a"},)]
    assert rows("SELECT TO_JSON_STRING(t) FROM (SELECT 1 AS x, 'a' AS y) AS t") == [
        ('{"x":1,"y":"a"}',)
    ]


def test_a_null_array_is_stored_as_an_empty_one_and_null_elements_are_refused(rows: Rows) -> None:
    assert rows("SELECT CAST(NULL AS ARRAY<INT64>)") == [([],)]
    with pytest.raises(BadRequest, match="Array cannot have a null element"):
        rows("SELECT [1, NULL]")


def test_subscript_outside_of_an_array_fails(rows: Rows) -> None:
    with pytest.raises(BadRequest, match="Array index 3 is out of bounds"):
        rows("SELECT [1, 2, 3][OFFSET(3)]")


def test_nested_values_survive(rows: Rows) -> None:
    sql = "SELECT STRUCT(1 AS a, [STRUCT('x' AS b, [TIMESTAMP '2020-01-01 00:00:00Z'] AS c)] AS d)"
    moment = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert rows(sql) == [({"a": 1, "d": [{"b": "x", "c": [moment]}]},)]


def test_in_with_tuples_and_subqueries(rows: Rows) -> None:
    assert rows("SELECT (1, 2) IN ((1, 2), (3, 4)), 2 IN (SELECT x FROM UNNEST([1, 2]) AS x)") == [
        (True, True)
    ]


def test_public_table_by_its_backquoted_name(rows: Rows) -> None:
    sql = "SELECT COUNT(*) > 0 FROM `bigquery-public-data.stackoverflow.posts_questions`"
    assert rows(sql) == [(True,)]


def test_random_values_of_one_expression_agree(rows: Rows) -> None:
    """An argument used twice in the compiled SQL is still evaluated once."""
    one_of_five = "['a', 'b', 'c', 'd', 'e'][SAFE_OFFSET(CAST(FLOOR(RAND() * 10) AS INT64) - 3)]"
    found = rows(f"SELECT DISTINCT {one_of_five} FROM UNNEST(GENERATE_ARRAY(1, 2000)) ORDER BY 1")
    assert found == [(None,), ("a",), ("b",), ("c",), ("d",), ("e",)]


def test_a_large_result_arrives_page_by_page(client: bigquery.Client) -> None:
    found = client.query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 45000)) AS x").result(
        page_size=10_000
    )
    pages = [[row[0] for row in page] for page in found.pages]
    assert [len(page) for page in pages] == [10_000] * 4 + [5_000]
    assert [x for page in pages for x in page] == list(range(1, 45_001))
    assert found.total_rows == 45_000


def test_positional_parameters_count_in_the_order_of_the_text(rows: Rows) -> None:
    parameters = [bigquery.ScalarQueryParameter(None, "STRING", value) for value in "abc"]
    sql = "SELECT ?, x FROM UNNEST([?, 'z']) AS x WHERE x != ? ORDER BY x"
    assert rows(sql, *parameters) == [("a", "b"), ("a", "z")]


def test_safe_only_covers_the_function_itself(rows: Rows) -> None:
    """https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-reference#safe_prefix."""
    data = "UNNEST(['1', 'x']) AS s"
    assert rows(f"SELECT SAFE_CAST(MAX(s) AS INT64), SAFE_CAST(MIN(s) AS INT64) FROM {data}") == [
        (None, 1)
    ]
    assert rows("SELECT SAFE_CAST((SELECT 'x') AS INT64)") == [(None,)]
    with pytest.raises(BadRequest, match="division by zero"):
        rows("SELECT SAFE.SUBSTR('abc', CAST(1 / x AS INT64)) FROM UNNEST([0]) AS x")


def test_texts_that_look_like_holes_of_a_template_stay_as_they_are(rows: Rows) -> None:
    sql = """SELECT REPLACE('a{1}b{2}', '{1}', '{0}'), SUBSTR('{1}{0}', 1), IF(TRUE, '{0}', '{1}'),
      CONCAT('{0}', '{1}'), ['{1}'][SAFE_OFFSET(0)], LPAD('{2}', 5, '{0}')"""
    assert rows(sql) == [("a{0}b{2}", "{1}{0}", "{0}", "{0}{1}", "{1}", "{0{2}")]
    with pytest.raises(BadRequest, match="Invalid name"):
        rows("SELECT 1 AS `a{0}`")
