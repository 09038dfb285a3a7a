"""Decisions: a verdict with everything it rests on, and the champion that follows from one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genaiops_dagster.evaluation.asking.inference import Model
from genaiops_dagster.evaluation.judging.judge import judge_digest
from genaiops_dagster.evaluation.task import EvaluationTask
from genaiops_dagster.promotion.evidence import Current
from genaiops_dagster.promotion.gate import evaluate_gate
from genaiops_dagster.promotion.rollback import withdrawn
from genaiops_dagster.prompts.rendering import candidate_prompt
from genaiops_dagster.records.comparison import Comparison
from genaiops_dagster.records.data import DatasetSplit
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.promotion import Champion, Decision, LogEntry
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.serving import LoadTest
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import Candidate
from genaiops_dagster.use_case.section import TUNED

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


@dataclass(frozen=True)
class Challenge:
    """Who challenges the champion now, and on what it has to prove itself.

    Attributes:
        use_case: With the policy as it is now.
        task: The evaluation that the challenger has to have behind it.
        tuned_model: The tuned model, which the challenger may be.
        load_test: The newest load test, of whatever model; None if there is none.
    """

    use_case: UseCase
    task: EvaluationTask
    tuned_model: TunedModel
    load_test: LoadTest | None = None

    @property
    def address(self) -> str:
        """Resource name by which the challenger is called."""
        return self.task.model.address

    @property
    def prompt(self) -> PromptVersion:
        """The challenger's prompt."""
        return self.task.prompt

    @property
    def candidate(self) -> Candidate:
        """The challenger's section of the use case file."""
        return self.use_case.candidates[self.use_case.gate.challenger]


def challenge(
    use_case: UseCase,
    vertex_ai: VertexAI,
    prompt: PromptVersion,
    tuned_model: TunedModel,
    evaluation_set: DatasetSplit,
    load_test: LoadTest | None = None,
) -> Challenge:
    """What stands now.

    Raises:
        ValueError: the challenger is a checkpoint that the tuned model does not have.
    """
    name = use_case.gate.challenger
    candidate = use_case.candidates[name]
    if candidate.model == TUNED:
        address, base = tuned_model.endpoint_after(candidate.checkpoint), tuned_model.base_model
    else:
        address, base = vertex_ai.model_address(candidate.model), candidate.model
    task = EvaluationTask(
        use_case=use_case.name,
        evaluation=use_case.evaluation,
        candidate=name,
        model=Model(address, base, candidate.generation),
        prompt=candidate_prompt(use_case, name, prompt),
        evaluation_set=evaluation_set,
    )
    return Challenge(use_case, task, tuned_model, load_test)


def policy_digest(use_case: UseCase) -> str:
    """sha256 over all in the use case that decides a verdict or what is promoted by it."""
    challenger = use_case.candidates[use_case.gate.challenger]
    return fingerprint(use_case.gate, use_case.evaluation, challenger)


def decide(
    now: Challenge,
    comparison: Comparison,
    champion: Champion | None,
    moment: dt.datetime,
    entries: Sequence[LogEntry] = (),
    tampering: str = "",
) -> Decision:
    """Apply the gate to the challenger, and write down what the verdict rests on.

    Args:
        now: What stands now.
        comparison: The challenger and others on the same rows.
        champion: What production serves; None before the first promotion.
        moment: The present one, in UTC.
        entries: The decision log, which knows who was rolled back from.
        tampering: What somebody changed about the champion outside the gate, in a sentence.
    """
    use_case = now.use_case
    challenger = challenger_as_champion(now)
    current = Current(
        model=now.address,
        report_fingerprint=now.task.fingerprint,
        evaluation_digest=now.task.evaluation_set.digest,
        prompt_digest=now.prompt.digest,
        judge_digest=judge_digest(use_case.evaluation.judge),
        champion=champion,
        now=moment,
        tampering=tampering,
        withdrawn=withdrawn(entries, challenger),
        serves=champion is not None and champion.serves_as(challenger),
        load_test=now.load_test,
    )
    report = comparison.report(use_case.gate.challenger)
    verdict = evaluate_gate(comparison, use_case.gate, use_case.evaluation, current)
    facts: dict[str, Any] = {
        "use_case": use_case.name,
        "challenger": use_case.gate.challenger,
        "model": now.address,
        "comparison_id": comparison.id,
        "comparison_digest": comparison.digest(),
        "report_fingerprint": report.fingerprint if report else "",
        "report_uri": report.summary_uri if report else "",
        "policy_digest": policy_digest(use_case),
        "prompt_digest": now.prompt.digest,
        "evaluation_digest": now.task.evaluation_set.digest,
        "champion_before": champion.number if champion else None,
    }
    return Decision(
        id=fingerprint(facts, verdict.outcome),
        verdict=verdict,
        created=moment.isoformat(timespec="seconds"),
        **facts,
    )


_BASIS = {
    "challenger": "challenger",
    "model": "model",
    "policy_digest": "policy",
    "prompt_digest": "prompt",
    "evaluation_digest": "evaluation set",
    "report_fingerprint": "report",
    "comparison_id": "comparison",
    "comparison_digest": "figures of the comparison",
}
"""What a decision rests on, apart from the champion that it was to replace."""


def changes(before: Decision, now: Decision) -> Iterator[str]:
    """What differs between the bases of two decisions, in words."""
    for field, noun in _BASIS.items():
        was, found = getattr(before, field), getattr(now, field)
        if was != found:
            yield f"{noun} (decided on {_short(was)}, now {_short(found)})"


def challenger_as_champion(now: Challenge) -> Champion:
    """What the challenger would be as champion; number and evidence are still to come."""
    candidate, tuned_model = now.candidate, now.tuned_model
    is_tuned = candidate.model == TUNED
    return Champion(
        number=0,
        use_case=now.use_case.name,
        candidate=now.use_case.gate.challenger,
        model=now.address if is_tuned else candidate.model,
        base_model=tuned_model.base_model if is_tuned else candidate.model,
        registered_model=tuned_model.model if is_tuned else None,
        generation=candidate.generation,
        prompt_digest=now.prompt.digest,
        prompt_template=now.prompt.template,
        system_instruction=now.prompt.system_instruction,
        prompt_files=now.prompt.files,
        report_fingerprint="",
        report_uri="",
        decision_uri="",
        promoted="",
        emulated=tuned_model.emulated,
    )


def next_champion(
    now: Challenge, decision: Decision, decision_uri: str, number: int, promoted: str
) -> Champion:
    """The champion that follows from a decision to promote, `promoted` as ISO 8601."""
    return challenger_as_champion(now).model_copy(
        update={
            "number": number,
            "report_fingerprint": decision.report_fingerprint,
            "report_uri": decision.report_uri,
            "decision_uri": decision_uri,
            "decision_id": decision.id,
            "promoted": promoted,
        }
    )


def _short(value: str) -> str:
    return value.rsplit("/", 1)[-1][:12] or "nothing"
