"""Function calling.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

from __future__ import annotations

from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from .conftest import MODEL

WEATHER = types.FunctionDeclaration(
    name="get_current_weather",
    description="Get the current weather in a given location",
    parameters={
        "type": "OBJECT",
        "properties": {
            "location": {"type": "STRING", "description": "The city"},
            "unit": {"type": "STRING", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "INTEGER", "minimum": 1, "maximum": 7},
        },
        "required": ["location", "days"],
    },
)
STOCKS = types.FunctionDeclaration(name="get_stock_price", description="Price of a stock")
QUESTION = "What is the weather like in Boston for 3 days?"


def config(
    *declarations: Any, mode: Any = None, allowed: Any = None
) -> types.GenerateContentConfig:
    calling = mode and types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(
            mode=mode, allowed_function_names=allowed
        )
    )
    return types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=list(declarations))],
        tool_config=calling,
        temperature=0,
    )


def ask(client: Any, contents: Any, settings: Any) -> Any:
    return client.models.generate_content(model=MODEL, contents=contents, config=settings)


def test_a_question_that_fits_a_function_calls_it(client: genai.Client) -> None:
    response = ask(client, QUESTION, config(STOCKS, WEATHER))
    (call,) = response.function_calls
    assert call.name == "get_current_weather"
    assert call.args == {"location": "Boston", "days": 3}
    assert response.candidates[0].finish_reason == types.FinishReason.STOP


def test_a_question_that_fits_no_function_is_answered(client: genai.Client) -> None:
    response = ask(client, "Tell me about the French revolution.", config(STOCKS, WEATHER))
    assert response.function_calls is None
    assert response.text


def test_mode_none_never_calls(client: genai.Client) -> None:
    # "NONE: the model won't predict a function call"
    assert ask(client, QUESTION, config(WEATHER, mode="NONE")).function_calls is None


def test_mode_any_always_calls(client: genai.Client) -> None:
    # "ANY: the model is constrained to always predict a function call"
    response = ask(client, "Tell me a story.", config(WEATHER, STOCKS, mode="ANY"))
    assert response.function_calls


def test_mode_any_calls_only_what_is_allowed(client: genai.Client) -> None:
    response = ask(
        client, QUESTION, config(WEATHER, STOCKS, mode="ANY", allowed=["get_stock_price"])
    )
    assert [call.name for call in response.function_calls] == ["get_stock_price"]


def test_allowed_names_must_be_declared(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="allowed_function_names"):
        ask(client, QUESTION, config(WEATHER, mode="ANY", allowed=["launch_rocket"]))


def test_the_response_of_a_function_is_put_into_words(client: genai.Client) -> None:
    settings = config(WEATHER)
    question = types.UserContent(parts=[types.Part(text=QUESTION)])
    asked = ask(client, [question], settings)
    answer = types.Part.from_function_response(
        name="get_current_weather", response={"temperature": 21, "sky": "cloudy"}
    )
    contents = [question, asked.candidates[0].content, types.UserContent(parts=[answer])]
    response = ask(client, contents, settings)
    assert response.function_calls is None
    assert "21" in response.text
    assert "cloudy" in response.text


def test_calls_and_responses_must_be_as_many(client: genai.Client) -> None:
    answer = types.Part.from_function_response(name="get_current_weather", response={"a": 1})
    contents = [
        types.UserContent(parts=[types.Part(text=QUESTION)]),
        types.ModelContent(parts=[types.Part(text="Just a moment.")]),
        types.UserContent(parts=[answer]),
    ]
    with pytest.raises(errors.ClientError, match="number of function response parts"):
        ask(client, contents, config(WEATHER))


def test_google_genai_calls_python_functions_by_itself(client: genai.Client) -> None:
    asked = []

    def get_current_weather(location: str) -> dict[str, str]:
        """Get the current weather in a given location."""
        asked.append(location)
        return {"sky": "clear"}

    chat = client.chats.create(
        model=MODEL, config=types.GenerateContentConfig(tools=[get_current_weather], temperature=0)
    )
    response = chat.send_message("How is the weather in Boston?")
    assert asked == ["Boston"]
    assert "clear" in response.text


def test_parameters_as_json_schema(client: genai.Client) -> None:
    declaration = types.FunctionDeclaration(
        name="book_table",
        description="Book a table in a restaurant",
        parameters_json_schema={
            "type": "object",
            "properties": {"people": {"type": "integer", "minimum": 1}},
            "required": ["people"],
        },
    )
    response = ask(client, "Please book a table for 4 people.", config(declaration))
    assert response.function_calls[0].args == {"people": 4}
