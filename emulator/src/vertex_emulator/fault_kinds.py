"""The kinds of fault: which calls each touches and what it does to them.

`emulator/docs/faults.md` describes every kind for those who write fault files.
"""

from __future__ import annotations

import fnmatch
import functools
import random
from typing import Annotated, Any, Literal, Union

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from vertex_emulator.calls import Call

Probability = Annotated[float, Field(ge=0, le=1)]


class AnyFault(BaseModel):
    """Which calls a fault touches, and how often.

    Attributes:
        service: `storage`, `bigquery`, `vertex`; every service when left out.
        method: The API's name of the method, such as `generateContent`, `tuningJobs.create` or
            `objects.insert`; `*` and `?` match as in file names.
        model: Name of the model or endpoint in the path (of a job: its base model), likewise.
        path: Regular expression in RE2's syntax that is searched for in the path.
        probability: Chance that a matching call is touched.
        skip: How many matching calls go untouched first.
        times: The most calls that are touched; no limit when left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Literal["storage", "bigquery", "vertex"] | None = None
    method: str | None = None
    model: str | None = None
    path: str | None = None
    probability: Probability = 1.0
    skip: int = Field(0, ge=0)
    times: int | None = Field(None, ge=1)

    @field_validator("path")
    @classmethod
    def _compiles(cls, path: str | None) -> str | None:
        if path is not None:
            _compiled(path)
        return path

    def matches(self, call: Call) -> bool:
        """Whether the fault is about `call`."""
        return (
            (self.service is None or self.service == call.service)
            and (self.method is None or fnmatch.fnmatchcase(call.method, self.method))
            and (self.model is None or fnmatch.fnmatchcase(call.model or "", self.model))
            and (self.path is None or _compiled(self.path).search(call.path) is not None)
        )


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """A pattern of RE2, whose time is linear in the text whatever the pattern is.

    Raises:
        ValueError: It is not a pattern of RE2.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not a regular expression of RE2: {_text(error)}") from error


def _text(error: Exception) -> str:
    """RE2's message about a pattern, which RE2 gives in bytes."""
    message = error.args[0] if error.args else "no details are known"
    if isinstance(message, bytes):
        return message.decode("utf-8", "replace")
    return str(message)


class Latency(AnyFault):
    """The answer comes later, by a fixed time or one drawn from a distribution.

    Attributes:
        seconds: The fixed time, or the median of the lognormal distribution.
        distribution: `fixed`, `uniform` (`seconds` to `max_seconds`) or `lognormal`.
        sigma: Standard deviation of the logarithm of a lognormal time.
        max_seconds: Upper end of a uniform time; cap of a lognormal one.
    """

    kind: Literal["latency"]
    seconds: float = Field(ge=0, le=3600)
    distribution: Literal["fixed", "uniform", "lognormal"] = "fixed"
    sigma: float = Field(0.5, ge=0, le=5)
    max_seconds: float = Field(60.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _ordered(self) -> Latency:
        if self.distribution == "uniform" and self.max_seconds < self.seconds:
            raise ValueError("max_seconds is below seconds")
        return self

    def draw(self, dice: random.Random) -> float:
        """Seconds to wait."""
        if self.distribution == "fixed":
            return self.seconds
        if self.distribution == "uniform":
            return dice.uniform(self.seconds, self.max_seconds)
        return min(self.max_seconds, self.seconds * dice.lognormvariate(0, self.sigma))


class Quota(AnyFault):
    """Calls above a number per minute get 429 RESOURCE_EXHAUSTED with `Retry-After`.

    Attributes:
        requests_per_minute: How many calls a minute go through.
        window_seconds: Length of the window in which calls are counted; a window shorter than a
            minute lets only its share through, so that they cannot all come at once.
        metric: Name of the quota in the error.
    """

    kind: Literal["quota"]
    requests_per_minute: int = Field(ge=0)
    window_seconds: float = Field(60.0, gt=0, le=3600)
    metric: str = "generate_content_requests_per_minute_per_project_per_base_model"


class Error(AnyFault):
    """The call gets an error answer.

    Attributes:
        status: HTTP status of the answer.
        message: Its message.
        retry_after: Seconds for the `Retry-After` header; no header when left out.
        work_done: Whether the call does its work before the error is answered.
    """

    kind: Literal["error"]
    status: Literal[400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504] = 503
    message: str | None = None
    retry_after: int | None = Field(None, ge=0)
    work_done: bool = False


class Drop(AnyFault):
    """The connection is closed without an answer, before or after the work was done."""

    kind: Literal["drop"]
    when: Literal["before", "after"] = "before"


class Hang(AnyFault):
    """No answer for `seconds`; then the connection is closed, with the work not done."""

    kind: Literal["hang"]
    seconds: float = Field(600.0, ge=0, le=86_400)


class Truncate(AnyFault):
    """The answer breaks off after `after_bytes` bytes of its body."""

    kind: Literal["truncate"]
    after_bytes: int = Field(100, ge=0)


class Job(AnyFault):
    """A tuning or batch job fails, pauses or stays pending; the method is `<collection>.run`."""

    kind: Literal["job"]
    outcome: Literal["fail", "pause", "pending"]
    message: str = "The emulator was configured to fail this job."


class Block(AnyFault):
    """The safety filter blocks a prompt or an answer."""

    kind: Literal["block"]
    where: Literal["prompt", "answer"] = "answer"
    category: str = "HARM_CATEGORY_DANGEROUS_CONTENT"


class Malformed(AnyFault):
    """The model answers with something that a caller has to survive.

    Attributes:
        form: `cut` (text that breaks off, so that JSON does not parse), `empty` (no text),
            `no_content` (a candidate without content), `no_candidates`, `prose` (text around the
            JSON), `function_call` (finish reason MALFORMED_FUNCTION_CALL) or `thoughts` (thinking
            that takes the whole output limit).
    """

    kind: Literal["malformed"]
    form: Literal[
        "cut", "empty", "no_content", "no_candidates", "prose", "function_call", "thoughts"
    ] = "cut"


class Judge(AnyFault):
    """The judge of evaluations makes mistakes.

    Attributes:
        noise: Standard deviation that is added to a rating, in levels of its scale.
        position_bias: Chance that a comparison is decided for the answer shown first.
        error_probability: Chance that a judgement comes back as an error.
        malformed_probability: Chance that a judgement comes back without a score.
    """

    kind: Literal["judge"]
    noise: float = Field(0.0, ge=0, le=10)
    position_bias: Probability = 0.0
    error_probability: Probability = 0.0
    malformed_probability: Probability = 0.0


class ClockSkew(AnyFault):
    """The emulator's clock runs ahead of the machine's, or behind it if the offset is negative."""

    kind: Literal["clock"]
    offset_seconds: float = Field(ge=-(10**9), le=10**9)


Fault = Annotated[
    Union[  # noqa: UP007 - a discriminated union that pydantic reads
        Latency, Quota, Error, Drop, Hang, Truncate, Job, Block, Malformed, Judge, ClockSkew
    ],
    Field(discriminator="kind"),
]


class FaultPlan(BaseModel):
    """A seed and the faults, in the order in which they are tried."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    faults: list[Fault] = []


class FaultPlanError(ValueError):
    """A fault file or request is not of the form that `emulator/docs/faults.md` gives."""


def parse_plan(text: bytes) -> FaultPlan:
    """Read a plan, a list of faults or one fault from YAML or JSON.

    Raises:
        FaultPlanError: It is not YAML, or has wrong fields, which the message names.
    """
    try:
        value: Any = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FaultPlanError(f"not YAML: {error}") from error
    if isinstance(value, list):
        value = {"faults": value}
    elif isinstance(value, dict) and "kind" in value:
        value = {"faults": [value]}
    try:
        return TypeAdapter(FaultPlan).validate_python(value)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, item['loc'])) or 'plan'}: {item['msg']}" for item in error.errors()
        ]
        raise FaultPlanError("; ".join(wrong)) from error
