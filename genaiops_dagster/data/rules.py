"""The SQL of curation: what is read from a source row, and which rows each rule rejects.

Names in `getvariable` are set by `curation.curate`; `live` are the rows that no rule rejected yet.
"""

# ruff: noqa: S608 - SQL is put together from constants of this module alone

from __future__ import annotations

FUNCTIONS = """
CREATE MACRO filled(text) AS nullif(text, '');

CREATE MACRO mapped(path) AS TABLE
SELECT row, error, source_uri, source_generation, source_row,
  coalesce(texts[1], left(sha256(fields), 16)) AS id, coalesce(texts[2], id) AS "group",
  to_json(map(getvariable('slices'), list_transform(texts[4:],
    lambda value: coalesce(value, '(none)'))))::VARCHAR AS slices,
  to_json(CASE
    WHEN json_array_length(fields, '/contents') > 0
      THEN map(['contents'], [json_extract(fields, '/contents')])
    ELSE map(getvariable('names'), json_extract(fields, getvariable('columns')))
  END)::VARCHAR AS variables,
  coalesce(texts[3], '') AS output
FROM (SELECT *, file_row_number AS row, json_extract_string(fields, getvariable('texts')) AS texts
      FROM read_parquet(path, file_row_number = true));

CREATE MACRO in_turns(variables, path) AS
  CASE WHEN contains(variables, '"contents"') THEN json_extract_string(variables, path) END;

CREATE MACRO input_text(variables) AS concat_ws(' ',
  array_to_string(list_transform(json_extract_string(variables, getvariable('pointers')),
    lambda value: coalesce(value, '')), ' '),
  filled(array_to_string(in_turns(variables, '$.contents[*].parts[*].text'), ' ')),
  filled(array_to_string(in_turns(variables, '$.contents[*].parts[*].fileData.fileUri'), ' ')));

CREATE MACRO with_files(variables) AS variables LIKE '%"fileData"%' OR len(list_filter(
  json_extract_string(variables, getvariable('files')), lambda uri: uri <> '')) > 0;

CREATE MACRO collapsed(text) AS array_to_string(list_filter(string_split(
  replace(replace(replace(lower(text), chr(9), ' '), chr(10), ' '), chr(13), ' '),
  ' '), lambda word: word <> ''), ' ');
CREATE MACRO uneven(text) AS contains(text, '  ') OR contains(text, chr(9))
  OR contains(text, chr(10)) OR contains(text, chr(13))
  OR starts_with(text, ' ') OR ends_with(text, ' ');
CREATE MACRO normal(text) AS list_transform([text],
  lambda once: CASE WHEN uneven(once) THEN collapsed(once) ELSE lower(once) END)[1];
"""
"""SQL functions: source rows with the columns that the use case names, the text of an input, and a
text in lower case with single spaces.

All texts of a row are taken from its JSON at once, and most texts have single spaces already: both
make this several times faster. A list of one is how SQL computes something once and uses it twice.
"""

EXTRACTED = """
COPY (
  SELECT * EXCLUDE (variables, output), [variables, output] AS texts FROM mapped('{source}')
) TO '{target}' (FORMAT parquet, COMPRESSION lz4, {groups})
"""
"""Everything that is read from the rows' JSON, read once.

After a join or a filter DuckDB gathers rows of small groups until it has 2,048, which is too much
of long texts; it does not where a column is a list. Hence the texts are one until they are read.
"""

TEXTS = """
CREATE TABLE redacted (row BIGINT, texts VARCHAR[]);
CREATE TABLE rejections (row BIGINT, reason VARCHAR, detail VARCHAR);
CREATE VIEW texts AS
SELECT source.* REPLACE (coalesce(redacted.texts, source.texts) AS texts)
FROM read_parquet(getvariable('extracted')) AS source LEFT JOIN redacted USING (row);
"""
"""Rows with their texts as they are trained on: variables as JSON, and the output."""

ROWS = """
CREATE TABLE rows AS
WITH normalized AS NOT MATERIALIZED (
  SELECT *, normal(input_text(texts[1])) AS input, normal(texts[2]) AS answer,
    md5_number(getvariable('salt') || "group") / pow(2, 128) AS share,
    coalesce(in_turns(texts[1], '$.contents[*].role'), []) AS roles
  FROM texts
)
SELECT
  row, error, source_uri, source_generation, source_row, id, "group",
  md5_number(getvariable('salt') || id) AS shuffle,
  CASE
    WHEN share < getvariable('training') THEN 'training'
    WHEN share < getvariable('training') + getvariable('validation') THEN 'validation'
    ELSE 'evaluation'
  END AS side,
  input = '' AS input_empty, md5_number(input) AS input_key,
  answer = '' AS output_empty, md5_number(answer) AS output_key,
  roles <> list_transform(range(len(roles)), lambda i: if(i % 2 = 0, 'user', 'model'))
    OR (len(roles) > 0 AND len(roles) % 2 = 0) AS wrong_roles,
  with_files(texts[1]) AS has_files
FROM normalized
ORDER BY source_generation NULLS FIRST, source_uri, source_row, id, input_key, output_key;

CREATE VIEW live AS
SELECT rows.rowid AS rank, rows.* FROM rows ANTI JOIN rejections USING (row);
"""
"""Rows by where they came from, whatever the order in which they were read: `rank` counts them.

A sort spills to disk where a window over all rows would not.
"""

WORDS = """
SELECT rank, word_hashes(input_text(texts[1])) AS words
FROM texts JOIN live USING (row) WHERE NOT has_files
"""
"""Inputs that can be compared by their words; with a file, the words do not say enough."""

COMPARABLE = """
CREATE VIEW comparable AS
SELECT rank, live."group", live.side, words FROM read_parquet('{words}') JOIN live USING (rank);
"""


def comparable_examples(path: str) -> str:
    """The same of finished examples, ranked by their row in the file."""
    return f"""
        SELECT file_row_number AS rank, "group", side,
          word_hashes(input_text(variables)) AS words
        FROM read_parquet('{path}', file_row_number = true) WHERE NOT with_files(variables)"""


def golden_inputs(path: str) -> str:
    """Inputs of golden cases, each a group of its own."""
    return f"""
        SELECT word_hashes(input_text(variables)) AS words, 'golden ' || row AS "group"
        FROM mapped('{path}') WHERE error IS NULL"""


NEAR = """
CREATE TABLE near (rank BIGINT, first BIGINT);
CREATE VIEW near_rows AS
SELECT row AS later_row, side AS later_side, first FROM live JOIN near USING (rank);
"""
"""Rows that are nearly the same as an earlier one."""

# Rules: by reason, a query for the rows that it applies to, with a detail.

UNUSABLE = {
    "unreadable": "SELECT row, error FROM live WHERE error IS NOT NULL",
    "empty_input": "SELECT row, NULL FROM live WHERE input_empty",
    "empty_output": "SELECT row, NULL FROM live WHERE output_empty",
    "wrong_roles": "SELECT row, NULL FROM live WHERE wrong_roles",
}
REPEATED = {
    "repeated_id": """
        SELECT row, NULL FROM live QUALIFY row_number() OVER (
          PARTITION BY id ORDER BY source_generation DESC NULLS LAST, rank) > 1""",
    "duplicate": """
        SELECT row, 'of ' || first_value(id) OVER same FROM live
        WINDOW same AS (PARTITION BY input_key, output_key ORDER BY rank)
        QUALIFY row_number() OVER same > 1""",
}
CONFLICTING = {
    "conflicting_outputs": """
        SELECT row, count(*) OVER same || ' outputs' FROM live
        WINDOW same AS (PARTITION BY input_key) QUALIFY count(*) OVER same > 1""",
}
NEAR_DUPLICATE = {
    "reject": {
        "near_duplicate": """
            SELECT later_row, 'of ' || id FROM live JOIN near_rows ON rank = first"""
    },
    "keep_together": {
        "near_duplicate": """
            SELECT later_row, 'of ' || id || ' on another side'
            FROM live JOIN near_rows ON rank = first WHERE later_side <> side"""
    },
}
LIMITED = {
    f"over_{side}_limit": f"""
        SELECT row, NULL FROM live WHERE side = '{side}'
        QUALIFY row_number() OVER (ORDER BY shuffle) > getvariable('{side}_limit')"""
    for side in ("training", "validation", "evaluation")
}
SAME_INPUT = {
    "contaminated": """
        SELECT row, 'same input' FROM live WHERE side <> 'evaluation' AND input_key IN
          (SELECT input_key FROM live WHERE side = 'evaluation')
        UNION ALL
        SELECT row, 'same input' FROM live WHERE side = 'training' AND input_key IN
          (SELECT input_key FROM live WHERE side = 'validation') AND input_key NOT IN
          (SELECT input_key FROM live WHERE side = 'evaluation')""",
}
OVERLAPPING = {
    "contaminated": """
        SELECT row, 'shares a run of words with a held-out input'
        FROM live JOIN overlapping USING (rank)"""
}

EXPECTED = ("repeated_id", "duplicate", "near_duplicate", "contaminated", *LIMITED)
"""Reasons that say nothing against the quality of a delivery."""

EXAMPLES = """
SELECT id, "group", slices, texts[1] AS variables, texts[2] AS output, side, position,
  source.source_uri, source.source_generation, source.source_row, place
FROM texts AS source JOIN places USING (row)
"""
PLACES = """
CREATE TABLE places AS
SELECT row, live.side, row_number() OVER (PARTITION BY live.side ORDER BY shuffle) AS position,
  position + before - 1 AS place
FROM live JOIN (
  SELECT side, coalesce(sum(count(*)) OVER (ORDER BY side
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::BIGINT AS before
  FROM live GROUP BY side) USING (side)
"""
"""The order of examples in their file: by side, and within a side drawn with the seed."""

REJECTED = """
COPY (
  SELECT id, reason, detail, source_uri, source_generation, source_row
  FROM rows JOIN rejections USING (row)
  ORDER BY reason, source_uri, source_generation, source_row, id
) TO '{target}' (FORMAT parquet, COMPRESSION zstd, {groups})
"""
