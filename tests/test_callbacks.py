"""What the page's callbacks answer, called as functions: no server, no browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

import app
from translate.web.controls import Settings
from translate.web.folder_tab import FolderTab
from translate.web.gallery import direction_card
from translate.web.inputs import Page
from translate.web.photo_tab import NO_EXAMPLE, PhotoTab
from translate.web.service import TranslationService
from translate.web.style_tab import StyleTab


def asked(session: str = "me", **query: str) -> Any:
    return SimpleNamespace(session_hash=session, query_params=query)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    words: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda message, **_: words.append(message))
    return words


@pytest.fixture
def service(tiny_model: Path, tmp_path: Path) -> TranslationService:
    return TranslationService([str(tiny_model)], tmp_path / "results")


@pytest.fixture
def page() -> Iterator[Page]:
    with Page() as page:
        yield page


@pytest.fixture
def tab(service: TranslationService, page: Page) -> PhotoTab:
    cards = {name: direction_card(service, t, app.SAMPLES) for name, t in service.translators.items()}
    return PhotoTab(service, cards, gr.Radio(list(cards)))


def test_a_photo_is_followed_from_the_press_of_the_button_to_the_last_step(tab, photo):
    updates = list(tab.translate(str(photo), "tiny", 1.0, "", 0, False, asked()))
    view, buttons = tab.view, tab.buttons
    assert updates[0][buttons.start]["interactive"] is False and updates[-1] == buttons.idle
    assert updates[-2][view.says].startswith("**Done: 7 steps.**")
    step = updates[-2][view.step]
    assert (step.maximum, step.value) == (7, 7)
    before, after = updates[-2][view.screen]
    assert before.size == after.size and before.tobytes() != after.tobytes()
    back = view.scrub(0, asked())
    assert back[view.screen][1].tobytes() == before.tobytes()
    with pytest.raises(gr.Error, match="no finished walk"):
        view.scrub(0, asked("somebody else"))


def test_an_example_gives_way_to_a_chain(tab, photo):
    assert tab.show_example("tiny", asked())[tab.view.says] == NO_EXAMPLE  # it has no samples
    list(tab.translate(str(photo), "tiny", 1.0, "", 0, False, asked()))
    assert tab.view.says not in tab.show_example("tiny", asked())
    chosen = tab.choose("tiny", str(photo))
    assert tab.photo not in chosen and chosen[tab.settings.strength] == 1.0  # one's own photo stays
    assert chosen[tab.settings.fast] == gr.update(value=False, interactive=False), "it has no student"


def test_strength_size_and_seed_reach_the_chain(tab, photo):
    list(tab.translate(str(photo), "tiny", 0.5, "64", 3, False, asked()))
    made = tab.service.trajectory("me/photo").provenance(4)
    assert (made["strength"], made["size"], made["seed"]) == (0.5, 64, 3)


def test_one_pass_is_offered_where_there_is_a_student(tab, photo, model_files, tmp_path):
    updates = list(tab.translate(str(photo), "tiny", 1.0, "", 0, True, asked()))
    assert "has no student" in updates[-2][tab.view.warns]
    service = TranslationService([str(model_files["votes"])], tmp_path / "others")
    cards = {name: direction_card(service, t, app.SAMPLES) for name, t in service.translators.items()}
    with Page():
        taught = PhotoTab(service, cards, gr.Radio(list(cards)))
        assert taught.choose("votes", None)[taught.settings.fast] == gr.update(interactive=True)
        updates = list(taught.translate(str(photo), "votes", 1.0, "", 0, True, asked()))
    assert updates[-2][taught.view.says].startswith("**Done: 1 step.**")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((None, 1.0, "", 0), "Choose a photo first."),
        (("photo", 3.0, "", 0), "strength must lie"),
        (("photo", 1.0, "192", 0), "size must lie between"),
        (("photo", None, "", 0), "Strength, size and seed are numbers."),
        (("photo", 1.0, "x", 0), "Strength, size and seed are numbers."),
        (("photo", 1.0, "", -1), "seed must be 0 or more"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_button_comes_back(tab, photo, values, words):
    path, *settings = values
    updates = list(tab.translate(path and str(photo), "tiny", *settings, False, asked()))
    assert words in updates[-2][tab.view.warns] and updates[-1] == tab.buttons.idle


def test_a_link_sets_the_controls(tab, warned):
    settings = tab.settings
    query = {"direction": "tiny", "strength": "1.5", "size": "64", "seed": "7", "fast": "true", "photo": "x.jpg"}
    updates = tab.open_link(asked(**query))
    wanted = {tab.direction: "tiny", settings.strength: 1.5, settings.size: "64", settings.seed: 7, settings.fast: True}
    assert {key: updates[key] for key in wanted} == wanted and not warned
    assert tab.photo not in updates
    assert list(tab.open_link(asked())) == [tab.direction]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"direction": "<script>"}, "direction"),
        ({"strength": "nan", "seed": "5"}, "strength"),
        ({"strength": "1e9"}, "strength"),
        ({"size": "100000", "seed": "-1"}, "seed or size"),
        ({"seed": "1" * 5000}, "seed"),
        ({"fast": "very"}, "fast"),
    ],
)
def test_what_a_link_cannot_ask_for_is_said_and_left_as_it_is(tab, warned, query, words):
    updates = tab.open_link(asked(**query))
    assert warned == [f"This page has no such {words} as the link asks for."]
    left = {"direction": tab.direction, "strength": tab.settings.strength, "size": tab.settings.size}
    for name in set(left) & set(words.split(" or ")):
        assert updates.get(left[name], gr.skip()) == gr.skip()
    assert (tab.settings.seed in updates) == (query.get("seed") == "5")


def test_several_photos_take_the_settings_too(service, page, photo, tmp_path):
    direction = gr.Radio(["tiny"])
    tab = FolderTab(service, direction, Settings(direction, 1.0, fast=False))
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    updates = list(tab.translate_all([str(photo), str(bad)], "tiny", 0.5, "", 0, False, asked()))
    assert "1 of 2 photos are done." in updates[-2][tab.says] and "bad.jpg: " in updates[-2][tab.says]
    updates = list(tab.translate_all([str(photo)], "tiny", 9.0, "", 0, False, asked()))
    assert "strength must lie" in updates[-2][tab.says] and updates[-1] == tab.buttons.idle


def test_paintings_that_cannot_be_used_do_not_stay(service, page, photo, tmp_path, warned):
    tab = StyleTab(service, None)
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    assert tab.look_at_paintings([str(bad)]) is None
    assert len(warned) == 1 and warned[0].startswith("bad.jpg: ")
    updates = list(tab.translate(None, [str(photo)], 1.0, asked()))
    assert updates[-2][tab.view.warns] == "Choose a photo first."
    updates = list(tab.translate(str(photo), None, 1.0, asked()))
    assert updates[-2][tab.view.warns] == "Choose between 1 and 6 paintings."
