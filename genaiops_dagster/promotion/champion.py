"""Who the champion is, and how it changes: log first, then pointer, then alias.

The decision log is the truth. A change is one entry in it, which only one of two concurrent writers
gets; the pointer `champion.json` and the registry's alias follow, and a `completion` entry ends the
change. A process killed in between leaves an entry without completion, which the next process
completes. Pointer or alias that differ from a completed entry were changed by somebody
else: that is refused, not repaired. One exception: the alias may be on a former champion again,
since the registry has no compare-and-set and a process that was overtaken may have been killed
after putting it there.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genaiops_dagster.evaluation.asking.inference import configuration_digest
from genaiops_dagster.google_cloud.object_store import ObjectChangedError, ObjectStore
from genaiops_dagster.promotion.log import DecisionLog, champions, is_completed, moves, read_log
from genaiops_dagster.promotion.registry import ALIAS, Registry
from genaiops_dagster.records.chain import LogMovedError
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import Measurement, differences, measurement_log
from genaiops_dagster.records.promotion import Champion, Decision, EntryKind, LogEntry, Rollout
from genaiops_dagster.records.record import NewerRecordError, from_json, to_json

_log = logging.getLogger(__name__)


class ChampionError(RuntimeError):
    """The champion is not known or cannot be changed; the message says why and what to do."""


class OvertakenError(ChampionError):
    """Somebody else wrote to the log at the same moment; nothing was changed."""


@dataclass(frozen=True)
class ChampionBooks:
    """Where the champion of one use case is written down.

    Attributes:
        store: Bucket of the pointer.
        registry: Models with their alias.
        log: The decision log.
    """

    store: ObjectStore
    registry: Registry
    log: DecisionLog

    @property
    def use_case(self) -> str:
        """Name of the use case."""
        return self.log.use_case

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        return self.log.clock


def read_champion(store: ObjectStore, use_case: str) -> Champion | None:
    """What production serves now, or None before the first promotion.

    Raises:
        ChampionError: the pointer is not a champion.
        NewerRecordError: a later release wrote it.
    """
    return _read_pointer(store, use_case)[0]


def gated_champion(store: ObjectStore, use_case: str) -> Champion | None:
    """What production serves now, if the decision log vouches for it; None before the first one.

    Raises:
        ChampionError: the pointer was changed by hand, or what it names did not pass the gate.
        BrokenLogError: the log is not what was written.
    """
    pointer = read_champion(store, use_case)
    if pointer is not None:
        measurements = measurement_log(store, use_case).read()
        require_gated(pointer, read_log(store, use_case), measurements)
    return pointer


def write_asset_record(store: ObjectStore, champion: Champion) -> None:
    """Keep the record of the asset `champion` true after a change that no asset made."""
    store.write(Layout(champion.use_case).record("champion"), to_json(champion, indent=2))


def settle(books: ChampionBooks) -> tuple[list[LogEntry], Champion | None]:
    """The log and its champion, once pointer and alias are where the log says.

    A change that another run is making, or was killed while making, is completed first.
    Pointer and alias are read after the log: when they differ and the log has grown in between,
    they followed it, and all is read again.

    Raises:
        ChampionError: the pointer or an alias was changed by somebody else.
        BrokenLogError: the log is not what was written.
    """
    while True:
        entries = books.log.read()
        changes = moves(entries)
        try:
            if not changes:
                _require_nothing(books)
                return entries, None
            entry, meant = changes[-1]
            if is_completed(entries, entry):
                if not _left_alias(books, champions(entries)):
                    _require_untouched(books, meant)
                    return entries, meant
                if len(books.log.read()) == len(entries):
                    _move_alias(books, champions(entries))
                continue
            _carry_through(books, entries)
        except ChampionError:
            if len(books.log.read()) == len(entries):
                raise


def change_champion(
    books: ChampionBooks,
    entries: Sequence[LogEntry],
    kind: EntryKind,
    *,
    champion: Champion | None = None,
    rollout: Rollout | None = None,
    by: str = "",
    reason: str = "",
    account: str = "",
) -> Champion:
    """Change who serves: entry, pointer, alias, completion; what the pointer says after that.

    Args:
        books: Where it is written down.
        entries: The log on which the decision to change rests.
        kind: `promotion` or `rollback`, `rollout` or `withdrawal`.
        champion: The next champion, with the next number, for the former two.
        rollout: The stage that begins or is the last one, for the latter two.
        by: Who changes it.
        reason: Why.
        account: What is known of who that is, besides the name given.

    Raises:
        OvertakenError: somebody else wrote to the log since `entries` were read; nothing changed.
        ChampionError: the pointer was changed by somebody else.
    """
    try:
        entry = books.log.append(
            entries,
            kind,
            champion=champion,
            rollout=rollout,
            by=by,
            reason=reason,
            account=account,
        )
    except LogMovedError as error:
        raise OvertakenError(f"the champion was not changed: {error}") from error
    entries = [*entries, entry]
    try:
        _carry_through(books, entries)
    except ChampionError:
        if moves(books.log.read()) == moves(entries):
            raise
        # Else somebody came next, and carries on from there.
    return moves(entries)[-1].pointer


def _carry_through(books: ChampionBooks, entries: Sequence[LogEntry]) -> None:
    """Bring pointer and alias to what the log's last change says, and complete it."""
    changes = moves(entries)
    entry, meant = changes[-1]
    before = changes[-2].pointer if len(changes) > 1 else None
    forced = entry.kind == "rollback"
    pointer, generation = _read_pointer(books.store, books.use_case, anything=forced)
    if moves(books.log.read()) != changes:
        return  # overtaken: that pointer may be newer than what is known here
    if pointer != meant:
        if pointer != before and not forced:
            raise _pointer_changed(books, meant, pointer)
        # A later release's champion may have more fields than this one reads.
        books.log.chain.require_ours(entries)
        _move_pointer(books.store, meant, generation)
    if entry.champion is not None:
        _move_alias(books, champions(entries))
    _complete(books.log, entry)


def require_gated(
    pointer: Champion, entries: Sequence[LogEntry], measurements: Sequence[Measurement]
) -> None:
    """Check that a pointer may be served: it is what the log says, and the gate let it pass.

    While a change is under way, the pointer may still say what it said before; a rollback does not
    wait for the change before it, so several may be.

    Args:
        pointer: The content of `champion.json`.
        entries: The decision log, read after the pointer.
        measurements: The measurement log.

    Raises:
        ChampionError: the pointer was changed by hand, or what it names did not pass the gate.
    """
    meant = []
    for change in reversed(moves(entries)):
        meant.append(change.pointer)
        if is_completed(entries, change.entry):
            break
    if pointer not in meant:
        raise ChampionError(
            f"{Layout(pointer.use_case).champion} names {pointer.model} as champion "
            f"{pointer.number}, which is not what the decision log says"
        )
    for served in (pointer, *([pointer.rollout.candidate] if pointer.rollout else [])):
        decision = next((d for d in _passed(entries) if d.id == served.decision_id), None)
        if decision is None:
            raise ChampionError(
                f"{served.model} (champion {served.number} of {served.use_case}) was never let "
                "pass by the gate: the decision log has no such decision"
            )
        unmeasured = list(differences(measurements, decision.evidence))
        if unmeasured or (not decision.evidence and _rests_on_nothing(entries, decision)):
            raise ChampionError(
                f"the decision of {decision.created} on {served.model} (champion {served.number} "
                f"of {served.use_case}) rests on what was never measured: "
                f"{', '.join(unmeasured) or 'no evidence'}"
            )
        others = list(_differences(served, decision))
        if others:
            raise ChampionError(
                f"{served.model} (champion {served.number} of {served.use_case}) is not what the "
                f"gate let pass: {', '.join(others)} of the decision of {decision.created} is "
                "another one"
            )


def _rests_on_nothing(entries: Sequence[LogEntry], decision: Decision) -> bool:
    """Whether decisions before one without evidence had some: then no earlier release made it."""
    before = (entry.decision for entry in entries if entry.decision is not None)
    return any(d.evidence for d in itertools.takewhile(lambda d: d.id != decision.id, before))


def _passed(entries: Sequence[LogEntry]) -> Iterator[Decision]:
    """Decisions of the log to promote."""
    for entry in entries:
        if entry.decision is not None and entry.decision.verdict.outcome == "PROMOTE":
            yield entry.decision


def _differences(served: Champion, decision: Decision) -> Iterator[str]:
    """The fields in which a champion differs from its decision."""
    if not f"/{decision.model}".endswith(f"/{served.model}"):
        yield "the model"
    for field, noun in (
        ("report_fingerprint", "the report"),
        ("report_uri", "the report's address"),
        ("prompt_digest", "the prompt"),
    ):
        if getattr(served, field) != getattr(decision, field):
            yield noun
    configuration = configuration_digest(
        decision.model, served.system_instruction, served.generation
    )
    if decision.configuration and decision.configuration != configuration:
        yield "the generation config or the system instruction"


def _require_nothing(books: ChampionBooks) -> None:
    pointer, _ = _read_pointer(books.store, books.use_case)
    if pointer is not None:
        raise ChampionError(
            f"{books.store.uri(Layout(books.use_case).champion)} names {pointer.model}, but the "
            "decision log knows of no promotion; delete the pointer, and promote through the gate"
        )
    _require_alias_nowhere_but(books, None)


def _require_untouched(books: ChampionBooks, champion: Champion) -> None:
    pointer, _ = _read_pointer(books.store, books.use_case)
    if pointer != champion:
        raise _pointer_changed(books, champion, pointer)
    named = champion.registered_model
    if named and not books.registry.has_alias(named):
        raise ChampionError(
            f"champion {champion.number} is {named}, but the alias {ALIAS!r} is no longer on it; "
            f"{_remedy(champion)}"
        )
    _require_alias_nowhere_but(books, champion)


def _left_alias(books: ChampionBooks, history: Sequence[Champion]) -> bool:
    """Whether a process that was overtaken and killed left the alias on a former champion."""
    named = history[-1].registered_model
    former = {champion.registered_model for champion in history} - {named}
    found = {model for model, is_champion in books.registry.tuned_models() if is_champion}
    left = found & former
    if not left or found - former - {named}:
        return False
    _log.warning(
        "The alias %r is on %s, a former champion of %s: a process that was overtaken left it, or "
        "somebody put it there. It goes back to %s.",
        ALIAS,
        ", ".join(map(str, sorted(left, key=str))),
        books.use_case,
        named,
    )
    return True


def _require_alias_nowhere_but(books: ChampionBooks, champion: Champion | None) -> None:
    named = champion.registered_model if champion else None
    for model, is_champion in books.registry.tuned_models():
        if is_champion and model != named:
            is_meant = (
                f"champion {champion.number} is {champion.model}" if champion else "no one is"
            )
            remedy = _remedy(champion) if champion else "remove it, and promote through the gate"
            raise ChampionError(f"the alias {ALIAS!r} was put on {model}, but {is_meant}; {remedy}")


def _remedy(champion: Champion) -> str:
    return (
        "somebody changed it outside the gate; find out who, then "
        f"`genaiops rollback {champion.use_case} --to {champion.number}` restores it"
    )


def _pointer_changed(
    books: ChampionBooks, champion: Champion, pointer: Champion | None
) -> ChampionError:
    uri = books.store.uri(Layout(champion.use_case).champion)
    found = f"names {pointer.model} as champion {pointer.number}" if pointer else "is gone"
    return ChampionError(
        f"{uri} {found}, but the decision log says that champion {champion.number} is "
        f"{champion.model}, promoted {champion.promoted}; {_remedy(champion)}"
    )


def _read_pointer(
    store: ObjectStore, use_case: str, *, anything: bool = False
) -> tuple[Champion | None, int]:
    """The pointer and its generation; with `anything`, unreadable content counts as no pointer.

    Raises:
        ChampionError: it is not a champion.
        NewerRecordError: a later release wrote it.
    """
    found = store.read_with_generation(Layout(use_case).champion)
    if found is None:
        return None, 0
    content, generation = found
    uri = store.uri(Layout(use_case).champion)
    try:
        return from_json(Champion, content, uri), generation
    except (ValueError, NewerRecordError) as error:
        if anything:
            return None, generation
        if isinstance(error, NewerRecordError):
            raise
        raise ChampionError(
            f"{uri} is not a champion: {error}; "
            f"`genaiops rollback {use_case} --to <number>` restores one"
        ) from error


def _move_pointer(store: ObjectStore, champion: Champion, generation: int) -> None:
    name = Layout(champion.use_case).champion
    try:
        store.compare_and_set(name, to_json(champion, indent=2), generation)
    except ObjectChangedError as error:
        if read_champion(store, champion.use_case) != champion:  # else another run settled it
            raise ChampionError(
                f"the pointer moved at the same moment; run again to settle it: {error}"
            ) from error


def _move_alias(books: ChampionBooks, history: Sequence[Champion]) -> None:
    """Add before removing, so that no moment is without a champion.

    The registry has no compare-and-set: a process that was overtaken moves it on, so that the
    last one to move it knows the whole log.
    """
    registry = books.registry
    while True:
        named = history[-1].registered_model
        if named:
            registry.add_alias(named)
        others = {model for model, is_champion in registry.tuned_models() if is_champion}
        others |= {champion.registered_model or "" for champion in history[-2:-1]}
        for model in others - {named, ""}:
            registry.remove_alias(model)
        now = champions(books.log.read())
        if now == history:
            return
        history = now


def _complete(log: DecisionLog, move: LogEntry) -> None:
    completes = move.champion.number if move.champion else None
    completes_entry = None if move.champion else move.number
    while True:
        entries = log.read()
        if is_completed(entries, move):
            return
        try:
            log.append(entries, "completion", completes=completes, completes_entry=completes_entry)
        except LogMovedError:
            continue
        return
