"""`evaluate` as a whole: rows, notes, figures on real pictures, what it says of bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from cli import app
from tests.helpers import noise_images
from translate.metrics import extra
from translate.metrics.folders import Folders

pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")
from translate.metrics.bench import Bench
from translate.metrics.evaluation import evaluate
from translate.metrics.networks import Network, load_networks
from translate.metrics.squeezenet import FeaturesError
from translate.metrics.tables import cells, table

LITE2 = ("--network", "efficientnet-lite2")


class Brighter:
    """Stands for a translator: the picture made brighter by its strength."""

    name, digest, device = "brighter", "0123456789ab", torch.device("cpu")

    def __call__(self, picture: Image.Image, *, strength: float | None) -> SimpleNamespace:
        return SimpleNamespace(picture=picture.point(lambda level: min(int(level + 50 * (strength or 1)), 255)))


def save(folder: Path, pictures: list[Image.Image], suffix: str = ".png") -> Path:
    folder.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}{suffix}")
    return folder


def run(*arguments: object) -> Result:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return runner.invoke(app, ["evaluate", *map(str, arguments)])


def sentence(result: Result) -> str:
    """The one line on stderr; nothing may be a traceback."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


@pytest.fixture(scope="module")
def squeeze(untrained_file: Path) -> list[Network]:
    return load_networks(["squeezenet"], untrained_file)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is downloaded yet, and nothing can be."""

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)


def test_rows_floors_strengths_and_other_programs_results(untrained_file: Path, tmp_path: Path) -> None:
    source, target = save(tmp_path / "source", noise_images(6, 0)), save(tmp_path / "target", noise_images(6, 1))
    other = save(tmp_path / "other", noise_images(5, 0, mean=200), ".bmp")
    (source / "9.jpg").write_bytes(b"not a picture")
    said: list[str] = []
    report = evaluate(
        Folders(source, target, translated=[other]),
        Brighter(),
        strengths=[None, 2],
        networks=["squeezenet"],
        features=untrained_file,
        size=64,
        say=said.append,
    )
    assert list(report.rows) == ["untouched", "recolouring", "folder other", "brighter", "brighter, strength 2"]
    assert [row.n for row in report.rows.values()] == [5] * 5, "all rows cover the same sources"
    assert any("5 of 7 sources" in note for note in report.notes)
    assert "translating: brighter" in said
    untouched = report.rows["untouched"]
    assert untouched.content == pytest.approx(0, abs=1e-6)
    assert report.rows["brighter"].content > 0  # type: ignore[operator]
    assert report.digest == Brighter.digest


def test_a_broken_picture_is_skipped_with_a_sentence_and_in_all_rows(untrained_file: Path, tmp_path: Path) -> None:
    source, target = save(tmp_path / "source", noise_images(6, 0)), save(tmp_path / "target", noise_images(6, 1))
    other = save(tmp_path / "other", noise_images(6, 2))
    (other / "3.png").write_bytes(b"not a picture")
    said: list[str] = []
    report = evaluate(
        Folders(source, target, translated=[other]),
        networks=["squeezenet"], features=untrained_file, size=64, say=said.append,
    )  # fmt: skip
    assert [row.n for row in report.rows.values()] == [5, 5, 5]
    assert len([told for told in said if told.startswith("3.png")]) == 1


def test_bench_tells_bright_from_dark(squeeze: list[Network]) -> None:
    sources, targets = noise_images(8, 0, mean=60), noise_images(8, 1, mean=190)
    bench = Bench.prepare(sources, targets, noise_images(9, 2, mean=60), noise_images(9, 3, mean=190), squeeze, size=64)
    dark, bright = (bench.measure(pictures).networks["squeezenet"] for pictures in (sources, targets))
    assert bright.kid_x100 < dark.kid_x100
    assert (dark.rate.share, bright.rate.share) == (0, 1)
    assert dark.fid is None, "a distance on SqueezeNet's features is no FID"
    assert bench.measure(sources) == bench.measure(sources)
    assert int(bench.parts([*targets[:7], sources[0]]).argmax()) == 7
    with pytest.raises(ValueError, match="3 outputs cannot be compared with 8 sources"):
        bench.measure(targets[:3])
    with pytest.raises(ValueError, match="at least 4 source pictures, not 1"):
        Bench.prepare(sources[:1], targets, None, None, squeeze, size=64)


def test_tables_say_which_network_and_never_fid_of_another(untrained_file: Path, tmp_path: Path) -> None:
    from rich.console import Console

    source, target = save(tmp_path / "source", noise_images(6, 0)), save(tmp_path / "target", noise_images(6, 1))
    report = evaluate(Folders(source, target), networks=["squeezenet"], features=untrained_file, size=64)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(report))
    shown = console.export_text()
    assert "SqueezeNet KID x100" in shown and "FID" not in shown and "target's spread" in shown
    told = json.loads(json.dumps(report.as_dict()))
    row = told["rows"]["untouched"]
    assert row["n"] == 6 and row["white"] is None
    heading, *rows = cells(told)
    assert heading[0] == "pictures" and {len(row) for row in rows} == {len(heading)}
    lines = list(csv.DictReader(io.StringIO(report.as_csv())))
    assert [line["pictures"] for line in lines] == ["untouched", "recolouring"]
    assert float(lines[0]["kid_x100"]) == pytest.approx(row["networks"]["squeezenet"]["kid_x100"], rel=1e-5)
    assert lines[0]["white"] == lines[0]["fid"] == ""


def test_inception_has_fid_and_a_kid_as_in_papers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: None
) -> None:
    """Its real code with random weights, where torch would have put the downloaded ones."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        state = FeatureExtractorInceptionV3("x", ["2048"]).state_dict()
    place = Path(torch.hub.get_dir(), "checkpoints")
    place.mkdir(parents=True)
    torch.save(state, place / URL_INCEPTION_V3.rpartition("/")[2])
    sources, targets = noise_images(4, 0), noise_images(5, 1, mean=200)
    (network,) = load_networks(["inception"])
    bench = Bench.prepare(sources, targets, None, None, [network], size=64)
    judged = bench.measure(sources).networks["inception"]
    assert judged.fid is not None and judged.fid > 0
    assert bench.sides[0].target.shape == (5, 2048) and bench.sides[0].unit == 1
    assert any("nothing, as in papers" in note for note in bench.notes)


def test_without_a_network_what_needs_none_is_measured(no_network: None) -> None:
    said: list[str] = []
    assert [network.name for network in load_networks(say=said.append)] == ["efficientnet-lite2"]
    assert [told for told in said if told.startswith("without inception")]
    for name in ("inception", "squeezenet"):
        with pytest.raises(FeaturesError, match="cannot be downloaded") as caught:
            load_networks([name])
        assert "\n" not in str(caught.value)
    with pytest.raises(FeaturesError, match="there is no feature network vgg"):
        load_networks(["vgg"])


# --- the command


def test_the_command_measures_models_and_results(tiny_model: Path, tmp_path: Path) -> None:
    source, target = save(tmp_path / "source", noise_images(5, 0)), save(tmp_path / "target", noise_images(5, 1))
    other = save(tmp_path / "other", noise_images(5, 2))
    common = ("--source", source, "--target", target, "--size", 64, *LITE2)
    result = run(tiny_model, *common, "--translated", other, "--strengths", "0,1", "--json", "--sheets", tmp_path / "s")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert list(rows) == ["untouched", "recolouring", "folder other", "tiny, strength 0", "tiny, strength 1"]
    still, untouched = (rows[name]["networks"]["efficientnet-lite2"] for name in ("tiny, strength 0", "untouched"))
    assert still["kid_x100"] == pytest.approx(untouched["kid_x100"])
    assert sorted(path.name for path in (tmp_path / "s").iterdir())[-1] == "untouched.png"
    assert len(list((tmp_path / "s").iterdir())) == 5
    alone = run(*common, "--translated", other, "--csv")
    assert alone.exit_code == 0, alone.output
    assert alone.stdout.startswith("pictures,network,kid_x100") and "folder other" in alone.stdout


def test_bad_input_is_one_sentence_before_anything_long(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, target = save(tmp_path / "many", noise_images(5)), save(tmp_path / "target", noise_images(5))
    one, empty = save(tmp_path / "one", noise_images(1)), save(tmp_path / "empty", [])
    strange = tmp_path / "strange"
    strange.mkdir()
    noise_images(1)[0].save(strange / "other.png")

    def not_reached(*_: object, **__: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("translate.metrics.evaluation.load_networks", not_reached)
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--source", tmp_path / "gone", "--target", target), "gone: there is no such folder"),
        (("--source", empty, "--target", target), "there is no picture in empty"),
        (("--source", many, "--target", one), "one has 1 usable picture; measuring needs at least 4"),
        (("--source", one, "--target", target), "one has 1 usable picture"),
        (
            ("--source", many, "--target", target, "--translated", strange),
            "strange holds no picture with the name of a",
        ),
        (("--source", many, "--target", target, "--train-source", empty), "there is no picture in empty"),
    ]
    for arguments, words in cases:
        assert words in sentence(run(tiny_model, *arguments))
    assert run("--source", many, "--target", target).exit_code == 2, "neither a model nor results"
    assert run(tiny_model, "--source", many, "--target", target, "--json", "--csv").exit_code == 2


def test_only_broken_pictures_are_a_sentence(tiny_model: Path, tmp_path: Path) -> None:
    target, broken = save(tmp_path / "target", noise_images(5)), save(tmp_path / "broken", noise_images(5))
    for path in broken.iterdir():
        path.write_bytes(b"not a picture")
    result = run(tiny_model, "--source", broken, "--target", target, *LITE2)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: measuring needs at least 4 source pictures, not 0"


def test_a_missing_extra_is_named(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extra.MODULES, "no_such_module", "no-such-package")
    said = sentence(run(tiny_model, "--source", tmp_path, "--target", tmp_path))
    assert "the extra evaluate" in said and said.endswith("missing: no-such-package")


# --- real pictures


def test_realism_on_real_fruit(apples2oranges: Path, features_file: Path) -> None:
    """Oranges that were not seen before are nearer to oranges than apples are, by both networks."""
    from translate.metrics.pairs import by_name, squares

    def some(folder: str, start: int, count: int = 16) -> list[Image.Image]:
        files = dict(list(by_name(apples2oranges / folder).items())[start : start + count])
        return list(squares(files, 256).values())

    networks = load_networks(["efficientnet-lite2", "squeezenet"], features_file)
    apples, oranges = some("testA", 0), some("testB", 0)
    bench = Bench.prepare(apples, some("testB", 20), some("trainA", 0, 24), some("trainB", 0, 24), networks)
    before: Any = bench.measure(apples).networks
    after: Any = bench.measure(oranges).networks
    for name in before:
        assert after[name].kid_x100 < before[name].kid_x100 / 2
        assert after[name].rate.share > 0.6 > 0.4 > before[name].rate.share
