"""Conditions as KFP's compiler writes them."""

from __future__ import annotations

import pytest

from vertex_emulator.errors import ApiError
from vertex_emulator.vertex.pipeline_conditions import parse_condition

NAME = "inputs.parameter_values['pipelinechannel--name']"
NUMBER = "inputs.parameter_values['pipelinechannel--train-Output']"
VALUES = {"pipelinechannel--name": "x", "pipelinechannel--train-Output": 3.0}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"{NAME} == 'x'", True),
        (f"{NAME} != 'x'", False),
        (f"'x' == {NAME}", True),
        (f"int({NUMBER}) >= 3", True),
        (f"{NUMBER} > 3", False),
        (f"{NUMBER} < 3.5 && {NAME} == 'x'", True),
        (f"!({NAME} == 'x') && {NUMBER} == 3", False),
        (f"!({NAME} == 'x') || {NUMBER} == 3", True),
        (f"!({NAME} == 'y' || {NUMBER} == 2)", True),
        (f"{NAME} == 'x' && true == true", True),
    ],
)
def test_a_condition_holds_or_does_not(text: str, holds: bool) -> None:
    assert parse_condition(text)(VALUES) is holds


@pytest.mark.parametrize(
    "text",
    [
        f"{NAME} == 'inputs.parameter_values['other']'",  # KFP's own mistake with two parameters
        f"{NAME}",
        f"{NAME} == 'x' &&",
        f"{NAME} in ['x']",
        f"({NAME} == 'x'",
        "__import__('os') == 1",
        "",
    ],
)
def test_another_expression_is_refused_by_name(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_condition(text)
    assert refused.value.code == 501
