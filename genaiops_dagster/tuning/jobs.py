"""The one tuning job of a recipe: found if it exists, created if not, never paid twice."""

from __future__ import annotations

import itertools
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from genaiops_dagster.google_cloud.patience import (
    AnswerLostError,
    NoRoomError,
    only_once,
    read_patiently,
    sent_once,
)
from genaiops_dagster.records.claims import Claim
from genaiops_dagster.records.clock import Clock
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.record import Record, find_object, to_json
from genaiops_dagster.tuning.recipe import TuningRecipe
from genaiops_dagster.tuning.states import Phase, TuningJobError, phase, state_name

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

    from genaiops_dagster.google_cloud.object_store import ObjectStore

USE_CASE_LABEL = "genaiops_use_case"
FINGERPRINT_LABEL = "genaiops_fingerprint"
ATTEMPT_LABEL = "genaiops_attempt"
BUCKET_LABEL = "genaiops_bucket"
_LABEL_LENGTH = 63  # https://cloud.google.com/resource-manager/docs/labels-overview
_METHODS = {  # https://googleapis.github.io/python-genai, TuningMethod
    "supervised": "SUPERVISED_FINE_TUNING",
    "preference": "PREFERENCE_TUNING",
    "distillation": "DISTILLATION",
}
_ADAPTER_SIZES = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN"}
_CREATIONS = 3
_PAGE_JOBS = 100
_MOST_JOBS = 100 * _PAGE_JOBS  # a look of more pages would take minutes
_LOOK_SECONDS = 1.0
_CLAIM_LIFETIMES = 10
"""How many times as long as a claim lasts a process tries to create a job, or waits for one."""


class JobRecord(Record):
    """Our note of a recipe's job: the content of `<use case>/tuning/<fingerprint>.json`."""

    fingerprint: str
    job: str
    attempt: int


class TuningJobs:
    """The tuning jobs of one use case.

    Args:
        client: Gen AI client.
        store: Bucket of records and claims.
        clock: Gives the age of a claim, and waits between two looks.
        log: Receives progress.
        claim_seconds: How long a claim is respected whose owner shows no job.
    """

    def __init__(
        self,
        client: genai.Client,
        store: ObjectStore,
        clock: Clock,
        log: logging.Logger,
        claim_seconds: float = 60.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self._store = store
        self._log = log
        self._claim_seconds = claim_seconds

    def get_or_create(
        self,
        recipe: TuningRecipe,
        *,
        before_create: Callable[[], None],
        retry_failed: bool = False,
    ) -> types.TuningJob:
        """The job of `recipe`; however often and by however many this is called, there is one.

        Args:
            recipe: What to tune.
            before_create: Called before a job is created and paid for; raises to prevent that.
            retry_failed: Create another job where the latest one made no model.

        Returns:
            The latest job, even if it failed: a failure is not retried unless asked for.

        Raises:
            TuningJobError: creating failed in a way that leaves open whether a job exists.
            google.genai.errors.ClientError: the service refused to create the job.
        """
        found = self.find(recipe)
        if found is not None and not (retry_failed and phase(found) is Phase.FAILED):
            self._log.info("Found tuning job %s (%s)", found.name, state_name(found))
            return found
        before_create()
        return self._create_once(recipe, 1 if found is None else _attempt(found) + 1)

    def find(self, recipe: TuningRecipe) -> types.TuningJob | None:
        """The latest job of `recipe`, by our record or by its label; None if there is none."""
        recorded = find_object(self._store, record_name(recipe), JobRecord)
        jobs = self._labelled(recipe)
        if recorded and recorded.job not in {job.name for job in jobs}:
            job = self._get(recorded.job)
            jobs = [*jobs, job] if job else jobs
        if not jobs:
            return None
        latest = max(_attempt(job) for job in jobs)
        first, *surplus = sorted((job for job in jobs if _attempt(job) == latest), key=_seniority)
        for job in surplus:
            self._cancel_surplus(job, first)
        if recorded is None or recorded.job != first.name:
            self._remember(recipe, first)
        return first

    def _create_once(self, recipe: TuningRecipe, attempt: int) -> types.TuningJob:
        """Create the job of this attempt, or wait for the one that somebody else creates."""
        claim = Claim(
            self._store,
            Layout(recipe.use_case).tuning_claim(recipe.fingerprint, attempt),
            self._claim_seconds,
            self._clock,
        )
        answers_lost: list[str] = []
        deadline = self._clock.elapsed() + _CLAIM_LIFETIMES * self._claim_seconds
        refused, too_slow = "", False
        while True:
            holds = claim.take()
            found = self.find(recipe)
            if found is not None and _attempt(found) >= attempt:
                return found
            if holds and not claim.is_fresh():  # to look through many jobs takes long
                holds = claim.renew()
            too_slow = too_slow or (holds and not claim.is_fresh())
            if self._clock.elapsed() >= deadline:
                if holds:
                    claim.release()
                raise self._no_job(recipe, refused, too_slow=too_slow)
            if holds and claim.is_fresh():
                if len(answers_lost) == _CREATIONS:
                    raise TuningJobError(
                        f"{recipe.use_case}: creating the tuning job was tried {_CREATIONS} times, "
                        f"and no job has appeared: {answers_lost[-1]}\n"
                        "Materialize tuned_model again when the service answers; it looks for the "
                        "job before it creates one."
                    )
                try:
                    self._create(recipe, attempt, claim)
                except AnswerLostError as error:
                    self._log.warning("Creating the tuning job had no clear outcome: %s", error)
                    answers_lost.append(str(error))
                except NoRoomError as error:
                    refused = str(error)
                    self._log.warning("The service has no room for a tuning job yet: %s", refused)
                else:
                    continue
            elif not holds:
                self._log.info("The tuning job is being created; looking for it")
            self._clock.sleep(min(_LOOK_SECONDS, self._claim_seconds / 4))

    def _no_job(self, recipe: TuningRecipe, refused: str, *, too_slow: bool) -> TuningJobError:
        """Why no job was created in all the time that there was."""
        seconds = _CLAIM_LIFETIMES * self._claim_seconds
        if refused:
            why = f"the service had no room for it: {refused}"
        elif too_slow:
            why = (
                f"Cloud Storage and Vertex AI answer too slowly: a claim has to be used within "
                f"{self._claim_seconds / 4:g} s, so that two processes never create a job each. "
                "Raise tuning.claim_seconds in the use case file"
            )
        else:
            why = "another process holds the claim, and has shown no job"
        return TuningJobError(
            f"{recipe.use_case}: no tuning job after {seconds:g} s; {why}. Nothing was created "
            "here; materialize tuned_model again, which looks for a job first."
        )

    def _create(self, recipe: TuningRecipe, attempt: int, claim: Claim) -> None:
        """Ask the service for a job, once.

        Raises:
            AnswerLostError: only the list of jobs can tell whether there is one now.
            NoRoomError: the service refused for now; the claim was given back.
            google.genai.errors.APIError: the service refused; the claim was given back.
        """
        from google.genai import errors, types

        try:
            with sent_once(), warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.ExperimentalWarning)  # tells users nothing
                job = self._client.tunings.tune(
                    base_model=recipe.continue_from or recipe.base_model,
                    training_dataset=types.TuningDataset(gcs_uri=recipe.training_uri),
                    config=_creation(recipe, attempt, self._store.bucket, claim.create_timeout),
                )
        except (errors.APIError, NoRoomError):
            claim.release()
            raise
        self._log.info("Created tuning job %s", job.name)
        self._remember(recipe, job)

    def _labelled(self, recipe: TuningRecipe) -> list[types.TuningJob]:
        """The jobs of `recipe` among all of the location; whether labels filter is undocumented.

        Source: https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1beta1/\
projects.locations.tuningJobs/list ("the standard list filter", without its grammar)
        """
        label = recipe.fingerprint[:_LABEL_LENGTH]
        listed = read_patiently(
            lambda: list(itertools.islice(all_jobs(self._client), _MOST_JOBS)), self._clock.sleep
        )
        if len(listed) == _MOST_JOBS:
            self._log.warning("Only the first %d tuning jobs are looked through", _MOST_JOBS)
        return [
            job
            for job in listed
            if (job.labels or {}).get(FINGERPRINT_LABEL) == label
            and belongs_to(self._store.bucket, job.labels)
        ]

    def _get(self, name: str) -> types.TuningJob | None:
        from google.genai import errors

        try:
            return read_patiently(lambda: self._client.tunings.get(name=name), self._clock.sleep)
        except errors.ClientError as error:
            if error.code != 404:
                raise
            self._log.warning("Tuning job %s, which was recorded, no longer exists", name)
            return None

    def _cancel_surplus(self, job: types.TuningJob, first: types.TuningJob) -> None:
        """Cancel a second job of one attempt, which a process made that slept through its claim."""
        if phase(job) in (Phase.ACTIVE, Phase.PAUSED) and job.name:
            self._log.warning("Cancelling tuning job %s: %s is the same", job.name, first.name)
            self._client.tunings.cancel(name=job.name)

    def _remember(self, recipe: TuningRecipe, job: types.TuningJob) -> None:
        if not job.name:
            raise TuningJobError(f"{recipe.use_case}: the service created a job without a name")
        note = JobRecord(fingerprint=recipe.fingerprint, job=job.name, attempt=_attempt(job))
        self._store.write(record_name(recipe), to_json(note, indent=2))


def bucket_label(bucket: str) -> str:
    """The label of all that belongs to the use cases of one bucket.

    Two environments of one project may have use cases of the same name.
    """
    return re.sub("[^a-z0-9_-]", "-", bucket)[:_LABEL_LENGTH]


def belongs_to(bucket: str, labels: Mapping[str, str] | None) -> bool:
    """Whether something with these labels is of this bucket; what has no such label may be."""
    label = bucket_label(bucket)
    return (labels or {}).get(BUCKET_LABEL, label) == label


def all_jobs(client: genai.Client) -> Iterable[types.TuningJob]:
    """The tuning jobs of the client's location; asks for the first page now, for others later."""
    listed: Iterable[types.TuningJob] = client.tunings.list(config={"page_size": _PAGE_JOBS})
    return listed


def record_name(recipe: TuningRecipe) -> str:
    """Object name of our note of the recipe's job."""
    return Layout(recipe.use_case).tuning_job(recipe.fingerprint)


def _creation(
    recipe: TuningRecipe, attempt: int, bucket: str, timeout_seconds: float
) -> types.CreateTuningJobConfig:
    """The request: hyperparameters, validation data, labels; sent once, with a bounded wait."""
    from google.genai import types

    return types.CreateTuningJobConfig(
        method=_METHODS[recipe.method],
        beta=recipe.beta,
        base_teacher_model=recipe.teacher_model,
        tuned_model_display_name=f"{recipe.use_case}-{recipe.fingerprint[:12]}",
        description=f"genaiops_dagster use case {recipe.use_case}",
        epoch_count=recipe.epochs,
        learning_rate_multiplier=recipe.learning_rate_multiplier,
        adapter_size=(
            f"ADAPTER_SIZE_{_ADAPTER_SIZES[recipe.adapter_size]}" if recipe.adapter_size else None
        ),
        validation_dataset=(
            types.TuningValidationDataset(gcs_uri=recipe.validation_uri)
            if recipe.validation_uri
            else None
        ),
        labels={
            USE_CASE_LABEL: recipe.use_case,
            BUCKET_LABEL: bucket_label(bucket),
            FINGERPRINT_LABEL: recipe.fingerprint[:_LABEL_LENGTH],
            ATTEMPT_LABEL: str(attempt),
            "genaiops_training_set": recipe.training_digest[:_LABEL_LENGTH],
            "genaiops_prompt": recipe.prompt_digest[:_LABEL_LENGTH],
        },
        http_options=only_once(timeout_seconds),
    )


def _attempt(job: types.TuningJob) -> int:
    return int((job.labels or {}).get(ATTEMPT_LABEL, "1"))


def _seniority(job: types.TuningJob) -> tuple[bool, float, str]:
    """Order of jobs of one attempt: those with a model first, then the oldest."""
    created = job.create_time.timestamp() if job.create_time else 0.0
    return (phase(job) not in (Phase.DONE, Phase.PARTIAL), created, job.name or "")
