"""Rollback: a former champion serves again, after it has shown that it still answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genaiops_dagster.promotion.champion import (
    ChampionBooks,
    OvertakenError,
    change_champion,
    write_asset_record,
)
from genaiops_dagster.promotion.log import champions, moves
from genaiops_dagster.promotion.rollout import withdraw
from genaiops_dagster.records.promotion import Champion, LogEntry

SmokeTest = Callable[[Champion], object]
"""Asks a champion something; raises when it does not answer."""


class RollbackError(RuntimeError):
    """There is nothing to roll back to; the message says what there is."""


def rollback(
    books: ChampionBooks,
    smoke_test: SmokeTest,
    *,
    by: str,
    reason: str,
    to: int | None = None,
    account: str = "",
) -> Champion:
    """Make a former champion the champion again; it gets a number of its own.

    While a candidate is being rolled out, and without `to`, the rollout is ended instead: the
    present champion, which still answers most users, answers all again.

    The former champion passed the gate when it was promoted, so the gate does not decide again.
    Pointer and alias are set whatever they say now, which also restores them after somebody
    changed them.

    Args:
        books: Where the champion is written down.
        smoke_test: Run on the former champion before anything changes.
        by: Who rolls back.
        reason: Why.
        to: Number of the champion to restore; the one before the present one if None.
        account: What is known of who that is, besides the name given.

    Raises:
        RollbackError: there is no such champion, or something else was installed at the same
            moment; nothing was rolled back.
        ChampionError: the pointer was changed by somebody else at the same moment.
    """
    if not by.strip() or not reason.strip():
        raise RollbackError("a rollback needs the name of who does it, and a reason")
    entries = books.log.read()
    pointer = changes[-1].pointer if (changes := moves(entries)) else None
    if to is None and pointer is not None and pointer.rollout is not None:
        return withdraw(books, pointer.rollout, by=by, reason=reason, account=account)
    history = champions(entries)
    target = _target(history, to, books.use_case)
    smoke_test(target)
    restored = target.model_copy(
        update={
            "number": history[-1].number + 1,
            "restores": target.number,
            "promoted": books.clock.timestamp(),
        }
    )
    while True:
        try:
            change_champion(
                books,
                entries,
                "rollback",
                champion=restored,
                by=by,
                reason=reason,
                account=account,
            )
        except OvertakenError as error:
            entries = books.log.read()
            found = moves(entries)[-1].pointer
            if found == pointer:
                continue
            raise RollbackError(
                f"nothing was rolled back: champion {found.number} ({found.model}) was installed "
                f"at the same moment; look at `genaiops history {books.use_case}`, and run again "
                "if it is to go"
            ) from error
        write_asset_record(books.store, restored)
        return restored


def withdrawn(entries: Sequence[LogEntry], challenger: Champion) -> str:
    """Why a challenger must not be promoted: somebody rolled back from it, and not to it since.

    A rollout that was ended counts as well. Empty when nobody did. Its figures were good enough
    once; the reason for the rollback is what they do not show.
    """
    reason, champion = "", None
    for entry in entries:
        if entry.kind == "withdrawal" and entry.rollout is not None:
            ended = entry.rollout
            if ended.is_candidate and ended.candidate.serves_as(challenger):
                reason = (
                    f"its rollout was ended on {entry.at[:10]} at stage {entry.rollout.stage} "
                    f"by {entry.by}: {entry.reason}"
                )
            continue
        if entry.champion is None:
            continue
        left = entry.kind == "rollback" and champion is not None and champion.serves_as(challenger)
        if entry.champion.serves_as(challenger):
            reason = ""
        elif left:
            reason = f"{entry.by} rolled back from it on {entry.at[:10]}: {entry.reason}"
        champion = entry.champion
    return reason


def _target(history: Sequence[Champion], to: int | None, use_case: str) -> Champion:
    if not history:
        raise RollbackError(f"{use_case} never had a champion; there is nothing to roll back to")
    if to is not None:
        for champion in history:
            if champion.number == to:
                return champion
        raise RollbackError(
            f"{use_case} had no champion {to}; there were 1 to {history[-1].number} "
            f"(`genaiops history {use_case}` shows them)"
        )
    present = history[-1]
    for champion in reversed(history[:-1]):
        if not champion.serves_as(present):
            return champion
    raise RollbackError(
        f"{use_case} had no other champion than {present.model}; name one with --to"
    )
