"""Compiles the shipped examples.

`python -m genaiops_dagster.pipelines.examples.compile` writes them beside their sources; do so
after a change of one, or of the pinned version of KFP.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

EXAMPLES = ("hello_world", "pipeline_arguments")


def compile_examples(folder: Path) -> list[Path]:
    """Write the compiled examples into `folder`; their paths."""
    import importlib

    from kfp import compiler

    written = []
    for name in EXAMPLES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            module = importlib.import_module(f"genaiops_dagster.pipelines.examples.{name}")
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(getattr(module, name), str(path))
        written.append(path)
    return written


if __name__ == "__main__":
    for file in compile_examples(Path(__file__).parent):
        sys.stdout.write(f"{file}\n")
