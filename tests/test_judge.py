"""Whether a photo looks like what a direction starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.checkpoint import digest
from models.zoo import locate, shipped
from translate.judge import Judge, readings
from translate.pictures import open_picture

SAMPLES = Path(__file__).parent.parent / "samples"


def judge_of(name: str) -> Judge:
    judge = Judge.load(name, digest(locate(name)))
    assert judge is not None
    return judge


@pytest.mark.parametrize("name", sorted(readings()))
def test_a_judge_was_fitted_to_the_weights_that_are_shipped(name):
    at_hand = {other: digest(locate(other)) for other in readings()[name].digests if other in shipped()}
    assert readings()[name].digests == at_hand, "the weights have changed: run python -m benchmarks.judge"


def test_other_weights_have_no_judge():
    assert Judge.load("apple2orange", "0" * 12) is None
    assert Judge.load("tiny", "0" * 12) is None


@pytest.mark.parametrize("name", ["apple2orange", "orange2apple"])
def test_the_fruit_samples_are_told_apart(name):
    judge = judge_of(name)
    for path in [*SAMPLES.glob("apple*.jpg"), *SAMPLES.glob("orange*.jpg")]:
        assert judge.accepts(open_picture(path).rgb) == path.name.startswith(name.partition("2")[0]), path.name


@pytest.mark.parametrize("name", ["apple2orange", "orange2apple"])
def test_most_pictures_of_the_source_pass_and_most_others_do_not(name, apples2oranges):
    judge = judge_of(name)
    own, other = ("testA", "testB") if name == "apple2orange" else ("testB", "testA")

    def passed(folder: Path) -> float:
        paths = sorted(folder.glob("*.jpg"))[::6]
        return sum(judge.accepts(open_picture(path).rgb) for path in paths) / len(paths)

    assert passed(apples2oranges / own) > 0.8
    assert passed(apples2oranges / other) < 0.5
    assert passed(apples2oranges.parent / "cat2dog" / "testA") < 0.25
