"""The faults in force, and the dice that decide which calls they hit.

Every fault has dice of its own, seeded by the plan's seed and the fault's place, so that the same
requests in the same order meet the same faults.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from vertex_emulator.calls import Call
from vertex_emulator.fault_kinds import AnyFault, ClockSkew, FaultPlan, Job, Judge, Quota

_F = TypeVar("_F", bound=AnyFault)


class Rule:
    """One fault with its dice and how often calls met it."""

    def __init__(self, fault: Any, seed: int, place: int) -> None:
        self.fault = fault
        self.dice = random.Random(f"{seed}:{place}")  # noqa: S311
        self.seed = f"{seed}:{place}"
        self.matched = 0
        self.applied = 0
        self.calls: deque[float] = deque()


class FaultBook:
    """The faults in force; thread-safe, because workers use it too."""

    def __init__(self, plan: FaultPlan | None = None) -> None:
        self._lock = threading.Lock()
        self._seed = 0
        self._rules: list[Rule] = []
        self.replace(plan or FaultPlan())

    def replace(self, plan: FaultPlan) -> None:
        """Replace the faults in force by those of `plan`."""
        with self._lock:
            self._seed = plan.seed
            self._rules = []
            self._append(plan.faults)

    def add(self, plan: FaultPlan) -> None:
        """Add the faults of `plan` to those in force; its seed becomes the book's."""
        with self._lock:
            self._seed = plan.seed
            self._append(plan.faults)

    def clear(self) -> None:
        """Remove all faults."""
        self.replace(FaultPlan())

    def _append(self, faults: list[Any]) -> None:
        self._rules = [
            *self._rules,
            *(
                Rule(fault, self._seed, place)
                for place, fault in enumerate(faults, len(self._rules))
            ),
        ]

    def snapshot(self) -> dict[str, Any]:
        """The faults in force, each with how many calls it matched and touched."""
        with self._lock:
            return {
                "seed": self._seed,
                "now": self.now().isoformat(),
                "faults": [
                    {
                        **rule.fault.model_dump(exclude_none=True),
                        "matched": rule.matched,
                        "applied": rule.applied,
                    }
                    for rule in self._rules
                ],
            }

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def has_patterns(self) -> bool:
        """Whether a fault has a pattern for paths, which takes a while to compare."""
        return any(rule.fault.path is not None for rule in self._rules)

    def matching(self, call: Call) -> list[Rule]:
        """The faults in force that are about `call`, in order; no dice are thrown."""
        return [rule for rule in self._rules if rule.fault.matches(call)]

    def strike(self, rules: Iterable[Rule], *kinds: type[_F]) -> Iterator[tuple[_F, random.Random]]:
        """The faults of `kinds` among those about a call that touch it this time.

        Args:
            rules: What `matching` found for the call.
            kinds: The kinds that are asked for.

        Yields:
            Each fault with its dice, in order.
        """
        for rule in rules:
            if isinstance(rule.fault, kinds) and self._met(rule):
                yield rule.fault, rule.dice

    def _met(self, rule: Rule) -> bool:
        fault = rule.fault
        with self._lock:
            rule.matched += 1
            if rule.matched <= fault.skip:
                return False
            if fault.times is not None and rule.applied >= fault.times:
                return False
            if fault.probability < 1 and rule.dice.random() >= fault.probability:
                return False
            rule.applied += 1
            return True

    def over_quota(self, rules: Iterable[Rule]) -> tuple[Quota, int] | None:
        """The quota that a call exceeds, with the seconds until it may be tried again.

        Args:
            rules: What `matching` found for the call.
        """
        for rule in rules:
            quota = rule.fault
            if not isinstance(quota, Quota):
                continue
            with self._lock:
                now = time.monotonic()
                rule.matched += 1
                window = quota.window_seconds
                while rule.calls and rule.calls[0] <= now - window:
                    rule.calls.popleft()
                if len(rule.calls) < quota.requests_per_minute * window / 60:
                    rule.calls.append(now)
                    continue
                rule.applied += 1
                wait = rule.calls[0] + window - now if rule.calls else window
                return quota, max(1, round(wait))
        return None

    def first(self, call: Call, kind: type[_F]) -> _F | None:
        """The first fault of `kind` that touches `call` this time."""
        return next((fault for fault, _ in self.strike(self.matching(call), kind)), None)

    def job(self, collection: str, model: str | None, name: str) -> Job | None:
        """The fault of a job; ask once, when it starts to run, and keep the answer.

        Args:
            collection: `tuningJobs` or `batchPredictionJobs`; the method is `<collection>.run`.
            model: Base model or endpoint that the job works with.
            name: Resource name of the job; it is what `path` is matched against.
        """
        return self.first(Call("vertex", f"{collection}.run", model, name), Job)

    def judge(self, model: str | None, key: str) -> tuple[Judge, random.Random] | None:
        """The fault of a judgement, with dice that depend on what is judged and not on the order.

        Args:
            model: The judge model, as `model` of the fault matches it.
            key: Everything that the judgement is about; the same key meets the same dice.
        """
        call = Call("vertex", "evaluateInstances.judge", model, "")
        for rule in self.matching(call):
            if isinstance(rule.fault, Judge) and self._met(rule):
                text = f"{rule.seed}\x1f{key}".encode("utf-8", "surrogatepass")
                digest = hashlib.blake2b(text, digest_size=8).digest()
                return rule.fault, random.Random(digest)  # noqa: S311
        return None

    def now(self) -> datetime:
        """The emulator's time in UTC: the machine's, moved by the clock faults in force."""
        offset = sum(
            rule.fault.offset_seconds for rule in self._rules if isinstance(rule.fault, ClockSkew)
        )
        return datetime.now(UTC) + timedelta(seconds=offset)
