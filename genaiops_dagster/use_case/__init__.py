"""A use case: one task a model is tuned for, in one YAML file."""

from genaiops_dagster.use_case.candidates import (
    GenerationConfig,
)
from genaiops_dagster.use_case.file import (
    EXTRA_FOLDER_VARIABLE,
    SHIPPED,
    UseCaseError,
    known_use_case,
    load_use_case,
    load_use_cases,
    use_case_files,
)
from genaiops_dagster.use_case.gate import (
    Gate,
    ThresholdRule,
)
from genaiops_dagster.use_case.model import Automation, Prompt, UseCase
from genaiops_dagster.use_case.section import (
    CHAMPION,
    TUNED,
)

__all__ = [
    "CHAMPION",
    "EXTRA_FOLDER_VARIABLE",
    "SHIPPED",
    "TUNED",
    "Automation",
    "Gate",
    "GenerationConfig",
    "Prompt",
    "ThresholdRule",
    "UseCase",
    "UseCaseError",
    "known_use_case",
    "load_use_case",
    "load_use_cases",
    "use_case_files",
]
