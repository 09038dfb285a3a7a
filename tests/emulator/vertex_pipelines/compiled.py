"""Pipelines to compile and run in tests."""

# ruff: noqa: PTH123 - components import what they need inside

from pathlib import Path

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


@dsl.pipeline(name="conditional")
def conditional(name: str):
    with dsl.If(name == "x"):
        greet(name=name)


@dsl.pipeline(name="looping")
def looping():
    with dsl.ParallelFor(["a", "b"]) as item:
        greet(name=item)


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
