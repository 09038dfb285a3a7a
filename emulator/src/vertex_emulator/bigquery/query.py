"""Query jobs: scripts of statements, compiled and run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from sqlglot import exp

from vertex_emulator.bigquery import extract, sizes
from vertex_emulator.bigquery.database import Cursor, Database, rows
from vertex_emulator.bigquery.outcomes import Outcome, ResultRows
from vertex_emulator.bigquery.sql import options, output, queries, statements
from vertex_emulator.bigquery.sql.parsing import invalid_query, parse, refused, shown
from vertex_emulator.bigquery.sql.scope import Context, SqlFunction
from vertex_emulator.bigquery.sql.views import compile_context
from vertex_emulator.bigquery.types import Type, schema_of
from vertex_emulator.errors import ApiError
from vertex_emulator.storage.service import StorageService

_numbers = count(1)


@dataclass(frozen=True)
class QueryRequest:
    """The query of a job's configuration.

    Attributes:
        sql: One statement or several.
        project: Project of names that give none.
        dataset: Project and dataset of table names that give none.
        parameters: Type and value of each query parameter.
        dry_run: Whether to compile only.
        maximum_bytes: Bytes above which the query is refused; None without a limit.
    """

    sql: str
    project: str
    dataset: tuple[str, str] | None = None
    parameters: Mapping[str | int, tuple[Type, Any]] = field(default_factory=dict)
    dry_run: bool = False
    maximum_bytes: int | None = None


class Runner:
    """Runs one query job.

    Args:
        database: Where the tables are.
        storage: Where EXPORT DATA writes.
        request: What to run.
        on_cursor: Receives the connection that works for the job, so that it can be interrupted.
        before_commit: Called inside of the last transaction that writes, with its connection
            and the outcome, so that the job's record is kept together with its effect.
    """

    def __init__(
        self,
        database: Database,
        storage: StorageService,
        request: QueryRequest,
        *,
        on_cursor: Callable[[Cursor], None] = lambda _: None,
        before_commit: Callable[[Cursor, Outcome], None] = lambda _, __: None,
    ) -> None:
        self._database = database
        self._storage = storage
        self._request = request
        self._on_cursor = on_cursor
        self._before_commit = before_commit
        self._functions: dict[str, SqlFunction] = {}
        self._transaction: Cursor | None = None
        self._outcome = Outcome()
        self._is_script = False

    def run(self) -> Outcome:
        """Run every statement.

        Returns:
            What the last one did; of a script, with the bytes of all of them.

        Raises:
            ApiError: what a statement did wrong; what earlier ones committed stays.
        """
        trees = parse(self._request.sql)
        self._is_script = sum(not _is_definition(tree) for tree in trees) > 1
        try:
            with ExitStack() as stack:
                for index, tree in enumerate(trees):
                    self._add(self._statement(tree, stack, last=index == len(trees) - 1))
        except Exception:
            if self._outcome.rows is not None:
                self._database.drop_result(self._outcome.rows.relation)
            raise
        return self._outcome

    def _add(self, outcome: Outcome) -> None:
        """Take the outcome of a statement into account: the last one that did something counts."""
        total = self._outcome.total_bytes + outcome.total_bytes
        if outcome.statistics:
            superseded, self._outcome = self._outcome.rows, outcome
            if superseded is not None:
                self._database.drop_result(superseded.relation)
        self._outcome.total_bytes = total
        if self._is_script:
            self._outcome.statistics["statementType"] = "SCRIPT"

    def _statement(self, tree: exp.Expr, stack: ExitStack, *, last: bool) -> Outcome:
        if isinstance(tree, exp.Transaction) or _is_command(tree, "BEGIN"):
            if self._transaction is not None:
                raise invalid_query("Transaction is already in progress", tree)
            self._transaction = stack.enter_context(self._database.writing())
            self._on_cursor(self._transaction)
            return Outcome()
        if isinstance(tree, exp.Commit | exp.Rollback):
            return self._end_transaction(tree, stack, last=last)
        if isinstance(tree, exp.Create) and _is_definition(tree):
            name, function = statements.temporary_function(tree)
            self._functions[name] = function
            return Outcome()
        if isinstance(tree, exp.Query):
            return self._query(tree)
        if isinstance(tree, exp.Export):
            return self._export(tree)
        return self._change(tree, last=last)

    def _end_transaction(self, tree: exp.Expr, stack: ExitStack, *, last: bool) -> Outcome:
        cursor = self._transaction
        if cursor is None:
            raise invalid_query("No transaction is in progress", tree)
        if isinstance(tree, exp.Rollback):
            cursor.execute("ROLLBACK")
            cursor.execute("BEGIN")
        elif last:
            self._before_commit(cursor, self._outcome)
        self._transaction = None
        stack.pop_all().close()
        return Outcome()

    @contextmanager
    def _reading(self) -> Iterator[Cursor]:
        if self._transaction is not None:
            yield self._transaction
            return
        with self._database.reading() as cursor:
            self._on_cursor(cursor)
            yield cursor

    @contextmanager
    def _writing(self) -> Iterator[Cursor]:
        if self._transaction is not None:
            yield self._transaction
            return
        with self._database.writing() as cursor:
            self._on_cursor(cursor)
            yield cursor

    def _context(self, cursor: Cursor) -> Context:
        context = compile_context(
            cursor, self._request.project, self._request.dataset, self._request.parameters
        )
        return replace(context, functions=self._functions)

    def _query(self, tree: exp.Expr) -> Outcome:
        with self._reading() as cursor:
            context = self._context(cursor)
            compiled = output.finished(queries.compile_query(context, tree), tree)
            outcome = self._measured(context, cursor)
            outcome.statistics["statementType"] = "SELECT"
            outcome.statistics["schema"] = {"fields": schema_of(compiled.fields)}
            if self._request.dry_run:
                return outcome
            relation = f"results.r{next(_numbers)}"
            if self._transaction is None:
                cursor.execute(f"CREATE TABLE {relation} AS {compiled.sql}", context.bindings)
                total = rows(cursor, f"SELECT count(*) FROM {relation}")[0][0]
            else:
                total = self._copied(cursor, relation, compiled.sql, context.bindings)
        outcome.rows = ResultRows(relation, compiled.fields, total)
        return outcome

    def _copied(self, cursor: Cursor, relation: str, sql: str, bindings: Mapping[str, Any]) -> int:
        """Rows of a query inside a transaction, whose connection may not write to results."""
        reader = cursor.execute(sql, dict(bindings)).to_arrow_reader(10_000)
        with self._database.reading() as other:
            other.register("incoming_rows", reader)
            other.execute(f"CREATE TABLE {relation} AS SELECT * FROM incoming_rows")
            other.unregister("incoming_rows")
            return int(rows(other, f"SELECT count(*) FROM {relation}")[0][0])

    def _measured(self, context: Context, cursor: Cursor) -> Outcome:
        """An outcome with the bytes that the compiled statement reads, checked for the limit."""
        total = sum(
            sizes.column_bytes(cursor, context.find(name), columns)
            for name, columns in context.used.items()
        )
        limit = self._request.maximum_bytes
        if limit is not None and total > limit:
            raise ApiError(
                400,
                f"Query exceeded limit for bytes billed: {limit}. {total} or higher required.",
                reason="bytesBilledLimitExceeded",
            )
        tables = [name.reference() for name in context.used]
        return Outcome({"referencedTables": tables} if tables else {}, total_bytes=total)

    def _export(self, tree: exp.Export) -> Outcome:
        with self._reading() as cursor:
            context = self._context(cursor)
            export = options.export_options(tree)
            compiled = output.finished(queries.compile_query(context, tree.this), tree)
            outcome = self._measured(context, cursor)
            outcome.statistics["statementType"] = "EXPORT_DATA"
            if not self._request.dry_run:
                files = extract.write_files(
                    cursor, self._storage, compiled.sql, context.bindings, compiled.fields, export
                )
                outcome.statistics["exportDataStatistics"] = {
                    "fileCount": str(files.count),
                    "rowCount": str(files.rows),
                }
        return outcome

    def _change(self, tree: exp.Expr, *, last: bool) -> Outcome:
        try:
            with self._writing() as cursor:
                outcome = self._changed(cursor, tree)
                if self._request.dry_run:
                    # Every error has been raised by now; nothing of the change stays.
                    raise _GivenUp(outcome)
                if last and self._transaction is None:
                    self._add(outcome)
                    self._before_commit(cursor, self._outcome)
                    return Outcome()
            return outcome
        except _GivenUp as given_up:
            for name in ("dmlStats", "numDmlAffectedRows", "ddlOperationPerformed"):
                given_up.outcome.statistics.pop(name, None)
            return given_up.outcome

    def _changed(self, cursor: Cursor, tree: exp.Expr) -> Outcome:
        measured = Outcome()

        def measure(compiled: Context) -> None:
            nonlocal measured
            measured = self._measured(compiled, cursor)

        context = replace(self._context(cursor), before_change=measure)
        outcome = statements.run(cursor, context, tree)
        outcome.total_bytes = measured.total_bytes
        outcome.statistics |= measured.statistics
        return outcome


class _GivenUp(Exception):  # noqa: N818
    """Ends the transaction of a dry run."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def _is_definition(tree: exp.Expr) -> bool:
    return isinstance(tree, exp.Create) and tree.kind == "FUNCTION"


def _is_command(tree: exp.Expr, word: str) -> bool:
    if isinstance(tree, exp.Command):
        if str(tree.this).upper() == word and not tree.expression:
            return True
        raise refused(f"the statement {shown(tree)}", tree)
    return False
