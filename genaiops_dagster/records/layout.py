"""Every object name, prefix and table; no other module defines one.

Objects of a use case are below its name in the bucket. Names do not change from release to
release: each finds what others wrote; what it can read of that is a matter of `records/record.py`.
What a use case file may place elsewhere (`source.inbox`, `serving.daily.inbox`,
`pipelines.<name>.root`) has its default here or there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Names of the objects of a use case; a prefix ends with a slash.

    Attributes:
        use_case: Its name.
    """

    use_case: str

    @property
    def everything(self) -> str:
        """What all names of a use case's objects begin with."""
        return f"{self.use_case}/"

    # What assets hand on

    def record(self, *asset: str) -> str:
        """The record of an asset: its name's parts, and its partition if it has one."""
        return f"{self.records(*asset)}.json"

    def records(self, *asset: str) -> str:
        """What names of records of the assets begin with whose names begin so."""
        return f"{self.use_case}/assets/{'/'.join(asset)}"

    # Data

    def export(self, export: str) -> str:
        """Prefix of the files of a query's result, which are there until they are read."""
        return f"{self.use_case}/exports/{export}/"

    def source_rows(self, digest: str) -> str:
        """Source rows, by their digest."""
        return f"{self.use_case}/sources/{digest}.parquet"

    def inbox_state(self, digest: str) -> str:
        """State of the inbox sensor, by its digest."""
        return f"{self.use_case}/inbox_state/{digest}.json.gz"

    def examples(self, digest: str) -> str:
        """Curated examples, by their digest."""
        return f"{self.use_case}/examples/{digest}/examples.parquet"

    def rejected(self, examples_digest: str, digest: str) -> str:
        """Rows that curation left out of the examples, by their own digest."""
        return f"{self.use_case}/examples/{examples_digest}/rejected-{digest[:16]}.parquet"

    def data_set(self, dataset_digest: str, name: str) -> str:
        """One of the three sets, or a part of one, by the digest that the sets share."""
        return f"{self.use_case}/datasets/{dataset_digest}/{name}.jsonl"

    def sample(self, dataset_digest: str, digest: str) -> str:
        """A sample of the evaluation set, by its digest."""
        return self.data_set(dataset_digest, f"sample-{digest}")

    def choosing(self, dataset_digest: str, digest: str) -> str:
        """The part of the validation set by which a checkpoint is chosen, by its digest."""
        return self.data_set(dataset_digest, f"choosing-{digest}")

    def profile(self, training_digest: str) -> str:
        """Profile of the examples from which a training set was made."""
        return f"{self.use_case}/profiles/{training_digest}.json"

    # Money

    @property
    def ledgers(self) -> str:
        """Prefix of the ledgers."""
        return f"{self.use_case}/budget/"

    def ledger(self, month: str) -> str:
        """The ledger of a month such as `2026-11`."""
        return f"{self.ledgers}{month}.json"

    # Tuning and pipelines

    def tuning_job(self, fingerprint: str) -> str:
        """Our note of a recipe's tuning job."""
        return f"{self.use_case}/tuning/{fingerprint}.json"

    def tuning_claim(self, fingerprint: str, attempt: int) -> str:
        """The right to create a recipe's job."""
        return f"{self.use_case}/tuning/{fingerprint}.claim-{attempt}.json"

    def cancelled(self, job: str) -> str:
        """Why we cancelled a tuning job, by its resource name."""
        return f"{self.use_case}/tuning/cancelled/{job.rsplit('/', 1)[-1]}.json"

    def pending_jobs(self, folder: str) -> str:
        """Prefix of the notes of jobs that somebody waits for; `tuning` or `pipelines`."""
        return f"{self.use_case}/{folder}/pending/"

    def pending_job(self, folder: str, fingerprint: str) -> str:
        """Note of the job of a recipe that somebody waits for."""
        return f"{self.pending_jobs(folder)}{fingerprint}.json"

    @property
    def pipelines(self) -> str:
        """Where pipelines leave their outputs; without a slash, as Vertex AI takes it."""
        return f"{self.use_case}/pipelines"

    # Evaluation and comparison

    def responses(self, folder: str) -> str:
        """Prefix of paid answers and judgements of one kind."""
        return f"{self.use_case}/responses/{folder}/"

    @property
    def batches(self) -> str:
        """Prefix of requests and answers of batch jobs."""
        return f"{self.use_case}/batches/"

    def batch_claim(self, job: str) -> str:
        """The right to create a batch job, by its display name."""
        return f"{self.use_case}/evaluations/{job}.claim.json"

    @property
    def batch_tables(self) -> str:
        """Prefix of the tables for requests and answers of batch jobs."""
        return f"{self.use_case}_batch_"

    def report(self, fingerprint: str) -> str:
        """Summary of an evaluation report."""
        return f"{self.use_case}/reports/{fingerprint}/summary.json"

    def report_rows(self, fingerprint: str) -> str:
        """Rows of an evaluation report."""
        return f"{self.use_case}/reports/{fingerprint}/rows.parquet"

    def evaluation_claim(self, subject: str) -> str:
        """The right to pay for the evaluation of a subject, such as a model's configuration."""
        return f"{self.use_case}/evaluations/{subject}.claim.json"

    def comparison(self, comparison: str, file: str) -> str:
        """A file of a comparison, by its id."""
        return f"{self.use_case}/comparisons/{comparison}/{file}"

    # Promotion

    @property
    def champion(self) -> str:
        """The pointer to the champion, changed only by compare-and-set."""
        return f"{self.use_case}/champion.json"

    @property
    def decisions(self) -> str:
        """Prefix of the decision log."""
        return f"{self.use_case}/decisions/"

    @property
    def measurements(self) -> str:
        """Prefix of the measurement log."""
        return f"{self.use_case}/measurements/"

    def measurement(self, number: int) -> str:
        """An entry of the measurement log."""
        return f"{self.measurements}{number:08}.json"

    @property
    def measurements_head(self) -> str:
        """The note on the last entry of the measurement log."""
        return f"{self.use_case}/measurements_head.json"

    @property
    def log_head(self) -> str:
        """The note on the last entry of the decision log, outside of the log's own prefix."""
        return f"{self.use_case}/log_head.json"

    def decision(self, number: int) -> str:
        """An entry of the decision log."""
        return f"{self.decisions}{number:08d}.json"

    # Serving

    @property
    def prompts(self) -> str:
        """Where prompts of a day come in, where the use case file says nothing else."""
        return f"{self.use_case}/prompts"

    def generated(self, of: str, digest: str) -> str:
        """Answers to the prompts of a day, or to the samples."""
        return f"{self.use_case}/generated/{of}/{digest}.parquet"

    def context_cache(self, fingerprint: str) -> str:
        """Note of cached content."""
        return f"{self.use_case}/context_caches/{fingerprint}.json"

    def context_cache_claim(self, fingerprint: str) -> str:
        """The right to create cached content."""
        return f"{self.use_case}/context_caches/{fingerprint}.claim.json"

    def file(self, digest: str, ending: str) -> str:
        """A file of this machine that a question brings."""
        return f"{self.use_case}/files/{digest}{ending}"

    def load_test(self, run_id: str) -> str:
        """Every request of a load test."""
        return f"{self.use_case}/load_tests/{run_id}.jsonl"


def feedback_folder(inbox: str, request_id: str) -> str:
    """Folder of the inbox into which a corrected answer is put; without a slash."""
    return f"{inbox}feedback/{request_id}"


EVALUATION_RUNS = "evaluation_runs"
EVALUATION_METRICS = "evaluation_metrics"
EVALUATION_ROWS = "evaluation_rows"
MODEL_COMPARISONS = "model_comparisons"
LATEST_LEADERBOARD = "latest_leaderboard"
PROMOTIONS = "promotions"
SPEND = "spend"
GENERATED_CONTENT = "generated_content"
REQUESTS = "requests"
FEEDBACK = "feedback"
RATED_REQUESTS = "rated_requests"
ONLINE_SCORES = "online_scores"
ROLLOUTS = "rollouts"
"""Tables and views of the dataset that `GENAIOPS_DATASET` names."""
