"""The load generator: a process of its own, in which Locust sends the requests of a plan.

Locust replaces Python's sockets and threads by gevent's when it is imported, which must not happen
in a process that does anything else. Run as
`python -m genaiops_dagster.serving.load_testing.generator PLAN SAMPLES`; the plan is read from one
file, and a line for each request is written to the other.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any


class Arrivals:
    """The moments at which requests are meant to be sent, for all users of a step together.

    Args:
        step: Users of a closed loop, or the rate of an open one, and seconds.
        most_requests: Requests at most.
        seed: Of the intervals of Poisson arrivals.
    """

    def __init__(self, step: dict[str, Any], most_requests: int, seed: int) -> None:
        self._step = step
        self._left = most_requests
        self._dice = random.Random(seed)  # noqa: S311 - arrivals, not secrets
        self._sent = 0
        self.start = self._next = time.time()

    def take(self) -> float | None:
        """When the next request is meant to be sent; None when the step is over.

        In a closed loop a user sends when it has its answer. In an open one nobody waits for
        answers: a request that could not be sent in time counts from the time it was meant for.
        """
        rate = self._step.get("rate")
        intended = time.time() if rate is None else self._next
        if self._left <= 0 or intended >= self.start + self._step["seconds"]:
            return None
        self._left -= 1
        self._sent += 1
        if rate is not None and self._step["arrivals"] == "poisson":
            self._next += self._dice.expovariate(rate)
        elif rate is not None:
            self._next = self.start + self._sent / rate
        return intended


def main(plan_path: Path, samples_path: Path) -> None:
    """Send the requests of a plan, step by step."""
    import gevent
    from locust import User, events, task
    from locust.env import Environment
    from locust.exception import StopUser

    from genaiops_dagster.google_cloud.settings import GoogleCloudSettings
    from genaiops_dagster.google_cloud.vertex_ai import VertexAI

    plan = json.loads(plan_path.read_text(encoding="utf-8"))
    models = VertexAI(GoogleCloudSettings(bucket="", **plan["google_cloud"]))
    client = models.serving(plan["model"]).new_genai()
    address = models.served_address(plan["model"])
    questions, left = plan["questions"], plan["most_requests"]
    place = 0

    def ask() -> dict[str, Any]:
        """Send one request; when its first part came, and what it used or why it failed."""
        from google.genai.errors import APIError

        nonlocal place
        place += 1
        found: dict[str, Any] = {"sent": time.time(), "first": None, "error": None}
        usage = None
        try:
            for part in client.models.generate_content_stream(
                model=address,
                contents=questions[place % len(questions)],
                config=plan["config"],
            ):
                found["first"] = found["first"] or time.time()
                usage = part.usage_metadata or usage
        except APIError as error:
            found["error"] = f"{error.code} {error.status}"
        except Exception as error:  # noqa: BLE001 - whatever fails is what is measured
            found["error"] = type(error).__name__
        return {
            **found,
            "done": time.time(),
            "input_tokens": usage.prompt_token_count or 0 if usage else 0,
            "output_tokens": usage.candidates_token_count or 0 if usage else 0,
        }

    with samples_path.open("w", encoding="utf-8") as samples:
        ask()  # connections and credentials are made before anything is measured
        for number, step in enumerate(plan["steps"]):
            arrivals: list[Arrivals] = []
            begun = gevent.event.Event()

            class Asker(User):
                @task
                def ask_once(
                    self, begun: Any = begun, arrivals: Any = arrivals, number: int = number
                ) -> None:
                    begun.wait()
                    intended = arrivals[0].take()
                    if intended is None:
                        raise StopUser
                    gevent.sleep(max(0.0, intended - time.time()))
                    sample = {"step": number, "intended": intended, **ask()}
                    samples.write(f"{json.dumps(sample)}\n")
                    self.environment.events.request.fire(
                        request_type="generateContent",
                        name=f"step {number}",
                        response_time=1000 * (sample["done"] - intended),
                        response_length=sample["output_tokens"],
                        exception=sample["error"] and RuntimeError(sample["error"]),
                        context={},
                    )

            environment = Environment(user_classes=[Asker], events=events)
            runner = environment.create_local_runner()
            users = step.get("users") or plan["most_concurrent"]
            runner.start(users, spawn_rate=users)
            gevent.joinall([runner.spawning_greenlet])
            arrivals.append(Arrivals(step, left, seed=number))
            begun.set()
            while runner.user_count:
                gevent.sleep(0.05)
            left -= environment.stats.total.num_requests
            runner.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
