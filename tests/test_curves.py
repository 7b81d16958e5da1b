"""What a training shows while it runs: curves, TensorBoard where it is, KID where the features are."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli import app
from models.train.data import ImageArray
from models.train.presets import things
from models.train.run_dir import CONFIG, LOG, Log, Measured, Progress
from translate.metrics import extra, held_out
from translate.metrics.networks import load_networks
from translate.metrics.squeezenet import FeaturesError
from translate.training.curves import save_curves, surviving
from translate.training.fit import Domains, fit, training_config
from translate.training.tensorboard_log import TensorBoardLog


def progress(iteration: int, **others: Any) -> Progress:
    energies = {"target_energy": -1.0, "chain_energy": -0.8, "penalty": 0.1, "change": 0.2}
    return Progress(iteration, 1650, 2.0 * iteration, 16, 1.0, **{**energies, **others})


def log(*rows: Progress) -> Log:
    result = Log()
    for row in rows:
        result.add(row)
    return result


def test_rows_that_a_rollback_has_undone_are_left_out() -> None:
    blown = progress(112, target_energy=float("nan"), event="blew up at iteration 112, rolled back to 96")
    rows, events = surviving(log(*map(progress, (88, 96, 104)), blown, *map(progress, (96, 104))).rows)
    assert [row["iteration"] for row in rows] == ["88", "96", "104"]
    assert events == [112]


@pytest.mark.parametrize(
    "figures", [{}, {"kid": 70.0}, {"kid": 70.0, "kid_sd": 5.0, "rate": 0.5}, {"kid": float("nan")}]
)
@pytest.mark.parametrize("rows", [0, 1, 80])
def test_curves_are_drawn_from_any_log(tmp_path: Path, rows: int, figures: dict[str, float]) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(asdict(things(64))))
    whole = log(*(progress(8 * number, **figures) for number in range(rows)), progress(8 * rows, event="blew up"))
    whole.write(tmp_path / LOG)
    path = save_curves(tmp_path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10
    assert sorted(file.name for file in tmp_path.iterdir()) == [CONFIG, "curves.png", LOG]


def test_the_train_command_leaves_curves_however_short_it_was(tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (80, 80), name).save(tmp_path / name / "1.png")
    folders = ["--source", str(tmp_path / "red"), "--target", str(tmp_path / "blue"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, ["train", *folders, "--preset", "64", "--minutes", "0", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "curves.png").exists()


def test_without_tensorboard_there_is_no_board_and_nothing_of_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translate.training.tensorboard_log.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert TensorBoardLog.open(tmp_path, 0) is None
    assert "torch.utils.tensorboard" not in sys.modules
    assert not list(tmp_path.iterdir())


def test_with_tensorboard_it_gets_figures_sheets_and_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    Image.new("RGB", (40, 20), "red").save(tmp_path / "sheet.png")
    log = TensorBoardLog.open(tmp_path, 0)
    assert log is not None
    for number in range(99):
        log.add(progress(number))
    log.add(progress(99, penalty=float("nan"), kid=66.5, sheet=tmp_path / "sheet.png"))
    log.add(progress(101, event="blew up at iteration 101, rolled back to 50"))
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("chain_energy")] == [*range(0, 99, 8), 99]
    assert [(event.step, event.value) for event in events.Scalars("kid")] == [(99, 66.5)]
    (sheet,) = events.Images("samples")
    assert (sheet.step, sheet.width, sheet.height) == (99, 40, 20)
    assert len(events.Tensors("event/text_summary")) == 1


def test_curves_mark_the_model_that_is_best_by_both_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    marked: list[str] = []
    monkeypatch.setattr(Axes, "annotate", lambda self, text, *a, **k: marked.append(text))
    (tmp_path / CONFIG).write_text(json.dumps(asdict(things(64))))
    figures = [(90.0, 0.2), (40.0, 0.1), (42.0, 0.9), (80.0, 0.5)]  # the lowest KID has the lowest rate
    rows = [progress(8 * n, kid=kid, kid_sd=4.0, rate=rate) for n, (kid, rate) in enumerate(figures)]
    log(*rows).write(tmp_path / LOG)
    save_curves(tmp_path)
    assert marked == ["42", "0.9"]


def test_curves_of_a_log_from_before_the_rate_are_drawn(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(asdict(things(64))))
    older = "iteration,seconds,resolution,beta,target_energy,chain_energy,penalty,change,kid,event"
    (tmp_path / LOG).write_text(f"{older}\n0,1,64,1,-1,-0.8,0.1,0.2,70.0,\n8,2,64,1,-1,-0.8,0.1,0.2,60.0,\n")
    assert save_curves(tmp_path).exists()


# --- held-out pictures


def domain(tint: tuple[int, int, int], count: int = 6, seed: int = 0) -> ImageArray:
    noise = np.random.default_rng(seed).integers(0, 60, (count, 3, 36, 36))
    return ImageArray((noise + np.array(tint).reshape(1, 3, 1, 1)).astype(np.uint8))


RED, ORANGE = (180, 20, 20), (190, 120, 20)


def test_a_tenth_is_held_out_evenly_and_no_more_than_64() -> None:
    learned, aside = held_out.split(list(range(100)))
    assert aside == list(range(0, 100, 10)) and sorted(learned + aside) == list(range(100))
    assert [len(part) for part in held_out.split(range(2000))] == [1936, 64]
    assert held_out.split(range(39)) == (list(range(39)), []), "three pictures measure nothing"
    assert held_out.split([]) == ([], [])


def test_figures_say_that_pictures_come_nearer_and_draw_no_random_number(untrained_file: Path) -> None:
    pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")
    (network,) = load_networks(["squeezenet"], untrained_file)
    red, orange = domain(RED), domain(ORANGE)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    measure = held_out.measurer(network, 32, domain(ORANGE, seed=1), orange, red)
    source, target = red.first(6, 32), orange.first(6, 32)
    figures = [measure(source), measure(source.lerp(target, 0.5)), measure(target)]
    kids, rates = [each.kid for each in figures if each], [each.rate for each in figures if each]
    assert kids == sorted(kids, reverse=True) and len(kids) == 3
    assert (rates[0], rates[2]) == (0, 1)
    assert torch.equal(torch.get_rng_state(), before)
    alone = held_out.measurer(network, 32, domain(ORANGE, seed=1), orange, None)
    assert alone(target) == Measured(*figures[2][:2])  # type: ignore[index]
    assert measure(source[:3]) is None and measure(source * float("nan")) is None


def test_what_judges_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "MODULES", {"no_such_module": "no-such-package"})
    assert held_out.network_at_hand(None, "cpu") is None
    with pytest.raises(extra.MissingExtra):
        held_out.network_at_hand(tmp_path / "some.npz", "cpu")
    monkeypatch.undo()
    pytest.importorskip("torchmetrics", reason="the extra evaluate is not installed")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = held_out.network_at_hand(None, "cpu")
    assert network is not None and network.name == "efficientnet-lite2"
    with pytest.raises(FeaturesError, match="no features file"):
        held_out.network_at_hand(tmp_path / "none.npz", "cpu")


def test_training_says_what_it_holds_out_and_learns_from_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "LEARNED", 12)  # each goes through a network of photos
    for name, tint in (("red", RED), ("orange", ORANGE)):
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(domain(tint, 40)._pictures):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / name / f"{number:02d}.png")
    said: list[str] = []
    domains = Domains(str(tmp_path / "orange"), tmp_path / "run", str(tmp_path / "red"))
    fit(
        domains,
        replace(training_config(64), sheet_every=1, steps_at_use=(2,)),
        device="cpu",
        say=said.append,
        stop=StopAfter(2),
    )
    assert "held out for sheets and curves: 4 of orange and 4 of red" in said
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert [(record[d]["pictures"], record[d]["held_out"]) for d in ("source", "target")] == [(36, 4)] * 2
    with Image.open(tmp_path / "run" / "samples" / "000001.png") as sheet:
        assert sheet.width == 4 * 66 + 2, "the four sources that are held out, and no others"
    if not extra.missing():
        log = Log()
        log.read(tmp_path / "run" / LOG)
        (first, *_) = log.measured().values()
        assert first.kid_sd > 0 and first.rate is not None and 0 <= first.rate <= 1
        assert said[-2].startswith("the best by both figures on held-out pictures (KID ")


class StopAfter:
    """True once it was asked so often."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0
