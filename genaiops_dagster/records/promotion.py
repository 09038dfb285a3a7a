"""The promotion's records: a verdict with its reasons, the champion, and the log of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from genaiops_dagster.records.chain import ChainEntry
from genaiops_dagster.records.layout import Layout
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.record import UPGRADE, NewerRecordError, Record, find_object
from genaiops_dagster.use_case import GenerationConfig

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.object_store import ObjectStore

Outcome = Literal["PROMOTE", "REJECT", "INSUFFICIENT"]
RuleOutcome = Outcome | Literal["WAIVED"]


class RuleResult(Record):
    """One rule of the gate: what it asked, what was found, and why it holds or not.

    Attributes:
        rule: The rule in words, such as `exact_match at least 0.5`.
        outcome: PROMOTE when it holds, WAIVED when it fails and somebody answers for that, else
            REJECT or INSUFFICIENT.
        reason: A sentence with the figures.
        found: The figure that was compared; None if there is none.
        limit: What it was compared with.
    """

    rule: str
    outcome: RuleOutcome
    reason: str
    found: float | None = None
    limit: float | None = None


class Verdict(Record):
    """The gate's verdict on a challenger; PROMOTE only when every rule holds."""

    outcome: Outcome
    rules: list[RuleResult]

    @property
    def reasons(self) -> list[str]:
        """Reasons of the rules that decided: the failing ones, or all when none fails."""
        failing = [r.reason for r in self.rules if r.outcome not in ("PROMOTE", "WAIVED")]
        return failing or [rule.reason for rule in self.rules]


class Decision(Record):
    """A verdict together with everything it rests on.

    Attributes:
        id: sha256 over all else but the reasons and `created`.
        model: Endpoint or base model that the challenger's answers came from.
        comparison_id, comparison_digest: The comparison, and the sha256 of all its figures.
        report_fingerprint, report_uri: The challenger's report.
        policy_digest, prompt_digest, evaluation_digest: What `champion` compares again.
        champion_before: Number of the champion at that time; None if there was none.
        configuration: sha256 over model, system instruction and generation config, which is what
            the champion is asked with; empty in decisions of earlier releases.
        evidence: Digests of the reports and the load test that it rests on, by their subjects in
            the measurement log; empty in decisions of earlier releases.
    """

    id: str
    use_case: str
    challenger: str
    model: str
    verdict: Verdict
    comparison_id: str
    comparison_digest: str
    report_fingerprint: str
    report_uri: str
    policy_digest: str
    prompt_digest: str
    evaluation_digest: str
    champion_before: int | None
    created: str
    configuration: str = ""
    evidence: dict[str, str] = Field(default_factory=dict)


class Champion(Record):
    """The model that production serves now: the content of `champion.json`.

    Attributes:
        number: 1 for the first champion, then counting up; a rollback counts too.
        candidate: Its name in the use case when it was promoted.
        model: Endpoint or base model that is called.
        base_model: The model itself, or what it was tuned from; its prices apply.
        registered_model: Model Registry resource with version; None for a base model.
        generation: Its generation config.
        prompt_digest, prompt_template, system_instruction, prompt_files: The prompt that it was
            evaluated with and serves with.
        report_fingerprint, report_uri: The evidence.
        decision_uri, decision_id: The decision that promoted it: where it is, and its fingerprint.
        restores: Number of the champion that a rollback brought back; None for a promotion.
        rollout: The candidate that is being rolled out alongside it; None most of the time, and
            always in the log, which has entries of their own for that.
    """

    number: int
    use_case: str
    candidate: str
    model: str
    base_model: str
    registered_model: str | None
    generation: GenerationConfig
    prompt_digest: str
    prompt_template: str
    system_instruction: str
    prompt_files: list[str] = Field(default_factory=list)
    report_fingerprint: str
    report_uri: str
    decision_uri: str
    decision_id: str = ""
    promoted: str
    emulated: bool
    restores: int | None = None
    rollout: Rollout | None = None

    @field_validator("generation", mode="before")
    @classmethod
    def _has_known_options_only(cls, value: Any) -> Any:
        """What is ignored elsewhere is not here: an option decides what the model answers."""
        unknown = value.keys() - GenerationConfig.model_fields if isinstance(value, dict) else ()
        if unknown:
            raise NewerRecordError(
                f"this release cannot ask a model with {', '.join(sorted(unknown))}; {UPGRADE}"
            )
        return value

    @property
    def prompt(self) -> PromptVersion:
        """The prompt that it was evaluated with and serves with."""
        return PromptVersion(
            template=self.prompt_template,
            system_instruction=self.system_instruction,
            files=self.prompt_files,
            digest=self.prompt_digest,
        )

    def serves_as(self, other: Champion) -> bool:
        """Whether both are the same to those who ask: model, generation config and prompt."""
        fields = ("model", "generation", "prompt_digest")
        return all(getattr(self, field) == getattr(other, field) for field in fields)


class Rollout(Record):
    """A candidate that passed the gate and is tried on real traffic before it becomes champion.

    Attributes:
        candidate: What it will be as champion.
        stage: Name of the present stage.
        share: Share of users that the candidate answers, from 0 to 1.
        mirrored: Share of users whose requests it is sent as well, without their seeing its answer.
        started, since: When the rollout and the present stage began, ISO 8601 in UTC.
        is_candidate: Of a rollout that was ended: whether because of the candidate, which then is
            not promoted again; else figures were missing.
    """

    candidate: Champion
    stage: str
    share: float
    mirrored: float
    started: str
    since: str
    is_candidate: bool = True


EntryKind = Literal[
    "decision", "approval", "promotion", "rollback", "rollout", "withdrawal", "completion"
]


class LogEntry(ChainEntry):
    """One fact in the log of a use case's promotions; each names the digest of the one before.

    Attributes:
        kind: A `decision` of the gate; a person's `approval` of one; a `promotion` or `rollback`,
            written before the champion moves; a `rollout`, written before a stage begins, or a
            `withdrawal`, before its candidate gets no more traffic; the `completion` of one of
            these four, written after pointer and alias have moved.
        by, reason: Who caused it and why, as they say.
        account: What was known of that person besides, such as `operating system: ann@laptop`;
            empty in entries of earlier releases and in those that no person causes.
        decision: The decision that a `decision` records.
        approves: Id of the decision that an `approval` approves.
        champion: The champion that a `promotion` or `rollback` installs.
        rollout: The stage that a `rollout` begins, or at which a `withdrawal` ends it.
        completes: Number of the champion whose move a `completion` ends.
        completes_entry: Number of the `rollout` or `withdrawal` that a `completion` ends.
    """

    kind: EntryKind
    by: str = ""
    account: str = ""
    reason: str = ""
    decision: Decision | None = None
    approves: str | None = None
    champion: Champion | None = None
    rollout: Rollout | None = None
    completes: int | None = None
    completes_entry: int | None = None


def served_champion(store: ObjectStore, use_case: str) -> Champion | None:
    """What the pointer says that production serves, or None before the first promotion.

    For the rooms before promotion; code that acts on it asks `promotion.champion.gated_champion`.
    """
    return find_object(store, Layout(use_case).champion, Champion)
