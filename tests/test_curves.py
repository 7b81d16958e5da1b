"""What a training shows while it runs: curves, TensorBoard where it is, KID where the features are."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
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
from models.train.run_dir import CONFIG, LOG, Log, Progress
from translate.metrics import training_kid as kids
from translate.metrics.features import FeaturesError
from translate.training.curves import save_curves, surviving
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


@pytest.mark.parametrize("kid", [None, 70.0, float("nan")])
@pytest.mark.parametrize("rows", [0, 1, 80])
def test_curves_are_drawn_from_any_log(tmp_path: Path, rows: int, kid: float | None) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(asdict(things(64))))
    whole = log(*(progress(8 * number, kid=kid) for number in range(rows)), progress(8 * rows, event="blew up"))
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


def domain(tint: tuple[int, int, int], count: int = 6) -> ImageArray:
    noise = np.random.default_rng(0).integers(0, 60, (count, 3, 36, 36))
    return ImageArray((noise + np.array(tint).reshape(1, 3, 1, 1)).astype(np.uint8))


def test_kid_falls_as_pictures_come_nearer_and_draws_no_random_number(features_file: Path) -> None:
    red, orange = domain((180, 20, 20)), domain((190, 120, 20))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    features = kids.features_at_hand(features_file, "cpu")
    assert features is not None
    measure = kids.training_kid(orange, 32, features)
    assert measure is not None
    source, target = red.first(6, 32), orange.first(6, 32)
    figures = [measure(source), measure(source.lerp(target, 0.5)), measure(target)]
    assert figures == sorted(figures, reverse=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_single_picture_has_no_kid(features_file: Path) -> None:
    features = kids.features_at_hand(features_file, "cpu")
    assert features is not None
    assert kids.training_kid(domain((9, 9, 9), 1), 32, features) is None
    measure = kids.training_kid(domain((9, 9, 9), 2), 32, features)
    assert measure is not None
    assert np.isnan(measure(torch.zeros(1, 3, 32, 32)))


def test_no_features_at_hand_are_none_and_a_wrong_file_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kids, "nearby_features", lambda: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert kids.features_at_hand(None, "cpu") is None
    with pytest.raises(FeaturesError, match="no features file"):
        kids.features_at_hand(tmp_path / "none.npz", "cpu")
