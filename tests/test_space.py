"""The Space and the image: what is put into them, how they are described, and the way to the Hub, against a server of
our own on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement

from tests.helpers.fake_hub import TOKEN, FakeHub, fake_hub

ROOT = Path(__file__).parent.parent
PUBLISH = ROOT / "space" / "publish.py"
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {r.name: r for r in (Requirement(line) for line in lines if line and not line.startswith("#"))}


DECLARED = requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"])
BROUGHT_BY_GRADIO = {"filelock", "gradio", "pydantic", "typer", "rich", "fsspec"}
WANTED = requirements((ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines())


def run(arguments: list[str], answer: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PUBLISH), *arguments],
        input=answer, text=True, capture_output=True, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space")
    assert run(["--into", str(folder)]).returncode == 0
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        yield hub


def test_the_space_is_uploaded_whole_and_what_is_old_goes(hub, assembled, tmp_path):
    space = hub.add("me/space", {"old.py": b"1"}, kind="spaces")
    done = run(["me/space", "--private", "--yes"], HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path), HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(assembled).as_posix() for path in assembled.rglob("*") if path.is_file()}
    assert set(space.files) == files
    assert all(content == (assembled / name).read_bytes() for name, content in space.files.items())


def test_a_new_space_is_made_as_one(hub, assembled, tmp_path):
    done = run(["me/space", "--private", "--yes"], HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path), HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    (made,) = hub.created
    assert (made["sdk"], made["type"]) == ("gradio", "space")
    assert hub.repositories["spaces", "me/space"].private


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_leaves_the_machine_unasked(hub, tmp_path, answer):
    done = run(["me/space"], answer, HF_ENDPOINT=hub.address, HF_HOME=str(tmp_path), HF_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "Nothing was sent." in done.stdout + done.stderr
    assert not hub.seen


def test_what_the_hub_refuses_is_one_sentence(tmp_path):
    done = run(["me/space", "--yes"], HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path), HF_TOKEN="hf_x")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the Space could not be updated") and done.stderr.count("\n") == 1


WHAT_VISITORS_DO = """
import pathlib
from translate.options import SamplingOptions
from translate.web.service import TranslationService
app.build(["apple2orange"])
service = TranslationService(["apple2orange"], pathlib.Path(folder))
photo = next(app.SAMPLES.glob("*.jpg"))
short = SamplingOptions(0.1)
(*_, last) = service.stream("me", photo, "apple2orange", short)
service.heat_map(last.trajectory)
service.save_gif(last.trajectory)
list(service.stream_style("me", [photo], photo, short))
service.save_style("me")
print(app.__file__)
"""


def test_the_space_has_all_that_the_page_imports(assembled, tmp_path):
    """In a process of its own, so that nothing comes from the checkout, and without what only other commands need."""
    absent = ", ".join(f"{name}=None" for name in sorted(set(DECLARED) - set(WANTED) - BROUGHT_BY_GRADIO))
    code = f"import sys; sys.modules.update({absent}); import app; folder = {str(tmp_path)!r}\n{WHAT_VISITORS_DO}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=assembled, text=True, capture_output=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == assembled


LENDS = """
import functools, sys

def GPU(duration):
    assert "torch" not in sys.modules, "it has to come before torch"

    def lend(run):
        @functools.wraps(run)
        def borrowed(*arguments):
            print("borrowed for", duration)
            yield from run(*arguments)
        return borrowed
    return lend
"""


def test_a_host_that_lends_a_gpu_is_asked_once_for_every_walk(assembled, tmp_path):
    (tmp_path / "spaces.py").write_text(LENDS, encoding="utf-8")
    code = """
import pathlib, sys, app
from translate.web.service import TranslationService
service = TranslationService(["apple2orange"], pathlib.Path(sys.argv[1]), app.lend_gpu)
trajectory = service.translate(app.SAMPLES / "apple_on_white.jpg", "apple2orange", 0.2)
print(len(trajectory.frames) > 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "results")],
        cwd=assembled, text=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["borrowed for 60", "True"]


def test_the_space_holds_nothing_else(assembled):
    kinds = {path.suffix for path in assembled.rglob("*") if path.is_file()}
    assert kinds <= {".py", ".css", ".js", ".md", ".json", ".jpg", ".safetensors", ".txt", ""}
    assert not list(assembled.rglob(".*"))


def test_the_front_matter_is_what_the_hub_expects(assembled):
    card = SpaceCard((assembled / "README.md").read_text(encoding="utf-8")).data.to_dict()
    assert card["sdk"] == "gradio" and card["app_file"] == "app.py"
    assert isinstance(card["sdk_version"], str) and isinstance(card["python_version"], str)
    assert DECLARED["gradio"].specifier.contains(card["sdk_version"])
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"gradio=={card['sdk_version']}\n" in pins
    assert len(card["short_description"]) <= 60


def test_the_space_asks_for_what_the_project_asks_for():
    assert "gradio" not in WANTED
    for name, requirement in WANTED.items():
        assert requirement.specifier == DECLARED[name].specifier


# --- the image ---------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_image_runs_as_a_numeric_user_and_says_how_it_is():
    found = instructions()
    users = [value for name, value in found if name == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*(:\d+)?", users[-1])
    names = [name for name, _ in found]
    assert "HEALTHCHECK" in names and ("EXPOSE", "7860") in found
    assert names.index("HEALTHCHECK") < names.index("CMD") and found[-1][1].startswith("[")


def test_the_image_fetches_nothing_but_packages_and_names_no_place():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not [value for name, value in instructions() if name == "ADD"]
    assert re.findall(r"https?://(?!127\.0\.0\.1)\S+", text) == []


def test_what_is_copied_into_the_image_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name, value in instructions():
        if name == "COPY":
            for source in [part for part in value.split()[:-1] if not part.startswith("--")]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored or any(i.startswith(f"!{source.rstrip('/')}") for i in ignored), source
