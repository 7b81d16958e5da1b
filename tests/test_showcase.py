"""What the page shows of each direction, for those that ship and for those to come."""

from __future__ import annotations

import shutil

import pytest

import app
from models import registry
from tests.helpers.weights import more_weights
from translate.web.gallery import DirectionCard, direction_card, kind, side_by_side
from translate.web.service import TranslationService


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DirectionCard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "SHIPPED", more_weights(tmp_path_factory.mktemp("weights")))
        service = TranslationService(side_by_side(registry.shipped()), tmp_path_factory.mktemp("results"))
        assert service.advice(app.SAMPLES / "orange_on_white.jpg", "photo2vangogh") == ""  # it has no probe
        assert service.advice(app.SAMPLES / "orange_on_white.jpg", "apple2orange") != ""
        return {name: direction_card(service, t, app.SAMPLES) for name, t in service.translators.items()}


def test_weights_in_the_folder_are_all_that_a_direction_needs(exhibits):
    labels = ["Apples → oranges", "Oranges → apples", "Cats → dogs", "Wolves → cats", "Photos → Van Gogh"]
    assert [shown.label for shown in exhibits.values()] == labels


def test_examples_are_the_samples_or_none(exhibits):
    assert [path.name[:6] for path in exhibits["apple2orange"].examples] == ["apple_", "apples", "apples"]
    assert len(exhibits["orange2apple"].examples) == 3
    assert [path.stem for path in exhibits["photo2vangogh"].examples] == ["photo_mountains", "photo_pavilion"]
    assert [path.stem for path in exhibits["cat2dog"].examples] == ["cat_chelsea"]
    assert exhibits["dog2cat"].examples == () and exhibits["dog2cat"].shown is None


def test_a_card_has_a_picture_of_before_and_after_or_signs_for_both(exhibits):
    for name, shown in exhibits.items():
        assert shown.card.startswith('content: "→🐱"' if name == "dog2cat" else "background-image: url(data:")
    before, after = exhibits["apple2orange"].shown or pytest.fail("there is an example")
    assert before.size == after.size == (720, 480)
    assert before.getpixel((200, 300)) != after.getpixel((200, 300))


def test_without_samples_a_direction_is_there_all_the_same(tmp_path):
    service = TranslationService(["apple2orange"], tmp_path)
    shown = direction_card(service, service.translators["apple2orange"], tmp_path)
    assert shown.examples == () and shown.shown is None and shown.card == 'content: "🍎→🍊" / ""'


def test_an_example_that_does_not_look_like_the_source_is_none(tmp_path):
    shutil.copy(app.SAMPLES / "orange_on_white.jpg", tmp_path / "apple_of_sorts.jpg")
    service = TranslationService(["apple2orange"], tmp_path)
    assert direction_card(service, service.translators["apple2orange"], tmp_path).examples == ()


def test_opposite_directions_stand_side_by_side():
    names = ["apple2orange", "cat2dog", "dog2cat", "mine", "orange2apple"]
    assert side_by_side(names) == ["apple2orange", "orange2apple", "cat2dog", "dog2cat", "mine"]


@pytest.mark.parametrize(
    ("domain", "of"), [("Apples", "apple"), ("Van Gogh paintings", "van gogh"), ("../../x", ""), ("", "")]
)
def test_the_kind_of_a_domain_is_one_that_is_known(domain, of):
    assert kind(domain) == of
