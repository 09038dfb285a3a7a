"""Pipelines that tests of the asset run; KFP reads annotations, so no future import here."""

from kfp import dsl

IMAGE = "python:3.12"


@dsl.component(base_image=IMAGE)
def needs(file: str) -> str:
    import pathlib

    if not pathlib.Path(file).exists():
        raise FileNotFoundError(f"bring me {file}")
    return "thanks"


@dsl.component(base_image=IMAGE)
def nap(seconds: float) -> str:
    import time

    time.sleep(seconds)
    return "awake"


@dsl.pipeline(name="needing")
def needing(file: str) -> str:
    return needs(file=file).output


@dsl.pipeline(name="napping")
def napping(seconds: float) -> str:
    return nap(seconds=seconds).output
