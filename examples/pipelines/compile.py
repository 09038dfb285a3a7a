"""Compiles the example pipelines that the package ships.

`python examples/pipelines/compile.py` writes them to `genaiops_dagster/pipelines/examples`; do so
after a change of one, or of the pinned version of KFP.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
SHIPPED = SOURCES.parents[1] / "genaiops_dagster" / "pipelines" / "examples"
EXAMPLES = ("hello_world", "pipeline_arguments")


def pipeline(name: str) -> Any:
    """The pipeline function of an example, from its source."""
    spec = importlib.util.spec_from_file_location(name, SOURCES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{SOURCES / name}.py cannot be imported")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        spec.loader.exec_module(module)
    return getattr(module, name)


def compile_examples(folder: Path) -> list[Path]:
    """Write the compiled examples into `folder`; their paths."""
    from kfp import compiler

    written = []
    for name in EXAMPLES:
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(pipeline(name), str(path))
        written.append(path)
    return written


if __name__ == "__main__":
    for file in compile_examples(SHIPPED):
        sys.stdout.write(f"{file}\n")
