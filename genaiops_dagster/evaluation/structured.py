"""Now `genaiops_dagster.evaluation.scoring.structured`; this path goes in the next release."""

from genaiops_dagster.evaluation.scoring.structured import (
    Arguments,
    Call,
    ExpectedOutputError,
    json_match,
    json_valid,
    tool_call_valid,
    tool_name_match,
    tool_parameter_key_match,
    tool_parameter_kv_match,
)

__all__ = [
    "Arguments",
    "Call",
    "ExpectedOutputError",
    "json_match",
    "json_valid",
    "tool_call_valid",
    "tool_name_match",
    "tool_parameter_key_match",
    "tool_parameter_kv_match",
]
