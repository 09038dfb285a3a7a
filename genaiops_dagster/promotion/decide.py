"""Decisions: a verdict with everything it rests on, and the champion that follows from one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from genaiops_dagster.records.evaluation import report_subject
from genaiops_dagster.records.fingerprint import fingerprint
from genaiops_dagster.records.promotion import Champion, Decision, LogEntry
from genaiops_dagster.records.prompts import PromptVersion
from genaiops_dagster.records.serving import LoadTest, load_test_subject
from genaiops_dagster.records.tuning import TunedModel
from genaiops_dagster.use_case import UseCase
from genaiops_dagster.use_case.candidates import Candidate
from genaiops_dagster.use_case.gate import CostRule, LatencySloRule
from genaiops_dagster.use_case.section import TUNED
from genaiops_dagster.use_case.serving import LoadObjective

if TYPE_CHECKING:
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI


@dataclass(frozen=True)
class Challenge:
    """The present challenger, and the evidence that its promotion needs.

    Attributes:
        use_case: With the policy as it is now.
        task: The evaluation whose report the gate expects.
        tuned_model: The tuned model, which the challenger may be.
        load_test: The newest load test, of whatever model; None if there is none.
        measured: Digests of everything that was measured, by subject.
    """

    use_case: UseCase
    task: EvaluationTask
    tuned_model: TunedModel
    load_test: LoadTest | None = None
    measured: Mapping[str, str] = field(default_factory=dict)

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
    measured: Mapping[str, str] | None = None,
) -> Challenge:
    """The present challenger, which the policy names, with its evaluation and evidence.

    Raises:
        ValueError: the challenger is a checkpoint that the tuned model does not have.
    """
    name = use_case.gate.challenger
    candidate = use_case.candidates[name]
    if candidate.model == TUNED:
        address, base = tuned_model.endpoint_after(candidate.checkpoint), tuned_model.base_model
    else:
        address = vertex_ai.model_address(candidate.model, candidate.location)
        base = candidate.model
    task = EvaluationTask(
        use_case=use_case.name,
        evaluation=use_case.evaluation,
        candidate=name,
        model=Model(address, base, candidate.generation),
        prompt=candidate_prompt(use_case, name, prompt),
        evaluation_set=evaluation_set,
    )
    return Challenge(use_case, task, tuned_model, load_test, measured or {})


def policy_digest(use_case: UseCase) -> str:
    """sha256 over everything in the use case that decides a verdict or what is promoted by it."""
    gate, read = use_case.gate, list[Any]()
    policy = gate.model_dump(mode="json")
    if not gate.waivers:  # then it decides nothing, and decisions of earlier releases stand
        del policy["maximum_waiver_days"]
    if any(isinstance(rule, LatencySloRule) for rule in gate.rules):
        read.append(_objective(use_case))
    if any(isinstance(rule, CostRule) for rule in gate.rules):
        read.append(use_case.budget.prices)
    # Where a model is asked decides nothing.
    evaluation = use_case.evaluation.model_dump(mode="json", exclude={"judge": {"location"}})
    challenger = use_case.candidates[gate.challenger].model_dump(mode="json", exclude={"location"})
    return fingerprint(policy, evaluation, challenger, *read)


def _objective(use_case: UseCase) -> LoadObjective | None:
    """The present latency objective."""
    policy = use_case.serving.load_test
    return policy.objective if policy else None


def decide(
    present: Challenge,
    comparison: Comparison,
    champion: Champion | None,
    now: dt.datetime,
    entries: Sequence[LogEntry] = (),
    tampering: str = "",
    unmeasured: str = "",
) -> Decision:
    """Apply the gate to the challenger, and write down what the verdict rests on.

    Args:
        present: The present challenger, policy and evidence.
        comparison: The challenger and others on the same rows.
        champion: What production serves; None before the first promotion.
        now: The time, in UTC.
        entries: The decision log, which knows who was rolled back from.
        tampering: What somebody changed about the champion outside the gate, in a sentence.
        unmeasured: Which report is not what was measured, in a sentence.
    """
    use_case = present.use_case
    challenger = challenger_as_champion(present)
    current = Current(
        model=present.address,
        report_fingerprint=present.task.fingerprint,
        evaluation_digest=present.task.evaluation_set.digest,
        prompt_digest=present.prompt.digest,
        judge_digest=judge_digest(use_case.evaluation.judge),
        champion=champion,
        now=now,
        tampering=tampering,
        unmeasured=unmeasured,
        withdrawn=withdrawn(entries, challenger),
        serves=champion is not None and champion.serves_as(challenger),
        load_test=present.load_test,
        load_test_measured=present.load_test is not None
        and present.measured.get(load_test_subject(present.load_test))
        == fingerprint(present.load_test),
        objective=_objective(use_case),
    )
    report = comparison.report(use_case.gate.challenger)
    verdict = evaluate_gate(comparison, use_case.gate, use_case.evaluation, current)
    facts: dict[str, Any] = {
        "use_case": use_case.name,
        "challenger": use_case.gate.challenger,
        "model": present.address,
        "comparison_id": comparison.id,
        "comparison_digest": comparison.digest(),
        "report_fingerprint": report.fingerprint if report else "",
        "report_uri": report.summary_uri if report else "",
        "policy_digest": policy_digest(use_case),
        "prompt_digest": present.prompt.digest,
        "evaluation_digest": present.task.evaluation_set.digest,
        "champion_before": champion.number if champion else None,
    }
    return Decision(
        id=fingerprint(facts, verdict.outcome),
        verdict=verdict,
        created=now.isoformat(timespec="seconds"),
        configuration=present.task.configuration,
        evidence=_evidence(present, comparison),
        **facts,
    )


def _evidence(present: Challenge, comparison: Comparison) -> dict[str, str]:
    """Digests of what the verdict rests on, as it was measured."""
    subjects = [report_subject(report) for report in comparison.leaderboard]
    if present.load_test is not None:
        subjects.append(load_test_subject(present.load_test))
    return {
        subject: present.measured[subject] for subject in subjects if subject in present.measured
    }


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
    """The differences between the bases of two decisions, in words."""
    for name, noun in _BASIS.items():
        was, found = getattr(before, name), getattr(now, name)
        if was != found:
            yield f"{noun} (decided on {_short(was)}, now {_short(found)})"


def challenger_as_champion(present: Challenge) -> Champion:
    """The challenger as champion, still without number and evidence."""
    candidate, tuned_model = present.candidate, present.tuned_model
    is_tuned = candidate.model == TUNED
    return Champion(
        number=0,
        use_case=present.use_case.name,
        candidate=present.use_case.gate.challenger,
        model=present.address if is_tuned else candidate.model,
        base_model=tuned_model.base_model if is_tuned else candidate.model,
        registered_model=tuned_model.model if is_tuned else None,
        generation=candidate.generation,
        prompt_digest=present.prompt.digest,
        prompt_template=present.prompt.template,
        system_instruction=present.prompt.system_instruction,
        prompt_files=present.prompt.files,
        report_fingerprint="",
        report_uri="",
        decision_uri="",
        promoted="",
        emulated=tuned_model.emulated,
    )


def next_champion(
    present: Challenge, decision: Decision, decision_uri: str, number: int, promoted: str
) -> Champion:
    """The champion that follows from a decision to promote, `promoted` as ISO 8601."""
    return challenger_as_champion(present).model_copy(
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
