"""Models on the Hub, with the real client, against a Hub of our own on this machine."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from models import hub
from models.errors import BadModel
from models.hub import HubError, cached, commit_of, fetch, parse_name, pull, pulled, push
from models.model import digest
from models.names import FILE_NAME
from models.registry import card, locate
from tests.helpers.fake_hub import TOKEN, FakeHub, fake_hub, point_client

NAME = parse_name("me/mine")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub, and a client with an empty cache that knows no other one."""
    with fake_hub() as server:
        point_client(monkeypatch, server.address, tmp_path / "cache")
        yield server


@pytest.fixture
def model(tiny_model: Path) -> bytes:
    return tiny_model.read_bytes()


def refused(name: str = "me/mine") -> str:
    """The sentence that a name is refused with."""
    with pytest.raises(BadModel) as caught:
        locate(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("large", [True, False])
def test_a_model_is_fetched_once_and_then_nobody_is_asked(server: FakeHub, model: bytes, large: bool) -> None:
    server.add("me/mine", {FILE_NAME: model, "README.md": b"# Mine"}, large=large)
    path = locate("me/mine")
    assert path.read_bytes() == model
    assert card("me/mine") == "# Mine"
    asked = len(server.seen)
    server.dead = True
    assert locate("me/mine") == path
    assert len(server.seen) == asked


def test_a_path_comes_first_then_what_is_shipped_then_the_hub(
    server: FakeHub, model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "apple2orange" / "trainA").mkdir(parents=True)
    assert locate("apple2orange").parent.name == "weights", "a folder without a model is none"
    (tmp_path / "me" / "mine").mkdir(parents=True)
    (tmp_path / "me" / "mine" / FILE_NAME).write_bytes(model)
    (tmp_path / "apple2orange" / FILE_NAME).write_bytes(model)
    assert locate("me/mine") == Path("me/mine") / FILE_NAME
    assert locate("apple2orange") == Path("apple2orange") / FILE_NAME
    assert not server.seen


def test_a_revision_is_a_tag_a_branch_or_a_commit(server: FakeHub, model: bytes, tiny_model: Path) -> None:
    repository = server.add("me/mine", {FILE_NAME: b"old"})
    first = repository.commit({FILE_NAME: model}, tag="v1.0")
    repository.commit({FILE_NAME: b"newest"})
    assert locate("me/mine@v1.0").read_bytes() == model
    assert locate(f"me/mine@{first}").read_bytes() == model
    assert fetch(NAME).read_bytes() == b"newest"
    assert digest(locate("me/mine@v1.0")) == digest(tiny_model)
    assert "no revision v2" in refused("me/mine@v2")


def test_a_pull_brings_the_newest(server: FakeHub, model: bytes) -> None:
    repository = server.add("me/mine", {FILE_NAME: model, "README.md": b"old"})
    pull(NAME)
    repository.commit({FILE_NAME: model, "README.md": b"new"})
    assert card("me/mine") == "old"
    pull(NAME)
    assert card("me/mine") == "new"


@pytest.mark.parametrize("tries", [1, 2])
def test_a_tampered_download_is_never_used_and_the_next_pull_repairs_it(
    server: FakeHub, model: bytes, tries: int
) -> None:
    server.add("me/mine", {FILE_NAME: model})
    server.tampered = True
    for _ in range(tries):
        assert "damaged" in refused()
        assert cached(NAME) is None
    server.tampered = False
    assert locate("me/mine").read_bytes() == model


def test_a_truncated_download_is_never_used_and_the_next_pull_repairs_it(server: FakeHub, model: bytes) -> None:
    server.add("me/mine", {FILE_NAME: model})
    server.cut = 500
    assert "broke off" in refused()
    assert cached(NAME) is None
    server.cut = None
    assert pull(NAME).read_bytes() == model


def test_a_server_that_goes_half_way_is_one_sentence(server: FakeHub, model: bytes) -> None:
    server.add("me/mine", {FILE_NAME: model})
    server.gone = 500
    assert "broke off" in refused()
    assert cached(NAME) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_what_was_damaged_in_the_cache_is_fetched_again(server: FakeHub, model: bytes, damage: str) -> None:
    server.add("me/mine", {FILE_NAME: model})
    path = locate("me/mine")
    path.write_bytes({"cut": model[:-9], "changed": model[:-1] + bytes([model[-1] ^ 1]), "empty": b""}[damage])
    server.dead = True
    assert "me/mine" in refused(), "rather nothing than that"
    server.dead = False
    assert locate("me/mine").read_bytes() == model


@pytest.mark.parametrize(
    ("settings", "name", "words"),
    [
        ({"gated": True}, "me/mine", "gated"),
        ({}, "me/absent", "no me/absent on the Hub"),
        ({}, "me/mine", f"no {FILE_NAME}"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(server: FakeHub, settings: dict[str, Any], name: str, words: str) -> None:
    server.add("me/mine", {"pytorch_model.bin": b"evil"}, **settings)
    assert words in refused(name)


def test_a_private_model_is_for_its_owner(server: FakeHub, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("me/mine", {FILE_NAME: model}, private=True)
    monkeypatch.delenv("HF_TOKEN")
    assert "private" in refused()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert locate("me/mine").read_bytes() == model


@pytest.mark.parametrize(
    "name",
    [
        "me/..",
        "../mine",
        "me/mi ne",
        "me/mine@../../x",
        "me/mine@",
        "me/mine@a//b",
        "me/mi--ne",
        "-/mine",
        "me/mine@\x1b[2J",
    ],
)
def test_a_malformed_name_asks_nobody(server: FakeHub, name: str) -> None:
    assert "\x1b" not in refused(name)
    with pytest.raises(HubError, match="no name on the Hub"):
        parse_name(name)
    assert not server.seen


def test_what_is_no_model_of_ours_is_refused_after_the_download(server: FakeHub) -> None:
    server.add("me/mine", {FILE_NAME: b"\x80\x04pickle"})
    assert "not a safetensors file" in refused()


def test_a_huge_file_is_refused_before_the_download(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("me/mine", {FILE_NAME: bytes(2 << 20)})
    with pytest.raises(HubError, match="too large"):
        fetch(NAME, max_bytes=1 << 20)
    assert not [line for line in server.seen if line.startswith("GET")]


def test_without_a_network_a_look_up_ends_at_once(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch, model: bytes
) -> None:
    point_client(monkeypatch, "http://127.0.0.1:9")
    begin = time.monotonic()
    assert re.search("no file or folder me/mine, so it was looked for on the Hub: .* cannot be reached", refused())
    assert time.monotonic() - begin < 3
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused()


def test_a_name_server_that_says_nothing_holds_nobody_up(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *a, **k: threading.Event().wait(30))
    begin = time.monotonic()
    assert "cannot be reached" in refused()
    assert time.monotonic() - begin < 3


def test_what_was_pulled_is_listed_and_what_is_not_ours_is_not(server: FakeHub, model: bytes) -> None:
    assert pulled() == {}
    server.add("me/mine", {FILE_NAME: model})
    server.add("other/program", {FILE_NAME: b"something else"})
    path = pull(NAME)
    fetch(parse_name("other/program"))
    assert pulled() == {"me/mine": path}


def folder_of(tmp_path: Path, **files: bytes) -> Path:
    folder = tmp_path / "sent"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in {"README.md": b"# Mine", **files}.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_push_is_private_and_comes_back_the_same(server: FakeHub, model: bytes, tmp_path: Path) -> None:
    address = push(NAME, folder_of(tmp_path, **{FILE_NAME: model, "samples.png": b"png"}))
    assert address == f"{server.address}/me/mine"
    repository = server.repositories["models", "me/mine"]
    assert repository.private
    assert set(repository.files) >= {FILE_NAME, "README.md", "samples.png"}
    assert locate("me/mine").read_bytes() == model
    push(NAME, folder_of(tmp_path, **{FILE_NAME: model}))
    assert "samples.png" not in repository.files, "pictures do not outlive the consent to show them"
    assert commit_of(NAME) == repository.references["main"]


def test_a_push_to_what_is_public_wants_to_be_told(server: FakeHub, model: bytes, tmp_path: Path) -> None:
    repository = server.add("me/mine", {"README.md": b"old"})
    folder = folder_of(tmp_path, **{FILE_NAME: model})
    with pytest.raises(HubError, match="public"):
        push(NAME, folder)
    assert repository.files == {"README.md": b"old"}
    push(NAME, folder, public=True)
    assert repository.files[FILE_NAME] == model


def test_what_is_private_is_not_made_public_with_its_history(server: FakeHub, model: bytes, tmp_path: Path) -> None:
    repository = server.add("me/mine", {"samples.png": b"mine"}, private=True)
    with pytest.raises(HubError, match="private on the Hub, with all that it ever held"):
        push(NAME, folder_of(tmp_path, **{FILE_NAME: model}), public=True)
    assert repository.private and repository.files == {"samples.png": b"mine"}


def test_a_push_that_fails_is_one_sentence(
    server: FakeHub, model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, **{FILE_NAME: model})
    server.refuses_commits = True
    with pytest.raises(HubError, match=r"^[^\n]*error 500[^\n]*$"):
        push(NAME, folder)
    point_client(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(HubError, match="reached"):
        push(NAME, folder)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="logged in"):
        push(NAME, folder)
