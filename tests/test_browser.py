"""The web page as people meet it: a real browser on a real server with the shipped models."""

from __future__ import annotations

import importlib.util
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image, ImageChops, ImageStat

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

import app
from models import registry
from models.train.style import style_schedule
from tests.helpers.weights import more_weights
from translate.pipeline import Translator
from translate.web import styles

SAMPLES = Path(__file__).parent.parent / "samples"
PATIENCE = 30_000  # ms: the machine may be busy; nothing here waits that long on one that is not


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("served")))
        page, options = app.build(["apple2orange", "orange2apple"])
        _, address, _ = page.launch(prevent_thread_lock=True, **options)
        yield address
        page.close()


@pytest.fixture(scope="module")
def five(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page as it is when more directions ship; beside the other one, whose folder for uploads it shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "SHIPPED", more_weights(tmp_path_factory.mktemp("weights")))
        page, options = app.build()
        _, address, _ = page.launch(prevent_thread_lock=True, **options)
        yield address
        page.close()


@pytest.fixture
def open_page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Opens the page, ready for use; at the end nothing may have been asked of anybody else, and no script failed."""
    contexts, foreign, failed = [], [], []

    if "five" in request.fixturenames:
        address = request.getfixturevalue("five")

    def open_page(width: int = 1280, height: int = 900, theme: str = "light", query: str = "") -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        local = (address, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(local) else foreign.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(address + query)
        page.get_by_role("button", name="Translate", exact=True).wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not foreign
    assert not failed


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Chains of several seconds, and what they are doing."""
    state: dict[str, Any] = {"running": False, "steps": 0}
    frames = Translator.frames

    def slowly(*arguments: Any, **settings: Any) -> Iterator[Any]:
        state["running"] = True
        try:
            for frame in frames(*arguments, **settings):
                state["steps"] += 1
                time.sleep(0.15)
                yield frame
        finally:
            state["running"] = False

    monkeypatch.setattr(Translator, "frames", slowly)
    return state


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def take_example(page: Any, number: int = 1) -> None:
    page.locator("#examples button").nth(number).click()
    page.locator("#photo-photo img").wait_for()


def said(page: Any, words: str) -> str:
    line = page.locator("#says-photo", has_text=words)
    line.wait_for()
    return str(line.inner_text())


def shown(page: Any) -> list[str]:
    """Addresses of the two pictures, before and after."""
    return [image.get_attribute("src") for image in page.locator("#screen-photo img").all()]


def difference(first: Path | bytes, second: Image.Image) -> float:
    with Image.open(first) as picture:
        return float(sum(ImageStat.Stat(ImageChops.difference(picture.convert("RGB"), second)).mean) / 3)


def test_an_example_turns_before_ones_eyes_and_can_be_kept(open_page, tmp_path):
    page = open_page()
    take_example(page, 1)
    press(page, "Translate")
    direction = Translator.load("apple2orange")
    steps = direction.check()
    said(page, f"of {steps}")
    assert f"{steps} steps" in said(page, "Done")
    boxes = [image.bounding_box() for image in page.locator("#screen-photo img").all()]
    assert len(boxes) == 2
    for side in ("y", "height"):  # the halves of the before-and-after view lie over each other
        assert boxes[0][side] == pytest.approx(boxes[1][side], abs=1.5)
    assert page.locator("#energies-photo svg polyline").count() == len(direction.config.schedule.levels)
    assert page.locator("#changed-photo img").count() == 1
    assert not page.locator("#warns-photo").is_visible()

    with page.expect_download() as download:
        press(page, "Save picture")
    kept = tmp_path / download.value.suggested_filename
    download.value.save_as(kept)
    assert kept.name == "apples_on_table-apple2orange.jpg"
    with Image.open(SAMPLES / "apples_on_table.jpg") as source:
        assert difference(kept, source.convert("RGB")) > 5
    with page.expect_download() as download:
        press(page, "Save animation")
    download.value.save_as(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames > 8  # type: ignore[attr-defined]


def test_any_step_can_be_had_again_by_keyboard_without_computing(open_page, monkeypatch, tmp_path):
    page = open_page()
    take_example(page, 0)
    press(page, "Translate")
    said(page, "Done")
    last = shown(page)
    monkeypatch.setattr(Translator, "frames", None)  # nothing may run from here on
    page.locator("#step-photo input[type=range]").focus()
    page.keyboard.press("Home")
    page.wait_for_function("last => document.querySelectorAll('#screen-photo img')[1].src != last", arg=last[1])
    assert shown(page)[0] == shown(page)[1]  # step 0 is the photo
    assert page.locator("#energies-photo circle").count() == 0
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "() => { const [a, b] = document.querySelectorAll('#screen-photo img'); return a.src != b.src }"
    )
    page.locator("#energies-photo circle").wait_for()
    with page.expect_download() as download:
        press(page, "Save picture")
    download.value.save_as(tmp_path / "step.jpg")
    with Image.open(SAMPLES / "apple_on_white.jpg") as source:
        assert difference(tmp_path / "step.jpg", source.convert("RGB")) > 0


def test_stop_stops_at_once_and_keeps_the_steps_so_far(open_page, slow):
    page = open_page()
    take_example(page)
    press(page, "Translate")
    said(page, "Step")
    begin = time.monotonic()
    press(page, "Stop")
    words = said(page, "Stopped at step")
    assert time.monotonic() - begin < 3
    step = int(words.split("step ")[1].split()[0])
    assert 0 < step < Translator.load("apple2orange").check() and slow["steps"] == step
    assert page.locator("#step-photo input[type=range]").get_attribute("max") == str(step)
    page.get_by_role("button", name="Translate", exact=True).locator("visible=true").click(trial=True)


def test_a_closed_page_ends_its_work(open_page, slow):
    page = open_page()
    take_example(page)
    press(page, "Translate")
    said(page, "Step")
    page.close()
    begin = time.monotonic()
    while slow["running"] and time.monotonic() - begin < 10:
        time.sleep(0.02)
    assert time.monotonic() - begin < 2  # 1 s, and some for a busy machine


def test_what_is_no_picture_gets_a_sentence_and_the_page_goes_on(open_page, tmp_path):
    bad = tmp_path / "holiday.jpg"
    bad.write_text("This is no picture.")
    page = open_page()
    page.locator("#photo-photo input[type=file]").set_input_files(bad)
    page.get_by_text("holiday.jpg: this is not a picture we can read (text file?)").wait_for()
    page.get_by_text("Drop a photo here").wait_for()  # it has not stayed
    press(page, "Translate")
    page.locator("#warns-photo", has_text="Choose a photo first.").wait_for()
    assert not page.locator("#step-photo").is_visible()
    take_example(page)
    press(page, "Translate")
    said(page, "Step")


def test_a_photo_that_browsers_cannot_show_is_translated_all_the_same(open_page, tmp_path):
    with Image.open(SAMPLES / "apples_on_table.jpg") as picture:
        picture.save(tmp_path / "scan.tif")
    page = open_page()
    page.locator("#photo-photo input[type=file]").set_input_files(tmp_path / "scan.tif")
    page.locator("#photo-photo img").wait_for(state="attached")
    press(page, "Translate")
    said(page, "Done")


def test_a_photo_of_another_kind_gets_a_word_of_advice(open_page):
    page = open_page()
    page.locator("#photo-photo input[type=file]").set_input_files(SAMPLES / "oranges_pile.jpg")
    page.locator("#photo-photo img").wait_for()
    press(page, "Translate")
    page.get_by_text("This does not look like apples: expect little.").wait_for()


def test_a_direction_shows_its_own_examples_and_what_it_does(open_page):
    page = open_page()
    first = shown(page)
    assert page.locator("#examples button:visible").count() == 3
    take_example(page, 0)
    page.get_by_label("Oranges → apples").check()
    page.get_by_text("Drop a photo here").wait_for()  # an apple is of no use any more
    page.wait_for_function("first => document.querySelectorAll('#screen-photo img')[1].src != first", arg=first[1])
    assert page.locator("#examples button:visible").count() == 3
    page.locator("#photo-photo input[type=file]").set_input_files(SAMPLES / "oranges_pile.jpg", timeout=PATIENCE)
    page.locator("#photo-photo img").wait_for()
    press(page, "Translate")
    said(page, "Done")
    mine = shown(page)
    page.get_by_label("Apples → oranges").check()
    page.wait_for_timeout(1000)
    assert shown(page) == mine  # one's own result stays


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)], ids=["phone", "desk"])
def test_there_is_room_for_five_directions_with_examples_and_without(open_page, five, width, height):
    page = open_page(width, height)
    cards = page.locator("#direction label")
    assert cards.count() == 5
    boxes = [card.bounding_box() for card in cards.all()]
    assert all(box["width"] > 160 and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert boxes[-1]["y"] + boxes[-1]["height"] < height / 2
    page.get_by_label("Wolves → cats").check()
    said(page, "Drop a photo")
    page.locator("#screen-photo").wait_for(state="hidden")
    assert not page.locator("#examples").is_visible()
    page.get_by_label("Photos → Van Gogh").check()
    said(page, "An example")
    page.locator("#examples button:visible").first.click()
    page.locator("#photo-photo img").wait_for()
    press(page, "Translate")
    said(page, "Done")
    assert not page.locator("#warns-photo").is_visible()  # a model without a probe cannot tell


def test_several_photos_give_a_gallery_and_a_zip(open_page, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG and no more")
    page = open_page()
    page.get_by_role("tab", name="Several photos", exact=True).first.click()
    photos = [SAMPLES / "apple_on_white.jpg", bad, SAMPLES / "apples_on_table.jpg"]
    page.locator("#photos input[type=file]").set_input_files(photos)
    page.get_by_text("apples_on_table").first.wait_for()
    press(page, "Translate all")
    page.locator("#says-folder", has_text="2 of 3 photos are done").wait_for()
    page.locator("#says-folder", has_text="bad.png: the file is damaged").wait_for()
    page.locator("#archive").wait_for()
    assert page.locator("#gallery img").count() == 2
    with page.expect_download() as download:
        page.locator("#archive").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = ["01-apple_on_white-apple2orange.jpg", "02-apples_on_table-apple2orange.jpg"]
        assert archive.namelist() == names and archive.testzip() is None


def test_a_phone_shows_all_of_it_and_fingers_hit_it(open_page):
    page = open_page(390, 844)
    take_example(page)
    press(page, "Translate")
    said(page, "Done")
    page.locator("#energies-photo svg").wait_for()
    page.locator("#changed-photo img").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in ("One photo", "Several photos", "Your style"):  # not behind three dots
        assert page.get_by_role("tab", name=tab, exact=True).is_visible()
    for name in ("Translate", "Save picture", "Save animation"):
        box = page.get_by_role("button", name=name, exact=True).locator("visible=true").bounding_box()
        assert box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= 390
    for part in ("#screen-photo", "#changed-photo", "#energies-photo"):
        assert page.locator(part).bounding_box()["width"] > 300


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 640)], ids=["phone", "laptop"])
def test_the_buttons_and_what_they_do_are_in_sight_together(open_page, slow, width, height):
    page = open_page(width, height)

    def in_sight(part: Any) -> bool:
        box = part.locator("visible=true").first.bounding_box()
        return box["y"] >= 0 and box["y"] + box["height"] <= height

    assert in_sight(page.get_by_role("button", name="Translate", exact=True))
    take_example(page)
    press(page, "Translate")
    said(page, "Step")
    page.wait_for_timeout(500)  # it may be scrolling
    assert in_sight(page.get_by_role("button", name="Stop", exact=True))
    assert in_sight(page.locator("#says-photo"))
    assert page.locator("#screen-photo").bounding_box()["y"] < height * 0.7


def test_the_page_is_light_or_dark_as_its_visitor_likes(open_page):
    grounds = {}
    for theme in ("light", "dark"):
        ground = open_page(theme=theme).evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        grounds[theme] = [int(level) for level in ground[:3]]
    assert min(grounds["light"]) > 200 and max(grounds["dark"]) < 60


def test_the_keyboard_alone_will_do(open_page):
    page = open_page()
    page.get_by_label("Apples → oranges").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.get_by_label("Oranges → apples").is_checked()
    page.locator("#examples button").nth(3).focus()
    page.keyboard.press("Enter")
    page.locator("#photo-photo img").wait_for()
    page.get_by_role("button", name="Translate", exact=True).locator("visible=true").focus()
    page.keyboard.press("Enter")
    said(page, "Step")


def test_the_focus_can_be_seen_wherever_it_is(open_page):
    page = open_page()
    drawn = """() => {
        const seen = (element) => element && getComputedStyle(element).outlineStyle != "none";
        const focused = document.activeElement;
        return focused == document.body || seen(focused) || seen(focused.closest("label"));
    }"""
    for _ in range(16):
        page.keyboard.press("Tab")
        assert page.evaluate(drawn), page.evaluate("document.activeElement.outerHTML")


def told(page: Any) -> tuple[list[str], bool]:
    """What Chromium tells assistive technology: the names of all controls, and whether news are read out."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    roles = {"button", "radio", "slider", "spinbutton", "combobox", "tab", "textbox"}
    names = [node["name"]["value"].strip() for node in shown if node["role"]["value"] in roles]
    properties = [(p["name"], p["value"].get("value")) for node in shown for p in node.get("properties", ())]
    return names, ("live", "polite") in properties


def test_every_control_has_a_name_and_news_are_read_out(open_page, slow):
    page = open_page()
    take_example(page)
    press(page, "Translate")
    said(page, "Step")
    press(page, "Stop")
    page.locator("#changed-photo img").wait_for()
    page.get_by_text("More settings").click()
    for tab in ("One photo", "Several photos", "Your style"):
        page.get_by_role("tab", name=tab, exact=True).first.click()
        page.get_by_role("button", name="Stop").first.wait_for(state="hidden")
        controls, live = told(page)
        assert len(controls) >= 8 and "" not in controls and live
    pictures = [page.locator(f"#{part}-photo img") for part in ("screen", "changed")]
    assert [image.get_attribute("alt") for images in pictures for image in images.all()] == [
        "Before", "After", "What changed",
    ]  # fmt: skip


def test_a_link_carries_the_settings_and_nothing_of_the_photo(open_page):
    page = open_page(query="?direction=orange2apple&strength=0.6&size=64&seed=7&photo=x.jpg")
    page.wait_for_function("document.querySelector('#strength-photo input[type=range]').value == '0.6'")
    assert page.get_by_label("Oranges → apples").is_checked()
    page.locator("#examples button:visible").first.click()
    page.locator("#photo-photo img").wait_for()
    page.get_by_text("More settings").click()
    page.locator("#seed input").fill("8")
    page.locator("#seed input").press("Tab")
    press(page, "Copy a link to these settings")
    page.locator("#shared p").wait_for()
    wanted = {"direction": ["orange2apple"], "strength": ["0.6"], "size": ["64"], "seed": ["8"]}
    assert parse_qs(urlsplit(page.url).query) == wanted
    again = open_page(query="?" + urlsplit(page.url).query)
    again.wait_for_function("document.querySelector('#strength-photo input[type=range]').value == '0.6'")
    again.get_by_text("More settings").click()
    assert again.locator("#seed input").input_value() == "8"
    assert again.locator("#photo-photo img").count() == 0


def test_a_style_of_ones_own_is_fitted_seen_and_taken_away(open_page, monkeypatch, tmp_path):
    monkeypatch.setattr(styles, "style_schedule", lambda: style_schedule().up_to(64))  # a short chain
    Image.effect_mandelbrot((200, 160), (-2, -1, 1, 1), 30).save(tmp_path / "fractal.png")
    page = open_page()
    page.get_by_role("tab", name="Your style", exact=True).first.click()
    assert not page.locator("#direction").is_visible()  # a style takes any photo
    press(page, "Paint my photo")
    page.locator("#warns-style", has_text="Choose").wait_for()
    page.locator("#paintings input[type=file]").set_input_files(tmp_path / "fractal.png")
    page.get_by_text("fractal").first.wait_for()
    assert "" not in told(page)[0]
    page.locator("#photo-style input[type=file]").set_input_files(SAMPLES / "apples_on_table.jpg")
    page.locator("#photo-style img").wait_for()
    press(page, "Paint my photo")
    page.locator("#says-style", has_text="Done: 5 steps").wait_for()
    with page.expect_download() as download:
        press(page, "Save the style (model file)")
    download.value.save_as(tmp_path / download.value.suggested_filename)
    style = Translator.load(tmp_path / "fractal-style.safetensors")
    assert style.check() == 5 and style.config.trained == {"paintings": 1}
    page.get_by_role("tab", name="One photo", exact=True).first.click()
    assert not page.locator("#step-photo").is_visible()  # the results of one tab are not those of another


def test_a_name_of_any_script_is_kept(open_page, tmp_path):
    page = open_page()
    Image.open(SAMPLES / "apples_on_table.jpg").save(tmp_path / "写真 é.png")
    page.locator("#photo-photo input[type=file]").set_input_files(tmp_path / "写真 é.png")
    page.locator("#photo-photo img").wait_for()
    press(page, "Translate")
    said(page, "Done")
    with page.expect_download() as download:
        press(page, "Save picture")
    assert download.value.suggested_filename == "写真_é-apple2orange.png"


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="HEIC can be read here")
def test_a_heic_photo_gets_a_sentence_for_visitors(open_page):
    page = open_page()
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)
    photo = {"name": "IMG_0001.HEIC", "mimeType": "image/heic", "buffer": content}  # as systems name it that know it
    page.locator("#photo-photo input[type=file]").set_input_files(photo)
    page.get_by_text("HEIC photos cannot be read here; save it as JPEG").wait_for()
    assert page.get_by_text("pip install").count() == 0
