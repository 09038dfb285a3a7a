"""The router: which model answers a user, for applications; needs neither Dagster nor a run.

It knows champion and traffic split from `champion.json`, and looks again in the background. Nothing
is served that the decision log does not vouch for. When the store cannot be reached, what was last
known to be the champion serves on; the candidate of a rollout does not, because nobody could hear
of its withdrawal. What users ask, and what they are shown, keeps the use case's guardrails.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genaiops_dagster.evaluation.asking.inference import Model, content_config, read_answer
from genaiops_dagster.google_cloud.object_store import ObjectStore
from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
from genaiops_dagster.google_cloud.vertex_ai import VertexAI
from genaiops_dagster.google_cloud.warehouse import Warehouse
from genaiops_dagster.promotion.champion import ChampionError, require_gated
from genaiops_dagster.promotion.log import decision_chain, parse_log
from genaiops_dagster.prompts.parity import PromptParityError
from genaiops_dagster.prompts.rendering import request_contents
from genaiops_dagster.records.chain import BrokenLogError
from genaiops_dagster.records.clock import SYSTEM_CLOCK, Clock
from genaiops_dagster.records.evaluation import Answer
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.measurements import Measurement, measurement_log, parse_measurements
from genaiops_dagster.records.promotion import Champion, LogEntry
from genaiops_dagster.records.record import NewerRecordError, from_json, to_json
from genaiops_dagster.records.serving import Finding, Status
from genaiops_dagster.serving.answering.guardrails import guard, screen_input
from genaiops_dagster.serving.answering.parity import prompt_of
from genaiops_dagster.serving.answering.requests import RequestLog, ServedRequest, new_request_id
from genaiops_dagster.use_case import UseCase, known_use_case

if TYPE_CHECKING:
    from google import genai

_LOG = logging.getLogger(__name__)

Arm = Literal["champion", "candidate", "mirror"]

_REFUSALS = (ChampionError, BrokenLogError, NewerRecordError, PromptParityError)
_MIRRORS = 4
"""Mirrored requests at a time; more are left out, because nobody waits for them."""
_TRUSTED_LOOKS = 5
"""A traffic split that this many looks did not confirm sends the candidate nothing."""


class NoChampionError(RuntimeError):
    """There is no champion that may be served; the message says why."""


class Route(NamedTuple):
    """Who answers a user.

    Attributes:
        served: The model with its prompt and generation config.
        arm: Whether that is the champion, or the candidate of a rollout.
        mirror: A candidate that is sent the request as well; its answer is not shown.
    """

    served: Champion
    arm: Arm
    mirror: Champion | None = None


class Response(NamedTuple):
    """How a request ended.

    Attributes:
        request_id: By which feedback on it is given.
        status: `refused`: a rule of the input forbids to send it; `blocked`: by the service, or by
            a rule of the output.
        answer: What may be shown, and its figures; `reason` explains a status but `answered`.
        findings: What the rules decided.
        served, arm: Who was asked, or would have been.
    """

    request_id: str
    status: Status
    answer: Answer
    findings: list[Finding]
    served: Champion
    arm: Arm


class _Prompt(NamedTuple):
    """A user's prompt: as given, as it may be sent, the rules' findings, why it is refused."""

    user: str
    given: dict[str, Any]
    variables: dict[str, Any]
    findings: list[Finding]
    refusal: str | None


class _Known(NamedTuple):
    """The state at a generation of the pointer, and when it was last confirmed."""

    pointer: Champion
    generation: int
    confirmed: float


class Router:
    """Routes the users of one use case.

    Args:
        use_case: Its rules apply, and its prices.
        store: Bucket of the pointer and the decision log.
        vertex_ai: Clients, for `generate`.
        requests: Where requests are recorded; nowhere if None.
        refresh_seconds: How often the pointer is looked at.
        start_seconds: How long the first call waits for the store, before it falls back on what
            `folder` holds.
        folder: Where the last known champion is kept for the next start; nowhere if None.
        attempts: How often `generate` sends a request before it fails.
        clock: Tells the time.
    """

    def __init__(
        self,
        use_case: UseCase,
        store: ObjectStore,
        vertex_ai: VertexAI | None = None,
        requests: RequestLog | None = None,
        *,
        refresh_seconds: float = 30.0,
        start_seconds: float = 10.0,
        folder: Path | None = None,
        attempts: int = 2,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.use_case = use_case.name
        self._use_case = use_case
        self._store = store
        self._vertex_ai = vertex_ai
        self._requests = requests
        self._refresh_seconds = refresh_seconds
        self._start_seconds = start_seconds
        self._file = folder / f"{use_case.name}.champion.json" if folder else None
        self._attempts = attempts
        self._clock = clock
        self._known: _Known | None = None
        self._problem = ""
        self._is_refused = False
        self._lock = threading.Lock()
        self._process = 0
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._mirrors = threading.Semaphore(_MIRRORS)
        self._pool: ThreadPoolExecutor | None = None
        self._clients: dict[str, genai.Client] = {}

    @classmethod
    def connect(
        cls,
        use_case: str,
        *,
        log_requests: bool = True,
        folder: Path | None = None,
        **options: Any,
    ) -> Router:
        """A router with clients of its own, as the environment configures them.

        Args:
            use_case: Name of the use case, whose file is found as everywhere.
            log_requests: Whether requests go to the table `requests`; with redacted texts, if the
                use case says `serving.log_texts`.
            folder: For the last known champion, and for requests that could not be recorded yet.
            options: Other arguments of the class.

        Raises:
            SettingsError: a variable is missing.
            UseCaseError: there is no such use case, or a file is wrong.
        """
        settings = GoogleCloudSettings.from_environment()
        log = (
            RequestLog(Warehouse.connect(settings, SYSTEM_CLOCK), folder=folder)
            if log_requests
            else None
        )
        store, vertex_ai = ObjectStore.connect(settings), VertexAI(settings)
        return cls(known_use_case(use_case), store, vertex_ai, log, folder=folder, **options)

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def route(self, user: str) -> Route:
        """Who answers a user; the same user gets the same answerer as long as the split grows.

        Args:
            user: Any key that stays the same for a user, such as an account's id.

        Raises:
            NoChampionError: no champion was ever known here.
        """
        pointer, is_fresh = self._pointer()
        rollout = pointer.rollout
        if rollout is None or not is_fresh:
            return Route(pointer, "champion")
        position = _position(rollout.candidate.decision_id, user)
        if position < rollout.share:
            return Route(rollout.candidate, "candidate")
        mirrored = position >= 1 - rollout.mirrored * (1 - rollout.share)
        return Route(pointer, "champion", rollout.candidate if mirrored else None)

    def generate(self, variables: Mapping[str, Any], *, user: str) -> Response:
        """Ask the model that answers this user, with the prompt and config of its evaluation.

        A candidate that fails does not harm the user: the champion is asked then. What the rules
        of the input forbid is not sent.

        Args:
            variables: Variables of the prompt template.
            user: As for `route`.

        Raises:
            NoChampionError: no champion was ever known here.
            PromptError: the prompt needs a variable that is not given.
            google.genai.errors.APIError: the service did not answer.
        """
        route = self.route(user)
        prompt = self._screened(variables, user)
        if prompt.refusal:
            return self._refuse(route, prompt)
        if route.mirror is not None and self._mirrors.acquire(blocking=False):
            self._background().submit(self._ask_mirror, route.mirror, prompt)
        if route.arm == "champion":
            return self._ask(route.served, "champion", prompt)
        try:
            response = self._ask(route.served, route.arm, prompt)
        except Exception as error:  # noqa: BLE001 - whatever a candidate does, the user is answered
            _LOG.warning("%s: the candidate failed: %s", self.use_case, type(error).__name__)
        else:
            if response.status != "failed":
                return response
        return self._ask(self._pointer()[0], "champion", prompt)

    def refresh(self) -> None:
        """Look at the pointer now; what is found there serves if the decision log vouches for it.

        Raises:
            NoChampionError: there is none.
            ChampionError, BrokenLogError: the pointer or the log was changed by hand.
            NewerRecordError: a later release wrote it, and it cannot be read here.
            PromptParityError: the champion's prompt is not the one that it was judged with.
            google.api_core.exceptions.GoogleAPIError: the store cannot be reached.
        """
        found = self._store.read_with_generation(Layout(self.use_case).champion)
        if found is None:
            raise NoChampionError(
                f"{self._store.uri(Layout(self.use_case).champion)} does not exist: "
                f"{self.use_case} has no champion yet"
            )
        content, generation = found
        known = self._known
        if known is None or known.generation != generation:
            log = decision_chain(self._store, self.use_case)
            head, stored = log.head(), log.stored()
            pointer = _parse(content, self._store.uri(Layout(self.use_case).champion))
            measurements = measurement_log(self._store, self.use_case).read()
            _verify(pointer, parse_log(stored, head), measurements, self.use_case)
            self._known = _Known(pointer, generation, self._clock.elapsed())
            self._save(content, [entry for _, entry in stored], measurements)
        else:
            self._known = known._replace(confirmed=self._clock.elapsed())

    def close(self) -> None:
        """Stop looking, and write what is left to the request log."""
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown()
        if self._requests is not None:
            self._requests.close()

    def _pointer(self) -> tuple[Champion, bool]:
        """What serves, and whether it was confirmed recently enough to trust a split."""
        if self._process != os.getpid():
            self._begin()
        known = self._known
        if known is None:
            self._looked.wait(self._start_seconds)
            known = self._known or (None if self._is_refused else self._last_known())
        if known is None:
            raise NoChampionError(self._problem or f"{self.use_case}: the store did not answer yet")
        age = self._clock.elapsed() - known.confirmed
        return known.pointer, age <= _TRUSTED_LOOKS * self._refresh_seconds

    def _begin(self) -> None:
        """Start the thread that looks; again in a process that was forked, which has no threads."""
        with self._lock:
            if self._process == os.getpid():
                return
            self._looked, self._pool, self._clients = threading.Event(), None, {}
            self._mirrors = threading.Semaphore(_MIRRORS)
            threading.Thread(target=self._look, name="router", daemon=True).start()
            self._process = os.getpid()

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
                self._problem, self._is_refused = "", False
            except Exception as error:  # noqa: BLE001 - the last known champion serves on
                problem = f"{self.use_case}: {error}"
                self._is_refused = isinstance(error, (*_REFUSALS, NoChampionError))
                if problem != self._problem:
                    self._problem = problem
                    _LOG.warning("The last known champion serves on: %s", problem)
            self._looked.set()
            self._stop.wait(self._refresh_seconds)

    def _save(self, pointer: bytes, entries: list[bytes], measurements: list[Measurement]) -> None:
        """Keep what a start without the store needs, as it is stored: digests are over that."""
        if self._file is None:
            return
        content = {
            "pointer": json.loads(pointer),
            "entries": [json.loads(entry) for entry in entries],
            "measurements": [json.loads(to_json(entry)) for entry in measurements],
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self._file)

    def _last_known(self) -> _Known | None:
        """The state that an earlier process stored, verified like the state of the bucket.

        For a start while the bucket cannot be reached: once it has answered, what it says counts.
        """
        if self._file is None or not self._file.exists():
            return None
        try:
            _require_private(self._file)
            content = json.loads(self._file.read_text(encoding="utf-8"))
            entries = parse_log(self._kept(content["entries"]))
            pointer = _parse(json.dumps(content["pointer"]), f"{self._file}")
            measurements = parse_measurements(self._kept(content["measurements"]))
            _verify(pointer, entries, measurements, self.use_case)
            found = _Known(pointer, 0, float("-inf"))  # it may have been overtaken since
        except (OSError, ValueError, KeyError, *_REFUSALS) as error:
            _LOG.warning("%s cannot be used: %s", self._file, error)
            return None
        with self._lock:
            self._known = self._known or found
        return self._known

    def _kept(self, entries: list[Any]) -> list[tuple[str, bytes]]:
        """Entries of a log as they were stored, with the file that they are in now."""
        return [(f"{self._file}", json.dumps(entry).encode()) for entry in entries]

    def _background(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_MIRRORS, thread_name_prefix="mirror")
            return self._pool

    def _ask_mirror(self, mirror: Champion, prompt: _Prompt) -> None:
        try:
            self._ask(mirror, "mirror", prompt)
        except Exception as error:  # noqa: BLE001 - nobody waits for this answer; it is recorded
            _LOG.info("%s: the mirrored request failed: %s", self.use_case, error)
        finally:
            self._mirrors.release()

    def _screened(self, variables: Mapping[str, Any], user: str) -> _Prompt:
        screened = screen_input(self._use_case.serving.guardrails.input, variables)
        return _Prompt(user, dict(variables), screened.value, screened.findings, screened.reason)

    def _refuse(self, route: Route, prompt: _Prompt) -> Response:
        answer = Answer(state="blocked", reason=prompt.refusal)
        return self._ended(
            route.served, route.arm, prompt, self._clock.now().timestamp(), answer, status="refused"
        )

    def _ask(self, served: Champion, arm: Arm, prompt: _Prompt) -> Response:
        contents = request_contents(prompt_of(served), prompt.variables)
        filters = self._use_case.serving.guardrails.filters
        model = Model(served.model, served.base_model, served.generation, filters)
        config = content_config(model, served.system_instruction)
        client, address = self._connected(served)
        started, before = self._clock.now().timestamp(), self._clock.elapsed()
        try:
            response = client.models.generate_content(
                model=address, contents=contents, config=config
            )
            longest = served.generation.max_output_tokens
            answer = read_answer(response, self._clock.elapsed() - before, longest)
        except Exception as raised:
            error = f"{type(raised).__name__} {getattr(raised, 'code', '')}".strip()
            seconds = self._clock.elapsed() - before
            answer = Answer(state="failed", reason=error, latency_seconds=seconds)
            self._ended(served, arm, prompt, started, answer)
            raise
        return self._ended(served, arm, prompt, started, answer)

    def _ended(
        self,
        served: Champion,
        arm: Arm,
        prompt: _Prompt,
        started: float,
        answer: Answer,
        *,
        status: Status | None = None,
    ) -> Response:
        """The answer after the rules of the output; recorded."""
        answer, found = guard(self._use_case.serving.guardrails.output, answer)
        response = Response(
            request_id=new_request_id(started),
            status=status or answer.state,
            answer=answer,
            findings=[*prompt.findings, *found],
            served=served,
            arm=arm,
        )
        if self._requests is not None:
            self._requests.add(
                ServedRequest(
                    request_id=response.request_id,
                    use_case=self._use_case,
                    started=started,
                    served=served,
                    arm=arm,
                    user=prompt.user,
                    variables=prompt.given,
                    status=response.status,
                    answer=answer,
                    findings=response.findings,
                )
            )
        return response

    def _connected(self, served: Champion) -> tuple[genai.Client, str]:
        if self._vertex_ai is None:
            raise NoChampionError(f"{self.use_case}: this router has no clients of Vertex AI")
        address = self._vertex_ai.model_address(served.model)
        models = self._vertex_ai.serving(address)
        with self._lock:
            location = models.settings.location
            if location not in self._clients:
                self._clients[location] = models.new_genai(attempts=self._attempts)
            return self._clients[location], self._vertex_ai.served_address(address)


def _position(salt: str, user: str) -> float:
    """A user's position between 0 and 1, another one in each rollout."""
    digest = hashlib.blake2b(user.encode(), key=salt.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _require_private(file: Path) -> None:
    """Check that no other account can have written what this one is about to serve.

    Raises:
        PermissionError: the file is a link, another account's, or open to others' writing.
    """
    found = file.lstat()
    if (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.getuid()
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError(f"{file} is a link, another account's, or open to others' writing")


def _verify(
    pointer: Champion, entries: list[LogEntry], measurements: list[Measurement], use_case: str
) -> None:
    """Check that a pointer may be served.

    Raises:
        ChampionError: the log does not vouch for it.
        PromptParityError: a prompt is not the one that was judged.
    """
    if pointer.use_case != use_case:
        raise ChampionError(f"{use_case}: the pointer is the champion of {pointer.use_case}")
    require_gated(pointer, entries, measurements)
    for served in (pointer, *([pointer.rollout.candidate] if pointer.rollout else [])):
        prompt_of(served)


def _parse(content: bytes | str, where: str) -> Champion:
    try:
        return from_json(Champion, content, where)
    except ValueError as error:
        raise ChampionError(f"the pointer is not a champion: {error}") from error
