"""What is assumed of Gemini models: where they are served, how they count, answer and refuse."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from genaiops_dagster.evaluation.asking.inference import read_answer
from genaiops_dagster.google_cloud.base_models import BaseModel, model_facts
from genaiops_dagster.probe.assumption import NO_SOURCE, Assumption
from genaiops_dagster.probe.bench import Bench, refused, status_of
from genaiops_dagster.probe.outcome import DiffersError, NotTriedError, expect
from genaiops_dagster.prompts.tokens import api_counter, user_message

_PLATFORM = "https://docs.cloud.google.com/gemini-enterprise-agent-platform"
_VERTEX = "https://cloud.google.com/vertex-ai/generative-ai/docs"
_TURN = "https://github.com/LibreChat-AI/agents/issues/323"
_NOT_FOUND = "https://github.com/BerriAI/litellm/issues/18781"
_QUESTION = "Name the capital of France in one word."
_LONG = "Write the numbers from 1 to 300 as words."
_MODEL_TURN = {"role": "model", "parts": [{"text": "Paris"}]}


def _count(bench: Bench, model: str, location: str) -> int:
    response = bench.models.at(location).genai.models.count_tokens(model=model, contents=_QUESTION)
    expect(response.total_tokens, f"no total from {location}")
    return int(response.total_tokens or 0)


def _served(model: BaseModel, bench: Bench) -> str:
    missing = []
    for location in model.locations:
        try:
            _count(bench, model.name, location)
        except Exception as error:
            if status_of(error) != 404:
                raise
            missing.append(location)
    expect(not missing, f"404 in {', '.join(missing)}")
    return f"counts in {', '.join(model.locations)}"


def _host(bench: Bench) -> str:
    if bench.settings.vertex_url:
        raise NotTriedError("the address of the API is configured, and not Google's own")
    from google import genai

    seen = []
    for location in ("global", "us", "eu", bench.settings.location):
        ours = dataclasses.replace(bench.settings, location=location)
        _, host = type(bench.models)(ours)._address()
        client = genai.Client(vertexai=True, project=ours.project, location=location)
        theirs = client._api_client._http_options.base_url or ""
        expect(host in theirs, f"for {location} the SDK calls {theirs}, and this package {host}")
        seen.append(host)
    return ", ".join(seen)


def _elsewhere(bench: Bench) -> str:
    model = bench.cheapest(lambda one: bench.settings.location not in one.locations)
    with refused(404) as seen:
        _count(bench, model.name, bench.settings.location)
    return seen[0]


def _unknown(bench: Bench) -> str:
    from google.genai.errors import ClientError

    model = bench.cheapest()
    try:
        bench.client(model.name).models.generate_content(
            model="gemini-no-such-model", contents=_QUESTION
        )
    except ClientError as error:
        body = error.details.get("error", error.details) if isinstance(error.details, dict) else {}
        expect(error.code == 404, f"{error.code}: {error.message}")
        expect(body.get("status") == "NOT_FOUND" and body.get("message"), f"body: {error.details}")
        return f"404 NOT_FOUND: {error.message}"
    raise DiffersError("it answered")


def _retired(bench: Bench) -> str:
    today = bench.clock.today()
    ended = [m for m in model_facts().models.values() if m.ended and m.ended < today]
    client, alive = bench.client(bench.cheapest().name), []
    for model in ended:
        try:
            client.models.count_tokens(model=model.name, contents=_QUESTION)
            alive.append(model.name)
        except Exception as error:
            if status_of(error) not in (400, 404):
                raise
    expect(not alive, f"these still count: {', '.join(alive)}")
    return f"refused: {', '.join(model.name for model in ended)}"


def _total(bench: Bench) -> str:
    model = bench.cheapest().name
    tokens = api_counter(bench.models, model)([user_message(_QUESTION)])
    expect(0 < tokens < 100, f"{tokens} tokens")
    return f"{tokens} tokens"


def _count_model_turn(bench: Bench) -> str:
    model = bench.cheapest(lambda one: one.model_turn == "refused").name
    tokens = api_counter(bench.models, model)([user_message(_QUESTION), _MODEL_TURN])
    expect(tokens > 1, f"{tokens} tokens")
    return f"{model} counts {tokens} tokens once the last turn is a user's"


def _many_contents(bench: Bench) -> str:
    count = api_counter(bench.models, bench.cheapest().name)
    one, two = user_message(_QUESTION), user_message(_LONG)
    apart, together = count([one]) + count([two]), count([one, two])
    expect(abs(apart - together) <= 4, f"{apart} apart, {together} in one request")
    return f"{apart} tokens apart, {together} in one request"


def _model_turn(bench: Bench) -> str:
    model = bench.cheapest(lambda one: one.model_turn == "refused").name
    with refused(400, "model turn") as seen:
        bench.ask(model, [user_message(_QUESTION), _MODEL_TURN])
    return f"{model}: {seen[0]}"


def _answer(bench: Bench) -> str:
    model = bench.cheapest().name
    response = bench.ask(model, _QUESTION, system_instruction="Answer in English.", seed=0)
    answer = read_answer(response, 0.0)
    expect(answer.state == "answered" and answer.text, f"{answer.state}: {answer.reason}")
    expect(answer.finish_reason == "STOP", f"finish reason: {answer.finish_reason}")
    expect(
        (response.model_version or "").startswith(model),
        f"the model calls itself {response.model_version}",
    )
    return f"{response.model_version} answers, finish reason STOP"


def _usage_of(response: Any) -> tuple[int, int, int, int]:
    usage = response.usage_metadata
    expect(usage is not None, "there is no usage metadata")
    return (
        usage.prompt_token_count or 0,
        usage.candidates_token_count or 0,
        usage.thoughts_token_count or 0,
        usage.total_token_count or 0,
    )


def _usage(bench: Bench) -> str:
    model = bench.cheapest().name
    counted = api_counter(bench.models, model)([user_message(_QUESTION)])
    read, written, thought, total = _usage_of(bench.ask(model, [user_message(_QUESTION)]))
    expect(read == counted, f"{counted} tokens were counted, and {read} read")
    expect(written > 0, "no tokens of the answer")
    return f"{read} read as counted, {written} written, {thought} thought, {total} in all"


def _thoughts(bench: Bench) -> str:
    from google.genai import types

    model = bench.cheapest(lambda one: "LOW" in one.thinking_levels).name
    level = types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
    read, written, thought, total = _usage_of(
        bench.ask(model, "What is 17 times 23, minus 5?", thinking_config=level)
    )
    expect(
        total == read + written + thought,
        f"{read} read, {written} written and {thought} thought are said to be {total}",
    )
    return f"{read} + {written} + {thought} thought = {total}"


def _levels(bench: Bench) -> str:
    from google.genai import types

    taken = []
    for model in bench.living()[:3]:
        if not model.thinking_levels:
            continue
        level = types.ThinkingConfig(thinking_level=types.ThinkingLevel(model.thinking_levels[0]))
        bench.ask(model.name, _QUESTION, thinking_config=level)
        taken.append(f"{model.name} {model.thinking_levels[0]}")
    expect(taken, "the facts have no levels")
    return ", ".join(taken)


def _max_tokens(bench: Bench) -> str:
    model = bench.cheapest(lambda one: "MINIMAL" in one.thinking_levels).name
    response = bench.ask(model, _LONG, max_output_tokens=12)
    answer = read_answer(response, 0.0)
    expect(answer.state == "truncated", f"{answer.state}, finish reason {answer.finish_reason}")
    used = (response.usage_metadata and response.usage_metadata.candidates_token_count) or 0
    expect(used <= 12, f"{used} tokens were written, and 12 allowed")
    return f"finish reason {answer.finish_reason} after {used} of 12 tokens"


def _sampling(bench: Bench) -> str:
    model = bench.cheapest(lambda one: one.sampling == "ignored").name
    bench.ask(model, _QUESTION, temperature=0.0, top_p=0.9, seed=1)
    return f"{model} takes temperature, top-p and seed"


def _range(bench: Bench) -> str:
    with refused(400) as seen:
        bench.ask(bench.cheapest().name, _QUESTION, temperature=3.0)
    return seen[0]


def _stream(bench: Bench) -> str:
    from google.genai import types

    model = bench.cheapest().name
    config = types.GenerateContentConfig(max_output_tokens=256)
    chunks = list(
        bench.client(model).models.generate_content_stream(
            model=model, contents=_QUESTION, config=config
        )
    )
    expect(any(chunk.text for chunk in chunks), "no text came")
    usage = chunks[-1].usage_metadata
    expect(usage and usage.total_token_count, "the last part has no usage metadata")
    return f"{len(chunks)} parts, the last one with the usage"


def _filters(bench: Bench) -> str:
    from google.genai import types

    settings = [
        types.SafetySetting(
            category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
            threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
        )
    ]
    answer = read_answer(bench.ask(bench.cheapest().name, _QUESTION, safety_settings=settings), 0.0)
    expect(answer.state == "answered", f"{answer.state}: {answer.reason}")
    return "a threshold is taken, and a harmless question answered"


def _full_name(bench: Bench) -> str:
    model = bench.cheapest().name
    address = bench.models.served_address(bench.models.model_address(model))
    client = bench.models.serving(address).genai
    counted = client.models.count_tokens(model=address, contents=_QUESTION)
    expect(counted.total_tokens, "no total")
    return "counted under its full resource name"


def _about(model: BaseModel) -> Assumption:
    """The assumption on where one model of the facts is served."""
    facts = model_facts()
    source = facts.sources[model.sources[0]].split(" ")[0]
    return Assumption(
        f"models.{model.name}",
        "Models",
        f"{model.name} is served in {', '.join(model.locations)}",
        source,
        "Use cases with this model stop before they pay, or ask it where it is not",
        functools.partial(_served, model),
    )


ASSUMPTIONS = (
    *(
        _about(model)
        for model in model_facts().models.values()
        if model.locations and model.ended is None
    ),
    Assumption(
        "models.hosts",
        "Models",
        "The host is plain for global, aiplatform.<us or eu>.rep for these, <region>-aiplatform "
        "for regions",
        f"{_PLATFORM}/resources/locations",
        "Clients of a multi-region or of a region reach nobody",
        _host,
    ),
    Assumption(
        "models.elsewhere-404",
        "Models",
        "CountTokens of a model in a location where it is not served is answered with 404",
        _NOT_FOUND,
        "`genaiops doctor` says that a model answers where it does not",
        _elsewhere,
    ),
    Assumption(
        "models.unknown-404",
        "Models",
        "A model that does not exist is answered with 404, in a body with code, message, status",
        _NOT_FOUND,
        "A misspelled model is tried again and again instead of being reported",
        _unknown,
    ),
    Assumption(
        "models.retired",
        "Models",
        "Models that ended by the facts are refused",
        f"{_PLATFORM}/models/model-versions",
        "Nothing breaks, but what is said of retirements is older than the service",
        _retired,
    ),
    Assumption(
        "models.count-total",
        "Models",
        "CountTokens is free of charge and answers with a total",
        f"{_VERTEX}/multimodal/get-token-count",
        "No run can be estimated, so none is admitted",
        _total,
    ),
    Assumption(
        "models.count-model-turn",
        "Models",
        "Contents that end with a turn of the model are counted if that turn is sent as a user's",
        _TURN,
        "Training examples of newer models cannot be counted",
        _count_model_turn,
    ),
    Assumption(
        "models.count-together",
        "Models",
        "Many contents are counted in one request as they are one by one, give or take a few",
        NO_SOURCE,
        "Estimates of many rows are wrong, or need a request for each row",
        _many_contents,
    ),
    Assumption(
        "models.model-turn-refused",
        "Models",
        "Newer models refuse a final turn of the model with 400, and older ones do not",
        _TURN,
        "Nothing breaks, but prompts are refused that the model would answer",
        _model_turn,
    ),
    Assumption(
        "models.answer",
        "Models",
        "An answer ends with STOP, and names a model version that begins with the model's name",
        f"{_VERTEX}/reference/rest/v1/GenerateContentResponse",
        "Answers are taken as failed, or as those of another model",
        _answer,
    ),
    Assumption(
        "models.usage",
        "Models",
        "An answer's usage has the prompt's tokens as CountTokens gives them",
        f"{_VERTEX}/reference/rest/v1/GenerateContentResponse",
        "What is booked is not what was reserved, and budgets stop too early or too late",
        _usage,
    ),
    Assumption(
        "models.thoughts-apart",
        "Models",
        "Thoughts are counted apart from the answer, and the total has both",
        f"{_VERTEX}/thinking",
        "Thinking is booked twice, or not at all",
        _thoughts,
    ),
    Assumption(
        "models.thinking-levels",
        "Models",
        "Each model takes the lowest thinking level that the facts give it",
        f"{_PLATFORM}/models/guides/gemini-3-8-flash",
        "Candidates with this level are refused with 400",
        _levels,
    ),
    Assumption(
        "models.max-tokens",
        "Models",
        "An answer that reaches max_output_tokens ends with MAX_TOKENS, and is not longer",
        f"{_VERTEX}/reference/rest/v1/GenerateContentResponse",
        "Truncated answers are scored as if they were whole",
        _max_tokens,
    ),
    Assumption(
        "models.sampling-taken",
        "Models",
        "Models that ignore temperature, top-p and seed take them without an error",
        f"{_PLATFORM}/models/gemini/3-5-flash-lite",
        "Candidates with these settings are refused with 400",
        _sampling,
    ),
    Assumption(
        "models.range-400",
        "Models",
        "A value out of its range is refused with 400",
        f"{_VERTEX}/model-reference/inference",
        "A wrong use case file is tried row by row instead of being reported",
        _range,
    ),
    Assumption(
        "models.stream",
        "Models",
        "The last part of a streamed answer has its usage",
        f"{_VERTEX}/model-reference/inference",
        "Streamed answers are booked at nothing",
        _stream,
    ),
    Assumption(
        "models.safety-settings",
        "Models",
        "Thresholds of harm categories are taken",
        f"{_VERTEX}/multimodal/configure-safety-filters",
        "Use cases with guardrails.filters are refused",
        _filters,
    ),
    Assumption(
        "models.full-name",
        "Models",
        "A base model is found under its full resource name, with the project and location",
        f"{_VERTEX}/model-reference/inference",
        "No candidate can be asked: answers are kept under these names",
        _full_name,
    ),
)  # fmt: skip
