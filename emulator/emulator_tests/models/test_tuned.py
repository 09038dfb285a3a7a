"""Tuned models learn from their examples: data and hyperparameters change what they answer."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from vertex_emulator.models.language_model import Turn
from vertex_emulator.models.learners import Example, Hyperparameters
from vertex_emulator.models.prompt_frame import PromptFrame
from vertex_emulator.models.tuned import choose_kind, load, save, train
from vertex_emulator.public_data import public_tables

SYSTEM = "Name the module."


def prompt(row: Any) -> Any:
    return f"Which module answers this?\n\n{row['title']}\n{row['body']}\n\nAnswer with its name."


@pytest.fixture(scope="module")
def questions() -> Any:
    (_, _, rows), *_ = public_tables()
    rows = [(prompt(row), row["tags"].split("|")[1]) for row in rows]  # type: ignore[misc]
    random.Random(0).shuffle(rows)
    return rows[:900], rows[900:1100]


def examples(pairs: Any) -> Any:
    return [Example(f"{SYSTEM}\n{question}", answer) for question, answer in pairs]


def accuracy(model: Any, pairs: Any, system: Any = SYSTEM) -> Any:
    right = [model.answer(system, [Turn("user", q)]) == answer for q, answer in pairs]
    return sum(right) / len(right)


def tuned(
    pairs: Any,
    *,
    epochs: int = 2,
    rate: float = 1.0,
    adapter: int = 8,
    base: str = "gemini-3.5-flash",
) -> Any:
    return list(train(examples(pairs), Hyperparameters(epochs, rate, adapter), base))


@pytest.fixture(scope="module")
def checkpoints(questions: Any) -> Any:
    return tuned(questions[0], epochs=3)


def test_it_learns_what_no_base_model_knows(checkpoints: Any, questions: Any) -> None:
    assert accuracy(checkpoints[-1], questions[1]) > 0.6


def test_each_epoch_makes_a_model_of_its_own(checkpoints: Any, questions: Any) -> None:
    scores = [accuracy(model, questions[1]) for model in checkpoints]
    assert scores[0] < scores[-1]
    assert len(set(scores)) == 3


def test_a_larger_adapter_learns_more(checkpoints: Any, questions: Any) -> None:
    small = tuned(questions[0], adapter=1)[-1]
    assert accuracy(small, questions[1]) + 0.02 < accuracy(checkpoints[1], questions[1])


def test_a_larger_base_model_learns_more(questions: Any) -> None:
    small = tuned(questions[0], epochs=1, base="gemini-3.1-flash-lite")[-1]
    large = tuned(questions[0], epochs=1, base="gemini-3.1-pro-preview")[-1]
    assert accuracy(small, questions[1]) < accuracy(large, questions[1])


def test_a_low_learning_rate_learns_slowly(checkpoints: Any, questions: Any) -> None:
    slow = tuned(questions[0], epochs=1, rate=0.05)[-1]
    assert accuracy(slow, questions[1]) + 0.1 < accuracy(checkpoints[0], questions[1])


def test_wrong_labels_make_a_worse_model(checkpoints: Any, questions: Any) -> None:
    answers = [answer for _, answer in questions[0]]
    random.Random(1).shuffle(answers)
    shuffled = [(q, answer) for (q, _), answer in zip(questions[0], answers, strict=True)]
    worse = tuned(shuffled, adapter=1)[-1]
    assert accuracy(worse, questions[1]) < 0.2 < accuracy(checkpoints[-1], questions[1])


def test_another_prompt_than_in_training_does_harm(checkpoints: Any, questions: Any) -> None:
    modules = " ".join(sorted({answer for _, answer in questions[0]}))
    foreign = [(f"{q}\nThe modules are {modules}, " * 3, answer) for q, answer in questions[1]]
    assert accuracy(checkpoints[-1], foreign) + 0.05 < accuracy(checkpoints[-1], questions[1])


def test_training_is_deterministic(checkpoints: Any, questions: Any) -> None:
    again = tuned(questions[0], epochs=1)[0]
    for text, _ in questions[1][:50]:
        turns = [Turn("user", text)]
        assert again.answer(SYSTEM, turns) == checkpoints[0].answer(SYSTEM, turns)


def test_a_saved_model_answers_as_before(checkpoints: Any, questions: Any, tmp_path: Path) -> None:
    save(checkpoints[-1], tmp_path / "model.npz")
    restored = load(tmp_path / "model.npz")
    assert restored.version == "gemini-3.5-flash-emulated"
    assert accuracy(restored, questions[1]) == accuracy(checkpoints[-1], questions[1])
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_continuous_tuning_goes_on_from_the_checkpoint(questions: Any) -> None:
    first, second = questions[0][:450], questions[0][450:]
    start = tuned(first)[-1]
    settings = Hyperparameters(2, 1.0, 8)
    *_, model = train(examples(second), settings, "gemini-3.5-flash", start=start)
    assert accuracy(start, questions[1]) < accuracy(model, questions[1])
    pair = [("zebra?", "horse"), ("trout?", "fish")] * 10
    *_, widened = train(examples(pair), settings, "gemini-3.5-flash", start=start)
    assert accuracy(widened, pair[:2]) == 1
    assert accuracy(widened, questions[1]) > 0.05, "what was learned before is not all lost"


def test_temperature_samples_and_the_seed_repeats(checkpoints: Any, questions: Any) -> None:
    turns = [Turn("user", questions[1][0][0])]
    answers = [
        checkpoints[0].answer(SYSTEM, turns, temperature=2.0, seed=seed) for seed in range(60)
    ]
    assert len(set(answers)) > 1
    assert answers[:5] == [
        checkpoints[0].answer(SYSTEM, turns, temperature=2.0, seed=seed) for seed in range(5)
    ]


def test_free_answers_come_from_the_nearest_question(tmp_path: Path) -> None:
    pairs = [(f"What is {n} plus {n}?", f"The sum of {n} and {n} is {2 * n}.") for n in range(50)]
    model = tuned(pairs, epochs=4)[-1]
    assert model.learner.kind == "neighbours"
    assert accuracy(model, pairs) > 0.9
    save(model, tmp_path / "m.npz")
    assert accuracy(load(tmp_path / "m.npz"), pairs) == accuracy(model, pairs)


def test_summaries_are_learned_as_choosing_sentences(tmp_path: Path) -> None:
    """The last sentence of each text is its summary: no base model would choose it."""
    word = random.Random(3).choice
    places, things = ["north", "south", "harbour", "market"], ["bread", "coal", "salt", "wool"]
    pairs = []
    for number in range(60):
        place, thing = word(places), word(things)
        text = (
            f"Traders met at the {place} gate on day {number}. The {place} gate was crowded by"
            f" traders. Many carts stood there. The price of {thing} rose by {number} coins."
        )
        pairs.append((text, f"The price of {thing} rose by {number} coins."))
    model = tuned(pairs[:50], epochs=5)[-1]
    assert model.learner.kind == "extractor"
    assert accuracy(model, pairs[50:]) == 1
    save(model, tmp_path / "m.npz")
    assert accuracy(load(tmp_path / "m.npz"), pairs[50:]) == 1


def test_the_learner_suits_the_data() -> None:
    repeated = [Example(f"text {n}", ["yes", "no"][n % 2]) for n in range(20)]
    free = [Example(f"text {n}", f"answer number {n}") for n in range(20)]
    assert choose_kind(repeated) == "classifier"
    assert choose_kind(free) == "neighbours"


@pytest.mark.parametrize("answer", ["yes", "yes and no"])
def test_a_single_class_or_example_is_no_error(answer: str) -> None:
    for count in (1, 20):
        model = tuned([(f"text {n}", answer) for n in range(count)])[-1]
        assert model.answer(SYSTEM, [Turn("user", "text 3")]) == answer


def test_the_frame_is_what_all_prompts_share() -> None:
    frame = PromptFrame.learn(
        [f"Fixed line.\n\nQuestion: what is {n}? Answer now." for n in ("one", "two", "three")]
    )
    assert frame.own_part("Fixed line.\n\nQuestion: what is four? Answer now.") == "what is four?"
    assert frame.own_part("Another form: four") == "Another form: four"


def test_an_answer_takes_less_than_two_milliseconds(checkpoints: Any, questions: Any) -> None:
    sample = [[Turn("user", q)] for q, _ in questions[1]]
    times = []
    for turns in sample:
        started = time.thread_time()
        checkpoints[-1].answer(SYSTEM, turns)
        times.append(time.thread_time() - started)
    assert sorted(times)[len(times) // 2] < 0.002
