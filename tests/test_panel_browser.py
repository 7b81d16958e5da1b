"""The voting page in a real browser: rows by keyboard, a reload in the middle, a new server, the tally."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import panel_folders
from translate.panel.page import Ballot, serving
from translate.panel.rows import Panel
from translate.panel.votes import Vote, read_votes

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytest.importorskip("scipy", reason="the extra evaluate is not installed")

ROWS = 20
KEYS = {"L": "ArrowLeft", "R": "ArrowRight", "T": "ArrowDown"}


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    return Panel.open(tmp_path / "votes", *panel_folders(tmp_path, ROWS))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "votes" / "votes-me.csv"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; at the end no script may have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    context.close()
    assert not failed


def stands_at(page: Any, row: int) -> None:
    page.get_by_text(f"Row {row} of {ROWS}").wait_for()


def vote(page: Any, row: int, given: Vote) -> None:
    stands_at(page, row)
    page.keyboard.press(KEYS[given.vote])
    for grade in (given.left, given.right):
        if grade is not None:
            page.keyboard.press(str(grade))
    if given.left is None:
        page.keyboard.press("Enter")


def plan(panel: Panel) -> dict[int, Vote]:
    """A is preferred on 13 rows, B on 5, 2 ties; A has grade 4, B grade 3; the last row has no grades."""
    votes = {}
    for number, row in enumerate(panel.rows, 1):
        own, other = ("L", "R") if row.a_is == "left" else ("R", "L")
        said: Any = own if number <= 13 else other if number <= 18 else "T"
        grades = ((4, 3) if row.a_is == "left" else (3, 4)) if number < ROWS else ()
        votes[number] = Vote(said, *grades)
    return votes


def test_twenty_rows_by_keyboard_with_a_reload_and_a_new_server(page: Any, panel: Panel, file: Path) -> None:
    wanted = plan(panel)
    with serving(Ballot(panel, file)) as address:
        page.goto(address)
        for row in range(1, 9):
            vote(page, row, wanted[row])
        stands_at(page, 9)
        page.keyboard.press("ArrowLeft")  # half a row, which a reload forgets
        page.reload()
        stands_at(page, 9)
        assert page.locator("figure.chosen").count() == 0
        for row in range(9, 13):
            vote(page, row, wanted[row])
        stands_at(page, 13)
    with serving(Ballot(panel, file)) as address:
        page.goto(address)
        for row in range(13, ROWS + 1):
            vote(page, row, wanted[row])
        tally = page.locator("#tally")
        tally.wait_for()
        told = tally.inner_text()
    assert read_votes(file, ROWS) == wanted
    assert "A: first results" in told and "B: second results" in told
    assert "A 13 votes, B 5, ties 2" in told
    assert "13 of 18 decided pictures, 72% (95 %: 49% to 88%); sign test p = 0.096" in told
    assert "A 4.00, B 3.00" in told


def test_the_pictures_are_those_of_the_row_and_a_slip_can_be_mended(page: Any, panel: Panel, file: Path) -> None:
    color = """place => {
        const image = document.querySelector(`#${place} img`), draw = new OffscreenCanvas(1, 1).getContext("2d");
        draw.drawImage(image, 0, 0, 1, 1);
        return [...draw.getImageData(0, 0, 1, 1).data];
    }"""
    with serving(Ballot(panel, file)) as address:
        page.goto(address)
        stands_at(page, 1)
        page.wait_for_function("[...document.querySelectorAll('figure img')].every(i => i.complete && i.naturalWidth)")
        seen = [page.evaluate(color, place)[:3] for place in ("left", "source", "right")]
        red, green, blue = [180, 0, 0], [0, 180, 0], [0, 0, 180]
        assert seen == ([red, green, blue] if panel.rows[0].a_is == "left" else [blue, green, red])
        vote(page, 1, Vote("L"))
        stands_at(page, 2)
        page.keyboard.press("Backspace")
        stands_at(page, 1)
        page.get_by_text("You voted here before (L)").wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("1")
        page.keyboard.press("Backspace")  # the grade
        page.keyboard.press("2")
        page.keyboard.press("5")
        stands_at(page, 2)
        page.keyboard.press("7")  # no grade, and there is no vote yet
        page.locator("#left").click()
        page.keyboard.press("Enter")
        stands_at(page, 3)
    assert read_votes(file, ROWS) == {1: Vote("R", 2, 5), 2: Vote("L")}


def test_a_vote_that_cannot_be_saved_is_said_and_given_again(page: Any, panel: Panel, file: Path) -> None:
    with serving(Ballot(panel, file)) as address:
        page.goto(address)
        stands_at(page, 1)
        port = int(address.rsplit(":", 1)[1].strip("/"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.get_by_text("Not saved").wait_for()
    with serving(Ballot(panel, file), port):
        page.keyboard.press("Enter")
        stands_at(page, 2)
        assert page.locator("#trouble").inner_text() == ""
    assert read_votes(file, ROWS) == {1: Vote("L")}
