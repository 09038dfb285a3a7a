"""The right to do paid work, held by one process at a time.

The service has no request id for tuning jobs, so two processes that both find no job would both
create one; and two runs that find no answers would both ask for them. A claim is an object that
only one of them can write. One whose holder died is recognized by standing unchanged for
`claim_seconds`; then another may take it over. The time is measured by the one who waits, on its
own clock, so that clocks need not agree. A holder that needs longer renews its claim.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.object_store import ObjectChangedError
from genaiops_dagster.records.clock import Clock

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore


class Claim:
    """One contender for the object `name`.

    Args:
        store: Bucket of the claim.
        name: Object name; the same for all who would do the same work.
        claim_seconds: How long another's claim is respected after it was first seen.
        clock: Tells how long that is.
    """

    def __init__(self, store: ObjectStore, name: str, claim_seconds: float, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._claim_seconds = claim_seconds
        self._owner = uuid.uuid4().hex
        self._seen_generation = 0
        self._seen_at = 0.0
        self._held_generation = 0
        self._held_at = 0.0

    def take(self) -> bool:
        """Try to get the claim: where there is none, it was released, or it stood for too long."""
        before = self._clock.elapsed()
        found = self._store.read_with_generation(self._name)
        generation = found[1] if found else 0
        if found and not self._is_free(found[0], generation):
            return False
        try:
            held = self._store.compare_and_set(self._name, self._content("held"), generation)
        except ObjectChangedError:
            found = self._store.read_with_generation(self._name)
            if found is None or json.loads(found[0])["owner"] != self._owner:
                return False
            held = found[1]  # written, but the answer was lost and the request sent again
        self._held_generation, self._held_at = held, before
        return True

    @contextlib.contextmanager
    def renewed(self, log: logging.Logger) -> Iterator[None]:
        """Renew a held claim in the background, several times before it expires; then release it.

        A claim that another process took over, as after this machine slept, stays lost.
        """
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._claim_seconds / 6):
                try:
                    self._renew()
                except ObjectChangedError:
                    log.warning("Another process took over the claim %s", self._name)
                    return
                except Exception as error:  # noqa: BLE001 - the next time may succeed
                    log.warning("The claim %s was not renewed: %s", self._name, error)

        thread = threading.Thread(target=renew, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def _renew(self) -> None:
        self._held_generation = self._store.compare_and_set(
            self._name, self._content("held"), self._held_generation
        )

    def is_fresh(self) -> bool:
        """Whether so little of the time of a held claim has passed that a job may be created."""
        held = self._clock.elapsed() - self._held_at
        return self._held_generation > 0 and held < self._claim_seconds / 4

    @property
    def create_timeout(self) -> float:
        """How long creating may take, in seconds, so that it ends before others take over."""
        return self._claim_seconds / 2

    def release(self) -> None:
        """Give the claim back, so that others need not wait until it expires."""
        try:
            self._store.compare_and_set(
                self._name, self._content("released"), self._held_generation
            )
        except ObjectChangedError:
            return  # somebody took it over, so there is nothing to give back
        finally:
            self._held_generation = 0

    def _is_free(self, content: bytes, generation: int) -> bool:
        if json.loads(content)["state"] == "released":
            return True
        if generation != self._seen_generation:
            self._seen_generation, self._seen_at = generation, self._clock.elapsed()
        return self._clock.elapsed() - self._seen_at >= self._claim_seconds

    def _content(self, state: str) -> bytes:
        return json.dumps({"owner": self._owner, "state": state}).encode()
