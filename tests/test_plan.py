"""Plans: which picture becomes which file, decided before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from translate.folders.naming import Format, name_targets
from translate.folders.plan import make_plan


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    touch(folder, "b.JPG", "a.png", "readme.txt", ".hidden.png", "sub/deep/c.webp", "sub/d.heic", ".thumbs/e.png")
    return folder


def pairs(source: Path, target: Path, **options: object) -> dict[str, str]:
    plan = make_plan(source, target, **options)  # type: ignore[arg-type]
    return {item.name: item.target_name for item in plan.items}


def reasons(source: Path, target: Path, **options: object) -> dict[str, str]:
    plan = make_plan(source, target, **options)  # type: ignore[arg-type]
    return {refusal.name: refusal.reason for refusal in plan.refused}


def test_the_tree_is_mirrored_and_names_are_kept(source: Path, tmp_path: Path) -> None:
    plan = make_plan(source, tmp_path / "target")
    assert {item.name: item.target_name for item in plan.items} == {
        "a.png": "a.png",
        "b.JPG": "b.JPG",
        "sub/d.heic": "sub/d.png",  # which cannot be written
        "sub/deep/c.webp": "sub/deep/c.webp",
    }
    assert plan.refused == ()
    for item in plan.items:
        assert item.source == source / item.name
        assert item.target == tmp_path / "target" / item.target_name
    assert not (tmp_path / "target").exists()


def test_no_recursive_and_glob(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert set(pairs(source, target, recursive=False)) == {"a.png", "b.JPG"}
    assert set(pairs(source, target, glob="*.webp")) == {"sub/deep/c.webp"}
    assert set(pairs(source, target, glob="sub/*")) == {"sub/d.heic", "sub/deep/c.webp"}
    assert set(pairs(source, target, glob="[ab].*")) == {"a.png", "b.JPG"}
    assert pairs(source, target, glob="*.gif") == {}
    for pattern in ("../*", "sub/../../*", "/etc/*"):
        with pytest.raises(ValueError, match="looks inside the source folder only"):
            make_plan(source, target, glob=pattern)


@pytest.mark.parametrize(
    ("format", "names", "targets"),
    [
        ("keep", ["a.jpg", "a.png", "A.tif"], {"a.jpg": "a.jpg", "a.png": "a.png", "A.tif": "A.tif"}),
        ("keep", ["a.heic", "a.mpo"], {"a.heic": "a.heic.png", "a.mpo": "a.mpo.png"}),
        ("png", ["a.jpg", "b.PNG", "c/d.gif"], {"a.jpg": "a.png", "b.PNG": "b.PNG", "c/d.gif": "c/d.png"}),
        ("png", ["a.jpg", "a.png"], {"a.jpg": "a.jpg.png", "a.png": "a.png"}),
        ("png", ["a.jpg", "a.webp"], {"a.jpg": "a.jpg.png", "a.webp": "a.webp.png"}),
        ("png", ["A.jpg", "a.webp"], {"A.jpg": "A.jpg.png", "a.webp": "a.webp.png"}),
        ("png", ["x/a.jpg", "y/a.webp"], {"x/a.jpg": "x/a.png", "y/a.webp": "y/a.png"}),
        ("jpeg", ["a.jpeg", "b.JPG", "c.jfif", "d.bmp"], None),
        ("webp", ["a.b.c.png"], {"a.b.c.png": "a.b.c.webp"}),
    ],
)
def test_names(format: Format, names: list[str], targets: dict[str, str] | None) -> None:
    wanted = targets or {"a.jpeg": "a.jpeg", "b.JPG": "b.JPG", "c.jfif": "c.jfif", "d.bmp": "d.jpg"}
    assert name_targets(names, format) == (wanted, {})
    assert name_targets(names[::-1], format)[0] == wanted


@pytest.mark.parametrize(
    ("format", "names", "refused"),
    [
        ("png", ["a.jpg", "a.webp", "a.jpg.png"], "a.jpg"),
        ("keep", ["a.jpg", "A.jpg"], "a.jpg"),
        ("keep", ["a\u0308.jpg", "\u00e4.jpg"], "\u00e4.jpg"),  # one letter, or a letter and its dots
    ],
)
def test_what_still_clashes_is_refused(format: Format, names: list[str], refused: str) -> None:
    targets, clashes = name_targets(names, format)
    assert list(clashes) == [refused]
    assert "take the name of that of" in clashes[refused]
    assert set(targets) == set(names) - {refused}
    assert len({target.casefold() for target in targets.values()}) == len(targets)


def test_no_two_sources_ever_get_one_target() -> None:
    stems, suffixes = ("a", "A", "a.jpg", "a.png"), (".jpg", ".JPG", ".png", ".webp", ".heic", ".jpg.png")
    names = [stem + suffix for stem in stems for suffix in suffixes]
    formats: tuple[Format, ...] = ("keep", "png", "jpeg", "webp")
    for format in formats:
        targets, clashes = name_targets(names, format)
        assert len({target.casefold() for target in targets.values()}) == len(targets)
        assert sorted([*targets, *clashes]) == sorted(set(names))


def test_links(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    touch(outside, "secret.jpg", "more/x.jpg")
    (source / "out.jpg").symlink_to(outside / "secret.jpg")
    (source / "climb.jpg").symlink_to(Path("..") / "outside" / "secret.jpg")
    (source / "nowhere.jpg").symlink_to(source / "gone.jpg")
    (source / "circle.jpg").symlink_to(source / "circle.jpg")
    (source / "inside.png").symlink_to(source / "a.png")
    (source / "folder").symlink_to(outside)
    (source / "sub" / "loop").symlink_to(source)
    target = tmp_path / "target"
    assert set(pairs(source, target)) == {"a.png", "b.JPG", "inside.png", "sub/d.heic", "sub/deep/c.webp"}
    out, nowhere = "this is a link that leads out of the source folder", "this is a link to nowhere"
    assert reasons(source, target) == {
        "circle.jpg": nowhere,
        "climb.jpg": out,
        "folder": out,
        "nowhere.jpg": nowhere,
        "out.jpg": out,
    }


def test_a_source_folder_that_is_a_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    assert pairs(tmp_path / "link", tmp_path / "target") == pairs(source, tmp_path / "target")
    with pytest.raises(ValueError, match="the target folder is the source folder"):
        make_plan(tmp_path / "link", source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_are_refused(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe.jpg")
    assert reasons(source, tmp_path / "target") == {"pipe.jpg": "this is not an ordinary file"}


def test_a_target_inside_the_source_is_left_out(source: Path) -> None:
    touch(source / "results", "a.png", "sub/old.png")
    assert set(pairs(source, source / "results")) == {"a.png", "b.JPG", "sub/d.heic", "sub/deep/c.webp"}


def test_a_source_inside_the_target(source: Path) -> None:
    """Results may lie above their sources, but never among them."""
    touch(source, "source/b.JPG", "source/other.png")
    plan = make_plan(source, source.parent)
    assert {item.name for item in plan.items} == {"a.png", "b.JPG", "sub/d.heic", "sub/deep/c.webp"}
    assert [refusal.name for refusal in plan.refused] == ["source/b.JPG", "source/other.png"]
    assert "among the pictures to translate" in plan.refused[0].reason


def test_folders_that_will_not_do(source: Path, tmp_path: Path) -> None:
    for wrong, target, sentence in [
        (tmp_path / "gone", tmp_path / "t", "there is no folder gone"),
        (source / "a.png", tmp_path / "t", r"a\.png is not a folder"),
        (source, source, "the target folder is the source folder"),
        (source, source / "sub" / "..", "the target folder is the source folder"),
        (source, source / "a.png", r"a\.png is a file"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            make_plan(wrong, target)


def test_a_locked_folder_is_reported(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    plan = make_plan(source, tmp_path / "target", glob="*.jpg")
    assert [(refusal.name, refusal.reason) for refusal in plan.refused] == [("sub", "this folder may not be read")]


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    touch(tmp_path / "s", *(f"{letter}/{number}.png" for letter in "ba" for number in range(3)), "c.png")
    names = [item.name for item in make_plan(tmp_path / "s", tmp_path / "t").items]
    assert names == sorted(names)
