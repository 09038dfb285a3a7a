"""Metrics that a user wrote: functions named `module:function` in the use case file.

The module is one that Python finds, or a file next to the use case files.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from genaiops_dagster.use_case import EXTRA_FOLDER_VARIABLE


class UserFunctionError(ValueError):
    """A function of the use case file cannot be used; the message says why and where to put it."""


def load_function(path: str) -> Callable[..., Any]:
    """The function at `module:function`.

    It is called as `function(answer, reference)`, or `function(answer, reference, variables)` if it
    has a third parameter, and returns a number, or None where it does not apply to the row.

    Raises:
        UserFunctionError: there is no such module or function, or it takes other arguments.
    """
    module_name, _, name = path.partition(":")
    function: Callable[..., Any] | None = getattr(_module(module_name, path), name, None)
    if not callable(function):
        raise UserFunctionError(f"metric {path}: {module_name} has no function {name}")
    try:
        inspect.signature(function).bind("answer", "reference")
    except TypeError:
        try:
            inspect.signature(function).bind("answer", "reference", {})
        except TypeError as error:
            raise UserFunctionError(
                f"metric {path}: it must take (answer, reference) or "
                f"(answer, reference, variables): {error}"
            ) from error
    return function


def source_digest(path: str) -> str:
    """sha256 over the function's module, so that a changed metric scores again."""
    file = _module(path.partition(":")[0], path).__file__
    return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()


def _module(name: str, path: str) -> ModuleType:
    folder = os.environ.get(EXTRA_FOLDER_VARIABLE)
    file = Path(folder or ".").joinpath(*name.split(".")).with_suffix(".py")
    try:
        return (
            _from_file(name, file) if folder and file.is_file() else importlib.import_module(name)
        )
    except ImportError as error:
        target = folder or f"the folder that {EXTRA_FOLDER_VARIABLE} names"
        raise UserFunctionError(
            f"metric {path}: {error}; put {file.name} into {target}, or install the module"
        ) from error


def _from_file(name: str, file: Path) -> ModuleType:
    """A module of a file, under a name that hides no other module; read again when it changes."""
    full_name = f"genaiops_user_functions.{name}"
    changed = file.stat().st_mtime_ns
    known = sys.modules.get(full_name)
    if known is not None and known.__dict__.get("__changed__") == changed:
        return known
    spec = importlib.util.spec_from_file_location(full_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__changed__"] = changed
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module
