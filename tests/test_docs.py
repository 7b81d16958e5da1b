"""What README.md and docs/ say of commands, files and code, held against what there is."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import cli
from tests.helpers.image_files import corner
from translate.images.metadata import read_provenance

ROOT = Path(__file__).parent.parent
PLACES = "*.md", "docs/*.md", "models/cards/*.md", "samples/*.md"
PAGES = [page for place in PLACES for page in sorted(ROOT.glob(place))]
CODE = re.compile(r"^(?: {4}|\t)(.*)$|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND: Any = typer.main.get_command(cli.app)


class Command(NamedTuple):
    """A call as a page has it. whole: a line of a code block, not a mention in a sentence."""

    page: Path
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page.name}: {' '.join(self.words)}"


def calls(program: str) -> Iterator[Command]:
    """All calls of a program. Continued lines are joined; comments, pipes and redirections are cut off."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = "\n".join(indented or fenced for indented, fenced in CODE.findall(text))
        lines = [(line, True) for line in blocks.splitlines()]
        lines += [(mention, False) for mention in re.findall(r"`([^`\n]+)`", CODE.sub("", text))]
        for line, whole in lines:
            for part in re.split(r" && |\(|\)| \| | > ", line.partition("  # ")[0].partition(" # ")[0]):
                words = _words(part)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words = words[1:]
                if words and words[0] == program:
                    yield Command(page, tuple(words), whole)


def _words(part: str) -> list[str]:
    try:
        return shlex.split(re.sub(r"[\[\]]", "", part))
    except ValueError:  # prose with an apostrophe, or a quotation that goes on elsewhere
        return []


def check(command: Command) -> None:
    """Raises ValueError for a command or an option that there is not, or a value that it would not take."""
    group: Any = COMMAND
    rest = [word for word in command.words[1:] if word != "..."]
    while hasattr(group, "commands"):
        if not rest or rest == ["--version"]:
            return
        if rest[0] not in group.commands:
            raise ValueError(f"there is no command {rest[0]}")
        group, rest = group.commands[rest[0]], rest[1:]
    try:
        group.make_context(group.name, rest)
    except Exception as error:  # typer's own or click's, by the version of typer
        missing = type(error).__name__ == "MissingParameter"
        if not missing or (command.whole and "..." not in command.words):
            raise ValueError(getattr(error, "message", "") or str(error)) from error


COMMANDS = sorted({call for call in calls("cf-translate") if len(call.words) > 1})


def test_the_pages_have_commands_of_every_kind():
    assert len(COMMANDS) > 60
    shown = {command.words[1] for command in COMMANDS}
    assert shown >= set(COMMAND.commands)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_in_the_pages_has_known_options(command: Command) -> None:
    check(command)


WRONG = "translate a.jpg -m x --strenght 1", "translat a.jpg -m x", "translate a.jpg", "batch a b -m x --format gif"


@pytest.mark.parametrize("line", WRONG)
def test_wrong_commands_would_be_found(line: str) -> None:
    with pytest.raises(ValueError):
        check(Command(ROOT / "README.md", ("cf-translate", *line.split()), whole=True))


SCRIPTS = sorted({call for program in ("python", "python3") for call in calls(program) if call.words[1:]})


@pytest.mark.parametrize("command", SCRIPTS, ids=str)
def test_every_script_in_the_pages_is_there_with_its_options(command: Command) -> None:
    words = command.words[1:]
    if words[0] == "-m":
        if words[1].partition(".")[0] not in ("benchmarks", "models", "tests", "translate"):
            return  # a module of Python or of a package
        words = (words[1].replace(".", "/") + ".py", *words[2:])
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    options = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    assert not [option for option in options if f'"{option}"' not in source]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if not link.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_pictures_in_the_pages_say_what_they_show():
    for page in PAGES:
        assert not re.findall(r"!\[\s{0,3}\]", page.read_text(encoding="utf-8")), page


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors, the navigation, and the docstrings that the page on Python asks for."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    python = (tmp_path / "site" / "python" / "index.html").read_text(encoding="utf-8")
    assert "translate.pipeline.Translator" in python and "length of the chain" in python


def test_the_site_fetches_nothing_from_elsewhere():
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config and "http" not in config


ON_SAMPLES = [command for command in COMMANDS if command.page == ROOT / "README.md" and "samples/" in str(command)]


@pytest.mark.parametrize("command", ON_SAMPLES, ids=str)
def test_commands_of_the_readme_run_on_the_samples(command: Command, tmp_path, monkeypatch, capsys) -> None:
    """With a shorter chain than theirs. A sample's result lies beside it, or where -o says."""
    shutil.copytree(ROOT / "samples", tmp_path / "samples", ignore=shutil.ignore_patterns("*.py", "*.md"))
    monkeypatch.chdir(tmp_path)
    words = [found for word in command.words[1:] for found in sorted(glob(word)) or [word]]
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        COMMAND.main([*words, "--strength", "0.1"], prog_name="cf-translate")
    assert ended.value.code == 0
    written = [tmp_path / line for line in capsys.readouterr().out.split()]
    assert len(written) == sum(word.startswith("samples") for word in words)
    for result in written:
        assert result not in before
        made = read_provenance(result)
        assert made is not None and made["model"] == words[words.index("-m") + 1]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=lambda page: page.name)
def test_python_in_the_pages_runs(page: Path, tmp_path, monkeypatch):
    """All but trainings, whose names and arguments are looked at elsewhere."""
    blocks = re.findall(r"((?:^(?: {4}.*)?\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    code = [block for block in blocks if "from translate import" in block and "fit(" not in block]
    assert code
    for name in ("apple.jpg", "a.jpg", "b.jpg"):
        corner(size=(96, 80)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for block in code:
        text = "\n".join(line[4:] for line in block.splitlines()).replace("strength=0.8", "strength=0.1")
        exec(compile(ast.parse(text), str(page), "exec"), {})
    assert (tmp_path / "orange.jpg").is_file()
