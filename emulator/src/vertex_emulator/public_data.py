"""Public BigQuery tables that the emulator fills from this interpreter's own documentation.

The tables have the names and schemas of Google's public data sets, so that the same SQL runs here
and on Google Cloud. Their rows are made at first start from the docstrings of the standard library
that runs the emulator: real text, on every machine, with nothing to download. The same interpreter
always makes the same rows.
"""

from __future__ import annotations

import hashlib
import html
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from vertex_emulator.bigquery.service import BigQueryService
from vertex_emulator.errors import ApiError
from vertex_emulator.standard_library import Entry, documentation, masked

log = logging.getLogger(__name__)

Row = dict[str, Any]
Schema = list[dict[str, str]]

STACKOVERFLOW = "bigquery-public-data.stackoverflow"
BBC_NEWS = "bigquery-public-data.bbc_news"
TABLES = (
    f"{STACKOVERFLOW}.posts_questions",
    f"{STACKOVERFLOW}.posts_answers",
    f"{BBC_NEWS}.fulltext",
)

_ARTICLE_WORDS = 40
_FIRST_DAY = datetime(2018, 1, 1, tzinfo=UTC)
_DAYS = 365 * 8 + 300


class _StoppedError(Exception):
    """The emulator stops before the tables are complete."""


class PublicData:
    """Fills the public tables of a BigQuery service in the background, once per state folder.

    Begins with `start`.

    Args:
        bigquery: The service to fill; each table is written in one transaction.
    """

    def __init__(self, bigquery: BigQueryService) -> None:
        self._bigquery = bigquery
        self._stopping = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="public-data", daemon=True)

    def start(self) -> None:
        """Begin to fill the tables."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the tables are complete, or could not be filled."""
        self._done.wait()

    def stop(self) -> None:
        """Give up the table that is being filled, and return; the next start fills it."""
        self._stopping.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether the tables are complete."""
        return self._done.is_set()

    def _fill(self) -> None:
        try:
            if all(self._exists(table) for table in TABLES):
                return
            for table, schema, rows in public_tables():
                if not self._exists(table):
                    self._bigquery.append_rows(table, self._unless_stopping(rows), schema)
        except _StoppedError:
            return
        except Exception:
            log.exception("the public tables could not be filled")
        finally:
            self._done.set()

    def _unless_stopping(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if self._stopping.is_set():
                raise _StoppedError
            yield row

    def _exists(self, table: str) -> bool:
        try:
            next(self._bigquery.read_rows(table), None)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True


class AfterPublicData:
    """Holds requests to BigQuery back until the public tables are complete."""

    def __init__(self, app: ASGIApp, public_data: PublicData) -> None:
        self._app = app
        self._public_data = public_data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, if need be, then pass the request on."""
        path = scope.get("path", "")
        if not self._public_data.done and path.startswith(("/bigquery/", "/upload/bigquery/")):
            await run_in_threadpool(self._public_data.wait)
        await self._app(scope, receive, send)


def public_tables() -> Iterator[tuple[str, Schema, list[Row]]]:
    """Each public table: its full name, schema and rows."""
    entries = documentation()
    questions, answers, articles = TABLES
    yield questions, _POST_SCHEMA, list(_questions(entries))
    yield answers, _ANSWER_SCHEMA, list(_answers(entries))
    yield articles, _ARTICLE_SCHEMA, list(_articles(entries))


def _questions(entries: Iterable[Entry]) -> Iterator[Row]:
    for entry in entries:
        question, answers = _post_id(entry), _answer_ids(entry)
        asked = _asked(entry)
        yield {
            "id": question,
            "title": _title(entry),
            "body": _as_html(masked(entry.text, entry)),
            "accepted_answer_id": answers[0] if answers else None,
            "answer_count": len(answers),
            "comment_count": _digest(entry, "comments") % 5,
            "creation_date": _timestamp(asked),
            "favorite_count": _digest(entry, "favorites") % 4,
            "last_activity_date": _timestamp(asked + timedelta(hours=1 + len(answers))),
            "owner_user_id": 1000 + _digest(entry, "owner") % 9000,
            "post_type_id": 1,
            "score": _digest(entry, "score") % 40 - 2,
            "tags": f"python|{entry.module}",
            "view_count": 50 + _digest(entry, "views") % 20000,
        }


def _answers(entries: list[Entry]) -> Iterator[Row]:
    for index, entry in enumerate(entries):
        for place, answer in enumerate(_answer_ids(entry)):
            # A second answer points elsewhere, because not every answer on such a site is right.
            source = entry if place == 0 else entries[(index * 7 + 13) % len(entries)]
            answered = _asked(entry) + timedelta(minutes=20 + _digest(entry, "wait") % 600 + place)
            yield {
                "id": answer,
                "body": _answer_body(source),
                "comment_count": _digest(entry, f"comments {place}") % 3,
                "creation_date": _timestamp(answered),
                "last_activity_date": _timestamp(answered),
                "owner_user_id": 1000 + _digest(entry, f"owner {place}") % 9000,
                "parent_id": _post_id(entry),
                "post_type_id": 2,
                "score": _digest(entry, f"score {place}") % 60 if place == 0 else -1,
            }


def _articles(entries: list[Entry]) -> Iterator[Row]:
    bodies = Counter(_article_body(entry) for entry in entries)
    for entry in entries:
        body = _article_body(entry)
        if len(body.split()) >= _ARTICLE_WORDS and bodies[body] == 1:
            yield {
                "body": body,
                "title": entry.summary,
                "filename": f"{entry.name}.txt",
                "category": entry.module,
            }


def _article_body(entry: Entry) -> str:
    """What follows the summary line of a docstring."""
    return entry.text.partition("\n\n")[2].strip()


def _title(entry: Entry) -> str:
    topic = masked(entry.summary, entry).rstrip(" .:")[:120]
    if entry.name.rpartition(".")[2][:1].isupper():
        return f"Is there something in Python for this: {topic}?"
    return f"How do I do this in Python: {topic[:1].lower()}{topic[1:]}?"


def _answer_body(entry: Entry) -> str:
    signature = html.escape(f"{entry.name}{entry.signature}"[:200])
    return (
        f"<p>Use <code>{signature}</code> from the <code>{entry.module}</code> module.</p>\n"
        f"{_as_html(entry.summary)}"
    )


def _as_html(text: str) -> str:
    """Paragraphs as `<p>`, indented and prompt-like ones as code, as Stack Overflow keeps them."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        escaped = html.escape(paragraph.strip("\n"), quote=False)
        code = paragraph.startswith((" ", ">>>"))
        parts.append(f"<pre><code>{escaped}\n</code></pre>" if code else f"<p>{escaped}</p>")
    return "\n\n".join(parts)


def _digest(entry: Entry, purpose: str) -> int:
    key = f"{purpose}/{entry.module}/{entry.name}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=5).digest())


def _post_id(entry: Entry) -> int:
    return 10 * (4_000_000 + _digest(entry, "id") % 4_000_000_000)


def _answer_ids(entry: Entry) -> list[int]:
    """Most questions have one answer, the accepted one; some have none or a second."""
    kind = _digest(entry, "answers") % 20
    count = 0 if kind == 0 else 2 if kind <= 3 else 1
    return [_post_id(entry) + 1 + place for place in range(count)]


def _asked(entry: Entry) -> datetime:
    return _FIRST_DAY + timedelta(
        days=_digest(entry, "day") % _DAYS, seconds=_digest(entry, "second") % 86400
    )


def _timestamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _schema(columns: str) -> Schema:
    pairs = (column.split(":") for column in columns.split())
    return [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in pairs]


# Column order and types are those that BigQuery shows for the public tables: some columns that are
# numbers for questions are strings (and always null) for answers, and the other way round.
_POST_SCHEMA = _schema(
    "id:INTEGER title:STRING body:STRING accepted_answer_id:INTEGER answer_count:INTEGER"
    " comment_count:INTEGER community_owned_date:TIMESTAMP creation_date:TIMESTAMP"
    " favorite_count:INTEGER last_activity_date:TIMESTAMP last_edit_date:TIMESTAMP"
    " last_editor_display_name:STRING last_editor_user_id:INTEGER owner_display_name:STRING"
    " owner_user_id:INTEGER parent_id:STRING post_type_id:INTEGER score:INTEGER tags:STRING"
    " view_count:INTEGER"
)
_ANSWER_SCHEMA = _schema(
    "id:INTEGER title:STRING body:STRING accepted_answer_id:STRING answer_count:STRING"
    " comment_count:INTEGER community_owned_date:TIMESTAMP creation_date:TIMESTAMP"
    " favorite_count:STRING last_activity_date:TIMESTAMP last_edit_date:TIMESTAMP"
    " last_editor_display_name:STRING last_editor_user_id:INTEGER owner_display_name:STRING"
    " owner_user_id:INTEGER parent_id:INTEGER post_type_id:INTEGER score:INTEGER tags:STRING"
    " view_count:STRING"
)
_ARTICLE_SCHEMA = _schema("body:STRING title:STRING filename:STRING category:STRING")
