"""Pictures elsewhere: the same plan and results as from folder to folder, whatever the store does."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from huggingface_hub import HfFileSystem

from tests.helpers.fake_hub import fake_hub, point_client
from tests.helpers.folders import FAST, command, digests, draw, statuses
from translate import Translator
from translate.folders import buckets, remote
from translate.folders.plan import Item, Plan, make_plan
from translate.folders.remote import Remote, parse_location
from translate.folders.report import Outcome
from translate.folders.run import preview, run, translate_page
from translate.images.types import ImageError
from translate.options import FileOptions


class Store(MemoryFileSystem):
    """A store in this process. By the end of a path: what is locked, comes cut short, or cannot be put."""

    protocol = "store"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    locked: ClassVar[set[str]] = set()
    cut: ClassVar[set[str]] = set()
    full: ClassVar[set[str]] = set()
    read: ClassVar[list[str]] = []
    wants_folders = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(super()._strip_protocol(str(path).removeprefix("store://")))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._refuse(path, self.locked, PermissionError("Forbidden"))
        return super().ls(path, detail, **options)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, **options)
        self._refuse(path, self.locked, PermissionError("Forbidden"))
        file = super()._open(path, mode, **options)
        self.read.append(path)
        content = file.getvalue()
        copy = Cut(content[: len(content) // 2] if any(path.endswith(end) for end in self.cut) else content)
        copy.size = len(content)
        return copy

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self._refuse(rpath, self.full, OSError("Get https://me:secret@host/?token=secret failed"))
        if self.wants_folders and self._parent(rpath) not in self.pseudo_dirs:
            raise FileNotFoundError(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def _refuse(self, path: str, ends: set[str], error: OSError) -> None:
        if any(path.endswith(end) for end in ends):
            raise error


class Cut(io.BytesIO):
    size = 0


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Store]]:
    """An empty store; and afterwards no copy may lie about."""
    for name, value in {"store": {}, "pseudo_dirs": [""], "locked": set(), "cut": set(), "full": set()}.items():
        monkeypatch.setattr(Store, name, value)
    monkeypatch.setattr(Store, "read", [])
    fsspec.register_implementation("store", Store, clobber=True)
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    yield Store
    assert list(copies.iterdir()) == []


@pytest.fixture(scope="module")
def translator(tiny_model: Path) -> Translator:
    return Translator.load(tiny_model, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for number, name in enumerate(["a.jpg", "b.png", "c.webp", "sub/d.jpg", "sub/deep/e.bmp"]):
        draw(source / name, [(40, 30), (30, 40), (40, 30)][number % 3], number)
    return source


@pytest.fixture
def filled(folder: Path) -> Path:
    """The same pictures in store://shop/photos."""
    for path in folder.rglob("*.*"):
        write(f"photos/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return folder


def write(name: str, content: bytes) -> None:
    Store().pipe_file(f"/shop/{name}", content)


def written(folder: str) -> dict[str, bytes]:
    prefix = f"/shop/{folder}/"
    return {path.removeprefix(prefix): Store.store[path].getvalue() for path in Store.store if path.startswith(prefix)}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in digests(folder)}


def translated(plan: Plan, translator: Translator, settings: FileOptions = FAST, **options: Any) -> dict[str, Outcome]:
    return {outcome.source: outcome for outcome in run(plan, translator, settings, **options)}


def without_seconds(outcomes: dict[str, Outcome]) -> list[Outcome]:
    return sorted((replace(outcome, seconds=0) for outcome in outcomes.values()), key=lambda outcome: outcome.source)


# --- the same as in folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["folder", "store://shop/photos"])
@pytest.mark.parametrize("target", ["folder", "store://shop/results/new"])
def test_results_and_outcomes_are_those_of_folders(
    translator: Translator, filled: Path, tmp_path: Path, source: str, target: str
) -> None:
    for write_bad in ((filled / "bad.jpg").write_bytes, lambda content: write("photos/bad.jpg", content)):
        write_bad(b"no picture")
    local = translated(make_plan(filled, tmp_path / "local"), translator)
    before = dict(Store.store)
    plan = make_plan(source.replace("folder", str(filled)), target.replace("folder", str(tmp_path / "target")))
    outcomes = translated(plan, translator)
    assert without_seconds(outcomes) == without_seconds(local)
    assert outcomes["bad.jpg"].status == "failed"
    made = contents(tmp_path / "target") if target == "folder" else written("results/new")
    assert made == contents(tmp_path / "local")
    assert {path: Store.store[path] for path in before} == before
    assert set(statuses(translated(plan, translator)).values()) == {"skipped", "failed"}


def test_a_page_alone_makes_the_same(translator: Translator, filled: Path, tmp_path: Path) -> None:
    translated(make_plan(filled, tmp_path / "local"), translator)
    plan = make_plan("store://shop/photos", "store://shop/results")
    outcomes = list(translate_page(translator, plan.items, FAST))
    assert [outcome.source for outcome in outcomes if outcome.status == "done"]
    assert written("results") == contents(tmp_path / "local")


def test_a_plan_is_plain_data_and_opens_nothing(filled: Path) -> None:
    plan = make_plan("store://shop/photos", "store://shop/results")
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert [item.name for item in plan.items] == [
        item.name for item in make_plan(filled, filled.with_name("target")).items
    ]
    assert not any("results" in path for path in Store.store)
    assert Store.read == []


def test_file_urls_are_paths(folder: Path, tmp_path: Path) -> None:
    plan = make_plan(folder.as_uri(), f"file://{tmp_path}/target")
    assert plan == make_plan(folder, tmp_path / "target")
    assert all(isinstance(item, Item) for item in plan.items)


# --- the plan -----------------------------------------------------------------------------------------


def test_what_is_left_out_and_what_is_refused(filled: Path, store: type[Store]) -> None:
    for name in [
        ".hidden.png",
        ".git/f.png",
        "../up.png",
        "./here.png",
        "notes.txt",
        "a.png/",
        "/g.png",
        "out/h.png",
        "zero\0.png",
    ]:
        Store.store[f"/shop/photos/{name}"] = Store.store["/shop/photos/b.png"]
    write("photos/vault/i.png", b"")
    write("photos/x.JPG", b"")
    write("photos/X.jpg", b"")
    store.locked.add("/vault")
    plan = make_plan("store://shop/photos", "store://shop/photos/out/")
    assert {item.name for item in plan.items} == {*digests(filled), "X.jpg"}
    assert {refusal.name: refusal.reason for refusal in plan.refused} == {
        "vault": "this folder may not be read (permission denied)",
        "x.JPG": "its result would take the name of that of X.jpg",
        "zero\0.png": "no file of this machine can have its name",
    }
    flat = make_plan("store://shop/photos/sub", "store://shop/t", recursive=False, glob="*.jpg", format="png")
    assert [item.target_name for item in flat.items] == ["d.png"]


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("store://shop/photos", "store://shop/photos/", "the target folder is the source folder"),
        ("store://shop/none", "store://shop/t", "none: there is no such folder, or nothing in it"),
        ("store://shop/photos/b.png", "store://shop/t", "b.png: this is a file and not a folder"),
        ("store://shop/photos", "hf://datasets/a/b", "on the Hub each result would be a commit"),
        ("nothing://shop", "store://shop/t", "nothing:// cannot be opened: Protocol not known: nothing"),
        ("s3://shop/photos", "store://shop/t", "s3:// cannot be used yet: Install s3fs to access S3"),
    ],
)
def test_a_sentence_for_places_that_do_not_do(
    filled: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError) as caught:
        make_plan(source, target)
    assert str(caught.value).startswith(sentence)


def test_no_result_lands_among_the_sources(filled: Path) -> None:
    write("photos/sub/sub/photos.png", b"")
    plan = make_plan("store://shop/photos/sub", "store://shop/photos")
    assert [refusal.name for refusal in plan.refused] == ["sub/photos.png"]
    assert {item.target_name for item in plan.items} == {"d.jpg", "deep/e.bmp"}


def test_a_store_that_may_not_be_read(filled: Path, store: type[Store]) -> None:
    store.locked.add("photos")
    with pytest.raises(ImageError, match="photos: this folder may not be read"):
        make_plan("store://shop/photos", "store://shop/t")


def test_names_tell_no_secrets() -> None:
    assert Remote("ftp://me:secret@host").name == "host"
    assert Remote("https://host/photos?token=secret").name == "photos"
    assert Remote("s3://bucket/photos/").name == "photos"
    assert Remote("s3://bucket", "a/b.png").name == "b.png"
    assert Remote("memory://").name == "memory"
    assert Remote("zip://photos::s3://bucket/a.zip").name == Remote("simplecache::s3://bucket/photos").name == "photos"
    assert "secret" not in repr(Remote("ftp://me:secret@host", "a.png"))


@pytest.mark.parametrize(
    "said", ["ftp://me:secret@host/a", "ftp://me:se@secret@host/a", "no me:secret@host here", "https://host/?a=secret"]
)
def test_what_a_store_says_is_passed_on_without_secrets(said: str) -> None:
    words = remote._words(OSError(said))
    assert "host" in words and "secret" not in words


# --- what goes wrong ----------------------------------------------------------------------------------


def test_pictures_that_cannot_be_had_are_a_line_each(
    translator: Translator, filled: Path, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("photos/large.png", bytes(20_000))
    monkeypatch.setattr(remote, "MAX_FILE", 19_999)
    plan = make_plan("store://shop/photos", "store://shop/results")
    store.locked.add("photos/a.jpg")
    store.cut.add("photos/c.webp")
    del store.store["/shop/photos/sub/d.jpg"]
    store.full.add("results/b.png")
    outcomes = translated(plan, translator)
    size = len(written("photos")["c.webp"])
    assert {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"} == {
        "a.jpg": "it may not be read (permission denied)",
        "b.png": "it cannot be put (Get https://host/ failed)",
        "c.webp": f"it was cut short on its way: {size // 2} of {size} bytes came",
        "large.png": "it is larger than 0 MB",
        "sub/d.jpg": "there is no such file any more",
    }
    assert set(written("results")) == {"sub/deep/e.bmp"}
    store.locked.clear()
    store.full.clear()
    assert statuses(translated(plan, translator))["b.png"] == "done"


def test_a_size_that_is_not_known_is_bounded_too(
    store: type[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.png", bytes(20_000))
    monkeypatch.setattr(remote, "MAX_FILE", 10_000)
    monkeypatch.setattr(remote, "_BLOCK", 1000)
    monkeypatch.setattr(Store, "_open", lambda *_, **__: io.BytesIO(bytes(20_000)))
    with pytest.raises(ImageError, match="it is larger than 0 MB"):
        Remote("store://shop/a.png").fetch(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_what_stands_at_the_target(translator: Translator, filled: Path) -> None:
    plan = make_plan("store://shop/photos", "store://shop/results")
    translated(plan, translator)
    made = written("results")
    write("results/a.jpg", made["a.jpg"][:-20])
    write("results/b.png", b"somebody's")
    write("results/c.webp", b"")
    write("photos/sub/d.jpg", written("photos")["a.jpg"])
    Store.store.pop("/shop/results/sub/deep/e.bmp")
    Store.pseudo_dirs.append("/shop/results/sub/deep/e.bmp")
    outcomes = translated(plan, translator)
    assert statuses(outcomes) == {
        "a.jpg": "done",
        "b.png": "refused",
        "c.webp": "done",
        "sub/d.jpg": "refused",
        "sub/deep/e.bmp": "refused",
    }
    assert outcomes["sub/deep/e.bmp"].reason == "there is a folder of its result's name"
    assert "was made from another picture" in (outcomes["sub/d.jpg"].reason or "")
    assert {name: written("results")[name] for name in ("a.jpg", "c.webp")} == {
        name: made[name] for name in ("a.jpg", "c.webp")
    }
    assert written("results")["b.png"] == b"somebody's"
    again = translated(plan, translator, replace(FAST, overwrite=True))
    assert (again["b.png"].status, again["a.jpg"].status) == ("done", "skipped")
    assert written("results")["b.png"] == made["b.png"]
    other = translated(plan, translator, replace(FAST, sampling=FAST.sampling.updated(seed=5)))
    assert "with other settings" in (other["a.jpg"].reason or "")


def test_a_place_that_takes_nothing_is_seen_before_all_work(
    translator: Translator, filled: Path, store: type[Store]
) -> None:
    store.full.add(".part")
    with pytest.raises(ImageError, match="results: results cannot go there"):
        translated(make_plan("store://shop/photos", "store://shop/results"), translator)
    assert store.read == []


def test_folders_are_made_where_a_store_has_them_but_no_bucket(
    translator: Translator, filled: Path, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "wants_folders", True)
    with pytest.raises(ImageError, match="there is no such file, folder or bucket"):
        translated(make_plan("store://shop/photos", "store://other"), translator)
    assert "/other" not in store.pseudo_dirs
    store.pseudo_dirs.append("/shop")
    assert set(statuses(translated(make_plan("store://shop/photos", "store://shop/results"), translator)).values()) == {
        "done"
    }
    assert {"/shop/results", "/shop/results/sub", "/shop/results/sub/deep"} <= set(store.pseudo_dirs)


def test_two_may_make_a_folder_at_once(filled: Path, store: type[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(self: Store, path: str, **options: Any) -> None:
        self.pseudo_dirs.append(path)
        raise FileExistsError(path)

    monkeypatch.setattr(store, "wants_folders", True)
    monkeypatch.setattr(store, "mkdir", slower)
    store.pseudo_dirs.append("/shop")
    Remote("store://shop/results", "sub/a.jpg").put(filled / "a.jpg")
    assert set(written("results")) == {"sub/a.jpg"}


def test_a_dry_run_fetches_only_what_stands_there_already(translator: Translator, filled: Path) -> None:
    plan = make_plan("store://shop/photos", "store://shop/results")
    assert {outcome.status for outcome in preview(plan, translator, FAST)} == {"planned"}
    assert Store.read == []
    translated(plan, translator)
    Store.store.pop("/shop/results/b.png")
    Store.read.clear()
    surveyed = {outcome.source: outcome.status for outcome in preview(plan, translator, FAST)}
    assert surveyed == {name: "planned" if name == "b.png" else "skipped" for name in digests(filled)}
    assert "/shop/photos/b.png" not in Store.read


def test_stopped_in_the_middle_no_copy_stays(
    translator: Translator, store: type[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = draw(tmp_path / "a.png").read_bytes()
    for number in range(60):
        write(f"photos/{number}.png", content)
    opened = Store._open

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.005)
        return opened(*arguments, **options)

    monkeypatch.setattr(Store, "_open", slow)
    monkeypatch.setattr(buckets, "GROUP_WORKING_PIXELS", 1)
    outcomes: list[Outcome] = []
    plan = make_plan("store://shop/photos", "store://shop/results")
    for outcome in run(plan, translator, FAST, workers=1, stopped=lambda: len(outcomes) >= 3):
        outcomes.append(outcome)
    assert 3 <= len(outcomes) < 60
    assert set(written("results")) >= {outcome.source for outcome in outcomes}
    assert len(store.read) < 60


# --- the command, and the Hub -------------------------------------------------------------------------


def test_the_command_takes_urls(tiny_model: Path, filled: Path, tmp_path: Path) -> None:
    options = ["-m", tiny_model, "--strength", "2", "--steps", "1", "--size", "16"]
    result = command("store://shop/photos", "store://shop/results", *options, "--report", tmp_path / "report.jsonl")
    assert (result.exit_code, result.stdout) == (0, "5 translated\n"), result.stderr
    assert set(written("results")) == set(digests(filled))
    result = command("store://shop/photos", "store://shop/results", *options)
    assert result.stdout == "5 finished before\n"
    result = command("store://shop/none", "store://shop/results", *options)
    assert result.exit_code == 2
    assert "none: there is no such folder, or nothing in it" in result.stderr


def test_pictures_of_a_dataset_on_the_hub(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub() as hub:
        point_client(monkeypatch, hub.address, tmp_path / "cache")
        HfFileSystem.clear_instance_cache()
        files = {f"photos/{name}": content for name, content in contents(folder).items()}
        hub.add("me/fruit", files | {"README.md": b"x", "other/z.png": b""}, kind="datasets", private=True)
        translated(make_plan(folder, tmp_path / "local"), translator)
        plan = make_plan("hf://datasets/me/fruit/photos", tmp_path / "target")
        assert set(statuses(translated(plan, translator)).values()) == {"done"}
        assert digests(tmp_path / "target") == digests(tmp_path / "local")
        pinned = make_plan("hf://datasets/me/fruit@main/photos", tmp_path / "target")
        assert set(statuses(translated(pinned, translator)).values()) == {"skipped"}
        for missing in ("me/none", "me/fruit/none"):
            with pytest.raises(ImageError, match="there is no such folder, or nothing in it"):
                make_plan(f"hf://datasets/{missing}", tmp_path / "target")
    HfFileSystem.clear_instance_cache()


def test_local_folders_need_no_file_system_of_fsspec(folder: Path, tmp_path: Path) -> None:
    plan = f"make_plan({str(folder)!r}, {str(tmp_path / 't')!r})"
    code = f"import sys; from translate.folders.plan import make_plan; {plan}; "
    root = Path(__file__).parents[1]
    before = [sys.executable, "-c", "import sys, translate.images.read; print('fsspec.core' in sys.modules)"]
    after = [sys.executable, "-c", code + "print('fsspec.core' in sys.modules)"]
    outputs = [subprocess.run(call, cwd=root, capture_output=True, check=True).stdout for call in (before, after)]
    assert outputs[0] == outputs[1]
    assert parse_location(folder) == folder
