"""Folders: every picture has its result or its sentence, whatever happens on the way."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.atomic import remove_leftovers, whole_file
from tests.helpers.folders import FAST, bad_files, command, digests, draw, start, statuses, wait_for
from tests.helpers.image_files import PRIMARIES, encode, full_exif, rainbow, rgb_profile
from translate import Translator, __version__
from translate.console import printable
from translate.folders import buckets
from translate.folders import files as files_of
from translate.folders import run as batch
from translate.folders.buckets import ShapeBuckets
from translate.folders.existing import existing_result
from translate.folders.files import Stopped, provenance
from translate.folders.plan import Item, Plan, make_plan
from translate.folders.report import Outcome, Report, Summary
from translate.folders.run import preview, run, translate_bucket
from translate.images.metadata import read_provenance
from translate.images.read import image_size, is_complete, open_image
from translate.images.types import ImageError
from translate.images.write import save_image
from translate.options import FileOptions, SamplingOptions

MANY = 30
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of Pillow, see test_pictures.py
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]
PART = ".cf-translate-0123456789abcdef.part"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of three shapes and four formats, in three folders."""
    source = tmp_path / "source"
    for number, name in enumerate(["a.jpg", "b.png", "c.webp", "sub/d.jpg", "sub/deep/e.bmp"]):
        draw(source / name, [(40, 30), (30, 40), (40, 30)][number % 3], number)
    draw(source / "sub" / "large.png", (300, 40), 9)
    return source


@pytest.fixture(scope="module")
def translator(tiny_model: Path) -> Translator:
    return Translator.load(tiny_model, device="cpu")


def translated(plan: Plan, translator: Translator, settings: FileOptions = FAST, **options: Any) -> dict[str, Outcome]:
    return {outcome.source: outcome for outcome in run(plan, translator, settings, **options)}


def local(plan: Plan) -> list[Item]:
    """Its items, all of which lie on this machine."""
    return [item for item in plan.items if isinstance(item, Item)]


# --- one run ------------------------------------------------------------------------------------------


def test_every_picture_has_its_result(translator: Translator, folder: Path, tmp_path: Path) -> None:
    before, target = digests(folder), tmp_path / "target"
    outcomes = translated(make_plan(folder, target), translator)
    assert statuses(outcomes) == dict.fromkeys(before, "done")
    assert set(digests(target)) == set(before)
    assert digests(folder) == before
    for name, outcome in outcomes.items():
        with Image.open(folder / name) as source, Image.open(target / name) as result:
            assert (result.size, result.format) == (source.size, source.format)
        assert len(outcome.energies) == 2
        assert outcome.seconds > 0


def test_results_are_those_of_translate(translator: Translator, folder: Path, tmp_path: Path) -> None:
    """Up to one level: other batch sizes may round otherwise."""
    target = tmp_path / "target"
    translated(make_plan(folder, target, format="png"), translator)
    for item in local(make_plan(folder, target, format="png")):
        alone = np.asarray(translator(item.source, steps=1, size=16).picture).astype(int)
        with Image.open(item.target) as result:
            assert np.abs(np.asarray(result).astype(int) - alone).max() <= 1


def test_a_result_says_how_and_from_what_it_was_made(translator: Translator, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    translated(make_plan(folder, target), translator)
    for name, digest in digests(folder).items():
        made = read_provenance(target / name)
        assert made is not None
        assert made == {**provenance(translator, FAST), "source": digest[:16]}
        assert str(tmp_path) not in json.dumps(made)


def test_torch_gets_its_threads_back(translator: Translator, folder: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        translated(make_plan(folder, tmp_path / "target"), translator, workers=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_progress_hears_of_every_step(translator: Translator, folder: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    outcomes = translated(make_plan(folder, tmp_path / "target"), translator, step=lambda: steps.append(1))
    assert len(steps) == translator.check(steps=1, size=16) * len(outcomes)


def test_metadata_is_kept_on_request_but_never_the_place(translator: Translator, tmp_path: Path) -> None:
    source = draw(tmp_path / "source" / "a.jpg", exif=full_exif())
    for keep, wanted in ((False, {}), (True, {0x010F: "Maker", 0x0110: "Model 1"})):
        target = tmp_path / f"target {keep}"
        translated(make_plan(source.parent, target), translator, replace(FAST, keep_metadata=keep))
        with Image.open(target / "a.jpg") as result:
            tags = result.getexif()
            assert {tag: tags[tag] for tag in (0x010F, 0x0110) if tag in tags} == wanted
            assert not tags.get_ifd(0x8825)
    plan = make_plan(source.parent, tmp_path / "target True")
    assert translated(plan, translator)["a.jpg"].reason == (
        "a.jpg was made with other settings (metadata kept, not dropped); --overwrite replaces it"
    )


def test_a_limit_for_pixels(translator: Translator, folder: Path, tmp_path: Path) -> None:
    outcomes = translated(make_plan(folder, tmp_path / "target"), translator, replace(FAST, max_pixels=2000))
    assert [name for name, outcome in outcomes.items() if outcome.status == "failed"] == ["sub/large.png"]
    assert outcomes["sub/large.png"].reason == "the picture is too large; the limit is 0.002 megapixels"


# --- colours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_at_strength_0_wide_colours_come_back(
    translator: Translator, tmp_path: Path, profile: str, suffix: str
) -> None:
    """Within one level in their own profile; a JPEG within what saving it once more does to it."""
    icc = rgb_profile(profile, 563 / 256)
    assert profile in PRIMARIES
    source, target = tmp_path / "source" / f"a{suffix}", tmp_path / "target" / f"a{suffix}"
    source.parent.mkdir()
    rainbow().resize((256, 256), Image.Resampling.BICUBIC).save(source, icc_profile=icc, quality=92, subsampling=0)
    translated(make_plan(source.parent, target.parent), translator, FileOptions(SamplingOptions(strength=0)))
    with Image.open(source) as before, Image.open(target) as after:
        assert after.info["icc_profile"] == icc
        difference = np.abs(np.asarray(after).astype(int) - np.asarray(before))
    if suffix == ".jpg":
        assert difference.mean() <= jpeg_error(source) + 0.01
    else:
        assert difference.max() <= 1


def test_at_strength_0_an_srgb_jpeg_is_as_saved_once_more(translator: Translator, photo: Path, tmp_path: Path) -> None:
    translated(make_plan(photo.parent, tmp_path), translator, FileOptions(SamplingOptions(strength=0)))
    with Image.open(photo) as before, Image.open(tmp_path / photo.name) as after:
        difference = np.abs(np.asarray(after).astype(int) - np.asarray(before))
    assert difference.mean() <= jpeg_error(photo) + 0.01


def jpeg_error(path: Path) -> float:
    """Mean change, in levels, of a picture that is saved as a JPEG of quality 92 with all its colours."""
    with Image.open(path) as image:
        again = Image.open(io.BytesIO(encode(image.convert("RGB"), "JPEG", quality=92, subsampling=0)))
        return float(np.abs(np.asarray(again).astype(int) - np.asarray(image)).mean())


# --- again --------------------------------------------------------------------------------------------


def test_finished_results_are_not_made_again(translator: Translator, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    plan = make_plan(folder, target)
    translated(plan, translator)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in target.rglob("*")}
    assert set(statuses(translated(plan, translator)).values()) == {"skipped"}
    assert set(statuses(translated(plan, translator, replace(FAST, overwrite=True))).values()) == {"skipped"}
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in target.rglob("*")} == before


def test_a_copied_folder_is_as_finished(translator: Translator, folder: Path, tmp_path: Path) -> None:
    """Times may change, names of folders and of the model too."""
    translated(make_plan(folder, tmp_path / "target"), translator)
    for path in folder.rglob("*.*"):
        os.utime(path, (1, 1))
    folder.rename(tmp_path / "moved")
    twin = Translator(translator.model, "x")
    assert set(statuses(translated(make_plan(tmp_path / "moved", tmp_path / "target"), twin)).values()) == {"skipped"}


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (replace(FAST, sampling=FAST.sampling.updated(strength=0.5)), "strength 0.5"),
        (replace(FAST, sampling=FAST.sampling.updated(steps=2)), "steps 2+2"),
        (replace(FAST, sampling=FAST.sampling.updated(size=32)), "size 32"),
        (replace(FAST, sampling=FAST.sampling.updated(seed=3)), "seed 3"),
        (replace(FAST, keep_metadata=True), "metadata kept"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_settings_are_no_reason_to_lose_a_result(
    translator: Translator, folder: Path, tmp_path: Path, settings: FileOptions, what: str
) -> None:
    plan = make_plan(folder, tmp_path / "target", glob="a.jpg")
    translated(plan, translator, settings)
    before = digests(tmp_path / "target")
    (refused,) = translated(plan, translator).values()
    assert refused.status == "refused"
    assert refused.reason is not None
    assert f"a.jpg was made with other settings ({what}, not " in refused.reason
    assert digests(tmp_path / "target") == before
    (done,) = translated(plan, translator, replace(FAST, overwrite=True)).values()
    assert done.status == "done"
    assert read_provenance(tmp_path / "target" / "a.jpg") != read_provenance(folder / "a.jpg")
    assert statuses(translated(plan, translator)) == {"a.jpg": "skipped"}


def test_another_model_or_version_or_source(translator: Translator, folder: Path, tmp_path: Path) -> None:
    plan = make_plan(folder, tmp_path / "target", glob="a.jpg")
    (item,) = local(plan)
    translated(plan, translator)
    wanted = provenance(translator, FAST)
    assert existing_result(item, wanted) == Outcome("a.jpg", "a.jpg", "skipped")
    found = existing_result(item, {**wanted, "digest": "other"})
    assert found is not None and f"(model {wanted['digest']}, not other)" in str(found.reason)
    assert existing_result(item, {**wanted, "version": "other"}) == Outcome("a.jpg", "a.jpg", "skipped")
    found = existing_result(item, {**wanted, "sampler_version": "other"})
    assert found is not None and found.status == "refused"
    assert f"was made by another version of cf-translate ({__version__})" in str(found.reason)
    draw(folder / "a.jpg", seed=77)
    found = existing_result(item, wanted)
    assert found is not None
    assert (found.status, str(found.reason)[:37]) == ("refused", "a.jpg was made from another picture, ")
    assert existing_result(item, wanted, overwrite=True) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".gif", ".webp", ".avif", ".bmp"])
@pytest.mark.parametrize("part", [0, 0.5, 0.9])
def test_a_result_cut_short_is_not_finished(translator: Translator, tmp_path: Path, suffix: str, part: float) -> None:
    source, target = tmp_path / "source" / f"a{suffix}", tmp_path / "target" / f"a{suffix}"
    draw(source, (200, 150))
    plan = make_plan(source.parent, target.parent)
    translated(plan, translator)
    whole = target.read_bytes()
    target.write_bytes(whole[: int(part * len(whole))])
    (outcome,) = translated(plan, translator).values()
    if outcome.status == "refused":  # nothing tells any more whose it is
        assert suffix in (".tif", ".webp", ".avif", ".bmp")
        assert outcome.reason == (
            f"a{suffix} is there already and cannot be seen to be a result of cf-translate; --overwrite replaces it"
        )
        (outcome,) = translated(plan, translator, replace(FAST, overwrite=True)).values()
    assert outcome.status == "done"
    assert target.read_bytes() == whole


def test_what_others_made_is_left_alone(translator: Translator, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    draw(target / "a.jpg", seed=50)
    (target / "b.png").write_text("my notes")
    (target / "c.webp").mkdir()
    (target / "sub").mkdir()
    (target / "sub" / "d.jpg").symlink_to(folder / "a.jpg")
    mine, sources = digests(target), digests(folder)
    outcomes = translated(make_plan(folder, target), translator)
    assert [name for name, status in statuses(outcomes).items() if status == "refused"] == [
        "a.jpg", "b.png", "c.webp", "sub/d.jpg",
    ]  # fmt: skip
    assert outcomes["a.jpg"].reason == (
        "a.jpg is there already and cannot be seen to be a result of cf-translate; --overwrite replaces it"
    )
    assert outcomes["c.webp"].reason == "there is a folder of its result's name"
    assert {name: digests(target)[name] for name in mine} == mine
    outcomes = translated(make_plan(folder, target), translator, replace(FAST, overwrite=True))
    assert {name for name, status in statuses(outcomes).items() if status == "done"} == {"a.jpg", "b.png", "sub/d.jpg"}
    assert outcomes["c.webp"].status == "refused"
    assert not (target / "sub" / "d.jpg").is_symlink()
    assert digests(folder) == sources


def test_a_target_folder_that_is_a_link_is_not_entered(translator: Translator, folder: Path, tmp_path: Path) -> None:
    target, sources = tmp_path / "target", digests(folder)
    target.mkdir()
    (target / "sub").symlink_to(folder / "sub")
    outcomes = translated(make_plan(folder, target), translator, replace(FAST, overwrite=True))
    assert digests(folder) == sources
    assert {name for name, outcome in outcomes.items() if outcome.status == "failed"} == {
        "sub/d.jpg", "sub/deep/e.bmp", "sub/large.png",
    }  # fmt: skip
    assert outcomes["sub/d.jpg"].reason == "its result's folder is a link, which may lead anywhere"


def test_results_inside_the_source_folder_are_no_sources(translator: Translator, folder: Path) -> None:
    for status in ("done", "skipped"):
        outcomes = translated(make_plan(folder, folder / "results"), translator)
        assert len(outcomes) == 6
        assert set(statuses(outcomes).values()) == {status}


# --- what goes wrong ----------------------------------------------------------------------------------


def test_five_hundred_pictures_ten_of_them_bad(tiny_model: Path, tmp_path: Path) -> None:
    source, target, report = tmp_path / "source", tmp_path / "target", tmp_path / "report.jsonl"
    draw(source / "0.jpg", (24, 18))
    for number in range(1, 490):
        os.link(source / "0.jpg", source / f"{number}.jpg")
    bad = bad_files(source)
    result = command(source, target, "-m", tiny_model, "--steps", 1, "--size", 16, "--report", report)
    assert result.exit_code == 3
    assert result.stdout == "490 translated, 1 refused, 9 failed\n"
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(bad)
    assert len(set(lines)) == 10
    assert len(list(target.iterdir())) == 490
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(rows) == 500
    assert {row["source"] for row in rows if row["status"] != "done"} == set(bad)
    assert {row["steps"] for row in rows if row["status"] == "done"} == {"1+1"}


def test_a_picture_that_fails_in_company_is_tried_alone(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = translator.batch

    def small(pictures: Sequence[Any], *arguments: Any, **options: Any) -> Any:
        if len(pictures) > 1:
            raise RuntimeError("out of memory")
        if pictures[0].name == "d.jpg":
            raise ArithmeticError("the energies are\nnot finite")
        if pictures[0].name == "e.bmp":
            raise MemoryError
        return real(pictures, *arguments, **options)

    monkeypatch.setattr(translator, "batch", small)
    outcomes = translate_bucket(translator, local(make_plan(folder, tmp_path / "target")), FAST)
    reasons = {outcome.source: outcome.reason for outcome in outcomes}
    assert reasons == dict.fromkeys(digests(folder)) | {
        "sub/d.jpg": "the model failed at it (the energies are not finite)",
        "sub/deep/e.bmp": "there is not enough memory for it",
    }


def test_a_place_that_cannot_be_written_is_one_sentence_each(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "sub").write_text("in the way")

    def full(image: Image.Image, file: Any, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    outcomes = translated(make_plan(folder, tmp_path / "target"), translator)
    assert set(statuses(outcomes).values()) == {"failed"}
    assert outcomes["a.jpg"].reason == "it cannot be saved here (No space left on device)"
    assert sorted(path.name for path in (tmp_path / "target").rglob("*")) == ["sub"]


def test_names_that_are_no_text(tiny_model: Path, tmp_path: Path) -> None:
    source, report = tmp_path / "source", tmp_path / "report.jsonl"
    try:
        (source / "x").mkdir(parents=True)
        Path(os.fsdecode(os.fsencode(source) + b"/\xff\n.jpg")).write_bytes(b"")
        draw(source / "ä b.png")
    except OSError:
        pytest.skip("this disk does not hold such names")
    result = command(source, tmp_path / "t", "-m", tiny_model, "--report", report)
    assert result.exit_code == 3
    assert result.stderr == "\\udcff\\n.jpg: the file is empty\n"
    assert {json.loads(line)["source"] for line in report.read_text().splitlines()} == {"\udcff\n.jpg", "ä b.png"}
    assert printable("ä b.png") == "ä b.png"
    assert command(source, tmp_path / "u", "-m", tiny_model, "--dry-run").exit_code == 0


# --- groups -------------------------------------------------------------------------------------------


def shelved(translator: Translator, sizes: Sequence[tuple[int, int] | None]) -> list[list[int]]:
    """In which groups, by number, pictures of these sizes leave the shelves."""
    shelves, groups = ShapeBuckets(translator, FileOptions()), []
    for number, size in enumerate(sizes):
        item = Item(Path("a"), Path("b"), str(number), "b")
        groups += list(shelves.put(item, size))
    groups += list(shelves.rest())
    return [[int(item.name) for item in group.items] for group in groups]


def test_groups_are_of_one_shape_and_bounded(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "GROUP_WORKING_PIXELS", 4 * 32 * 32)
    square, wide = (64, 64), (128, 64)
    assert shelved(translator, [square] * 6) == [[0, 1, 2, 3], [4, 5]]
    assert shelved(translator, [square, wide, None, square, wide, square]) == [[2], [1, 4], [0, 3, 5]]
    assert shelved(translator, [square, (0, 5), square]) == [[1], [0, 2]]
    assert shelved(translator, [square, (9000, 9000), square, (2000, 2000), square]) == [[0], [1], [2, 3, 4]]


def test_every_picture_leaves_the_shelves_once(translator: Translator) -> None:
    chance = np.random.default_rng(0)
    sizes = [(int(w), int(h)) for w, h in chance.integers(1, 6000, (300, 2))]
    groups = shelved(translator, sizes)
    assert sorted(number for group in groups for number in group) == list(range(300))
    for group in groups:
        assert len({translator.working_shape(*sizes[number]) for number in group}) == 1
        pixels = [sizes[number][0] * sizes[number][1] for number in group]
        assert len(group) == 1 or sum(pixels) <= buckets.GROUP_PIXELS


def test_large_pictures_wait_for_each_other(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PIXELS_IN_FLIGHT", 1300)
    now, most = set[str](), []
    lock = threading.Lock()

    def watched(translator: Translator, items: Sequence[Item], *_: Any, **__: Any) -> list[Outcome]:
        with lock:
            now.update(item.name for item in items)
            most.append(len(now))
        time.sleep(0.01)
        with lock:
            now.difference_update(item.name for item in items)
        return [Outcome(item.name, item.target_name, "done") for item in items]

    monkeypatch.setattr(batch, "translate_bucket", watched)
    monkeypatch.setattr(buckets, "GROUP_PIXELS", 1300)
    outcomes = translated(make_plan(folder, tmp_path / "target"), translator, workers=4)
    assert len(outcomes) == 6
    assert max(most) == 1


def test_the_head_of_a_file_tells_its_size(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "c.webp", "d.bmp", "e.tif", "f.avif"):
        assert image_size(draw(tmp_path / name, (40, 30))) == (40, 30)
    lying = draw(tmp_path / "g.jpg", (40, 30), exif=full_exif(6))
    assert image_size(lying) == open_image(lying).rgb.size == (30, 40)
    (tmp_path / "h.jpg").write_bytes(b"text")
    assert image_size(tmp_path / "h.jpg") is None
    assert image_size(tmp_path / "gone.jpg") is None


def test_noise_of_a_seed_is_the_same_in_any_company(model_files: dict[str, Path]) -> None:
    noisy = Translator.load(model_files["votes"], device="cpu")
    assert noisy.config.schedule.random
    pictures = [Image.new("RGB", (40, 30), (grey, 90, 90)) for grey in (10, 90, 200)]
    for picture, result in zip(pictures, noisy.batch(pictures, seed=5), strict=True):
        alone, other = (np.asarray(noisy(picture, seed=seed).picture).astype(int) for seed in (5, 6))
        assert np.array_equal(alone, np.asarray(result.picture))
        assert np.abs(alone - other).max() > 1


# --- stopping -----------------------------------------------------------------------------------------


def test_stopped_in_the_middle(translator: Translator, folder: Path, tmp_path: Path) -> None:
    plan, steps = make_plan(folder, tmp_path / "target"), list[int]()
    outcomes = translated(plan, translator, workers=1, step=lambda: steps.append(1), stopped=lambda: len(steps) >= 7)
    assert 0 < len(outcomes) < 6
    assert set(digests(tmp_path / "target")) == set(outcomes)
    assert set(statuses(outcomes).values()) == {"done"}
    again = translated(plan, translator)
    assert {name for name, status in statuses(again).items() if status == "skipped"} == set(outcomes)
    assert set(digests(tmp_path / "target")) == set(digests(folder))


def test_stopped_before_it_begins(translator: Translator, folder: Path, tmp_path: Path) -> None:
    assert translated(make_plan(folder, tmp_path / "target"), translator, stopped=lambda: True) == {}
    assert list((tmp_path / "target").iterdir()) == []


def test_a_stopped_group_saves_nothing(translator: Translator, folder: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        translate_bucket(translator, local(make_plan(folder, tmp_path / "target")), FAST, step=stop)
    assert not (tmp_path / "target").exists()


def test_whoever_turns_away_does_not_wait(translator: Translator, folder: Path, tmp_path: Path) -> None:
    outcomes = run(make_plan(folder, tmp_path / "target"), translator, FAST, workers=1)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(digests(tmp_path / "target")) < 6


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(MANY):
        draw(tmp_path / "source" / f"{number}.png", (150 + 4 * number, 90), number)
    return tmp_path / "source"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_good_order(many: Path, tmp_path: Path, tiny_model: Path, number: signal.Signals) -> None:
    target, report = tmp_path / "target", tmp_path / "report.jsonl"
    process = start(many, target, tiny_model, "--report", report)
    wait_for(target, 3, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == f"{number.name}: stopped; the same command goes on from here\n"
    results = sorted(path.name for path in target.iterdir())
    assert 3 <= len(results) < MANY
    assert all(is_complete(target / name) for name in results)
    assert out == f"{len(results)} translated\n"
    assert sorted(json.loads(line)["target"] for line in report.read_text().splitlines()) == results


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_killed_and_called_again(many: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Three kills of a batch of 200 are in benchmarks/batch.py."""
    target, report, sources = tmp_path / "target", tmp_path / "report.jsonl", digests(many)
    process = start(many, target, tiny_model, "--report", report)
    wait_for(target, 8, process)
    process.kill()
    process.communicate()
    (target / PART).write_bytes(b"half a picture")
    before = {path.name: path.stat().st_mtime_ns for path in target.glob("*.png") if is_complete(path)}
    assert len(before) == len(list(target.glob("*.png")))
    assert all(json.loads(line)["status"] == "done" for line in report.read_text().splitlines())
    process = start(many, target, tiny_model, "--report", report)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out == f"{MANY - len(before)} translated, {len(before)} finished before\n"
    assert sorted(path.name for path in target.iterdir()) == sorted(sources)
    assert {name: (target / name).stat().st_mtime_ns for name in before} == before
    assert all(is_complete(path) for path in target.iterdir())
    assert digests(many) == sources


def test_only_leftovers_of_the_dead_are_removed(tmp_path: Path) -> None:
    others = [".cf-translate-notes.part", "a.part", f"{PART}.png"]
    (tmp_path / "sub").mkdir()
    for name in [*others, PART, f"sub/{PART}"]:
        (tmp_path / name).write_text("half")
    with whole_file(tmp_path / "a.png") as file:
        file.write(b"whole")
        assert remove_leftovers(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(["a.png", *others])
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert remove_leftovers(tmp_path / "gone") == 0


# --- the command --------------------------------------------------------------------------------------


def test_dry_run(tiny_model: Path, translator: Translator, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    options = ("-m", tiny_model, "--steps", 1, "--size", 16, "--format", "png")
    result = command(folder, target, *options, "--dry-run", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "a.jpg -> a.png",
        "b.png -> b.png",
        "c.webp -> c.png",
        "sub/d.jpg -> sub/d.png",
        "sub/deep/e.bmp -> sub/deep/e.png",
        "sub/large.png -> sub/large.png",
        "6 to translate",
    ]
    assert not target.exists()
    assert not (tmp_path / "r.jsonl").exists()
    assert (
        command(folder, target, *options, "--glob", "sub/*").stdout == "3 translated; passed over 3: 3 not named so\n"
    )
    draw(target / "b.png", seed=40)
    (folder / "away.jpg").symlink_to("/etc/hosts")
    result = command(folder, target, *options, "--dry-run")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1] == "2 to translate, 3 finished before, 2 refused"
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["away.jpg", "b.png"]


def test_exit_codes(tiny_model: Path, folder: Path, tmp_path: Path) -> None:
    options = ("-m", tiny_model, "--steps", 1, "--size", 16)
    assert command(folder, tmp_path / "t", *options).exit_code == 0
    assert command(folder, tmp_path / "t", *options).exit_code == 0
    (folder / "bad.jpg").write_bytes(b"")
    assert command(folder, tmp_path / "t", *options).exit_code == 3
    assert command(folder, tmp_path / "t", *options, "--glob", "bad.jpg").exit_code == 1
    empty = command(folder, tmp_path / "t", *options, "--glob", "*.gif")
    assert (empty.exit_code, empty.stderr) == (1, "error: source holds no picture named *.gif\n")
    for wrong in (
        (tmp_path / "gone", tmp_path / "t"),
        (folder, folder),
        (folder, tmp_path / "t", "--glob", "../*"),
        (folder, tmp_path / "t", "--format", "bmp"),
        (folder, tmp_path / "t", "--max-megapixels", "500"),
    ):
        assert command(*wrong, *options).exit_code == 2, wrong
    for setting in (("--size", 3), ("--steps", 2, "--strength", 3), ("-m", "nobody")):
        result = command(folder, tmp_path / "u", *options, *setting)
        assert result.exit_code in (1, 2)
        assert "Traceback" not in result.output
        assert not (tmp_path / "u").exists()


def test_notes_are_told(tiny_model: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green")]
    (tmp_path / "source").mkdir()
    frames[0].save(tmp_path / "source" / "a.gif", save_all=True, append_images=frames[1:])
    result = command(tmp_path / "source", tmp_path / "t", "-m", tiny_model, "--report", tmp_path / "r.jsonl")
    note = "animated: the first of 2 frames was taken"
    assert (result.exit_code, result.stderr) == (0, f"a.gif: {note}\n")
    assert json.loads((tmp_path / "r.jsonl").read_text())["notes"] == [note]


# --- report -------------------------------------------------------------------------------------------


def test_a_report_is_added_to_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.jsonl"
    done = Outcome("a.jpg", "a.png", "done", 0.12345, (1.123456789, 2.0))
    with Report(path) as report:
        report.write(done)
    with path.open("a") as file:
        file.write('{"source": "b.j')  # a full disk
    with Report(path) as report:
        report.write(Outcome("c.jpg", None, "refused", reason="no"))
        lines = path.read_text().splitlines()  # each line is there at once
    assert json.loads(lines[0]) == {
        "source": "a.jpg", "target": "a.png", "status": "done", "seconds": 0.123, "energies": [1.12346, 2.0],
        "reason": None, "notes": [], "steps": "",
    }  # fmt: skip
    assert json.loads(lines[2])["reason"] == "no"
    assert len(lines) == 3


def test_a_report_does_not_spoil_other_files(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a\.jpg is there already and is no report"):
        Report(path)
    assert path.read_bytes() == before


def test_summary() -> None:
    summary = Summary()
    assert str(summary) == ""
    for status in ("done", "done", "failed"):
        summary.add(Outcome("a", "b", status))  # type: ignore[arg-type]
    assert str(summary) == "2 translated, 1 failed"
    assert summary.without_result == 1 < summary.counts.total()


def test_survey_opens_nothing(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_of, "open_image", lambda *_, **__: pytest.fail("a source was opened"))
    outcomes = list(preview(make_plan(folder, tmp_path / "target"), translator, FAST))
    assert {outcome.status for outcome in outcomes} == {"planned"}
    assert not (tmp_path / "target").exists()


def test_a_bmp_keeps_its_record_behind_its_end(tmp_path: Path) -> None:
    path = save_image(Image.new("RGB", (5, 5), "red"), tmp_path / "a.bmp", provenance={"seed": 3})
    assert read_provenance(path) == {"seed": 3}
    with Image.open(path) as image:
        assert image.getpixel((4, 4)) == (255, 0, 0)
    plain = save_image(Image.new("RGB", (5, 5), "red"), tmp_path / "b.bmp")
    assert read_provenance(plain) is None
    assert path.read_bytes().startswith(plain.read_bytes())
    with pytest.raises(ImageError):
        save_image(Image.new("RGB", (5, 5)), tmp_path / "gone" / "a.bmp", provenance={"seed": 3})
