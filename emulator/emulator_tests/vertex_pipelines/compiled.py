"""Pipelines to compile and run in tests."""

# ruff: noqa: PTH123 - components import what they need inside

from pathlib import Path
from typing import List  # noqa: UP035

from kfp import compiler, dsl

IMAGE = "python:3.12"


@dsl.component(base_image=IMAGE)
def greet(name: str, count_file: str = "") -> str:
    if count_file:
        with open(count_file, "a") as file:
            file.write("x")
    return f"Hello, {name}!"


@dsl.component(base_image=IMAGE)
def write(
    text: str, lines: int, document: dsl.Output[dsl.Dataset], numbers: dsl.Output[dsl.Metrics]
):
    with open(document.path, "w") as file:
        file.write(f"{text}\n" * lines)
    document.metadata["language"] = "en"
    numbers.log_metric("lines", lines)


@dsl.component(base_image=IMAGE)
def measure(document: dsl.Input[dsl.Dataset]) -> int:
    with open(document.path) as file:
        return len(file.read())


@dsl.component(base_image=IMAGE)
def fail(message: str) -> str:
    raise ValueError(message)


@dsl.component(base_image=IMAGE)
def sleep(seconds: float, started_file: str) -> str:
    import os
    import time

    with open(started_file, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return "slept"


@dsl.component(base_image=IMAGE, packages_to_install=["surely-not-installed>=3"])
def needs_package() -> str:
    return ""


@dsl.container_component
def container():
    return dsl.ContainerSpec(image="alpine", command=["echo", "hello"])


@dsl.pipeline(name="greeting")
def greeting(recipient: str, lines: int = 2, count_file: str = "") -> int:
    hello = greet(name=recipient, count_file=count_file)
    written = write(text=f"{hello.output} ...", lines=lines)
    return measure(document=written.outputs["document"]).output


@dsl.pipeline(name="inner")
def inner(name: str) -> str:
    return greet(name=name).output


@dsl.pipeline(name="nested")
def nested(name: str) -> str:
    once = inner(name=name)
    return greet(name=once.output).output


@dsl.pipeline(name="failing")
def failing():
    bad = fail(message="the cup is broken")
    greet(name=bad.output)
    greet(name="elsewhere")


@dsl.pipeline(name="sleeping")
def sleeping(seconds: float, started_file: str, count_file: str = "") -> str:
    first = greet(name="first", count_file=count_file)
    return sleep(seconds=seconds, started_file=started_file).after(first).output


@dsl.component(base_image=IMAGE)
def number(value: float) -> float:
    return value


@dsl.component(base_image=IMAGE)
def letters(text: str) -> List[str]:  # noqa: UP006 - KFP knows the names of `typing`
    return list(text)


@dsl.component(base_image=IMAGE)
def join(texts: List[str]) -> str:  # noqa: UP006
    return " ".join(texts)


@dsl.pipeline(name="conditional")
def conditional(name: str, times: int = 3):
    value = number(value=1.5)
    with dsl.If(name == "x", name="is-x"):
        greet(name="if")
    with dsl.Elif(value.output > 1.2, name="is-large"):
        hello = greet(name="elif")
        with dsl.If(times >= 3, name="often"):
            greet(name=hello.output)
    with dsl.Else(name="is-else"):
        greet(name="else")


@dsl.pipeline(name="looping")
def looping(text: str) -> str:
    with dsl.ParallelFor(letters(text=text).output, name="each", parallelism=2) as letter:
        hello = greet(name=letter)
        with dsl.If(letter == "a", name="is-a"):
            greet(name="only for a")
    return join(texts=dsl.Collected(hello.output)).output


@dsl.pipeline(name="handled")
def handled():
    with dsl.ExitHandler(greet(name="at the end")):
        greet(name="first")


@dsl.pipeline(name="contained")
def contained():
    container()


@dsl.pipeline(name="packaged")
def packaged():
    needs_package()


def compile_to(folder: Path, pipeline) -> str:
    """Path of the compiled pipeline."""
    path = folder / f"{pipeline.name}.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return str(path)
