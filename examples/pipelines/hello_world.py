"""The smallest pipeline that hands something on: a greeting is made, then answered."""

# KFP reads the annotations of components: no `from __future__ import annotations` here.

from kfp import dsl

IMAGE = "python:3.12"


@dsl.component(base_image=IMAGE)
def say_hello(recipient: str) -> str:
    """A greeting."""
    return f"Hello, {recipient}!"


@dsl.component(base_image=IMAGE)
def answer(greeting: str) -> str:
    """What one says to a greeting."""
    return f"{greeting} How are you?"


@dsl.pipeline(name="hello-world", description="A greeting, and what one says to it.")
def hello_world(recipient: str = "World") -> str:
    """Greet a recipient.

    Args:
        recipient: Whom to greet.
    """
    greeting = say_hello(recipient=recipient)
    return answer(greeting=greeting.output).output  # type: ignore[no-any-return]
