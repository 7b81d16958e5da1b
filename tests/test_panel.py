"""The blind panel: rows, key, votes, tally, sheets, the page's server, the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers import panel_folders
from translate.panel.page import Ballot, serving
from translate.panel.rows import KEY, Panel
from translate.panel.sheets import write_sheets
from translate.panel.votes import Vote, read_votes, votes_file, write_votes

ROOT = Path(__file__).parents[1]
pytest.importorskip("scipy", reason="the extra evaluate is not installed")
from translate.panel.tally import tally, tally_folder  # noqa: E402


def run(*arguments: object) -> Result:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return runner.invoke(app, ["panel", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    return panel_folders(tmp_path, 9)


def for_a(panel: Panel, row: int) -> Vote:
    return Vote("L" if panel.rows[row - 1].a_is == "left" else "R")


def for_b(panel: Panel, row: int) -> Vote:
    return Vote("R" if panel.rows[row - 1].a_is == "left" else "L")


# --- rows and key


def test_rows_hide_order_and_sides_and_are_the_same_for_one_seed(folders: tuple[Path, Path, Path]) -> None:
    a, b, sources = folders
    panel = Panel.draw(a, b, sources)
    names = [row.name for row in panel.rows]
    assert sorted(names) == sorted(path.stem for path in sources.iterdir()) and names != sorted(names)
    assert [row.a_is for row in panel.rows].count("left") in (4, 5), "each folder as often on either side"
    assert Panel.draw(a, b, sources) == panel
    assert Panel.draw(a, b, sources, seed=1) != panel
    assert len(Panel.draw(a, b, sources, most=4).rows) == 4


def test_files_stand_on_the_side_that_the_key_says(folders: tuple[Path, Path, Path]) -> None:
    a, b, sources = folders
    panel = Panel.draw(a, b, sources)
    for row, (left, source, right) in zip(panel.rows, panel.files(), strict=True):
        assert source.parent == sources.resolve()
        assert (left if row.a_is == "left" else right).parent == a.resolve()
        assert (right if row.a_is == "left" else left).parent == b.resolve()
        assert {path.stem.partition("-")[0] for path in (left, source, right)} == {row.name}


def test_a_folder_holds_one_panel(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, sources = folders
    first = Panel.open(tmp_path / "votes", a, b, sources)
    assert Panel.open(tmp_path / "votes", a, b, sources, seed=5) == first, (
        "a second call goes on with the first one's rows"
    )
    with pytest.raises(ValueError, match="already holds a panel on other folders"):
        Panel.open(tmp_path / "votes", b, a, sources)
    (tmp_path / "votes" / KEY).write_text("{}")
    with pytest.raises(ValueError, match="is not the key of a panel"):
        Panel.load(tmp_path / "votes")


def test_broken_pictures_are_left_out_with_a_sentence(folders: tuple[Path, Path, Path]) -> None:
    a, b, sources = folders
    (a / "3.png").write_bytes(b"not a picture")
    said: list[str] = []
    panel = Panel.draw(a, b, sources, say=said.append)
    assert len(panel.rows) == 8
    assert len(said) == 1 and said[0].startswith("3.png") and said[0].endswith("its row is left out")


# --- votes


def test_votes_are_read_back(tmp_path: Path) -> None:
    votes = {1: Vote("L", 4, 2), 3: Vote("T")}
    write_votes(tmp_path / "votes-me.csv", votes, 4)
    assert read_votes(tmp_path / "votes-me.csv", 4) == votes
    told = [{"row": 1, "vote": "left", "left": 4, "right": 2}, {"row": 3, "vote": "T"}]
    (tmp_path / "votes.json").write_text(json.dumps(told))
    assert read_votes(tmp_path / "votes.json", 4) == votes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,vote,left,right\n9,L,,\n", "vote 1: there is no row 9"),
        ("row,vote,left,right\n1,X,,\n", "a vote is L, R or T, not X"),
        ("row,vote,left,right\n1,L,6,1\n", "a grade is a whole number from 1 to 5, not 6"),
        ("vote\nL\n", "it has no row"),
    ],
)
def test_a_wrong_vote_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_votes(tmp_path / "votes.csv", 4)
    assert "\n" not in str(caught.value)


# --- tally


def test_the_tally_of_one_voter(folders: tuple[Path, Path, Path]) -> None:
    panel = Panel.draw(*folders)
    votes = {row: for_a(panel, row) for row in range(1, 7)} | {7: for_b(panel, 7), 8: Vote("T")}
    counted = tally(panel, [votes])
    assert (counted.votes_a, counted.votes_b, counted.ties) == (6, 1, 1)
    assert (counted.pictures_a, counted.pictures_b, counted.pictures_even) == (6, 1, 1)
    assert counted.share == pytest.approx(6 / 7)
    assert counted.p == pytest.approx(2 * (1 + 7) / 2**7), "the two-sided sign test by hand"
    assert counted.low is not None and counted.high is not None
    # Wilson's interval by hand
    z, n, p = 1.959964, 7, 6 / 7
    middle, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z / (1 + z * z / n) * (p * (1 - p) / n + z * z / 4 / n**2) ** 0.5,
    )
    assert (counted.low, counted.high) == pytest.approx((middle - half, middle + half), abs=1e-5)
    assert counted.grade_a is None
    assert "6 of 7 decided pictures" in "\n".join(counted.sentences())


def test_two_voters_on_one_picture_are_one_picture(folders: tuple[Path, Path, Path]) -> None:
    panel = Panel.draw(*folders)
    one = {1: for_a(panel, 1), 2: for_a(panel, 2), 3: for_b(panel, 3)}
    other = {1: for_a(panel, 1), 2: for_b(panel, 2), 3: Vote("T")}
    counted = tally(panel, [one, other, {}])
    assert (counted.voters, counted.votes_a, counted.votes_b, counted.ties) == (2, 3, 2, 1)
    assert (counted.pictures_a, counted.pictures_b, counted.pictures_even) == (1, 1, 1)
    assert counted.p == 1


def test_grades_belong_to_the_folder_and_not_to_the_side(folders: tuple[Path, Path, Path]) -> None:
    panel = Panel.draw(*folders)
    votes = {}
    for row, gain in zip(range(1, 5), (1, 2, 1, 2), strict=True):
        left = panel.rows[row - 1].a_is == "left"
        votes[row] = Vote("T", *((2 + gain, 2) if left else (2, 2 + gain)))
    counted = tally(panel, [votes])
    assert (counted.grade_a, counted.grade_b, counted.grade_gain) == (3.5, 2, 1.5)
    assert counted.gain_low == pytest.approx(1.5 - 3.1824 * 0.57735 / 2, abs=1e-3), "Student's t by hand"
    assert counted.share is None and "no picture was decided" in counted.sentences()


def test_without_votes_there_is_no_tally(folders: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ValueError, match="nobody has voted"):
        tally(Panel.draw(*folders), [{}])


# --- sheets


def test_sheets_show_result_source_result_and_nothing_that_tells(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    panel = Panel.open(tmp_path / "sheets", *folders)
    written = write_sheets(panel, tmp_path / "sheets")
    assert [path.name for path in written] == ["sheet_01.png", "sheet_02.png", "sheet_03.png"]
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == [KEY, *(path.name for path in written), "votes.csv"]
    with Image.open(written[0]) as sheet:
        assert not sheet.info, "no word of who made what"
        columns = [sheet.convert("RGB").getpixel((72 + 128 + 264 * column, 128)) for column in range(3)]
    red, green, blue = (180, 0, 0), (0, 180, 0), (0, 0, 180)  # A, sources, B: see panel_folders
    assert columns == ([red, green, blue] if panel.rows[0].a_is == "left" else [blue, green, red])
    form = tmp_path / "sheets" / "votes.csv"
    assert form.read_text().splitlines()[:2] == ["row,vote,left,right", "1,,,"]
    with pytest.raises(ValueError, match="nobody has voted"):
        tally_folder(tmp_path / "sheets")
    filled = {row: for_b(panel, row) for row in range(1, 10)}
    write_votes(form, filled, 9)
    write_sheets(panel, tmp_path / "sheets")
    assert read_votes(form, 9) == filled, "a form that was filled in is not emptied"
    assert tally_folder(tmp_path / "sheets").votes_b == 9


# --- the page's server


def ask(address: str, path: str, told: Any = None, **headers: str) -> tuple[int, bytes]:
    data = None if told is None else json.dumps(told).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_is_blind_and_keeps_votes(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    panel = Panel.open(tmp_path / "votes", *folders)
    file = votes_file(tmp_path / "votes", "me")
    with serving(Ballot(panel, file)) as address:
        assert b"Which would you keep" in ask(address, "")[1]
        status, picture = ask(address, "picture/1/left.png")
        assert status == 200 and picture.startswith(b"\x89PNG")
        assert ask(address, "tally")[0] == 409, "not before the last vote"
        status, state = ask(address, "vote", {"row": 2, "vote": "R", "left": 1, "right": 5})
        assert json.loads(state) == {"rows": 9, "votes": {"2": {"vote": "R", "left": 1, "right": 5}}}
        everything = b"".join(ask(address, path)[1] for path in ("", "state", "tally", "picture/1/left.png"))
        assert not any(folder.name.encode() in everything for folder in folders[:2])
        assert read_votes(file, 9) == {2: Vote("R", 1, 5)}, "on the disk at once"
        for wrong in (
            {"row": 10, "vote": "L"},
            {"row": 1, "vote": "?"},
            {"vote": "L"},
            [1],
            {"row": 1, "vote": "L", "left": 9},
        ):
            assert ask(address, "vote", wrong)[0] == 400
        for path in ("picture/10/left.png", "picture/1/key.png", "key.json", "picture/../key.json"):
            assert ask(address, path)[0] == 404
        assert ask(address, "state", Host="evil.example")[0] == 403
        assert ask(address, "vote", {"row": 1, "vote": "L"}, Origin="https://evil.example")[0] == 403
        assert read_votes(file, 9) == {2: Vote("R", 1, 5)}
    again = Ballot(panel, file)
    assert again.votes == {2: Vote("R", 1, 5)}, "a new server goes on"
    with serving(again) as address:
        for row in range(1, 10):
            ask(address, "vote", {"row": row, "vote": for_a(panel, row).vote, "left": None, "right": None})
        assert "A preferred on 9 of 9" in json.loads(ask(address, "tally")[1])["sentences"][3]


def test_a_picture_that_vanishes_is_told_without_its_name(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    panel = Panel.open(tmp_path / "votes", *folders)
    with serving(Ballot(panel, tmp_path / "votes" / "votes-me.csv")) as address:
        for path in panel.files()[0]:
            path.unlink()
        status, body = ask(address, "picture/1/right.png")
        assert status == 410 and b".png" not in body


# --- the command


def test_the_command_writes_sheets_and_counts(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, sources = folders
    result = run(a, b, "--sources", sources, "--sheets", tmp_path / "out", "--rows", 5)
    assert result.exit_code == 0, result.output
    panel = Panel.load(tmp_path / "out")
    assert len(panel.rows) == 5 and len(result.stdout.splitlines()) == 2
    write_votes(tmp_path / "out" / "votes.csv", {1: for_a(panel, 1)}, 5)
    counted = json.loads(run("--tally", tmp_path / "out", "--json").stdout)
    assert (counted["votes_a"], counted["votes_b"], counted["p"]) == (1, 0, 1)
    assert "A 1 votes, B 0" in run("--tally", tmp_path / "out").stdout


def test_the_command_serves_until_it_is_stopped_and_says_where_it_stands(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, sources = folders
    paths = [str(path) for path in (a, b, "--sources", sources, "--votes", tmp_path / "votes")]
    command = [sys.executable, "-m", "cli", "panel", *paths]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:
        assert process.stderr is not None
        try:
            address = process.stderr.readline().partition("vote at ")[2].split()[0]
            assert ask(address, "vote", {"row": 1, "vote": "L"})[0] == 200
        finally:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.strip() == "1 of 9 rows have a vote; the same command goes on from here"


def test_bad_input_is_one_sentence(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, sources = folders
    empty, strange = tmp_path / "empty", tmp_path / "strange"
    empty.mkdir()
    strange.mkdir()
    Image.new("RGB", (9, 9)).save(strange / "other.png")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "1.png").write_bytes(b"not a picture")
    new = ("--votes", tmp_path / "new")
    cases: list[tuple[tuple[object, ...], str]] = [
        ((a, tmp_path / "gone", "--sources", sources), "gone: there is no such folder"),
        ((a, empty, "--sources", sources), "there is no picture in empty"),
        ((a, strange, "--sources", sources), "strange holds no picture with the name of a source"),
        ((a, a, "--sources", sources), "not one with itself"),
        ((a, broken, "--sources", sources), "of no source can both results be read"),
        ((a, b, "--sources", sources, "--voter", "../me"), "a voter's name"),
        (("--tally", tmp_path / "gone"), "holds no key.json"),
    ]
    for arguments, words in cases:
        result = run(*arguments, *(() if arguments[0] == "--tally" else new))
        assert result.exit_code == 1 and words in result.stderr.splitlines()[-1], result.output
        assert "Traceback" not in result.output
    assert run(a, b).exit_code == 2
    assert run(a, "--tally", tmp_path).exit_code == 2
    monkeypatch.setattr("translate.metrics.extra.MODULES", {"no_such_module": "no-such-package"})
    assert "the extra evaluate" in run(a, b, "--sources", sources, *new).stderr
