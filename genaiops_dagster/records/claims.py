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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from genaiops_dagster.google_cloud.object_store import ObjectChangedError
from genaiops_dagster.google_cloud.patience import AnswerLostError, NoRoomError, sent_once
from genaiops_dagster.records.clock import Clock

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

T = TypeVar("T")

_LOOK_SECONDS = 1.0
_LIFETIMES = 5
"""How many times as long as a claim lasts one process tries to create something."""


class NotCreatedError(RuntimeError):
    """It is not known whether something was created, or nobody could; the message says why."""


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
        self.clock = clock
        self._name = name
        self.seconds = claim_seconds
        self._owner = uuid.uuid4().hex
        self._seen_generation = 0
        self._seen_at = 0.0
        self._held_generation = 0
        self._held_at = 0.0

    def take(self) -> bool:
        """Try to get the claim: where there is none, it was released, or it stood for too long."""
        before = self.clock.elapsed()
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
            while not ended.wait(self.seconds / 6):
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

    def renew(self) -> bool:
        """Hold a held claim for its whole time again; False if another process took it over.

        What was found since it was taken still holds then: nobody else has had it.
        """
        before = self.clock.elapsed()
        try:
            self._renew()
        except ObjectChangedError:
            self._held_generation = 0
            return False
        self._held_at = before
        return True

    def _renew(self) -> None:
        self._held_generation = self._store.compare_and_set(
            self._name, self._content("held"), self._held_generation
        )

    def is_fresh(self) -> bool:
        """Whether so little of the time of a held claim has passed that a job may be created."""
        held = self.clock.elapsed() - self._held_at
        return self._held_generation > 0 and held < self.seconds / 4

    @property
    def create_timeout(self) -> float:
        """How long creating may take, in seconds, so that it ends before others take over."""
        return self.seconds / 2

    def release(self) -> None:
        """Give a held claim back, so that others need not wait until it expires."""
        if not self._held_generation:
            return
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
            self._seen_generation, self._seen_at = generation, self.clock.elapsed()
        return self.clock.elapsed() - self._seen_at >= self.seconds

    def _content(self, state: str) -> bytes:
        return json.dumps({"owner": self._owner, "state": state}).encode()


def create_once(
    claim: Claim,
    find: Callable[[], T | None],
    create: Callable[[float], T],
    log: logging.Logger,
) -> tuple[T, bool]:
    """What `find` finds, or what `create` makes where there is nothing, of however many ask.

    An answer that is lost is not asked for again: what was created shows up in `find`, and only
    where it does not, after the claim has expired, is it created once more.

    Args:
        claim: The right to create it.
        find: Looks for it in the service's lists.
        create: Sends one request of the Gen AI SDK, once, with a timeout in seconds.
        log: Receives why it takes long.

    Returns:
        It, and whether it was asked for here.

    Raises:
        NotCreatedError: `find` shows nothing for too long.
        google.genai.errors.APIError: the service refused.
    """
    clock, asked, why = claim.clock, False, "another process holds the claim"
    deadline = clock.elapsed() + _LIFETIMES * claim.seconds
    while True:
        holds = claim.take()
        found = find()
        if found is not None:
            claim.release()
            return found, asked
        if holds and not claim.is_fresh():
            holds = claim.renew()
        if clock.elapsed() >= deadline:
            claim.release()
            raise NotCreatedError(f"nothing is there after {_LIFETIMES * claim.seconds:g} s: {why}")
        if holds and claim.is_fresh():
            try:
                with sent_once():
                    made = create(claim.create_timeout)
            except AnswerLostError as error:
                asked, why = True, str(error)
                log.warning("Creating it had no clear outcome; looking for it: %s", why)
            except NoRoomError as error:
                why = str(error)
                log.warning("The service has no room for it yet: %s", why)
                claim.release()
            except Exception:
                claim.release()
                raise
            else:
                _wait_until_shown(find, claim)
                claim.release()
                return made, True
        clock.sleep(min(_LOOK_SECONDS, claim.seconds / 4))


def _wait_until_shown(find: Callable[[], object | None], claim: Claim) -> None:
    """Keep the claim until others find what was created, or half of its time is over."""
    until = claim.clock.elapsed() + claim.seconds / 2
    while find() is None and claim.clock.elapsed() < until:
        claim.clock.sleep(_LOOK_SECONDS)
